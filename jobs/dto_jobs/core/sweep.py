"""A small sweep: which settings are tried, on which problems they are compared, and which are chosen."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.alias_generators import to_camel

from dto_jobs.core.results import Gate
from dto_jobs.rules import Rule
from dto_jobs.settings import Settings

MOST = 16
"""Candidates: each is a training of its own, and the more are compared the more luck the best one had."""
SWEPT = ("beta", "gamma_ratio", "learning_rate", "nll")
_SIZES = " * ".join(
    f"(has(self.{name}) && size(self.{name}) > 0 ? size(self.{name}) : 1)" for name in map(to_camel, SWEPT)
)
Positive = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(max_length=MOST)]
NotNegative = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(max_length=MOST)]


class HeldOut(Settings):
    """Problems that no candidate learns from, and how they are answered to compare candidates."""

    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the training problems that is held out, all pairs of a problem with it."""
    problems: int = Field(default=128, ge=2)
    """At most so many problems."""
    samples: int = Field(default=2, ge=1, le=256)
    """Responses per problem, of the base and of each candidate, with the same luck."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus."""
    max_tokens: int = Field(default=8192, ge=1)
    """Longest response."""


class Sweep(Settings):
    """Every combination of the values named, trained from the same pairs; what is not named stays as in the training's settings."""

    rules: ClassVar = (
        Rule(
            f"name values of beta, gammaRatio, learningRate or nll that make 2 to {MOST} candidates: every combination is a "
            "training of its own",
            lambda sweep: 2 <= len(list(sweep.candidates())) <= MOST,
            f"[{_SIZES}].all(count, count >= 2 && count <= {MOST})",
        ),
    )

    beta: Positive = ()
    """Values of β."""
    gamma_ratio: NotNegative = ()
    """Values of γ/β."""
    learning_rate: Positive = ()
    """Peak learning rates."""
    nll: NotNegative = ()
    """Weights of the chosen's negative log-likelihood."""
    held_out: HeldOut = HeldOut()
    """What the candidates are compared on."""
    gate: Gate = Gate()
    """The rule that chooses, as in spec.gate: a candidate that passes it comes before one that does not."""

    def candidates(self) -> Iterator[dict[str, float]]:
        """Yield the settings of each candidate."""
        named = {name: getattr(self, name) for name in SWEPT if getattr(self, name)}
        for values in product(*named.values()):
            yield dict(zip(named, values, strict=True))


def held_out(problems: Iterable[str], settings: HeldOut, seed: int) -> list[str]:
    """Return the ids of the problems to hold out: an order by hash, so that neither their place nor their pairs matter."""
    known = sorted(set(problems))
    count = max(2, min(settings.problems, round(settings.share * len(known))))
    return sorted(sorted(known, key=lambda name: hashlib.sha256(f"{seed}/held-out/{name}".encode()).digest())[:count])


def chosen(candidates: Sequence[dict[str, Any]]) -> int | None:
    """Return the place of the best candidate, None where every one failed.

    Those that pass the gate come first, then those that miss it by least, then those with the fewest tokens. Each is what
    the report shows of it: `accepted`, `missed` and `tokens`, or `failed`.
    """
    whole = [place for place, one in enumerate(candidates) if "failed" not in one]

    def rank(place: int) -> tuple[bool, float, float]:
        one = candidates[place]
        return not one["accepted"], one["missed"], one["tokens"]["value"]

    return min(whole, key=rank, default=None)
