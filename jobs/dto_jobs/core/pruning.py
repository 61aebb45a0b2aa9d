"""Which patterns may go: proposals are checked, never trusted (method.md 5).

Both searches are generators: they yield a set of kept patterns to be checked, are sent whether answers stay right with just
those, and return the smallest set that passed. A wrong proposal costs checks and savings, never correctness.
"""

from collections.abc import Collection, Generator, Sequence

Kept = tuple[int, ...]
Check = Generator[Kept, bool, Kept]


def candidates(count: int) -> range:
    """Return the patterns that may be dropped: all but the last, which holds what the answer follows from."""
    return range(max(0, count - 1))


def leave_one_out(count: int) -> Check:
    """Try each candidate in turn, on top of what was dropped before: the training-free check without a judge."""
    kept = tuple(range(count))
    for pattern in candidates(count):
        trial = tuple(index for index in kept if index != pattern)
        if (yield trial):
            kept = trial
    return kept


def verified(count: int, proposed: Collection[int], *, bisect: bool = True) -> Check:
    """Drop what a judge proposed as far as the check lets it: all at once, else by halves (or not at all)."""
    drops = [index for index in candidates(count) if index in proposed]
    kept = tuple(range(count))
    if not drops:
        return kept
    return (yield from _drop(kept, drops, bisect=bisect))


def _drop(kept: Kept, drops: Sequence[int], *, bisect: bool) -> Check:
    trial = tuple(index for index in kept if index not in drops)
    if (yield trial):
        return trial
    if not bisect or len(drops) == 1:
        return kept
    middle = len(drops) // 2
    kept = yield from _drop(kept, drops[:middle], bisect=True)
    return (yield from _drop(kept, drops[middle:], bisect=True))
