"""How long until another attempt, and when there is none."""

from datetime import UTC, datetime, timedelta

import pytest

from dto_jobs.job_settings import Retry
from dto_operator.retries import BACKOFF, LONGEST_WAIT, Backoff, charged, next_attempt, overdrawn, remaining
from dto_operator.status import Attempts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_each_wait_is_twice_the_last_up_to_the_longest():
    backoff = Backoff(10.0, 100.0)
    waits = [backoff.seconds(number, "seed") for number in range(1, 8)]
    assert [round(wait / waits[0], 3) for wait in waits] == [1, 2, 4, 8, 10, 10, 10]


def test_waits_are_spread_and_the_same_for_the_same_seed():
    backoff = Backoff(10.0, 100.0)
    waits = {backoff.seconds(1, f"seed {number}") for number in range(100)}
    assert len(waits) > 90
    assert all(7.5 <= wait <= 10 for wait in waits)
    assert backoff.seconds(1, "a") == backoff.seconds(1, "a")


def test_a_thousandth_wait_is_no_larger_than_the_longest():
    assert Backoff(1.0, 60.0).seconds(5000, "x") <= 60


def test_accounts_are_kept_apart():
    attempts = charged(charged(Attempts(total=2), "application"), "infrastructure", losses=3)
    assert (attempts.counted, attempts.infrastructure) == (1, 4)
    assert charged(attempts, "nobody") == attempts


@pytest.mark.parametrize(
    ("counted", "infrastructure", "budget"), [(2, 20, None), (3, 0, "application"), (0, 21, "infrastructure")]
)
def test_a_budget_is_used_up_by_one_more_than_it_holds(counted, infrastructure, budget):
    found = overdrawn(Attempts(counted=counted, infrastructure=infrastructure), Retry())
    assert (found or "").partition(" ")[0] == (f"job.retry.{budget}" if budget else "")


def test_what_machines_lost_is_tried_again_sooner_than_what_failed_itself():
    attempts = Attempts(total=1, counted=1, infrastructure=1)
    assert next_attempt(NOW, attempts, "infrastructure", "x") < next_attempt(NOW, attempts, "application", "x")
    assert next_attempt(NOW, attempts, "nobody", "x") is None


@pytest.mark.parametrize("account", BACKOFF)
@pytest.mark.parametrize("number", range(1, 25))
def test_no_wait_is_taken_for_a_clock_that_was_put_back(account, number):
    attempts = Attempts(total=number, counted=number, infrastructure=number)
    until = next_attempt(NOW, attempts, account, "x")
    assert 0 < remaining(until, NOW, LONGEST_WAIT) <= LONGEST_WAIT
    assert until.microsecond == 0


def test_a_clock_that_was_put_back_makes_nobody_wait():
    until = NOW + timedelta(seconds=5)
    assert remaining(until, NOW, 60) == 5
    assert remaining(until, NOW - timedelta(days=1), 60) == 0
    assert remaining(until, NOW + timedelta(days=1), 60) == 0
    assert remaining(None, NOW, 60) == 0
