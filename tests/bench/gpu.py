"""Speed on a GPU: rollout, exits and training of a 1.5B-parameter model with random weights, and of SmolLM2.

`python tests/bench/gpu.py` prints a row each: tokens per second, share of the GPU's peak (MFU), peak memory; and for training
the same with log-probabilities in chunks and without. Random weights are as fast as learnt ones; what they say is noise, so
nothing here tells of accuracy. Without a CUDA device it says so and measures nothing.

$DTO_PEAK_TFLOPS is the GPU's peak in bfloat16 (default 989, an H100's); MFU is of that.
"""

import json
import os
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Literal

import torch
import transformers

from dto_jobs.core.cost import Spend, total
from dto_jobs.core.records import Pair, Problem, Response
from dto_jobs.engines.model_sources import SMOLLM2, TINY_REASONER, companions, resolve
from dto_jobs.engines.simpo import SimpoTrainer
from dto_jobs.metering import MeteredEngine
from dto_jobs.model_source import ModelSource, TransformersEngine, VllmEngine
from dto_jobs.stage import Engine, Ports
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.rollout import Rollout
from dto_jobs.stages.training import Training

PEAK = 1e12 * float(os.environ.get("DTO_PEAK_TFLOPS", "989"))
# DeepSeek-R1-Distill-Qwen-1.5B's.
QWEN_1P5B = {
    "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "intermediate_size": 8960, "vocab_size": 151936, "tie_word_embeddings": False, "max_position_embeddings": 16384,
}  # fmt: skip

Way = Literal["chunked", "plain"]
WAYS: tuple[Way, ...] = ("chunked", "plain")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    problems: int = 64
    samples: int = 4
    tokens: int = 2048
    pairs: int = 16


def random_model(folder: Path, shape: dict[str, Any], *, seed: int = 0) -> Path:
    """Save a Qwen2-shape model with random weights, and the embedded model's tokenizer, whose words it speaks."""
    torch.manual_seed(seed)
    tiny = resolve(TINY_REASONER, Path())
    ends = json.loads((tiny / "config.json").read_text())
    marks = {name: ends[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id") if name in ends}
    config = transformers.Qwen2Config(**shape, **marks)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.Qwen2ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    for file in companions(tiny):
        copyfile(file, folder / file.name)
    return folder


def rows() -> list[dict[str, Any]]:
    """Return the rows; none where there is no GPU."""
    if not torch.cuda.is_available():
        sys.stderr.write("no CUDA device on this machine: nothing was measured\n")
        return []
    with TemporaryDirectory() as place:
        models = {"qwen2_1p5b": random_model(Path(place) / "model", QWEN_1P5B), "smollm2": resolve(SMOLLM2, Path())}
        return [row for name, folder in models.items() for row in measured(name, folder, Size())]


def measured(name: str, folder: Path, size: Size, *, vllm: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the rows of one model: sampling through vLLM (else transformers), then training, chunked and plain."""
    engine = _engine(folder, size, vllm=vllm)
    ports = Ports(engine=engine)
    problems = [_problem(number) for number in range(size.problems)]
    rollout = Rollout(samples=size.samples, max_tokens=size.tokens)
    responses = [one for made in rollout.run(problems, ports) for one in made]
    yield from _speeds(f"gpu_{name}_rollout", engine.taken())
    _drain(Exits().run(map(_finished, responses), ports))
    yield from _speeds(f"gpu_{name}_exits", engine.taken())
    close = getattr(engine, "close", None)
    if close is not None:
        close()
    del engine, ports
    for way in WAYS:
        yield from _trained(f"gpu_{name}_training_{way}", folder, size, way)


def _engine(folder: Path, size: Size, *, vllm: bool) -> MeteredEngine:
    def opened() -> Engine:
        if vllm:
            from dto_jobs.engines import vllm as offline  # noqa: PLC0415 - only where it is installed

            return offline.load(folder, VllmEngine(context=2 * size.tokens), ModelSource(source="file:."))
        from dto_jobs.engines import transformers as plain  # noqa: PLC0415 - its sibling

        return plain.load(folder, TransformersEngine(slots=16), ModelSource(source="file:."))

    engine = MeteredEngine(opened)
    engine.taken()  # opening it is not its speed
    return engine


def _problem(number: int) -> Problem:
    source = random.Random(number)
    terms = "+".join(str(source.randrange(10, 99)) for _ in range(4))
    return Problem(id=str(number), question=f"Compute {terms}.", answer="0")


def _finished(response: Response) -> Response:
    """Return the response as if it had ended: noise hardly ever does, and is to be searched all the same."""
    words = response.text.split() or ["1"]
    steps = [" ".join(words[place : place + 60]) for place in range(0, len(words), 60)]
    return response.model_copy(update={"text": "\n\nWait, ".join(steps) + "\n</think>\n\n0", "finished": True})


def _drain(made: Iterable[object]) -> None:
    for _ in made:
        pass


def _trained(name: str, folder: Path, size: Size, way: Way) -> Iterator[dict[str, Any]]:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    settings = Training(batch=2, micro_batch=1, log_probabilities=way, save_steps=10**6)
    with TemporaryDirectory() as place:
        trained = SimpoTrainer(folder).train(_pairs(size), settings, Path(place), lambda _: None, 0)
    yield from _speeds(name, trained.spend)
    if torch.cuda.is_available():
        yield _row(f"{name}_peak_memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")


def _pairs(size: Size) -> list[Pair]:
    words = [f"{number % 97} " for number in range(size.tokens // 4)]
    return [
        Pair(
            problem_id=str(number),
            level="",
            kind="compressed",
            prompt=f"Compute {number}+1.",
            chosen="".join(words[: len(words) // 2]),
            rejected="".join(words),
            chosen_tokens=size.tokens // 2,
            rejected_tokens=size.tokens,
        )
        for number in range(size.pairs)
    ]


def _speeds(name: str, spend: Spend) -> Iterator[dict[str, Any]]:
    seconds = max(spend.seconds, 1e-9)
    tokens = spend.trained or spend.generated
    yield _row(f"{name}_tokens_per_second", tokens / seconds, "tokens/s")
    yield _row(f"{name}_mfu", total([spend]).flops / seconds / PEAK, "")


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {"name": name, "value": value, "unit": unit, "n": 1, "low": value, "high": value, "device": device}


def main(found: Sequence[dict[str, Any]]) -> None:
    """Print the rows."""
    sys.stdout.write("".join(json.dumps(row) + "\n" for row in found))


if __name__ == "__main__":
    start = perf_counter()
    main(rows())
    sys.stderr.write(f"{perf_counter() - start:.0f} s\n")
