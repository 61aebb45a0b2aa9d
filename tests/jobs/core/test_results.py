import json
import subprocess
import sys

import pytest

from dto_jobs.core.interval import Interval, rounded
from dto_jobs.core.results import STATUS_BYTES, EvaluationResults, ModelFigures, Results, Slice


def made_slice(benchmark: str = "", level: str = "") -> Slice:
    interval = Interval(value=0.123456789, low=0.1, high=0.2, n=600)
    model = ModelFigures(
        samples=600,
        accuracy=interval,
        tokens=interval,
        tokens_correct=1234.5678,
        flops=1.23456789e20,
        attention_flops=1e19,
        truncated=0.1,
        rechecks=1.2,
    )
    return Slice(
        benchmark=benchmark,
        level=level,
        problems=600,
        base=model,
        tuned=model,
        accuracy_difference=interval,
        token_change=interval,
        flops_change=-0.3,
        attention_change=-0.4,
    )


def made_results(levels: int) -> Results:
    slices = (made_slice(), *(made_slice("mmlu-pro", f"domain {i}") for i in range(levels)))
    return Results(evaluation=EvaluationResults(slices=slices))


def test_results_are_read_back_from_their_json() -> None:
    results = made_results(2)
    again = Results.model_validate_json(results.to_json())
    assert again.to_json() == results.to_json()


def test_json_is_camel_case_and_says_nothing_of_absent_sections() -> None:
    found = json.loads(made_results(0).to_json())
    assert list(found) == ["evaluation"]
    assert {"accuracyDifference", "tokenChange"} < found["evaluation"]["slices"][0].keys()


def test_numbers_are_rounded_where_they_are_written_only() -> None:
    results = made_results(0)
    assert results.evaluation.overall.base.accuracy.value == 0.123456789
    written = json.loads(results.to_json())["evaluation"]["slices"][0]
    assert written["base"]["accuracy"]["value"] == 0.12346
    assert written["base"]["flops"] == 1.2346e20


@pytest.mark.parametrize(("value", "short"), [(0.0, 0.0), (-0.123456, -0.12346), (1e20, 1e20), (123456.7, 123460.0)])
def test_five_digits_are_kept(value: float, short: float) -> None:
    assert rounded(value) == short


def test_a_status_leaves_out_the_smallest_slices_and_says_how_many() -> None:
    full = made_results(60)
    assert len(full.to_json()) > STATUS_BYTES
    small = full.within()
    assert len(small.to_json().encode()) <= STATUS_BYTES
    assert small.evaluation.left_out == 61 - len(small.evaluation.slices)
    assert small.evaluation.overall == full.evaluation.overall


def test_a_status_holds_plain_training_figures_only() -> None:
    results = Results(training={"steps": 9, "loss": 1.5, "log": [{"step": 1, "loss": 2.0}] * 1000})
    assert results.within().training == {"steps": 9, "loss": 1.5}


def test_last_words_leave_out_how_a_model_came_to_be_before_what_it_does() -> None:
    full = made_results(3).model_copy(update={"training": {f"figure{i}": i for i in range(400)}})
    small = full.within(2500)
    assert len(small.to_json().encode()) <= 2500
    assert small.training is None
    assert small.evaluation.overall == full.evaluation.overall


def test_results_that_fit_are_left_alone() -> None:
    assert made_results(2).within() == made_results(2)


def test_an_evaluation_of_a_large_default_run_fits_without_loss_of_its_benchmarks() -> None:
    assert len(made_results(12).within().evaluation.slices) == 13


def test_results_can_be_read_where_numpy_is_not() -> None:
    code = "import sys, dto_jobs.core.results; raise SystemExit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": "jobs"})
    assert done.returncode == 0
