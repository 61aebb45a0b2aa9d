"""When a step is tried again: two budgets, one for its own failures and one for losses that are not its fault."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dto_jobs.job_settings import Retry
from dto_operator.status import Attempts

Account = Literal["application", "infrastructure", "nobody"]
"""Who pays for an attempt that ended: the step, the machines, or nobody, as when a person suspended the run."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before another attempt, in seconds: twice as long each time, and never longer than the longest."""

    first: float
    longest: float

    def seconds(self, number: int, seed: str) -> float:
        """Return how long to wait after the `number`-th charge; the same for the same seed, and spread over all seeds.

        Spread by up to a quarter, so that runs which one node took down together do not come back together.
        """
        spread = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]) / 2**32
        return min(self.longest, self.first * 2.0 ** min(number - 1, 30)) * (0.75 + spread / 4)


BACKOFF: Mapping[Account, Backoff] = {
    # The same mistake twice is likely: time for whatever it was to pass.
    "application": Backoff(10.0, 360.0),
    # Another machine is tried at once, nearly; a cluster in trouble is left alone ever longer.
    "infrastructure": Backoff(2.0, 240.0),
}


LONGEST_WAIT = max(pause.longest for pause in BACKOFF.values()) + 2
"""A wait for an attempt is never longer: where it seems so, the clock was put back."""


def charged(attempts: Attempts, account: Account, losses: int = 0) -> Attempts:
    """Return what is on the accounts after an attempt ended; `losses` are pods of it that were replaced in between."""
    return attempts.model_copy(
        update={
            "counted": attempts.counted + (account == "application"),
            "infrastructure": attempts.infrastructure + (account == "infrastructure") + losses,
        }
    )


def overdrawn(attempts: Attempts, retry: Retry) -> str | None:
    """Return which budget is used up, as a person finds it in the run; None while there is something left in both."""
    if attempts.counted > retry.application:
        return f"job.retry.application is {retry.application}"
    if attempts.infrastructure > retry.infrastructure:
        return f"job.retry.infrastructure is {retry.infrastructure}"
    return None


def next_attempt(now: datetime, attempts: Attempts, account: Account, seed: str) -> datetime | None:
    """Return when to try again what has just ended; None for at once."""
    if account == "nobody":
        return None
    number = attempts.counted if account == "application" else attempts.infrastructure
    wait = BACKOFF[account].seconds(max(1, number), f"{seed}/{attempts.total}")
    # Whole seconds, since that is what a status holds; rounded up, so that no wait becomes none.
    return (now + timedelta(seconds=wait + 0.999)).replace(microsecond=0)


def remaining(until: datetime | None, now: datetime, longest: float) -> float:
    """Return the seconds left to wait; none where the clock was put back so far that they make no sense any more."""
    left = (until - now).total_seconds() if until else 0.0
    return left if 0 < left <= longest else 0.0
