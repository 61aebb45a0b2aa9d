"""Results in the status: what is shown of them, and that they fit."""

import json

from dto_jobs.core.interval import Interval
from dto_jobs.core.results import STATUS_BYTES, Check, EvaluationResults, GateResults, ModelFigures, Results, Slice
from dto_operator.conclusion import fitted, gate_of, results_of, summary_of
from dto_operator.standing import shortened
from dto_operator.status import MESSAGE_BYTES, StageStatus, Status


def interval(value):
    return Interval(value=value, n=100)


def model():
    return ModelFigures(
        samples=100,
        accuracy=interval(0.5),
        tokens=interval(900.0),
        flops=1.0,
        attention_flops=1.0,
        truncated=0.0,
        rechecks=0.0,
    )


def part(benchmark="", domain="", tokens=-0.35):
    return Slice(
        benchmark=benchmark, level="", domain=domain, problems=100, base=model(), tuned=model(),
        accuracy_difference=interval(0.113), token_change=interval(tokens), flops_change=-0.4, attention_change=-0.5,
    )  # fmt: skip


def results(*slices):
    return Results(evaluation=EvaluationResults(slices=slices, domain=""))


def test_the_summary_speaks_of_the_domain_that_was_trained_for():
    found = summary_of(results(part(), part(domain="in", tokens=-0.2)))
    assert (found.tokens_saved, found.flops_saved, found.accuracy_change) == ("20 %", "40 %", "+11.3")


def test_an_analysis_has_no_summary():
    assert summary_of(Results()) is None


def test_results_of_another_version_are_left_out():
    assert results_of({"novelty": 1}) is None
    assert results_of(None) is None
    assert results_of({}) == Results()


def test_results_come_back_as_they_were_said():
    said = results(part(), part(domain="in"))
    assert results_of(json.loads(said.to_json())) == said


def test_a_gate_says_what_it_missed_and_what_it_did_not_judge():
    checks = (
        Check(name="tokens", passed=False, limit=0.2, message="saves too little"),
        Check(name="far", passed=True, judged=False, limit=0.0, message="no benchmark"),
    )
    fact = gate_of(GateResults(accepted=False, checks=checks))
    assert (fact.true, fact.message) == (False, "saves too little (not judged: far)")


def test_a_status_fits_whatever_was_found_and_whatever_failed():
    many = results(*(part(f"benchmark-{number}") for number in range(200)))
    rows = tuple(
        StageStatus(name=name, state="Failed", message=shortened("x" * 5000))
        for name in (
            "preflight",
            "rollout",
            "exits",
            "endings",
            "pruning",
            "pairs",
            "training",
            "baseline",
            "evaluation",
        )
    )
    status = fitted(Status(stages=rows, results=many))
    assert len(status.model_dump_json(by_alias=True, exclude_none=True)) <= STATUS_BYTES
    assert status.stages == rows
    assert status.results is not None
    assert status.results.evaluation.left_out > 100


def test_a_long_message_keeps_its_beginning_and_its_end():
    text = shortened("the cause " + "ö" * 2000 + " the remedy")
    assert len(text.encode()) <= MESSAGE_BYTES
    assert text.startswith("the cause")
    assert text.endswith("the remedy")
    assert shortened("short") == "short"
