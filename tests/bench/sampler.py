"""Tokens per second of the sampler against plain `model.generate`, on the same requests, model and settings.

`generate` gets the requests in batches of several sizes and the best of them counts. One thread.
"""

import json
import statistics
import sys
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import transformers

from dto_jobs.engines.model_sources import TINY_REASONER, resolve
from dto_jobs.engines.transformers import Transformers, load
from dto_jobs.model_source import ModelSource, TransformersEngine
from dto_jobs.stage import Request

REQUESTS = 256
MAX_TOKENS = 480
BATCHES = (32, 64, 128, 256)
SLOTS = 256
REPETITIONS = 5


def rows() -> list[dict[str, Any]]:
    """Return the one row: how many times more tokens per second."""
    torch.set_num_threads(1)
    folder = resolve(TINY_REASONER, Path())
    engine = load(folder, TransformersEngine(slots=SLOTS), ModelSource(source=TINY_REASONER))
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    asked = requests(engine)
    generate_speed(plain, tokenizer, asked[:64], 64)
    best = max(BATCHES, key=lambda size: generate_speed(plain, tokenizer, asked, size))
    ours, theirs = [], []
    for _ in range(REPETITIONS):
        ours.append(engine_speed(engine, asked))
        theirs.append(generate_speed(plain, tokenizer, asked, best))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return [
        {
            "name": "sampler_vs_generate_ratio",
            "value": statistics.median(ratios),
            "unit": "",
            "n": len(ratios),
            "low": min(ratios),
            "high": max(ratios),
        }
    ]


def requests(engine: Transformers) -> list[Request]:
    """Return rollout requests as the demo makes them: sums of several lengths, one sample each."""
    sums = [f"Compute {17 + n}-{n % 19}+{n % 83}" + f"-{n % 7}+{3 + n % 11}" * (n % 3) + "." for n in range(REQUESTS)]
    return [Request(str(n), engine.render(text), MAX_TOKENS) for n, text in enumerate(sums)]


def engine_speed(engine: Transformers, asked: list[Request]) -> float:
    """Return the sampler's tokens per second."""
    waiting = iter(asked)
    start = perf_counter()
    tokens = sum(done.tokens for done in engine.complete(lambda free: list(islice(waiting, free))))
    return tokens / (perf_counter() - start)


def generate_speed(model: Any, tokenizer: Any, asked: list[Request], size: int) -> float:
    """Return the tokens per second of `generate` in batches of so many; padding after the end mark does not count."""
    tokens = 0
    start = perf_counter()
    for first in range(0, len(asked), size):
        prompts = [one.prompt for one in asked[first : first + size]]
        batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(
                **batch, max_new_tokens=MAX_TOKENS, do_sample=True, temperature=0.6, top_p=0.95, top_k=0
            )
        made = out[:, batch["input_ids"].shape[1] :]
        tokens += sum(_length(row, tokenizer.eos_token_id) for row in made.tolist())
    return tokens / (perf_counter() - start)


def _length(row: list[int], end: int) -> int:
    return row.index(end) + 1 if end in row else len(row)


if __name__ == "__main__":
    sys.stdout.write("".join(json.dumps(row) + "\n" for row in rows()))
