"""When a training has gone wrong for good: its loss is no number, has exploded, or the chosen responses have become improbable."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from dto_jobs.settings import Settings


class Guard(Settings):
    """When a training is stopped: means over a window of logged steps, compared with the window at its start."""

    enabled: bool = True
    """False: a training is stopped only by a loss that is no number."""
    window: int = Field(default=10, ge=1, le=1000)
    """Logged steps that are averaged, so that one hard batch stops nothing; a training of fewer than twice as many is only stopped by
    a loss that is no number."""
    loss_factor: float = Field(default=3.0, gt=1)
    """The loss may grow to this times its start. A healthy one falls; a batch is rarely twice as hard as another."""
    chosen_fall: float = Field(default=3.0, gt=0)
    """The chosen responses' mean log-probability per token may fall by this much, in nats. A preference can be won by making the
    rejected responses unlikely and the chosen ones with them; after a fall of 3 a token that was certain has 5 %, and the model has
    lost what it could."""


def gone_wrong(log: Sequence[Mapping[str, float]], guard: Guard) -> str | None:
    """Return what is wrong with a training by its log so far, None for nothing; the log's last entry is the newest.

    Entries hold `loss`, and may hold `gradientNorm` and `chosen`, a mean log-probability per token.
    """
    newest = log[-1]
    for name, word in (("loss", "loss"), ("gradientNorm", "norm of the gradient")):
        if not math.isfinite(newest.get(name, 0.0)):
            return f"its {word} is {newest[name]}"
    if not guard.enabled or len(log) < 2 * guard.window:
        return None
    start, now = log[: guard.window], log[-guard.window :]
    before, loss = _mean(start, "loss"), _mean(now, "loss")
    # A loss that starts near zero may grow many times and still be small.
    if loss > guard.loss_factor * max(before, 0.1):
        return f"its loss went from {before:.3g} to {loss:.3g} (means of {guard.window} logged steps)"
    chosen = [_mean(part, "chosen") for part in (start, now)] if "chosen" in newest else [0.0, 0.0]
    if chosen[0] - chosen[1] > guard.chosen_fall:
        return (
            f"the chosen responses' mean log-probability fell from {chosen[0]:.3g} to {chosen[1]:.3g} "
            f"(means of {guard.window} logged steps)"
        )
    return None


def _mean(log: Sequence[Mapping[str, float]], name: str) -> float:
    return fmean(entry[name] for entry in log)
