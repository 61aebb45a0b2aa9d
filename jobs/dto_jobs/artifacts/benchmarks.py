"""The benchmarks that are known by name: what their files are called, and what their columns mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dto_jobs.errors import InputError

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A known set of problems."""

    files: tuple[str, ...]
    """How its file may begin, best first."""
    prompt: str = "problem"
    answer: str = "answer"
    id: str | None = None
    level: str | None = None
    grader: str = "math"
    after: str = ""
    """The answer follows this mark in its column: GSM8K's solutions end in `#### 18`."""


BENCHMARKS = {
    "math500": Benchmark(("math500", "MATH-500", "math-500"), id="unique_id", level="level"),
    "math-train": Benchmark(("math_train",), level="difficulty"),
    "gsm8k": Benchmark(("gsm8k_test", "gsm8k-test", "gsm8k.jsonl"), prompt="question", after="####"),
    "gsm8k-train": Benchmark(("gsm8k_train", "gsm8k-train"), prompt="question", after="####"),
    "gaokao2023en": Benchmark(("gaokao2023en", "gaokao2023"), prompt="question"),
    "amc2023": Benchmark(("amc2023", "amc23"), id="id"),
    "aime2024": Benchmark(("aime2024", "aime24"), id="id"),
    "aime2025": Benchmark(("aime2025", "aime25"), prompt="prompt"),
    "mmlu-pro": Benchmark(
        ("mmlu_pro", "mmlu-pro"), prompt="question", id="question_id", level="category", grader="choice"
    ),
}


def benchmark_file(name: str, folders: tuple[Path, ...]) -> Path:
    """Return the benchmark's file in the first folder that has one; InputError says where it was looked for."""
    for folder in folders:
        for path in _candidates(BENCHMARKS[name], folder):
            return path
    looked = " and ".join(str(folder) for folder in folders)
    pattern = f"{BENCHMARKS[name].files[0]}*.jsonl"
    raise InputError(
        f"no file {pattern} of the benchmark {name} in {looked}: put it there, or name its folder with `folder:` or $DTO_BENCHMARKS"
    )


def _candidates(benchmark: Benchmark, folder: Path) -> Iterator[Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for beginning in benchmark.files:
        for path in files:
            if path.name.startswith(beginning) and path.name.endswith(ENDINGS):
                yield path
