"""How a trace reads when its thinking stops somewhere."""

from collections.abc import Iterable, Sequence


def joined(patterns: Sequence[str], kept: Sequence[int], *, begins: bool = True) -> str:
    """Return the text of the kept patterns, of a trace's beginning or (`begins=False`) of a later part.

    A pattern carries the white space before its cue, which has no place at the beginning of the thinking.
    """
    text = "".join(patterns[index] for index in kept)
    return text.lstrip() if begins and kept and kept[0] else text


def stopped(patterns: Iterable[str], closing: str) -> str:
    """Return the thinking of these patterns followed by closing words.

    Where the thinking already ends in the closing's first line (the model settled by itself), it is not said twice.
    """
    words = closing.strip().split("\n", 1)[0]
    thinking = "".join(patterns).rstrip()
    return thinking.removesuffix(words).rstrip() + closing
