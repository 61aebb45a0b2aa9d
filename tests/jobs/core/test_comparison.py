from collections.abc import Iterator

import pytest

from dto_jobs.core.comparison import cost_results, evaluation_results
from dto_jobs.core.cost import ModelShape, Spend, response_flops
from dto_jobs.core.records import Answer
from dto_jobs.core.results import EvaluationResults

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


def test_domains_are_shown_apart_where_there_are_two() -> None:
    def both() -> Iterator[Answer]:
        yield from answers(0.5, 50, problems=20, benchmark="math500")
        yield from answers(0.5, 50, problems=20, benchmark="gsm8k")
        yield from answers(0.5, 50, problems=20, benchmark="mmlu-pro", level="law")
        yield from answers(0.5, 50, problems=20, benchmark="mmlu-pro", level="physics")

    found = evaluation_results(both(), both(), SHAPE, out_of_domain={"mmlu-pro"})
    assert [(one.name, one.domain, one.problems) for one in found.slices] == [
        ("all", "", 80),
        ("in domain", "in", 40),
        ("out of domain", "out", 40),
        ("gsm8k", "in", 20),
        ("math500", "in", 20),
        ("mmlu-pro", "out", 40),
        ("mmlu-pro law", "out", 20),
        ("mmlu-pro physics", "out", 20),
    ]
    assert found.all_of("in").problems == found.all_of("out").problems == 40
    assert [part.name for part in found.parts] == [part.name for part in found.slices[3:]]


@pytest.mark.parametrize(("out_of_domain", "inside", "outside"), [({"x"}, 200, None), ({"toy"}, None, 200)])
def test_with_one_domain_everything_is_that_domain(out_of_domain, inside, outside) -> None:
    found = evaluation_results(answers(0.5, 50), answers(0.5, 50), SHAPE, out_of_domain=out_of_domain)
    parts = found.all_of("in"), found.all_of("out")
    assert tuple(part and part.problems for part in parts) == (inside, outside)
    assert found.overall.name == "all"


def test_the_more_slices_are_compared_the_further_off_are_their_ceilings() -> None:
    def answered(levels: int, accuracy: float) -> list[Answer]:
        return [one for level in range(levels) for one in answers(accuracy, 50, problems=40, level=f"level {level}")]

    few, many = (evaluation_results(answered(n, 0.5), answered(n, 0.6), SHAPE) for n in (2, 20))
    assert few.slices[1].accuracy_difference == many.slices[1].accuracy_difference
    assert few.slices[1].accuracy_ceiling < many.slices[1].accuracy_ceiling


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
