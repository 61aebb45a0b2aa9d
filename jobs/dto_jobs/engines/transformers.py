"""Completions by a Hugging Face causal language model in this process, on a CPU or any device.

The forward pass is transformers' own; batch, cache and sampling are ours. The batch is refilled as texts end, beginnings
shared within a family are computed once, and every completion follows from its request alone: its chance is a hash of
the request's key, and rows do not touch each other's bits (attention.py says how far).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from dto_jobs.engines.attention import KEYS, NAME, ROWS, round_up, visible
from dto_jobs.engines.batch import Batch, Row
from dto_jobs.engines.model_sources import check_folder
from dto_jobs.engines.prefixes import Prefixes
from dto_jobs.engines.shapes import shape
from dto_jobs.engines.slots import SlotCache
from dto_jobs.engines.stops import Stops
from dto_jobs.engines.texts import Texts, load_texts
from dto_jobs.errors import InputError
from dto_jobs.model_source import ModelSource, TransformersEngine
from dto_jobs.stage import Completion, Feed, Request

REFILL = 16
"""The batch is refilled when one in so many places is free: prompts that enter together cost less."""
SCORED = 24
"""Most texts scored at once: sorted by length, few together need little padding."""
LOGITS = 1 << 27
"""Most logits held at once while scoring."""


class Transformers:
    """An engine that runs one model through transformers."""

    continuous = False
    """Matrix products round by the make-up of a batch, and a part by itself meets the same batches again on resume."""

    def __init__(self, model: Any, texts: Texts, settings: TransformersEngine) -> None:  # noqa: ANN401 - untyped library
        self._model = model
        self._texts = texts
        self._settings = settings
        self._context = min(
            model.config.max_position_embeddings, settings.context or model.config.max_position_embeddings
        )
        self._ends = _ends(model, texts.tokenizer)
        self._stops = Stops(texts.tokenizer, model.config.vocab_size)
        self._cache: SlotCache | None = None
        self.shape = shape(model)
        self.thinking = texts.thinking
        self.render = texts.render
        self.count = texts.count

    def complete(self, feed: Feed) -> Iterator[Completion]:
        """Yield completions as they finish; a call is a function of its requests alone, nothing is kept between calls."""
        prefixes = Prefixes(self._settings.prefix_cache_mebibytes << 20)
        batch = Batch(self._model, self._emptied_cache(), prefixes)
        waiting: deque[Row] = deque()
        while True:
            free = self._settings.slots - len(batch.rows) - len(waiting)
            if not batch.rows or free * REFILL >= self._settings.slots:
                rows, refused = self._rows(feed(free) if free else ())
                waiting.extend(rows)
                yield from refused
                with torch.inference_mode():
                    batch.admit(waiting)
                if not batch.rows and not refused:
                    return
            if batch.rows:
                yield from self._step(batch)

    def _emptied_cache(self) -> SlotCache:
        """Return a cache as good as new. What lies in it is never looked at; its memory is costly to come by."""
        if self._cache is None or self._cache.grown:
            self._cache = None
            budget = self._settings.cache_mebibytes << 20
            self._cache = SlotCache(self._model, self._settings.slots, self._context, budget)
        return self._cache

    def _rows(self, requests: Sequence[Request]) -> tuple[list[Row], list[Completion]]:
        """Return rows for the requests, and at once the completions of those that do not fit the context."""
        rows, refused = [], []
        for request in requests:
            prompt = self._texts.prompt(request.prompt, request.trace)
            limit = min(request.max_tokens, self._context - len(prompt))
            if prompt and limit > 0:
                rows.append(Row(request, prompt, limit))
            else:
                # Nothing of the prompt was computed, and `cached` is what was not computed.
                refused.append(Completion(request.key, "", 0, len(prompt), len(prompt), finished=False))
        return rows, refused

    def _step(self, batch: Batch) -> Iterator[Completion]:
        with torch.inference_mode():
            batch.step()
            ended = [(place, done) for place, row in enumerate(batch.rows) if (done := self._ended(row))]
            batch.leave([place for place, _ in ended])
        for _, completion in ended:
            yield completion

    def _ended(self, row: Row) -> Completion | None:
        drawn = row.drawn
        if drawn[-1] in self._ends:
            return self._completion(row, self._stops.text(drawn[:-1]), finished=True)
        if row.request.stop and (text := self._stops.cut(drawn, row.request.stop)) is not None:
            return self._completion(row, text, finished=True)
        if len(drawn) == row.limit:
            return self._completion(row, self._stops.text(drawn), finished=False)
        return None

    def _completion(self, row: Row, text: str, *, finished: bool) -> Completion:
        return Completion(row.request.key, text, len(row.drawn), len(row.prompt), row.cached, finished=finished)

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Return the mean natural log-probability of each continuation's tokens; nan where there are none or too many."""
        pairs = [(self._texts.encode(prompt), self._texts.encode(continuation)) for prompt, continuation in texts]
        fitting = [place for place, (prompt, then) in enumerate(pairs) if self._scorable(prompt, then)]
        scores = [float("nan")] * len(pairs)
        size = self._model.config.vocab_size
        fitting.sort(key=lambda place: len(pairs[place][0]) + len(pairs[place][1]))
        while fitting:
            length = len(pairs[fitting[-1]][0]) + len(pairs[fitting[-1]][1])
            chunk = fitting[-max(1, min(SCORED, LOGITS // (length * size))) :]
            del fitting[-len(chunk) :]
            for place, value in zip(chunk, self._score([pairs[place] for place in chunk]), strict=True):
                scores[place] = value
        return scores

    def _scorable(self, prompt: list[int], continuation: list[int]) -> bool:
        return bool(prompt) and bool(continuation) and len(prompt) + len(continuation) <= self._context

    @torch.inference_mode()
    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        longest = round_up(max(len(prompt) + len(then) for prompt, then in pairs), ROWS)
        tokens = torch.zeros(len(pairs), longest, dtype=torch.long)
        for row, (prompt, then) in zip(tokens, pairs, strict=True):
            row[: len(prompt) + len(then)] = torch.tensor(prompt + then)
        device = self._model.device
        positions = torch.arange(longest, device=device)[None]
        keep = longest - min(len(prompt) for prompt, _ in pairs) + 1
        logits = self._model(
            input_ids=tokens.to(device),
            attention_mask=visible(positions, round_up(longest, KEYS), self._model.dtype),
            position_ids=positions,
            use_cache=False,
            logits_to_keep=keep,
        ).logits
        return [
            _mean_log_probability(row[len(prompt) - 1 - (longest - keep) :], then)
            for row, (prompt, then) in zip(logits, pairs, strict=True)
        ]


def _mean_log_probability(logits: torch.Tensor, then: list[int]) -> float:
    chosen = torch.tensor(then, device=logits.device)[:, None]
    return float(logits[: len(then)].float().log_softmax(-1).gather(1, chosen).mean())


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401 - untyped library
    named = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
    ends = frozenset(token for one in named for token in (one if isinstance(one, list) else [one]) if token is not None)
    if not ends:
        raise InputError("the model names no end mark: set eos_token_id in its generation_config.json")
    return ends


def load(folder: Path, settings: TransformersEngine, source: ModelSource) -> Transformers:
    """Return an engine with the model of a folder; InputError where it cannot be used."""
    check_folder(folder)
    transformers.utils.logging.disable_progress_bar()
    device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = source.dtype if source.dtype != "auto" or device != "cpu" else "float32"
    texts = load_texts(folder, source)
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=NAME,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise InputError(f"{folder}: transformers cannot load this model: {problem}") from problem
    if set(getattr(model.config, "layer_types", None) or ()) - {"full_attention"}:
        raise InputError(f"{folder}: layers other than full attention are not supported by this engine; use vllm")
    return Transformers(model.eval().to(device), texts, settings)
