"""How a trace reads when its thinking stops somewhere."""

from collections.abc import Iterable


def stopped(patterns: Iterable[str], closing: str) -> str:
    """Return the thinking of these patterns followed by closing words.

    Where the thinking already ends in the closing's first line (the model settled by itself), it is not said twice.
    """
    words = closing.strip().split("\n", 1)[0]
    thinking = "".join(patterns).rstrip()
    return thinking.removesuffix(words).rstrip() + closing
