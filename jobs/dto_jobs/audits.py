"""Audits of a run: a sample of its traces is looked at once more, by the run's own engine and settings."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from dto_jobs.artifacts.attempts import Attempts, latest
from dto_jobs.artifacts.store import Store
from dto_jobs.core.audits import CutAudit, JudgeAudit, Terms
from dto_jobs.core.cost import total
from dto_jobs.core.cut_audit import cut_audit
from dto_jobs.core.judge_audit import Audited, judge_audit
from dto_jobs.core.pruning import Kept, candidates
from dto_jobs.core.records import Boundary, EndedTrace, Record, Response, SearchedTrace
from dto_jobs.core.segmentation import Segmentation, estimated_tokens
from dto_jobs.dialogue import Dialogue, hold
from dto_jobs.errors import InputError
from dto_jobs.judges import JudgeSource
from dto_jobs.metering import MeteredEngine, MeteredPorts
from dto_jobs.resource import DTORun
from dto_jobs.runner import Progress
from dto_jobs.stage import Review
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.pruning import Pruning, Trial
from dto_jobs.workshop import LocalWorkshop

Some = TypeVar("Some", bound=Record)

OTHER_LUCK = "other samples"
"""The run's own cut again, with other samples: how far exits move by luck alone."""


@dataclass
class Auditor:
    """Looks at a finished run's traces: its store, its file, and what opens its engine."""

    store: Store
    identity: str
    """What the run is called in its store."""
    run: DTORun
    workshop: LocalWorkshop
    progress: Progress

    def judges(self, sources: Mapping[str, JudgeSource], traces: int) -> JudgeAudit:
        """Compare judges, by name, with leave-one-out Monte Carlo; InputError where the run's traces cannot tell."""
        settings = self.run.spec.stages.pruning
        ended = self._sample("endings", EndedTrace, traces, lambda one: one.ending is not None and len(one.kept) > 1)
        asked = [(one.trace.response.problem.question, [pattern.text for pattern in one.kept]) for one in ended]
        reviews = {name: self._reviews(name, source, asked) for name, source in sources.items()}
        seen = self._left_out(ended, settings)
        audited = [
            Audited(
                problem=one.trace.response.problem.id,
                whole=next(seen),
                without=[next(seen) for _ in candidates(len(one.kept))],
                verdicts={name: found[place].verdicts for name, found in reviews.items()},
            )
            for place, one in enumerate(ended)
        ]
        counts = {name: dict(sum((Counter(one.counts) for one in found), Counter())) for name, found in reviews.items()}
        found = judge_audit(audited, counts, self._terms(settings.completions, settings.threshold))
        if found is None:
            raise InputError(
                f"the run {self.identity} has no trace with a pattern to drop whose answers stay right: nothing can be audited"
            )
        return found

    def _reviews(self, name: str, source: JudgeSource, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Review]:
        self.progress.started(name, len(asked), 0)
        memory = Attempts(self.store, self.identity).memory("verdicts")
        reviews = self.workshop.appointed(source, memory).review(asked)
        self.progress.advanced(name, len(asked), total(review.spend for review in reviews))
        return reviews

    def _left_out(self, ended: Sequence[EndedTrace], settings: Pruning) -> Iterator[Boundary]:
        """Yield what endings show, trace after trace: with all patterns, then without each that may be dropped."""
        engine = MeteredEngine(lambda: self.workshop.engine(None))
        ports = MeteredPorts(engine=engine, seed=self.run.spec.seed)
        self.progress.started("left out", sum(len(one.kept) for one in ended), 0)
        dialogues = (_sampled(Trial(one, settings, ports), kept) for one in ended for kept in _choices(len(one.kept)))
        for done, seen in enumerate(hold(dialogues, engine), start=1):
            self.progress.advanced("left out", done, engine.total)
            yield seen

    def cuts(self, traces: int) -> CutAudit:
        """Search the same responses' exits under the run's own cut, under others, and under its own with other samples."""
        settings = self.run.spec.stages.exits.model_copy(update={"strategy": "curtailed"})
        responses = self._sample("rollout", Response, traces, lambda one: bool(one.text))
        own: str = settings.segmentation.strategy
        found: dict[str, tuple[SearchedTrace, ...]] = {own: self._searched(own, settings, responses)}
        found[OTHER_LUCK] = self._searched(OTHER_LUCK, settings, responses, seed=self.run.spec.seed + 1)
        block = _mean_tokens(found[own], settings.segmentation)
        for name in ("cues", "structure", "random"):
            if name != own:
                cut = settings.segmentation.model_copy(update={"strategy": name, "block_tokens": block})
                found[name] = self._searched(name, settings.model_copy(update={"segmentation": cut}), responses)
        audit = cut_audit(found, self._terms(settings.completions, settings.threshold))
        if audit is None:
            raise InputError(f"the run {self.identity} has no responses to audit")
        return audit

    def _searched(
        self, name: str, settings: Exits, responses: Sequence[Response], seed: int | None = None
    ) -> tuple[SearchedTrace, ...]:
        engine = MeteredEngine(lambda: self.workshop.engine(None))
        ports = MeteredPorts(engine=engine, seed=self.run.spec.seed if seed is None else seed)
        self.progress.started(name, len(responses), 0)
        traces = []
        for done, [trace] in enumerate(settings.run(responses, ports), start=1):
            self.progress.advanced(name, done, engine.total)
            traces.append(trace)
        return tuple(traces)

    def _sample(self, stage: str, kind: type[Some], count: int, fits: Callable[[Some], bool]) -> list[Some]:
        """Return so many records of a stage, picked by the digest of what they say: always the same ones."""
        artifact = latest(self.store, self.identity, stage)
        if artifact is None:
            raise InputError(f"the run {self.identity} has not come to {stage} yet; run it first: dto run FILE")
        records = (record for record in artifact.records(kind) if fits(record))
        return heapq.nsmallest(count, records, key=lambda record: sha256(record.model_dump_json().encode()).digest())

    def _terms(self, completions: int, threshold: float) -> Terms:
        return Terms(self.identity, completions, threshold, self.run.spec.seed)


def _mean_tokens(traces: Sequence[SearchedTrace], settings: Segmentation) -> int:
    """Return the mean pattern's tokens, so that blocks are as fine as the run's own patterns, or nearly so."""
    sizes = [estimated_tokens(pattern.text) for trace in traces for pattern in trace.patterns]
    least = min(16, settings.block_tokens)
    return max(least, round(sum(sizes) / len(sizes))) if sizes else settings.block_tokens


def _choices(count: int) -> Iterator[Kept]:
    """Yield all patterns, then all but one, for each that may be dropped."""
    everything = tuple(range(count))
    yield everything
    yield from (tuple(index for index in everything if index != left) for left in candidates(count))


def _sampled(trial: Trial, kept: Kept) -> Dialogue[Boundary]:
    seen, _ = yield from trial.sampled(kept)
    return seen
