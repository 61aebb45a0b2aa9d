"""Intervals against closed forms, and by how often they cover the truth in simulations."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core import statistics
from dto_jobs.core.statistics import (
    Clustered,
    Floats,
    Statistic,
    bounds,
    mean_interval,
    one_sided,
    rate_difference,
    rate_interval,
    ratio_interval,
    with_imagined,
)

SIMULATIONS = 2000
samples = st.dictionaries(
    st.text(max_size=3),
    st.lists(st.floats(min_value=0.5, max_value=100), min_size=1, max_size=4),
    min_size=2,
    max_size=6,
)


def normal(clusters: int, k: int = 1, *, within: float = 1.0, seed: int = 5) -> Clustered:
    source = np.random.default_rng(seed)
    level = source.normal(10, 2, clusters)
    return {str(i): list(level[i] + source.normal(0, within, k)) for i in range(clusters)}


# Closed forms


def test_the_mean_of_a_normal_sample_has_the_textbook_interval() -> None:
    values = normal(400)
    flat = np.array(list(values.values()))[:, 0]
    half = 1.966 * flat.std(ddof=1) / math.sqrt(len(flat))  # Student's t with 399 degrees of freedom
    found = mean_interval(values, resamples=20_000)
    assert found.value == pytest.approx(flat.mean())
    assert found.n == 400
    assert found.low == pytest.approx(flat.mean() - half, abs=0.04 * half)
    assert found.high == pytest.approx(flat.mean() + half, abs=0.04 * half)


def test_repeating_each_sample_within_its_problem_narrows_nothing() -> None:
    once = normal(50)
    often = {name: [*values] * 4 for name, values in once.items()}
    assert mean_interval(often).low == pytest.approx(mean_interval(once).low)
    assert mean_interval(often).high == pytest.approx(mean_interval(once).high)


def test_a_rate_has_the_interval_of_agresti_and_coull() -> None:
    values = {str(i): [float(i < 120)] for i in range(400)}
    # One success and one failure more, so that the textbook interval is about (121 / 402) ± 1.97 standard errors.
    rate = 121 / 402
    half = 1.966 * math.sqrt(rate * (1 - rate) / 401)
    found = rate_interval(values, resamples=20_000)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(rate - half, abs=0.05 * half)
    assert found.high == pytest.approx(rate + half, abs=0.05 * half)


def test_a_difference_is_paired_so_what_problems_share_does_not_widen_it() -> None:
    base = {str(i): [float(i % 2)] * 4 for i in range(200)}
    tuned = {name: [*values[:3], 1.0] for name, values in base.items()}
    found = rate_difference(tuned, base)
    apart = rate_interval(tuned)
    assert found.value == pytest.approx(1 / 8)
    assert found.high - found.low < 0.6 * (apart.high - apart.low)


def test_a_change_is_relative_to_the_second_sample() -> None:
    base = normal(60)
    found = ratio_interval({name: [value / 2 for value in values] for name, values in base.items()}, base)
    assert found.value == pytest.approx(-0.5)
    assert found.low == pytest.approx(-0.5, abs=1e-6)


def test_the_two_samples_may_hold_different_numbers_per_problem() -> None:
    found = rate_difference({"a": [1, 1, 1], "b": [0]}, {"a": [1], "b": [1, 1]})
    assert found.value == pytest.approx(3 / 4 - 1)


def test_one_side_of_a_ninety_percent_interval_holds_at_ninety_five() -> None:
    assert one_sided(0.95) == pytest.approx(0.90)
    wide, narrow = mean_interval(normal(40)), mean_interval(normal(40), level=one_sided(0.95))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


# Coverage


def coverage(columns: Floats, statistic: Statistic, truth: float) -> float:
    """Return the share of simulations (clusters, simulations, columns) whose 95 % interval holds the truth."""
    assert columns.shape[1] == SIMULATIONS
    low, high = bounds(columns, statistic, level=0.95, resamples=1000, seed=3)
    return float(np.mean((low <= truth) & (truth <= high)))


def clustered(values: Floats) -> Floats:
    """Return columns (clusters, simulations, 2) of samples (clusters, simulations, k)."""
    return np.stack([values.sum(axis=-1), np.full(values.shape[:2], float(values.shape[-1]))], axis=-1)


def normal_clusters(source: np.random.Generator, clusters: int) -> tuple[Floats, float]:
    level = source.normal(0, 1, (clusters, SIMULATIONS, 1))
    return clustered(level + source.normal(0, 0.5, (clusters, SIMULATIONS, 4))), 0.0


def graded_clusters(source: np.random.Generator, clusters: int) -> tuple[Floats, float]:
    difficulty = source.beta(2, 1.5, (clusters, SIMULATIONS, 1))
    return clustered((source.random((clusters, SIMULATIONS, 4)) < difficulty).astype(float)), 2 / 3.5


def nearly_solved_clusters(source: np.random.Generator, clusters: int) -> tuple[Floats, float]:
    difficulty = source.beta(4, 0.5, (clusters, SIMULATIONS, 1))
    return clustered((source.random((clusters, SIMULATIONS, 4)) < difficulty).astype(float)), 4 / 4.5


def token_clusters(source: np.random.Generator, clusters: int) -> tuple[Floats, float]:
    logarithms = source.normal(6, 0.6, (clusters, SIMULATIONS, 1)) + source.normal(0, 0.3, (clusters, SIMULATIONS, 4))
    return clustered(np.exp(logarithms)), math.exp(6 + 0.6**2 / 2 + 0.3**2 / 2)


@pytest.mark.parametrize(
    ("simulate", "clusters"),
    [
        (normal_clusters, 30),
        (normal_clusters, 200),
        (graded_clusters, 30),
        (graded_clusters, 200),
        (nearly_solved_clusters, 60),
        (nearly_solved_clusters, 200),
        (token_clusters, 100),
        (token_clusters, 200),
    ],
)
def test_a_95_percent_interval_covers_93_to_97_percent_of_simulations(
    simulate: Callable[[np.random.Generator, int], tuple[Floats, float]], clusters: int
) -> None:
    columns, truth = simulate(np.random.default_rng(11), clusters)
    if simulate in {graded_clusters, nearly_solved_clusters}:
        columns = with_imagined(columns)
    assert 0.93 <= coverage(columns, statistics._mean, truth) <= 0.97


@pytest.mark.parametrize(("rate", "clusters"), [(0.5, 12), (0.9, 12), (0.98, 12), (0.98, 100)])
def test_rates_of_few_problems_or_near_certainty_are_never_overconfident(rate: float, clusters: int) -> None:
    source = np.random.default_rng(14)
    values = (source.random((clusters, SIMULATIONS, 1)) < rate).astype(float)
    assert coverage(with_imagined(clustered(values)), statistics._mean, rate) >= 0.93
    # Without the imagined problems the rarest case would be covered far too seldom.
    if rate > 0.95:
        assert coverage(clustered(values), statistics._mean, rate) < 0.9


def test_a_difference_that_rests_on_few_problems_is_never_overconfident() -> None:
    source = np.random.default_rng(15)
    changed = source.random((40, SIMULATIONS, 1))
    base = np.where(changed < 0.05, 0.0, source.random((40, SIMULATIONS, 1)) < 0.6)
    tuned = np.where(changed < 0.05, 1.0, base)
    columns = np.concatenate([clustered(tuned), clustered(base)], axis=-1)
    assert coverage(with_imagined(columns), statistics._difference, 0.05) >= 0.93


def test_a_paired_difference_covers_when_both_models_share_the_problems() -> None:
    source = np.random.default_rng(12)
    difficulty = source.beta(2, 1.5, (100, SIMULATIONS, 1))
    base = source.random((100, SIMULATIONS, 4)) < difficulty
    tuned = source.random((100, SIMULATIONS, 4)) < 0.9 * difficulty
    columns = np.concatenate([clustered(tuned.astype(float)), clustered(base.astype(float))], axis=-1)
    assert 0.93 <= coverage(with_imagined(columns), statistics._difference, -0.1 * 2 / 3.5) <= 0.97


def test_a_token_change_covers_when_both_models_share_the_problems() -> None:
    source = np.random.default_rng(13)
    length = source.normal(6, 0.6, (60, SIMULATIONS, 1))
    base = np.exp(length + source.normal(0, 0.3, (60, SIMULATIONS, 4)))
    tuned = 0.6 * np.exp(length + source.normal(0, 0.3, (60, SIMULATIONS, 4)))
    columns = np.concatenate([clustered(tuned), clustered(base)], axis=-1)
    assert 0.93 <= coverage(columns, statistics._change, -0.4) <= 0.97


def test_ignoring_the_clusters_would_cover_too_little() -> None:
    # Shows that the simulations can tell: the same samples, each taken as a problem of its own.
    columns, truth = graded_clusters(np.random.default_rng(11), 50)
    source = np.random.default_rng(11)
    difficulty = source.beta(2, 1.5, (50, SIMULATIONS, 1))
    single = (source.random((50, SIMULATIONS, 4)) < difficulty).astype(float)
    alone = clustered(np.moveaxis(single, -1, 1).reshape(200, SIMULATIONS, 1))
    assert coverage(alone, statistics._mean, truth) < 0.9 <= coverage(columns, statistics._mean, truth)


# Edges


@given(values=samples)
def test_the_same_seed_gives_the_same_interval_whatever_the_order(values: dict[str, list[float]]) -> None:
    backwards = dict(reversed(list(values.items())))
    assert mean_interval(values, resamples=50, seed=7) == mean_interval(backwards, resamples=50, seed=7)


@given(values=samples)
def test_the_bounds_enclose_the_value(values: dict[str, list[float]]) -> None:
    found = mean_interval(values, resamples=400)
    flat = [value for cluster in values.values() for value in cluster]
    assert found.value == pytest.approx(sum(flat) / len(flat))
    assert found.low <= found.value + 1e-9
    assert found.high >= found.value - 1e-9


def test_another_seed_gives_another_interval() -> None:
    assert mean_interval(normal(20), seed=1) != mean_interval(normal(20), seed=2)


def test_memory_blocks_do_not_change_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mean_interval(normal(20), resamples=300)
    monkeypatch.setattr(statistics, "BLOCK", 1000)
    pieces = mean_interval(normal(20), resamples=300)
    assert pieces.low == pytest.approx(whole.low)


def test_one_problem_tells_nothing_of_the_spread() -> None:
    found = mean_interval({"only": [1.0, 2.0]})
    assert (found.value, found.low, found.high, found.n) == (1.5, None, None, 1)
    assert rate_interval({"only": [0.5]}).low is None


@pytest.mark.parametrize("clusters", [10, 40, 300])
def test_all_right_is_not_taken_for_certainty(clusters: int) -> None:
    found = rate_interval({str(i): [1.0, 1.0] for i in range(clusters)})
    exact = 0.025 ** (1 / clusters)  # Clopper & Pearson
    assert (found.value, found.high) == (1.0, 1.0)
    assert 1.5 * (1 - exact) > 1 - found.low > 0.5 * (1 - exact)


def test_all_wrong_is_the_mirror_of_all_right() -> None:
    right = rate_interval({str(i): [1.0] for i in range(20)})
    wrong = rate_interval({str(i): [0.0] for i in range(20)})
    assert (wrong.value, wrong.low) == (0.0, 0.0)
    assert wrong.high == pytest.approx(1 - right.low, abs=0.05)


def test_no_change_at_all_is_not_taken_for_certainty() -> None:
    same = {str(i): [float(i % 2), 1.0] for i in range(20)}
    found = rate_difference(same, same)
    assert found.value == 0
    assert found.low < -0.05
    assert found.high > 0.05


def test_a_difference_of_rates_stays_between_minus_1_and_1() -> None:
    found = rate_difference({"a": [1.0], "b": [1.0]}, {"a": [0.0], "b": [0.0]})
    assert (found.value, found.high) == (1.0, 1.0)


def test_a_rate_stays_between_0_and_1() -> None:
    found = rate_interval({"a": [0.0], "b": [1.0]})
    assert (found.low, found.high) == (0.0, 1.0)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_interval({})


def test_unlike_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="'b'"):
        rate_difference({"a": [1], "b": [1]}, {"a": [1]})


def test_a_change_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        ratio_interval({"a": [1], "b": [1]}, {"a": [0], "b": [1]})
