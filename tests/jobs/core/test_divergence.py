"""When a training is stopped: what is no number at once, what drifts only over a window."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.divergence import Guard, gone_wrong

OFF = Guard(enabled=False, window=3)
GUARD = Guard(window=3, loss_factor=3.0, chosen_fall=2.0)


def log(losses, chosen=None):
    chosen = chosen or [-0.5] * len(losses)
    return [{"loss": loss, "gradientNorm": 1.0, "chosen": one} for loss, one in zip(losses, chosen, strict=True)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "gradientNorm"])
@pytest.mark.parametrize("guard", [GUARD, OFF])
def test_what_is_no_number_stops_at_once(name, value, guard):
    assert str(value) in gone_wrong([{"loss": 1.0, name: value}], guard)


def test_a_loss_that_explodes_is_noticed_once_a_window_shows_it():
    losses = [1.0, 1.1, 0.9, 1.0, 9.0, 1.0, 9.0, 9.0]
    assert [gone_wrong(log(losses[:end]), GUARD) is not None for end in range(1, 9)] == [False] * 5 + [True, True, True]
    assert "from 1 to 3.67" in gone_wrong(log(losses[:6]), GUARD)
    assert gone_wrong(log(losses), OFF) is None


def test_one_hard_batch_stops_nothing():
    assert gone_wrong(log([1.0, 1.0, 1.0, 1.0, 1.0, 6.0]), GUARD) is None


def test_a_loss_that_starts_near_zero_may_double_and_stay_small():
    assert gone_wrong(log([0.001] * 3 + [0.2] * 3), GUARD) is None
    assert gone_wrong(log([0.001] * 3 + [0.4] * 3), GUARD) is not None


def test_a_loss_won_by_making_everything_improbable_is_noticed():
    falling = [-0.4, -0.4, -0.4, -1.0, -2.6, -4.0]
    assert "log-probability fell from -0.4 to -2.53" in gone_wrong(log([0.5] * 6, falling), GUARD)
    assert gone_wrong(log([0.5] * 6, [-0.4] * 3 + [-2.3] * 3), GUARD) is None


@given(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=40).map(lambda losses: sorted(losses, reverse=True)))
def test_a_falling_loss_is_never_stopped(losses):
    assert gone_wrong(log(losses), GUARD) is None
