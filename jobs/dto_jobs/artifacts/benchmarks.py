"""The benchmarks that are known by name: what their files are called, and what their columns mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A known set of problems."""

    files: tuple[str, ...]
    """How its file may begin, best first."""
    prompt: str | None = None
    """Columns that the usual names do not find."""
    answer: str | None = None
    id: str | None = None
    level: str | None = None
    grader: str = "math"
    after: str = ""
    """The answer follows this mark in its column: GSM8K's solutions end in `#### 18`."""
    hub: str = ""
    """Where the Hugging Face hub has it, for when there is no file."""
    rows: int = 0
    """How many problems it has, for an estimate before anything is read."""


BENCHMARKS = {
    "math500": Benchmark(
        ("math500", "MATH-500", "math-500"),
        id="unique_id",
        level="level",
        hub="hf://datasets/HuggingFaceH4/MATH-500?split=test",
        rows=500,
    ),
    "math-train": Benchmark(("math_train",), level="difficulty", rows=7470),
    "gsm8k": Benchmark(
        ("gsm8k_test", "gsm8k-test", "gsm8k.jsonl"),
        after="####",
        hub="hf://datasets/openai/gsm8k?config=main&split=test",
        rows=1319,
    ),
    "gsm8k-train": Benchmark(
        ("gsm8k_train", "gsm8k-train"),
        after="####",
        hub="hf://datasets/openai/gsm8k?config=main&split=train",
        rows=7473,
    ),
    "gaokao2023en": Benchmark(
        ("gaokao2023en", "gaokao2023"),
        # Its rows have ids of their own source each, and some have none.
        id=None,
        hub="hf://datasets/MARIO-Math-Reasoning/Gaokao2023-Math-En?split=train",
        rows=383,
    ),
    "amc2023": Benchmark(("amc2023", "amc23"), id="id", hub="hf://datasets/math-ai/amc23?split=test", rows=40),
    "aime2024": Benchmark(
        ("aime2024", "aime24"), id="id", hub="hf://datasets/HuggingFaceH4/aime_2024?split=train", rows=30
    ),
    "aime2025": Benchmark(("aime2025", "aime25"), hub="hf://datasets/math-ai/aime25?split=test", rows=30),
    "mmlu-pro": Benchmark(
        ("mmlu_pro", "mmlu-pro"),
        id="question_id",
        level="category",
        grader="choice",
        hub="hf://datasets/TIGER-Lab/MMLU-Pro?split=test",
        rows=12032,
    ),
}


def benchmark_file(name: str, folder: Path) -> Path | None:
    """Return the benchmark's file in a folder; None where it has none."""
    return next(_candidates(BENCHMARKS[name], folder), None)


def no_such_file(name: str, folder: Path) -> str:
    """Say where a benchmark's file was looked for, and what to do."""
    pattern = f"{BENCHMARKS[name].files[0]}*.jsonl"
    return (
        f"no file {pattern} of the benchmark {name} in {folder}: put it there, or name its folder with `folder:` or "
        "$DTO_BENCHMARKS"
    )


def _candidates(benchmark: Benchmark, folder: Path) -> Iterator[Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for beginning in benchmark.files:
        for path in files:
            if path.name.startswith(beginning) and path.name.endswith(ENDINGS):
                yield path
