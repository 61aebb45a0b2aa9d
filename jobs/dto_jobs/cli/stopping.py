"""What Ctrl-C does: once it ends the run in good order, twice at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from dto_jobs.errors import InterruptedRunError

AT_ONCE = "stopped at once; what was committed is kept, and the same command goes on from there"


@contextmanager
def stopping_softly(err: Console) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C finish and commit the part at work, and the second stop at once."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise InterruptedRunError(AT_ONCE)
        asked = True
        err.print("finishing the part at work, then stopping (Ctrl-C again stops at once)")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
