"""Runs that are to be looked at: one worker at a time for each, however many events there were."""

import heapq
import threading
import time
from collections.abc import Callable

FIRST_WAIT, LONGEST_WAIT = 0.2, 60.0


class WorkQueue:
    """A queue of keys. Who is in it is in it once; who is worked on is not given out again before that is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: dict[str, float] = {}
        self._working: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._closed = False
        self._changed = threading.Condition()

    def add(self, key: str) -> None:
        """Have a key looked at as soon as may be."""
        with self._changed:
            self._add(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Have it looked at after some seconds; what is due earlier stays so."""
        with self._changed:
            due = self._clock() + seconds
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._later, (due, key))
                self._changed.notify()

    def take(self) -> str | None:
        """Wait for a key and return it; None when the queue is closed. `done` or `failed` gives it back."""
        with self._changed:
            while not self._closed:
                self._ripen()
                key = next((key for key in self._ready if key not in self._working), None)
                if key is not None:
                    del self._ready[key]
                    self._working.add(key)
                    return key
                self._changed.wait(self._pause())
            return None

    def done(self, key: str) -> None:
        """Give a key back that was looked at."""
        with self._changed:
            self._failures.pop(key, None)
            self._working.discard(key)
            self._changed.notify()

    def failed(self, key: str) -> float:
        """Give a key back that could not be worked on, and return after how many seconds it is tried again."""
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            self._working.discard(key)
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 32))
        self.add_later(key, wait)
        return wait

    def forget(self, key: str) -> None:
        """Drop a key that is no more."""
        with self._changed:
            self._ready.pop(key, None)
            self._due.pop(key, None)
            self._failures.pop(key, None)

    def close(self) -> None:
        """Let everybody who waits go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        with self._changed:
            return len(self._ready)

    @property
    def oldest_seconds(self) -> float:
        """How long the key that waits longest has been waiting."""
        with self._changed:
            now = self._clock()
            return now - min(self._ready.values(), default=now)

    def _add(self, key: str) -> None:
        if key not in self._ready:
            self._ready[key] = self._clock()
            self._changed.notify()

    def _ripen(self) -> None:
        """Move what is due to what is ready."""
        while self._later and self._later[0][0] <= self._clock():
            due, key = heapq.heappop(self._later)
            # An entry that is not the key's own date was overtaken by an earlier one, or its key is no more.
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key)

    def _pause(self) -> float | None:
        return max(0.0, self._later[0][0] - self._clock()) if self._later else None
