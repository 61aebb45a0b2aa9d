"""Requests are let through at a pace."""

import pytest

from dto_operator.pace import BURST_SECONDS, Pace


def test_a_burst_passes_and_the_rest_waits_for_its_turn():
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(10, lambda: now[0], sleep)
    burst = int(10 * BURST_SECONDS)
    for _ in range(burst):
        pace.wait()
    assert slept == []
    for _ in range(30):
        pace.wait()
    assert now[0] == pytest.approx(3.0)


def test_what_was_not_asked_for_is_saved_up_only_so_long():
    now, slept = [0.0], []
    pace = Pace(10, lambda: now[0], slept.append)
    now[0] = 3600.0
    for _ in range(int(10 * BURST_SECONDS) + 1):
        pace.wait()
    assert slept == [pytest.approx(0.1)]
