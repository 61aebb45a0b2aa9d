from collections.abc import Iterator

import pytest

from dto_jobs.core.comparison import cost_results, evaluation_results, gate_results
from dto_jobs.core.cost import ModelShape, Spend, response_flops
from dto_jobs.core.records import Answer
from dto_jobs.core.results import EvaluationResults, Gate

SHAPE = ModelShape(parameters=1000, layers=2, width=8)


def answers(
    accuracy: float, tokens: int, *, problems: int = 200, benchmark: str = "toy", level: str = "", rechecks: int = 1
) -> Iterator[Answer]:
    """Yield two answers per problem, the first problems right, of slightly different lengths."""
    for number in range(problems):
        for sample in range(2):
            yield Answer(
                problem_id=f"{level}{number:03d}",
                benchmark=benchmark,
                level=level,
                sample=sample,
                prompt_tokens=10,
                tokens=tokens + number % 5,
                finished=number % 10 > 0,
                correct=number < accuracy * problems,
                answer="1",
                text="…",
                rechecks=rechecks,
            )


def compared(base: float, tuned: float, tokens: int = 50) -> EvaluationResults:
    found = evaluation_results(answers(base, 100), answers(tuned, tokens, rechecks=0), SHAPE)
    assert found is not None
    return found


def test_a_slice_tells_both_models_and_what_changed() -> None:
    overall = compared(0.5, 0.6).overall
    assert (overall.problems, overall.base.samples) == (200, 400)
    assert (overall.base.accuracy.value, overall.tuned.accuracy.value) == (0.5, 0.6)
    assert overall.accuracy_difference.value == pytest.approx(0.1)
    assert overall.token_change.value == pytest.approx(52 / 102 - 1)
    assert overall.base.truncated == pytest.approx(0.1)
    assert (overall.base.rechecks, overall.tuned.rechecks) == (1, 0)


def test_efficiency_is_the_ratio_of_accuracies_over_the_ratio_of_tokens() -> None:
    assert compared(0.5, 0.6).overall.efficiency == pytest.approx((0.6 / 0.5) / (52 / 102))


def test_a_base_that_is_never_right_has_no_efficiency() -> None:
    assert compared(0, 0.6).overall.efficiency is None


def test_flops_per_answer_are_those_of_whole_answers() -> None:
    base = compared(0.5, 0.6).overall.base
    expected = [response_flops(SHAPE, 10, 100 + extra) for extra in range(5)]
    assert base.flops == pytest.approx(sum(map(sum, expected)) / 5)
    assert base.attention_flops == pytest.approx(sum(attention for _, attention in expected) / 5)


def test_tokens_of_correct_answers_are_told_apart() -> None:
    base = [*answers(1, 10, problems=1), *answers(0, 90, problems=1, level="x")]
    found = evaluation_results(base, base, SHAPE)
    assert found.overall.base.tokens.value == 50
    assert found.overall.base.tokens_correct == 10


def test_the_one_sided_bound_lies_between_the_value_and_the_two_sided_one() -> None:
    overall = compared(0.5, 0.6).overall
    assert overall.accuracy_difference.low < overall.accuracy_floor < overall.accuracy_difference.value
    assert overall.token_change.value < overall.token_ceiling < overall.token_change.high


def test_slices_go_from_everything_to_benchmarks_to_levels() -> None:
    def both() -> Iterator[Answer]:
        yield from answers(0.5, 50, problems=20, level="easy")
        yield from answers(0.5, 50, problems=20, level="hard")
        yield from answers(0.5, 50, problems=20, benchmark="gsm8k")

    found = evaluation_results(both(), both(), SHAPE)
    names = [(one.benchmark, one.level) for one in found.slices]
    assert names == [("", ""), ("gsm8k", ""), ("toy", ""), ("toy", "easy"), ("toy", "hard")]
    assert [one.problems for one in found.slices] == [60, 20, 40, 20, 20]


