"""Tokens that the exit search draws, exhaustive against curtailed, on traces with 12 patterns or more.

Two models, each asked by both strategies with the same keys: they see the same samples, so their exits must be equal.

- The embedded model, on its own right traces, cut finely by structure. It answers as soon as a trace holds the result, so many
  exits lie early: the figure for exits in the first half is from here.
- SmolLM2-135M, on right R1 traces of a log, cut at cues as by default. It can seldom answer before a trace says the answer.

Per trace the ratio is paired; the value is the ratio of the sums, low and high a bootstrap over traces.
"""

import json
import os
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dto_jobs.artifacts.imported_traces import read_traces
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.core.records import Response
from dto_jobs.core.segmentation import Segmentation, segment, split_thinking
from dto_jobs.engines.model_sources import SMOLLM2, TINY_REASONER, resolve
from dto_jobs.engines.transformers import load
from dto_jobs.metering import MeteredEngine
from dto_jobs.model_source import ModelSource, TransformersEngine
from dto_jobs.problem_source import ProblemSource, TraceSource
from dto_jobs.stage import Ports
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.importing import Importing
from dto_jobs.stages.rollout import Rollout

TRACES = Path(os.environ.get("TRACES") or Path(__file__).resolve().parents[3] / "shared/data/traces/en_math_r1.jsonl")
LOGGED = int(os.environ.get("TRACES_COUNT", "10"))
PROBLEMS = int(os.environ.get("PROBLEMS", "288"))
GRADED = "builtin:graded-sums"
LONGEST = 5000
PATTERNS = 12
FINE = Segmentation(strategy="structure", block_tokens=16, min_tokens=4)


@dataclass(frozen=True)
class Searched:
    """A trace that both strategies searched: its patterns, its exit, and the tokens of either."""

    patterns: int
    exit: int | None
    exhaustive: int
    curtailed: int

    @property
    def early(self) -> bool:
        """The exit lies in the first half."""
        return self.exit is not None and 2 * self.exit <= self.patterns


def engine(name: str, slots: int) -> MeteredEngine:
    """Return a model's engine."""
    source = ModelSource(source=name)
    return MeteredEngine(lambda: load(resolve(name, Path()), TransformersEngine(slots=slots), source))


def sampled(ports: Ports) -> Iterator[Response]:
    """Yield the embedded model's own responses to graded problems."""
    problems = read_problems(ProblemSource(source=GRADED, limit=PROBLEMS), Path())
    for responses in Rollout(samples=2, max_tokens=640).run(problems, ports):
        yield from responses


def logged(ports: Ports) -> Iterator[Response]:
    """Yield responses of a log, of at most `LONGEST` characters."""
    stage = Importing(source=TraceSource(source=str(TRACES), max_characters=LONGEST))
    for [response] in stage.run(read_traces(stage.source, Path()), ports):
        yield response


def long(responses: Iterable[Response], cut: Segmentation) -> Iterator[Response]:
    """Yield those that were right and have `PATTERNS` patterns or more."""
    for response in responses:
        thinking, _ = split_thinking(response.text, opened=response.opened)
        if response.correct and len(segment(thinking, cut)) >= PATTERNS:
            yield response


def measured(responses: Sequence[Response], ports: Ports, cut: Segmentation) -> Iterator[Searched]:
    """Yield each trace as both strategies searched it."""
    assert isinstance(ports.engine, MeteredEngine)
    for response in responses:
        found = {}
        for strategy in ("curtailed", "exhaustive"):
            ports.engine.taken()
            [[trace]] = Exits(strategy=strategy, max_tokens=24, segmentation=cut).run([response], ports)
            found[strategy] = trace, ports.engine.taken().generated
        (short, few), (full, many) = found["curtailed"], found["exhaustive"]
        assert full.exit == short.exit, f"{response.id}: exits differ, {full.exit} and {short.exit}"
        sys.stderr.write(f"{response.id}: {len(short.patterns)} patterns, exit {short.exit}, {many} against {few}\n")
        yield Searched(len(short.patterns), short.exit, many, few)


def ratio(found: Sequence[Searched]) -> float:
    """Return the ratio of the sums."""
    return sum(one.exhaustive for one in found) / sum(one.curtailed for one in found)


def row(name: str, found: Sequence[Searched]) -> dict[str, object]:
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


def by_position(found: Sequence[Searched], suffix: str) -> list[dict[str, object]]:
    """Return the ratio by where the exit lies, and overall."""
    return [
        row(f"exit_search_tokens_ratio{suffix}", [one for one in found if one.early]),
        row(f"exit_search_tokens_ratio_second_half{suffix}", [one for one in found if one.exit and not one.early]),
        row(f"exit_search_tokens_ratio_no_exit{suffix}", [one for one in found if one.exit is None]),
        row(f"exit_search_tokens_ratio_all{suffix}", found),
    ]


def rows() -> list[dict[str, object]]:
    """Return the rows of the embedded model, then those of real traces."""
    own = Ports(engine=engine(TINY_REASONER, 256))
    tiny = by_position(list(measured(list(long(sampled(own), FINE)), own, FINE)), "")
    cues = Segmentation()
    real = Ports(engine=engine(SMOLLM2, 32))
    chosen = list(islice(long(logged(real), cues), LOGGED))
    return tiny + by_position(list(measured(chosen, real, cues)), "_real_traces")


if __name__ == "__main__":
    for one in rows():
        sys.stdout.write(json.dumps(one) + "\n")
