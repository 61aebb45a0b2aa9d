"""What an engine's work costs, counted where it passes through, and on whose account it was done."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan
from time import perf_counter

from dto_jobs.core.cost import ModelShape, Spend, inference, total
from dto_jobs.stage import Completion, Engine, Feed, Ports, Request


@dataclass
class Account:
    """What one input of a stage has taken so far, and what was counted for it."""

    spends: list[Spend] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class MeteredEngine:
    """An engine that keeps account: tokens and FLOPs of every completion and score, seconds spent inside the engine.

    Many inputs are worked on at once. `charge` says for whom, so that an input's account holds its own work and no other's,
    wherever a part ends.
    """

    def __init__(self, opened: Callable[[], Engine]) -> None:
        start = perf_counter()
        self._engine = engine = opened()
        self.shape: ModelShape = engine.shape
        self.thinking: bool = engine.thinking
        self.continuous: bool = engine.continuous
        self._total = Spend()
        self._before = 0.0
        self._accounts: dict[int, Account] = {}
        self._nobody = self._account = Account()
        self._uncharged: deque[Spend] = deque()
        # Importing the engine's libraries and loading the model is the engine's time, too.
        self._seconds = perf_counter() - start

    def charge(self, place: int, items: int = 0) -> None:
        """Put the `items` oldest completions or scores not charged yet, and what is tallied next, on an input's account."""
        self._account = self._accounts.setdefault(place, Account())
        self._account.spends += [self._uncharged.popleft() for _ in range(items)]

    def tally(self, name: str, amount: int) -> None:
        """Add to a count of the account that is charged."""
        self._account.counts[name] += amount

    def pay(self, spend: Spend) -> None:
        """Put what another model took on the account that is charged."""
        self._account.spends.append(spend)
        self._total += spend.model_copy(update={"seconds": 0.0})

    def settled(self, place: int) -> tuple[Spend, Counter[str]]:
        """Close an input's account: return what is on it, and the seconds since an account was last closed.

        What nobody was charged for (a stage may hold no dialogues) goes with the input that is finished next.
        """
        account = self._accounts.pop(place, Account())
        seconds, self._seconds = self._seconds, 0.0
        self._before += seconds
        spend = total([*account.spends, *self._nobody.spends, *self._uncharged, held(seconds)])
        counts = account.counts + self._nobody.counts
        self._nobody = self._account = Account()
        self._uncharged.clear()
        return spend, counts

    @property
    def total(self) -> Spend:
        """All that was spent in this process."""
        return self._total + held(self._before + self._seconds)

    def taken(self) -> Spend:
        """Return what was spent since the last call, whosever account it is on."""
        open_accounts = [one for account in self._accounts.values() for one in account.spends]
        self._accounts = {}
        return total([*open_accounts, self.settled(0)[0]])

    def render(self, question: str) -> str:
        """Pass on."""
        return self._engine.render(question)

    def count(self, text: str) -> int:
        """Pass on."""
        return self._engine.count(text)

    def complete(self, feed: Feed) -> Iterator[Completion]:
        """Pass on, counting each completion and the time that is the engine's own."""

        def timed_feed(free: int) -> Sequence[Request]:
            # What dialogues do when asked (grading, segmentation) is not the engine's time.
            start = perf_counter()
            requests = feed(free)
            self._seconds -= perf_counter() - start
            return requests

        completions = self._engine.complete(timed_feed)
        while True:
            start = perf_counter()
            completion = next(completions, None)
            self._seconds += perf_counter() - start
            if completion is None:
                return
            self._spend(
                inference(
                    self.shape,
                    prompt=completion.prompt_tokens,
                    cached=completion.cached_tokens,
                    generated=completion.tokens,
                )
            )
            yield completion

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Pass on, counting the texts as computed prompts; those that could not be scored took nothing."""
        start = perf_counter()
        scores = self._engine.score(texts)
        self._seconds += perf_counter() - start
        for (first, then), score in zip(texts, scores, strict=True):
            tokens = 0 if isnan(score) else self._engine.count(first) + self._engine.count(then)
            self._spend(inference(self.shape, prompt=tokens, generated=0))
        return scores

    def _spend(self, spend: Spend) -> None:
        self._uncharged.append(spend)
        self._total += spend


def held(seconds: float) -> Spend:
    """Return what so much time takes: itself, and the time of the GPUs that this process holds."""
    torch = sys.modules.get("torch")  # a process that has not loaded it holds none
    gpus = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    # Feeding may for a moment have been counted before the engine's time around it.
    return Spend(seconds=max(0.0, seconds), gpu_seconds=max(0.0, seconds) * gpus)


@dataclass(frozen=True)
class MeteredPorts(Ports):
    """Ports whose counts go to the account of the input that is worked on."""

    engine: MeteredEngine

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a count of the receipt."""
        self.engine.tally(name, amount)

    def pay(self, spend: Spend) -> None:
        """Take what another model than the engine's took into the receipt."""
        self.engine.pay(spend)
