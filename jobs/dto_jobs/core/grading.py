"""Right or wrong: the answer of a text against the gold answer, by equality and never by containment."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, Protocol

from dto_jobs.core import answers
from dto_jobs.core.answers import boxed
from dto_jobs.core.equality import Equality
from dto_jobs.errors import InputError

__all__ = ["ChoiceGrader", "Grade", "Grader", "MathGrader", "TextGrader", "boxed", "grade", "grader"]

PLUGINS = "dto.graders"
"""Entry points of this group add graders: a name, and a callable without arguments that returns a `Grader`."""


class Grade(NamedTuple):
    """What a grader says about a text."""

    correct: bool
    answer: str
    """The answer it read; empty for none."""


class Grader(Protocol):
    """Something that finds the answer in a text and compares it with the gold one."""

    def extract(self, text: str) -> str:
        """Return the last answer that the text gives, empty for none."""

    def equal(self, answer: str, gold: str) -> bool:
        """Say whether the answer is the gold answer, however it is written."""


def grade(grader: Grader, text: str | None, gold: str) -> Grade:
    """Grade the part of a response that may hold its answer; no such part (None) and no answer in it are wrong."""
    answer = grader.extract(text) if text else ""
    return Grade(bool(answer) and grader.equal(answer, gold), answer)


@cache
def grader(name: str) -> Grader:
    """Return the grader of that name: `math`, `choice`, `text` or a plug-in. Raises InputError for an unknown name."""
    if name in BUILT_IN:
        return BUILT_IN[name]()
    # Imported here: it reads what is installed, which no run without a plug-in needs.
    from importlib.metadata import entry_points  # noqa: PLC0415 - as said above

    plugins = entry_points(group=PLUGINS)
    if name in plugins.names:
        plugin: Grader = plugins[name].load()()
        return plugin
    known = ", ".join([*BUILT_IN, *sorted(plugins.names)])
    raise InputError(
        f"unknown grader {name!r}: choose one of {known}, or install a package with an entry point in {PLUGINS!r}"
    )


class MathGrader:
    """Mathematics: exact values and structure first, computer algebra (math-verify) for what they cannot decide."""

    def extract(self, text: str) -> str:
        """Return the last boxed answer, or else the last one stated in words."""
        return answers.last_boxed(text) or answers.stated(text)

    def equal(self, answer: str, gold: str) -> bool:
        """Say whether two answers have the same value; 50% equals both 50 and 0.5, as in math-verify."""
        return Equality().holds(answer, gold)


class ChoiceGrader:
    """Multiple choice: one letter."""

    def extract(self, text: str) -> str:
        """Return the letter that was chosen last."""
        return answers.last_choice(text)

    def equal(self, answer: str, gold: str) -> bool:
        """Say whether both are the same letter."""
        return answers.letter(answer) == answers.letter(gold) != ""


class TextGrader:
    """Exact text, whatever its spaces and case."""

    def extract(self, text: str) -> str:
        """Return the last boxed text, or else the last line."""
        return answers.last_text(text)

    def equal(self, answer: str, gold: str) -> bool:
        """Say whether both are the same text."""
        return answer.casefold().split() == gold.casefold().split()


BUILT_IN: dict[str, Callable[[], Grader]] = {"math": MathGrader, "choice": ChoiceGrader, "text": TextGrader}
