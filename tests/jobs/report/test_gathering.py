from collections.abc import Sequence
from pathlib import Path

import pytest

from dto_jobs.artifacts.artifact import Artifact, Receipt, to_json
from dto_jobs.artifacts.attempts import Attempts
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Answer, Problem, PrunedTrace, Record
from dto_jobs.core.results import Results
from dto_jobs.report.gathering import ANSWERS, SAMPLES, gathered
from dto_jobs.report.page import ReportInput, render
from dto_jobs.run_file import parse_run

RUN = {
    "apiVersion": "dto.run/v1alpha1",
    "kind": "DTORun",
    "metadata": {"name": "gathered"},
    "spec": {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:demo"},
        "stages": {"exits": {"threshold": 0.75}},
    },
}


def keep(store: FolderStore, base: str, records: Sequence[Record], **more: object) -> Artifact:
    artifact = Artifact(store, base)
    part = artifact.write_part(0, records, len(records), Spend(), {})
    artifact.commit(Receipt(stage="s", key="k", code="", blobs=(part.blob,), records=len(records), **more))
    return artifact


def answer(number: int, sample: int = 0, **more: object) -> Answer:
    fields = {"tokens": 40, "correct": True, "text": "I add. </think>5"} | more
    return Answer(
        problem_id=f"e{number}",
        benchmark="toy",
        level="easy",
        sample=sample,
        prompt_tokens=9,
        finished=True,
        answer="5",
        rechecks=0,
        **fields,
    )


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def gather(store: FolderStore) -> ReportInput:
    return gathered(store, parse_run(RUN, "run.yaml"), "kind: DTORun", Results(), "Python 3.11.2")


def test_a_run_that_has_done_nothing_yet_gives_a_bare_report(store: FolderStore) -> None:
    report = gather(store)
    assert (report.traces, report.answers, report.lengths, report.training) == ((), (), (), ())
    assert report.threshold == 0.75
    assert report.versions["Python"] == "3.11.2"
    assert "planted" in report.notes[0]


def test_traces_of_every_sort_are_sampled(store: FolderStore, traces: list[PrunedTrace]) -> None:
    Attempts(store, "gathered").note("pruning", keep(store, "runs/gathered/pruning/1", traces * 20))
    sampled = gather(store).traces
    sorts = [
        (one.ended.trace.response.correct, one.ended.trace.response.problem.level, one.text is None) for one in sampled
    ]
    assert {sorts.count(sort) for sort in sorts} == {SAMPLES}
    assert set(sorts) == {
        (one.ended.trace.response.correct, one.ended.trace.response.problem.level, one.text is None) for one in traces
    }


def test_answers_of_both_models_meet_at_their_problem(store: FolderStore) -> None:
    problems = [Problem(id=f"e{i}", question=f"2 + {i}?", answer="5", benchmark="toy", level="easy") for i in range(20)]
    keep(store, "sources/abc", problems)
    store.write("runs/gathered/run.json", [to_json({"spec": {}, "sources": {"benchmarks": "abc"}})])
    base = [answer(i, sample, tokens=100 + i + 50 * sample) for i in range(20) for sample in range(2)]
    tuned = [answer(i, sample, tokens=10 + i, correct=False) for i in reversed(range(20)) for sample in range(2)]
    attempts = Attempts(store, "gathered")
    attempts.note("baseline", keep(store, "runs/gathered/baseline/1", base))
    attempts.note("evaluation", keep(store, "runs/gathered/evaluation/1", tuned))
    report = gather(store)
    assert [one.problem.id for one in report.answers] == [f"e{i}" for i in range(ANSWERS)]
    assert [(one.base.tokens, one.tuned.tokens) for one in report.answers] == [
        (100 + i, 10 + i) for i in range(ANSWERS)
    ]
    assert [part.name for part in report.lengths] == ["all", "easy"]
    assert (len(report.lengths[0].base), len(report.lengths[0].tuned)) == (40, 40)
    assert "2 + 3?" in render(report)


def test_without_the_problems_the_answers_are_left_out(store: FolderStore) -> None:
    attempts = Attempts(store, "gathered")
    for stage in ("baseline", "evaluation"):
        attempts.note(stage, keep(store, f"runs/gathered/{stage}/1", [answer(1)]))
    report = gather(store)
    assert report.answers == ()
    assert len(report.lengths) == 2


def test_the_training_s_log_is_drawn(store: FolderStore) -> None:
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    attempts = Attempts(store, "gathered")
    attempts.note("training", keep(store, "runs/gathered/training/1", [], figures={"log": log}))
    assert list(gather(store).training) == log