def test_problems_that_two_benchmarks_name_alike_are_two_problems() -> None:
    both = [*answers(1, 50, problems=3, benchmark="a"), *answers(1, 50, problems=3, benchmark="b")]
    assert evaluation_results(both, both, SHAPE).overall.problems == 6


def test_a_single_benchmark_without_levels_is_one_slice() -> None:
    assert len(compared(0.5, 0.5).slices) == 1


def test_models_that_answered_other_problems_are_not_compared() -> None:
    with pytest.raises(ValueError, match="1 clusters"):
        evaluation_results(answers(1, 50, problems=3), answers(1, 50, problems=2), SHAPE)
    with pytest.raises(ValueError, match="different slices"):
        evaluation_results(answers(1, 50, level="a"), answers(1, 50, level="b"), SHAPE)


def test_without_answers_there_is_nothing_to_compare() -> None:
    assert evaluation_results([], [], SHAPE) is None


# Cost


def test_a_run_pays_back_after_its_flops_over_those_saved_per_answer() -> None:
    evaluation = compared(0.5, 0.6)
    saved = evaluation.overall.base.flops - evaluation.overall.tuned.flops
    spends = {"rollout": Spend(dense_flops=3 * saved, seconds=2), "training": Spend(attention_flops=saved, seconds=3)}
    found = cost_results(spends, evaluation, reused={"rollout"})
    assert found.saved_flops_per_answer == pytest.approx(saved)
    assert found.break_even_answers == pytest.approx(4)
    assert (found.total.flops, found.total.seconds) == (pytest.approx(4 * saved), 5)
    assert [stage.reused for stage in found.stages.values()] == [True, False]


def test_a_run_that_saves_nothing_never_pays_back() -> None:
    assert cost_results({"training": Spend(dense_flops=9)}, compared(0.5, 0.5, tokens=120)).break_even_answers is None


def test_an_analysis_has_costs_but_nothing_to_pay_back() -> None:
    found = cost_results({"exits": Spend(dense_flops=9)})
    assert (found.total.flops, found.saved_flops_per_answer, found.break_even_answers) == (9, None, None)


# Gate


def test_a_clear_gain_is_accepted() -> None:
    found = gate_results(Gate(), compared(0.5, 0.7))
    assert found.accepted
    assert [check.passed for check in found.checks] == [True, True]


def test_a_lost_point_that_is_not_sure_to_be_small_is_refused() -> None:
    found = gate_results(Gate(max_accuracy_drop=0.01), compared(0.505, 0.5))
    accuracy, tokens = found.checks
    assert not found.accepted
    assert accuracy.value == pytest.approx(-0.005)
    assert accuracy.bound < -0.01 < accuracy.value
    assert tokens.passed
    assert accuracy.message.startswith("accuracy changed by -0.5 points, at worst -")
    assert accuracy.message.endswith("with 95 % confidence; -1.0 points is allowed")


def test_too_small_a_saving_is_refused() -> None:
    found = gate_results(Gate(min_token_saving=0.5), compared(0.5, 0.7, tokens=60))
    assert not found.accepted
    assert found.checks[1].message.startswith("tokens changed by -39.2 %, at worst -39.")
    assert found.checks[1].message.endswith("; -50.0 % is wanted")


def test_unchanged_answers_to_few_problems_are_no_proof_that_nothing_is_lost() -> None:
    few, many = (evaluation_results(answers(1, 100, problems=n), answers(1, 50, problems=n), SHAPE) for n in (50, 500))
    assert few.overall.accuracy_difference.value == many.overall.accuracy_difference.value == 0
    assert not gate_results(Gate(), few).accepted
    assert gate_results(Gate(), many).accepted


def test_one_problem_is_never_enough_to_accept() -> None:
    one = evaluation_results(answers(1, 100, problems=1), answers(1, 50, problems=1), SHAPE)
    found = gate_results(Gate(), one)
    assert not found.accepted
    assert "one problem cannot show" in found.checks[0].message
