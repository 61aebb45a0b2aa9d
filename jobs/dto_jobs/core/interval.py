"""A measured value and how far it can be trusted."""

from typing import Annotated, Self

from pydantic import ConfigDict, PlainSerializer

from dto_jobs.core.records import Record


def rounded(value: float) -> float:
    """Return the value to five significant digits: more are noise, and results must stay small."""
    return float(f"{value:.5g}")


Figure = Annotated[float, PlainSerializer(rounded, when_used="json")]
"""A number that is rounded where it is written, not where it is computed with."""


class Interval(Record):
    """A value and the interval around it; without bounds where a single cluster tells nothing of its spread."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    value: Figure
    """The value."""
    low: Figure | None = None
    """Lower bound, with 95 % confidence."""
    high: Figure | None = None
    """Upper bound, with 95 % confidence."""
    n: int
    """Clusters it rests on."""

    def clipped(self, least: float, most: float) -> Self:
        """Return the interval with its bounds moved into the range that its value can have."""
        if self.low is None or self.high is None:
            return self
        return self.model_copy(update={"low": max(least, self.low), "high": min(most, self.high)})
