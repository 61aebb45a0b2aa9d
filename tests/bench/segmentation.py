"""Speed and growth of segmentation on real traces, and what it makes of them.

Rows: `segmentation_mb_per_second` over all traces, `segmentation_growth_exponent` (slope of log time over log size,
10 kB to 10 MB, where 1 is linear; every size is measured on the same 10 MB, cut into texts of that size). Both in CPU
time of one core. Run by itself it also prints patterns per trace and per kind.
"""

import json
import math
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dto_jobs.core.segmentation import segment, split_thinking

TRACES = Path(__file__).parents[2] / ".." / "shared/data/traces"
FILES = {"en": "en_math_r1.jsonl", "zh": "zh_mixed_r1_1p5b.jsonl"}
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
REPETITIONS = 5


def rows() -> list[dict[str, Any]]:
    """Return the rows; none where the real traces are not beside this checkout."""
    texts = [text for language in FILES for text in thinking(language)]
    if not texts:
        return []
    # 10 MB of real thinking, so that every size is measured on the same text.
    joined = "\n\n".join(texts)
    joined = (joined * (SIZES[-1] // len(joined) + 1))[: SIZES[-1]]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    speeds, slopes = [], []
    for _ in range(REPETITIONS):
        speeds.append(megabytes / seconds(texts))
        slopes.append(slope([(size, seconds(slices(joined, size)) * size / len(joined)) for size in SIZES]))
    return [row("segmentation_mb_per_second", "MB/s", speeds), row("segmentation_growth_exponent", "", slopes)]


def thinking(language: str) -> list[str]:
    """Return the thinking of the real traces of a language."""
    path = TRACES / FILES[language]
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [split_thinking(json.loads(line)["response"], opened=True).thinking for line in lines]


def slices(text: str, size: int) -> list[str]:
    """Return a text in pieces of `size` characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def seconds(texts: list[str]) -> float:
    """Return the CPU seconds that cutting all texts takes."""
    start = time.process_time()
    for text in texts:
        segment(text)
    return time.process_time() - start


def slope(points: list[tuple[int, float]]) -> float:
    """Return the least-squares slope of the logarithm of time over that of size."""
    sizes, times = ([math.log(number) for number in numbers] for numbers in zip(*points, strict=True))
    return statistics.linear_regression(sizes, times).slope


def row(name: str, unit: str, values: list[float]) -> dict[str, Any]:
    """Return one row: median, least and greatest of the repetitions."""
    low, high = min(values), max(values)
    return {"name": name, "value": statistics.median(values), "unit": unit, "n": len(values), "low": low, "high": high}


def report(language: str) -> list[str]:
    """Return lines about the patterns in the real traces of a language: how many per trace, and of which kind."""
    traces = [segment(text) for text in thinking(language)]
    counts = sorted(len(patterns) for patterns in traces)
    if not counts:
        return [f"{language}: the real traces are not beside this checkout"]
    kinds = Counter(pattern.kind for patterns in traces for pattern in patterns)
    p95 = counts[math.ceil(0.95 * len(counts)) - 1]
    mean, middle = statistics.mean(counts), statistics.median(counts)
    return [
        f"{language}: {len(counts)} traces, patterns per trace: mean {mean:.1f}, median {middle:g}, p95 {p95}",
        *(f"  {kind:12} {count:5}  {count / len(counts):6.2f} per trace" for kind, count in kinds.most_common()),
    ]


if __name__ == "__main__":
    lines = [line for language in FILES for line in report(language)]
    sys.stdout.write("\n".join([*lines, *map(json.dumps, rows())]) + "\n")
