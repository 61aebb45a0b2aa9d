"""Completions by vLLM in this process.

vLLM schedules, computes and samples; this file feeds it. Requests enter as places come free, between two steps, so the
scheduler always has a batch; a few wait inside it, so that a place that falls free within a step is taken at once.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from vllm import RequestOutput, SamplingParams
from vllm.lora.request import LoRARequest
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.llm_engine import LLMEngine

from dto_jobs.core.cost import ModelShape
from dto_jobs.engines.model_sources import check_adapter, check_folder
from dto_jobs.engines.sampling import seed_of
from dto_jobs.engines.shapes import outlined
from dto_jobs.engines.texts import Texts, load_texts
from dto_jobs.engines.vllm_arguments import engine_arguments
from dto_jobs.errors import InputError
from dto_jobs.model_source import ModelSource, VllmEngine
from dto_jobs.stage import Completion, Feed, Request

WAITING = 4
"""One request in so many waits inside vLLM beside those that run."""
UNSIGNED = (1 << 63) - 1


class Vllm:
    """An engine that runs one model through vLLM."""

    continuous = True
    """Its batch need not drain between parts: what a completion is does not follow from the part it is in."""

    def __init__(self, engine: LLMEngine, texts: Texts, shape: ModelShape, adapter: LoRARequest | None = None) -> None:
        self._engine = engine
        self._texts = texts
        self._adapter = adapter
        self._context: int = engine.vllm_config.model_config.max_model_len
        running: int = engine.vllm_config.scheduler_config.max_num_seqs
        self._places = running + max(1, running // WAITING)
        self._names = map(str, count())
        self._ended: dict[str, RequestOutput] = {}
        self.shape = shape
        self.thinking = texts.thinking
        self.render = texts.render
        self.count = texts.count

    def complete(self, feed: Feed) -> Iterator[Completion]:
        """Yield completions as they finish; requests that do not fit the context are refused at once."""
        running: dict[str, Request] = {}
        try:
            while True:
                free = self._places - len(running)
                refused = [one for request in (feed(free) if free else ()) if (one := self._enter(request, running))]
                yield from refused
                if not running and not refused:
                    return
                self._step()
                for name in [name for name in self._ended if name in running]:
                    yield _completion(running.pop(name), self._ended.pop(name))
        finally:
            self._leave(running)

    def _enter(self, request: Request, running: dict[str, Request]) -> Completion | None:
        """Hand a request to vLLM, or return at once the completion of one that does not fit."""
        prompt = self._texts.prompt(request.prompt, request.trace)
        limit = min(request.max_tokens, self._context - len(prompt))
        if not prompt or limit <= 0:
            # Nothing of the prompt was computed, and `cached` is what was not computed.
            return Completion(request.key, "", 0, len(prompt), len(prompt), finished=False)
        running[self._add(prompt, _sampling(request, limit))] = request
        return None

    def _add(self, tokens: list[int], sampling: SamplingParams) -> str:
        name = next(self._names)
        self._engine.add_request(name, {"prompt_token_ids": tokens}, sampling, lora_request=self._adapter)
        return name

    def _step(self) -> None:
        """Let vLLM go on, and note what ended, whoever asked for it: texts are scored while others are completed."""
        if self._engine.has_unfinished_requests():
            self._ended |= {output.request_id: output for output in self._engine.step() if output.finished}

    def _leave(self, running: dict[str, Request]) -> None:
        """Withdraw requests that nobody waits for any more."""
        if running:
            self._engine.abort_request(list(running))
            for name in running:
                self._ended.pop(name, None)

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Return the mean natural log-probability of each continuation's tokens; nan where there are none or too many.

        vLLM draws one token after each text, which is thrown away and which its own count of generated tokens holds.
        """
        sampling = SamplingParams(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        scores = [float("nan")] * len(texts)
        asked: dict[str, tuple[int, int]] = {}
        for place, (prompt, continuation) in enumerate(texts):
            first, then = self._texts.encode(prompt), self._texts.encode(continuation)
            if first and then and len(first) + len(then) < self._context:
                asked[self._add(first + then, sampling)] = (place, len(first))
        while asked:
            self._step()
            for name in [name for name in self._ended if name in asked]:
                place, start = asked.pop(name)
                scores[place] = _mean_log_probability(self._ended.pop(name), start)
        return scores

    def close(self) -> None:
        """Give back the memory; the engine is of no use afterwards."""
        self._engine.engine_core.shutdown()


def _sampling(request: Request, limit: int) -> SamplingParams:
    return SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=limit,
        seed=seed_of(request.key) & UNSIGNED,
        stop=[stop for stop in request.stop if stop],
        skip_special_tokens=False,
        spaces_between_special_tokens=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
    )


def _completion(request: Request, output: RequestOutput) -> Completion:
    [drawn] = output.outputs
    return Completion(
        request.key,
        drawn.text,
        len(drawn.token_ids),
        len(output.prompt_token_ids or ()),
        output.num_cached_tokens or 0,
        finished=drawn.finish_reason == "stop",
    )


def _mean_log_probability(output: RequestOutput, start: int) -> float:
    tokens, logs = output.prompt_token_ids, output.prompt_logprobs
    assert tokens is not None
    assert logs is not None
    told: list[Any] = [log[token] for token, log in zip(tokens[start:], logs[start:], strict=True)]
    return sum(float(one.logprob) for one in told) / len(told)


def load(folder: Path, settings: VllmEngine, source: ModelSource, adapter: Path | None = None) -> Vllm:
    """Return an engine with the model of a folder, and a LoRA adapter over it; InputError where it cannot be used."""
    check_folder(folder)
    texts = load_texts(folder, source)
    arguments = engine_arguments(folder, settings, source, check_adapter(adapter) if adapter else 0)
    try:
        engine = LLMEngine.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)
    except (OSError, ValueError, TypeError, NotImplementedError, RuntimeError) as problem:
        raise InputError(f"{folder}: vLLM cannot run this model with spec.engine.vllm as it is: {problem}") from problem
    return Vllm(engine, texts, outlined(folder), LoRARequest("adapter", 1, str(adapter)) if adapter else None)
