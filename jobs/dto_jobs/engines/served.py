"""Completions by a model that somebody else serves, behind an OpenAI-compatible endpoint.

Prompts are rendered and tokenized here, by the tokenizer of the run's model source, and sent as token ids: so a prompt is
the same as in the engines of this process. What comes back is text. An endpoint cannot promise the same answer to the same
seed; docs/decisions/0017 says what follows from that.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from dto_jobs.core.cost import ModelShape
from dto_jobs.engines.openai import Answer, Call, Served
from dto_jobs.engines.sampling import seed_of
from dto_jobs.engines.shapes import outlined
from dto_jobs.engines.texts import Texts, load_texts
from dto_jobs.errors import InputError
from dto_jobs.model_source import ModelSource, OpenaiEngine
from dto_jobs.stage import Completion, Feed, Request

SEEDS: Final = (1 << 31) - 1
"""Servers differ in how large a seed they take; all take 31 bits."""
EXACT: Final = {
    "add_special_tokens": False,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    # A server takes what is not asked for from the model's generation_config.json.
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}
"""Fields of vLLM's own that keep marks such as `</think>` in the answer and sampling at what was asked for."""
PROBE: Final = "Wait, let me check: 12,345 × 6.7 = \\boxed{82711.5}?\n\n等一下 — naïve façade…"
"""A text that tokenizers of different models cut into different numbers of tokens."""


class ServedEngine:
    """An engine whose model is somewhere else."""

    continuous = True

    def __init__(
        self, served: Served, texts: Texts, shape: ModelShape, context: int, *, extra: dict[str, Any] | None = None
    ) -> None:
        self._served = served
        self._texts = texts
        self._context = context
        self._extra = {"extra_body": extra} if extra else {}
        self.shape = shape
        self.thinking = texts.thinking
        self.render = texts.render
        self.count = texts.count

    def complete(self, feed: Feed) -> Iterator[Completion]:
        """Yield completions as they finish; requests that do not fit the context are refused at once."""
        asked: dict[str, tuple[Request, int]] = {}

        def source(free: int) -> list[Call | Answer]:
            return [self._call(request, asked) for request in feed(free)]

        for answer in self._served.answers(source):
            yield self._completion(*asked.pop(answer.name), answer)

    def _call(self, request: Request, asked: dict[str, tuple[Request, int]]) -> Call | Answer:
        prompt = self._texts.prompt(request.prompt, request.trace)
        asked[request.key] = (request, len(prompt))
        limit = min(request.max_tokens, self._context - len(prompt))
        if not prompt or limit <= 0:
            return Answer(request.key, None)
        fields: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": seed_of(request.key) & SEEDS,
            **self._extra,
        }
        if request.stop:
            fields["stop"] = list(request.stop)
        return Call(request.key, "completions", fields)

    def _completion(self, request: Request, prompt: int, answer: Answer) -> Completion:
        if answer.text is None:
            # Nothing of the prompt was computed, and `cached` is what was not computed.
            return Completion(request.key, "", 0, prompt, prompt, finished=False)
        finished = answer.finish == "stop"
        tokens = self.count(answer.text) + finished if answer.tokens is None else answer.tokens
        computed = answer.prompt_tokens or prompt
        cached = min(answer.cached_tokens, computed)
        return Completion(request.key, answer.text, tokens, computed, cached, finished=finished)

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Return the mean natural log-probability of each continuation's tokens; nan where there are none or too many.

        InputError where the endpoint does not give the log-probabilities of a prompt, which not all do.
        """
        scores = [float("nan")] * len(texts)
        starts: dict[str, int] = {}
        calls = []
        for place, (prompt, continuation) in enumerate(texts):
            first, then = self._texts.encode(prompt), self._texts.encode(continuation)
            if first and then and len(first) + len(then) < self._context:
                starts[str(place)] = len(first)
                fields = {"prompt": first + then, "max_tokens": 0, "temperature": 0.0, "echo": True, "logprobs": 1}
                calls.append(Call(str(place), "completions", fields))
        waiting = iter(calls)
        for answer in self._served.answers(lambda free: list(islice(waiting, free))):
            if answer.text is not None:
                scores[int(answer.name)] = self._mean(answer, starts[answer.name])
        return scores

    def _mean(self, answer: Answer, start: int) -> float:
        told = [one for one in (answer.log_probabilities or ())[start:] if one is not None]
        if not told:
            raise InputError(
                f"{self._served} does not give the log-probabilities of a prompt (echo), which the guard of pruning needs; "
                "switch the guard off: spec.stages.pruning.guard: false"
            )
        return sum(told) / len(told)


def load(folder: Path, settings: OpenaiEngine, source: ModelSource) -> ServedEngine:
    """Return an engine that asks an endpoint; the folder needs the model's configuration and tokenizer, and no weights."""
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder} has no config.json: an endpoint's engine needs the configuration and the tokenizer of the model "
            "that is served (no weights), from spec.model.source"
        )
    texts, shape = load_texts(folder, source), outlined(folder)
    served = Served(settings)
    limits = (settings.context, served.context(), _positions(folder))
    extra = EXACT if settings.extensions else None
    _check_tokenizer(served, texts, folder, extra)
    return ServedEngine(served, texts, shape, min(limit for limit in limits if limit), extra=extra)


def _positions(folder: Path) -> int:
    import transformers  # noqa: PLC0415 - seconds to import, and only for this number

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    return int(config.max_position_embeddings)


def _check_tokenizer(served: Served, texts: Texts, folder: Path, extra: dict[str, Any] | None) -> None:
    """Raise InputError where the endpoint counts the tokens of a text otherwise: then ids would mean other words there."""
    fields = {"prompt": PROBE, "max_tokens": 1, "temperature": 0.0, **({"extra_body": extra} if extra else {})}
    probes = [Call("probe", "completions", fields)]
    [answer] = served.answers(lambda _: [probes.pop()] if probes else [])
    ours, theirs = len(texts.encode(PROBE)), answer.prompt_tokens
    # Without vLLM's fields a server may put its opening mark before a text, as it does not before ids.
    if theirs is not None and theirs - ours not in ({0} if extra else {0, 1}):
        raise InputError(
            f"{served} cuts a text into {theirs} tokens where the tokenizer of {folder} makes {ours}: "
            "it serves another model than spec.model.source names"
        )
