"""A sweep at work: train every candidate from the same pairs, answer held-out problems with each, keep the best, show all."""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dto_jobs.core.comparison import evaluation_results
from dto_jobs.core.cost import ModelShape, Spend, total
from dto_jobs.core.gate import gate_results
from dto_jobs.core.records import Answer, Pair, Problem
from dto_jobs.core.results import EvaluationResults, Gate, GateResults
from dto_jobs.core.sweep import Sweep, chosen, held_out
from dto_jobs.errors import StageFailedError
from dto_jobs.metering import MeteredEngine
from dto_jobs.settings import nodes_from_environment, world_from_environment
from dto_jobs.stage import Engine, Ports, Trained, Trainer
from dto_jobs.stages.evaluation import Evaluation
from dto_jobs.stages.training import Training

BASE = "base"
OUTCOME = "outcome.json"
"""Written last into a candidate's folder: it is done."""


class Bench(Protocol):
    """What a sweep works with."""

    def trainer(self) -> Trainer:
        """Return a trainer of the run's model."""

    def trial(self, folder: Path | None) -> Engine:
        """Return an engine with the model in a folder, None for the run's."""


@dataclass
class SweepRun:
    """One sweep, in a folder that outlives a killed process: what is done there is not done again."""

    settings: Training
    bench: Bench
    workspace: Path
    note: Callable[[dict[str, float]], None]
    seed: int

    def run(self, pairs: Sequence[Pair], problems: Iterable[Problem]) -> Trained:
        """Return the best candidate's model, with the spend of all and every candidate's figures."""
        if world_from_environment().size > 1 or nodes_from_environment().count > 1:
            raise StageFailedError(
                "a sweep starts its processes itself: run its stage as one process on one machine, not by torchrun"
            )
        sweep = self._sweep
        known = {problem.id: problem for problem in problems}
        asked = [known[name] for name in held_out(known, sweep.held_out, self.seed)]
        apart = {problem.id for problem in asked}
        learned = [pair for pair in pairs if pair.problem_id not in apart]
        base = self._base(asked)
        done: list[dict[str, Any]] = []
        for number, choice in enumerate(sweep.candidates()):
            done.append(self._candidate(number, choice, learned, asked, base))
            self._prune(done)
        best = chosen([one["shown"] for one in done])
        if best is None:
            raise StageFailedError(f"every candidate of the sweep failed; the last: {done[-1]['shown']['failed']}")
        figures = done[best]["figures"] | {
            "sweep": {
                "heldOut": len(asked),
                "samples": sweep.held_out.samples,
                "pairs": len(learned),
                "chosen": best,
                "candidates": [one["shown"] for one in done],
            }
        }
        spend = total(Spend.model_validate(one["spend"]) for one in [base, *done])
        return Trained(self._folder(best) / "model", spend, figures)

    @property
    def _sweep(self) -> Sweep:
        assert self.settings.sweep is not None
        return self.settings.sweep

    def _folder(self, number: int) -> Path:
        return self.workspace / f"candidate-{number}"

    def _base(self, asked: Sequence[Problem]) -> dict[str, Any]:
        """Return the run's model's answers, their cost and its shape."""
        folder = self.workspace / BASE
        if not (folder / OUTCOME).exists():
            folder.mkdir(exist_ok=True)
            answers, spend, shape = self._answered(None, asked)
            outcome = {"answers": [one.model_dump() for one in answers]}
            _write(folder, outcome | {"spend": spend.model_dump(), "shape": shape.model_dump()})
        return _read(folder)

    def _candidate(
        self,
        number: int,
        choice: dict[str, float],
        pairs: Sequence[Pair],
        asked: Sequence[Problem],
        base: dict[str, Any],
    ) -> dict[str, Any]:
        folder = self._folder(number)
        folder.mkdir(exist_ok=True)
        if (folder / OUTCOME).exists():
            return _read(folder)
        settings = self.settings.model_copy(update=choice | {"sweep": None})
        numbered = {"candidate": float(number + 1)}
        try:
            trained = self.bench.trainer().train(
                pairs, settings, folder, lambda figures: self.note(figures | numbered), self.seed
            )
            assert trained is not None, "a sweep has one machine"
        except StageFailedError as error:
            # A learning rate too high is a finding, not the end of the sweep.
            outcome = {
                "shown": {"settings": choice, "failed": str(error)},
                "figures": {},
                "spend": Spend().model_dump(),
            }
        else:
            answers, spend, _ = self._answered(trained.folder, asked)
            shown = self._shown(choice, [Answer.model_validate(one) for one in base["answers"]], answers, base["shape"])
            shown |= {name: trained.figures[name] for name in ("loss", "margin", "rewardAccuracy")}
            spent = (trained.spend + spend).model_dump()
            outcome = {"shown": shown, "figures": trained.figures, "spend": spent}
        _write(folder, outcome)
        return _read(folder)

    def _shown(
        self, choice: dict[str, float], base: Sequence[Answer], answers: Sequence[Answer], shape: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what the report shows of a candidate."""
        evaluation = evaluation_results(base, answers, ModelShape.model_validate(shape), seed=self.seed)
        assert evaluation is not None
        gate, missed = judged(self._sweep.gate, evaluation)
        overall = evaluation.overall
        intervals = {
            "accuracy": overall.tuned.accuracy,
            "tokens": overall.tuned.tokens,
            "accuracyDifference": overall.accuracy_difference,
            "tokenChange": overall.token_change,
        }
        told = {name: interval.model_dump(mode="json", by_alias=True) for name, interval in intervals.items()}
        return {"settings": choice, "accepted": gate.accepted, "missed": missed, **told}

    def _answered(self, folder: Path | None, asked: Sequence[Problem]) -> tuple[list[Answer], Spend, ModelShape]:
        settings = self._sweep.held_out
        evaluation = Evaluation(
            samples=settings.samples,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
        )
        engine = MeteredEngine(lambda: self.bench.trial(folder))
        ports = Ports(engine=engine, seed=self.seed)
        answers = [answer for answers in evaluation.run(asked, ports) for answer in answers]
        return answers, engine.taken(), engine.shape

    def _prune(self, done: Sequence[dict[str, Any]]) -> None:
        """Remove the weights of all candidates so far but the best: sixteen large models would fill a disk."""
        best = chosen([one["shown"] for one in done])
        for number in range(len(done)):
            if number != best:
                shutil.rmtree(self._folder(number) / "model", ignore_errors=True)
            for checkpoint in self._folder(number).glob("checkpoint-*"):
                shutil.rmtree(checkpoint)


def judged(gate: Gate, evaluation: EvaluationResults) -> tuple[GateResults, float]:
    """Return what the gate says of a candidate, and by how much its bounds miss the gate's limits: shares added up, 0 for none."""
    overall = evaluation.overall
    floor = -math.inf if overall.accuracy_floor is None else overall.accuracy_floor
    ceiling = math.inf if overall.token_ceiling is None else overall.token_ceiling
    missed = max(0.0, -gate.max_accuracy_drop - floor) + max(0.0, ceiling + gate.min_token_saving)
    return gate_results(gate, evaluation), missed


def _write(folder: Path, outcome: dict[str, Any]) -> None:
    partial = folder / "outcome.partial"
    partial.write_text(json.dumps(outcome))
    partial.rename(folder / OUTCOME)


def _read(folder: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads((folder / OUTCOME).read_text())
    return outcome
