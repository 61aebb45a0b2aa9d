"""A sweep with the real trainer and engine: what it learns from, what it keeps and shows, and how a killed one goes on."""

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")
import torch

from dto_jobs.core.records import Pair, Problem
from dto_jobs.engines.model_sources import TINY_REASONER, digest, resolve
from dto_jobs.errors import StageFailedError
from dto_jobs.model_source import EngineSource, ModelSource, TransformersEngine
from dto_jobs.stages.training import Training
from dto_jobs.sweep import SweepRun
from dto_jobs.workshop import LocalWorkshop

pytestmark = pytest.mark.engines

PROBLEMS = [
    Problem(id=f"p{number}", question=f"Compute {12 + number}+{5 + number % 4}.", answer=str(17 + number + number % 4))
    for number in range(10)
]
SETTINGS = Training.model_validate(
    {
        "batch": 4,
        "microBatch": 4,
        "nll": 0.5,
        "epochs": 2,
        "sweep": {
            "learningRate": [1e-5, 1e-4, 1e30],
            "heldOut": {"share": 0.3, "samples": 1, "maxTokens": 48},
            "gate": {"maxAccuracyDrop": 1.0, "minTokenSaving": 0.0},
        },
    }
)


class Killed(BaseException):
    """Stands for kill -9."""


def pair(number):
    one, other = 12 + number, 5 + number % 4
    steps = f"First, I go from left to right.\n{one}+{other}={one + other}"
    return Pair(
        problem_id=f"p{number}",
        level="",
        kind="compressed",
        prompt=f"<|im_start|>user\nCompute {one}+{other}.<|im_end|>\n<|im_start|>assistant\n<think>\n",
        chosen=steps,
        rejected=f"{steps}\n\nWait, let me check that again.\n{one}+{other}={one + other}",
        chosen_tokens=40,
        rejected_tokens=60,
    )


PAIRS = [pair(number) for number in range(10)]


class CountedBench(LocalWorkshop):
    """The real workshop, which notes what is asked of it."""

    def __init__(self, folder: Path) -> None:
        engine = EngineSource(transformers=TransformersEngine(device="cpu", slots=8))
        super().__init__(ModelSource(source=TINY_REASONER), engine, Path(), folder)
        self.trials: list[str] = []
        self.trainings = 0

    def trial(self, folder):
        self.trials.append(folder.parent.name if folder else "base")
        return super().trial(folder)

    def trainer(self):
        self.trainings += 1
        return super().trainer()


def swept(folder, bench, note=lambda _: None):
    return SweepRun(SETTINGS, bench, folder, note, 0).run(PAIRS, PROBLEMS)


@pytest.fixture(scope="module")
def killed_and_resumed(tmp_path_factory):
    """A sweep killed in its second candidate, and what came of it when it went on."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sweep")
    first, second, noted = CountedBench(folder), CountedBench(folder), []

    def kill(figures):
        if figures["candidate"] == 2:
            raise Killed

    with pytest.raises(Killed):
        swept(folder, first, kill)
    return swept(folder, second, noted.append), first, second, noted


def test_a_killed_sweep_goes_on_at_the_candidate_it_was_at(killed_and_resumed):
    _, first, second, noted = killed_and_resumed
    assert (first.trials, first.trainings) == (["base", "candidate-0"], 2)
    assert (second.trials, second.trainings) == (["candidate-1"], 2)
    assert {one["candidate"] for one in noted} <= {2.0, 3.0}


def test_every_candidate_is_shown_also_the_one_that_failed(killed_and_resumed):
    trained, *_ = killed_and_resumed
    sweep = trained.figures["sweep"]
    assert [one["settings"] for one in sweep["candidates"]] == [{"learning_rate": rate} for rate in (1e-5, 1e-4, 1e30)]
    assert "diverged" in sweep["candidates"][2]["failed"]
    for one in sweep["candidates"][:2]:
        assert (
            one["accuracyDifference"]["low"] <= one["accuracyDifference"]["value"] <= one["accuracyDifference"]["high"]
        )
        assert 0 < one["tokens"]["value"] <= 48
    json.dumps(trained.figures)


def test_the_best_is_kept_and_it_alone(killed_and_resumed):
    trained, *_ = killed_and_resumed
    best = trained.figures["sweep"]["chosen"]
    assert trained.folder.parent.name == f"candidate-{best}"
    assert digest(trained.folder) != digest(resolve(TINY_REASONER, Path()))
    assert [path.parent.name for path in trained.folder.parents[1].glob("*/model")] == [f"candidate-{best}"]


def test_no_candidate_learns_from_a_held_out_problem(killed_and_resumed):
    trained, *_ = killed_and_resumed
    sweep = trained.figures["sweep"]
    assert (sweep["heldOut"], sweep["pairs"], trained.figures["pairs"]) == (3, 7, 7)


def test_all_trainings_and_answers_are_paid_for(killed_and_resumed):
    trained, *_ = killed_and_resumed
    assert trained.spend.requests > 3 * 3
    assert trained.spend.generated >= 3 * 3
    assert trained.spend.trained > 2 * 2 * 7 * 40


def test_a_sweep_in_which_all_fails_says_so(tmp_path):
    torch.set_num_threads(1)
    rates = {"learning_rate": (1e29, 1e30)}
    wild = SETTINGS.model_copy(update={"sweep": SETTINGS.sweep.model_copy(update=rates)})
    with pytest.raises(StageFailedError, match="every candidate of the sweep failed"):
        SweepRun(wild, CountedBench(tmp_path), tmp_path, lambda _: None, 0).run(PAIRS, PROBLEMS)


def test_several_processes_of_one_training_may_not_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(StageFailedError, match="starts its processes itself"):
        swept(tmp_path, CountedBench(tmp_path))
