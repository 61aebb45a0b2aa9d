"""The natural ending: of the ways to finish from the exit, the shortest that is right (method.md 4)."""

from collections.abc import Sequence
from typing import NamedTuple


class Ending(NamedTuple):
    """A way to finish: its text after the finalize pattern, its tokens, and whether its answer was right."""

    text: str
    tokens: int
    correct: bool


def shortest_correct(endings: Sequence[Ending]) -> Ending | None:
    """Return the correct ending with the fewest tokens, the earliest among equals; None where none is correct."""
    return min((ending for ending in endings if ending.correct), key=lambda ending: ending.tokens, default=None)
