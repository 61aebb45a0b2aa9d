"""How fast the operator may ask: a bucket that fills with a request at a time, from which every request takes one."""

import threading
import time
from collections.abc import Callable

BURST_SECONDS = 2.0
"""What was not asked for is saved up so long: an hour of silence allows no storm."""


class Pace:
    """Lets so many requests through per second, on average; whoever comes too early waits for its turn."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second, self._clock, self._sleep = per_second, clock, sleep
        self._burst = max(1.0, per_second * BURST_SECONDS)
        self._held, self._since = self._burst, clock()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may be sent."""
        with self._lock:
            now = self._clock()
            self._held = min(self._burst, self._held + (now - self._since) * self._per_second) - 1
            self._since = now
            # What is owed is waited for outside of the lock: turns are given in the order of asking.
            owed = -self._held / self._per_second
        if owed > 0:
            self._sleep(owed)
