"""Tokens that the exit search draws, exhaustive against curtailed, on real traces with 12 patterns or more.

The same 135M continuation model, the same keys: both strategies see the same samples, so their exits must be equal.
Per trace the ratio is paired; the value is the ratio of the sums, low and high a bootstrap over traces.
"""

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from dto_jobs.artifacts.imported_traces import read_traces
from dto_jobs.core.records import Response, SearchedTrace
from dto_jobs.engines.model_sources import resolve
from dto_jobs.engines.transformers import load
from dto_jobs.metering import MeteredEngine
from dto_jobs.model_source import ModelSource, TransformersEngine
from dto_jobs.problem_source import TraceSource
from dto_jobs.stage import Ports
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.importing import Importing

TRACES = Path(os.environ.get("TRACES") or Path(__file__).resolve().parents[3] / "shared/data/traces/en_math_r1.jsonl")
COUNT = int(os.environ.get("TRACES_COUNT", "24"))
LONGEST = 5000
PATTERNS = 12


def responses(engine: MeteredEngine) -> Iterator[Response]:
    """Yield responses that were right, of at most `LONGEST` characters."""
    stage = Importing(source=TraceSource(source=str(TRACES), max_characters=LONGEST))
    for [response] in stage.run(read_traces(stage.source, Path()), Ports(engine=engine)):
        if response.correct:
            yield response


def searched(engine: MeteredEngine, response: Response, strategy: str) -> tuple[SearchedTrace, int]:
    """Return the searched trace and the tokens that were generated for it."""
    stage = Exits(strategy=strategy, max_tokens=24)
    engine.taken()
    [[trace]] = stage.run([response], Ports(engine=engine))
    return trace, engine.taken().generated


Measured = tuple[SearchedTrace, int, int]


def measured() -> list[Measured]:
    """Return traces with the tokens of exhaustive and of curtailed search."""
    source = ModelSource(source="builtin:smollm2-135m")
    engine = MeteredEngine(lambda: load(resolve(source.source, Path()), TransformersEngine(slots=32), source))
    found: list[Measured] = []
    for response in responses(engine):
        short, few = searched(engine, response, "curtailed")
        if len(short.patterns) < PATTERNS:
            continue
        full, many = searched(engine, response, "exhaustive")
        assert full.exit == short.exit, f"{response.id}: exits differ, {full.exit} and {short.exit}"
        found.append((short, many, few))
        sys.stderr.write(
            f"{response.id}: {len(short.patterns)} patterns, exit {short.exit}, {many} against {few} tokens\n"
        )
        if len(found) == COUNT:
            break
    return found


def ratio(found: list[Measured]) -> float:
    """Return the ratio of the sums."""
    return sum(many for _, many, _ in found) / sum(few for _, _, few in found)


def row(name: str, found: list[Measured]) -> dict[str, object]:
    """Return a row with a bootstrap over traces."""
    chance = random.Random(0)
    if not found:
        return {"name": name, "value": None, "unit": "ratio", "n": 0, "low": None, "high": None}
    drawn = sorted(ratio(chance.choices(found, k=len(found))) for _ in range(2000))
    return {
        "name": name,
        "value": ratio(found),
        "unit": "ratio",
        "n": len(found),
        "low": drawn[50],
        "high": drawn[1949],
    }


def rows() -> list[dict[str, object]]:
    """Return the ratio where the exit lies in the first half, by position, and overall."""
    found = measured()
    where: dict[str, Callable[[SearchedTrace], bool]] = {
        "exit_search_tokens_ratio": lambda trace: trace.exit is not None and 2 * trace.exit <= len(trace.patterns),
        "exit_search_tokens_ratio_second_half": lambda trace: (
            trace.exit is not None and 2 * trace.exit > len(trace.patterns)
        ),
        "exit_search_tokens_ratio_no_exit": lambda trace: trace.exit is None,
        "exit_search_tokens_ratio_all": lambda _: True,
    }
    return [row(name, [one for one in found if chosen(one[0])]) for name, chosen in where.items()]


if __name__ == "__main__":
    for one in rows():
        sys.stdout.write(json.dumps(one) + "\n")
