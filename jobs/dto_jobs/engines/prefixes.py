"""Beginnings that requests of one family share, kept so that they are computed once."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

TAIL = 48
"""A beginning is forgotten where a new one covers all but so many of its tokens: an exit pattern's length or so."""


@dataclass(frozen=True, eq=False, slots=True)
class Beginning:
    """Tokens of a text and their keys and values."""

    tokens: Sequence[int]
    cache: torch.Tensor

    @property
    def size(self) -> int:
        """Bytes of memory held."""
        return int(self.cache.numel() * self.cache.element_size())


def shared(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many tokens (or characters) two texts have in common from their start, by bisection over slices."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Prefixes:
    """Beginnings by family, the family unused for longest forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._families: OrderedDict[str, list[Beginning]] = OrderedDict()
        self.size = 0

    def find(self, family: str, tokens: Sequence[int]) -> tuple[int, torch.Tensor | None]:
        """Return how many of the tokens are known, and their keys and values."""
        if family not in self._families:
            return 0, None
        self._families.move_to_end(family)
        length, best = max(
            ((shared(one.tokens, tokens), one) for one in self._families[family]), key=lambda found: found[0]
        )
        return length, best.cache[:, :, :length]

    def add(self, family: str, beginning: Beginning) -> None:
        """Remember a beginning; forget those of its family that it covers, and old families where memory is full."""
        if not family or beginning.size > self._limit:
            return
        kept = self._families.setdefault(family, [])
        if any(shared(one.tokens, beginning.tokens) >= len(beginning.tokens) for one in kept):
            return
        for one in [one for one in kept if shared(one.tokens, beginning.tokens) >= len(one.tokens) - TAIL]:
            kept.remove(one)
            self.size -= one.size
        kept.append(beginning)
        self.size += beginning.size
        self._families.move_to_end(family)
        self._forget()

    def _forget(self) -> None:
        while self.size > self._limit:
            family, kept = next(iter(self._families.items()))
            self.size -= kept.pop(0).size
            if not kept:
                del self._families[family]
