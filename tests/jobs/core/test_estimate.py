"""The estimate: more work is never cheaper, two halves make a whole, and its sums are those of the cost account."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_jobs.core.cost import ModelShape, Spend, inference, training
from dto_jobs.core.cost import total as spent
from dto_jobs.core.estimate import (
    FORMULAS,
    Assumed,
    Habits,
    Load,
    Machine,
    Workload,
    estimate,
    expected_draws,
    searched,
    total,
)
from dto_jobs.core.exit_point import decide, hits_needed

SHAPE = ModelShape(parameters=1_000_000, layers=4, width=64)
EVEN = Habits(spread=0.0)
WORK = Workload(problems=100, benchmark_problems=50)

counts = st.integers(1, 2000)
habits = st.builds(
    Habits,
    prompt=st.floats(1, 2000),
    response=st.floats(10, 20_000),
    spread=st.floats(0, 2),
    patterns=st.floats(1, 64),
    exit_share=st.floats(0, 1),
    exit_place=st.floats(0.01, 1),
    answer=st.floats(1, 64),
    closing=st.floats(0, 50),
    ending=st.floats(1, 1000),
    ended_share=st.floats(0, 1),
    tuned=st.floats(0.1, 2),
)


def numbers(load: Load) -> list[float]:
    return list(load.model_dump().values())


@given(counts, counts, habits)
def test_two_halves_make_a_whole(first: int, second: int, found: Habits) -> None:
    def of(problems: int) -> dict[str, Load]:
        return estimate(SHAPE, Workload(problems=problems, benchmark_problems=3 * problems), found)

    one, other, both = of(first), of(second), of(first + second)
    for name in both:
        assert numbers(one[name] + other[name]) == pytest.approx(numbers(both[name]))


MORE = [
    {"problems": 150}, {"samples": 6}, {"completions": 12}, {"endings": 6}, {"check_completions": 12}, {"epochs": 2},
    {"pairs_per_problem": 3}, {"necessary_copies": 5}, {"benchmark_problems": 70}, {"benchmark_samples": 8},
    {"strategy": "exhaustive"},
]  # fmt: skip


@pytest.mark.parametrize("more", MORE, ids=lambda more: next(iter(more)))
@settings(max_examples=20)
@given(found=habits)
def test_more_work_never_takes_less(more: dict[str, object], found: Habits) -> None:
    before, after = (estimate(SHAPE, work, found) for work in (WORK, WORK.model_copy(update=more)))
    for name in before:
        for less, greater in zip(numbers(before[name]), numbers(after[name]), strict=True):
            assert greater >= less * (1 - 1e-9)


@given(habits, st.floats(1.01, 3))
def test_longer_responses_never_take_less(found: Habits, factor: float) -> None:
    longer = found.model_copy(update={"response": factor * found.response})
    for name, load in estimate(SHAPE, WORK, found).items():
        assert estimate(SHAPE, WORK, longer)[name].flops >= load.flops * (1 - 1e-9)


def test_rollout_and_evaluation_take_what_the_cost_account_says_of_the_same_lengths() -> None:
    found = estimate(SHAPE, WORK, EVEN.model_copy(update={"prompt": 100.0, "response": 500.0, "tuned": 1.0}))
    first, others = inference(SHAPE, prompt=100, generated=500), inference(SHAPE, prompt=100, cached=100, generated=500)
    for name, groups in (("rollout", 100), ("baseline", 50), ("evaluation", 50)):
        expected = spent([first, *[others] * 3] * groups)
        assert found[name].generated == expected.generated
        assert found[name].prompt_computed == expected.prompt_computed
        assert found[name].flops == pytest.approx(expected.flops, rel=0.01)


def test_training_takes_what_the_cost_account_says() -> None:
    found = estimate(
        SHAPE, WORK, EVEN.model_copy(update={"prompt": 100.0, "response": 500.0, "pairs": 3.0, "chosen": 0.4})
    )
    expected = training(SHAPE, [300, 600] * 300)
    assert found["training"].trained == expected.trained
    assert found["training"].flops == pytest.approx(expected.flops, rel=0.01)


def test_an_exhaustive_search_draws_all_at_every_boundary_a_curtailed_one_stops_at_the_exit() -> None:
    all_ = searched(Workload(problems=1, strategy="exhaustive"), EVEN)
    assert all_ == (34.0, 8.0)
    visited, draws = searched(Workload(problems=1), EVEN)
    assert visited == pytest.approx(0.8 * 17 + 0.2 * 34)
    assert 4 <= draws < 8


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(("completions", "threshold"), [(8, 0.5), (5, 1.0), (1, 0.5), (6, 0.2)])
def test_expected_draws_are_those_of_the_search_itself(completions: int, threshold: float, rate: float) -> None:
    source = random.Random(1)
    needed = hits_needed(completions, threshold)

    def drawn() -> int:
        talk = decide(1, completions, needed)
        try:
            [ask] = next(talk)
            while True:
                [ask] = talk.send([[source.random() < rate for _ in range(ask.samples)]])
        except StopIteration as end:
            return int(end.value.hits + end.value.misses)

    mean = sum(drawn() for _ in range(1000)) / 1000
    assert expected_draws(completions, threshold, rate) == pytest.approx(mean, rel=0.05)


def test_generation_is_timed_apart_from_reading_and_training() -> None:
    machine = Machine(peak_tflops=1.0, mfu=0.5, decode_mfu=0.1)
    shape = ModelShape(parameters=500_000, layers=1, width=1)
    reading, writing = Load(dense_flops=1e12), Load(dense_flops=1e12, generated=1e6)
    assert machine.seconds(reading, shape) == pytest.approx(2)
    assert machine.seconds(writing, shape) == pytest.approx(10)
    assert machine.seconds(reading + writing, shape) == pytest.approx(12)
    assert machine.model_copy(update={"tokens_per_second": 1e5}).seconds(writing, shape) == pytest.approx(10)
    assert machine.seconds(Load(), shape) == 0


def test_every_stage_has_its_formula_and_disk_counts_the_model() -> None:
    found = estimate(SHAPE, WORK, EVEN, model_bytes=7.0)
    assert found.keys() == FORMULAS.keys()
    assert found["training"].disk_bytes == 7.0
    assert total(found.values()).disk_bytes > found["rollout"].disk_bytes > 0
    assert all(math.isfinite(number) for load in found.values() for number in numbers(load))


def test_a_judge_is_paid_in_its_own_tokens_and_takes_fewer_checks() -> None:
    plain, judged = (estimate(SHAPE, WORK.model_copy(update={"judge": judge}), EVEN) for judge in (False, True))
    assert plain["pruning"].judge_tokens == 0 < judged["pruning"].judge_tokens
    assert judged["pruning"].generated < plain["pruning"].generated


def test_what_is_given_takes_the_place_of_what_was_measured_and_absent_values_stay() -> None:
    found = Assumed().with_("measured", response=100.0, tuned=None).with_("given", response=200.0)
    assert (found.habits.response, found.habits.tuned) == (200.0, Habits().tuned)
    assert found.origins == {"response": "given"}


def test_nothing_to_do_takes_nothing() -> None:
    assert total(estimate(SHAPE, Workload(problems=0), EVEN).values()) == Load()
    assert Spend().flops == 0
