"""What every stage looks like, and the ports it may ask for: an engine, a judge, a trainer."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import Field

from dto_jobs.core.cost import ModelShape, Spend
from dto_jobs.core.records import Pair, Record
from dto_jobs.core.verdicts import Verdict
from dto_jobs.job_settings import ShardedJobSettings, TrainingJobSettings
from dto_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """A text to be completed.

    `key` names the sample and seeds its chance: the same key, prompt and settings give the same completion in any batch.
    `family` names requests that share a beginning (the exits of one trace), so that an engine computes it once.
    """

    key: str
    prompt: str
    max_tokens: int
    temperature: float = 0.6
    top_p: float = 0.95
    stop: tuple[str, ...] = ()
    family: str = ""
    trace: str = ""
    """Where the prompt continues a trace that was cut: the whole trace from its prompt on, whose tokens before the cut are kept."""
    schema: str = ""
    """JSON schema the completion must keep to, for engines that can hold a model to one; others let it say what it likes."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of a request. Token counts include the end mark; `cached_tokens` of the prompt were not computed again."""

    key: str
    text: str
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    finished: bool


Feed = Callable[[int], Sequence[Request]]
"""Asked with the number of free places; returns at most so many requests, none while nothing is ready."""


class Engine(Protocol):
    """Something that completes texts with one model."""

    shape: ModelShape
    thinking: bool
    """The model marks its thinking with `<think>` and `</think>`."""
    continuous: bool
    """Fed with all inputs of a stage in one `complete`, its batch never draining between parts. For engines whose results
    may differ by rounding from batch to batch anyway; others get each part by itself, and give the same bits on resume."""

    def render(self, question: str) -> str:
        """Return the chat template rendered to text, ending where the response starts, thinking opened."""

    def count(self, text: str) -> int:
        """Return how many tokens the text is, without special tokens added."""

    def complete(self, feed: Feed) -> Iterator[Completion]:
        """Yield completions as they finish, asking `feed` whenever places are free; end when it has nothing and none runs."""

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Return for each (prompt, continuation) the mean natural log-probability of the continuation's tokens."""


@dataclass(frozen=True, slots=True)
class Review:
    """A judge's word on one trace: at most one verdict per pattern, ids from 1; a pattern without one is kept."""

    verdicts: tuple[Verdict, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Patterns by what befell them: `unreadable`, `missing`, `contradictory`, `unknown_id`, `too_long`; `remembered`."""
    spend: Spend = field(default_factory=Spend)
    """The judge's tokens, and its FLOPs where they are known."""


class Judge(Protocol):
    """Something that says which patterns of a trace contribute."""

    def review(self, traces: Sequence[tuple[str, Sequence[str]]]) -> list[Review]:
        """Return a review of each (question, patterns), in that order; asked of many at once, a judge's batch stays full."""


class Memory(Protocol):
    """Keeps short texts by name, beyond this process."""

    def get(self, name: str) -> str | None:
        """Return what was kept under a name; None for nothing."""

    def put(self, name: str, text: str) -> None:
        """Keep a text."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a trainer made: the folder with the model, what it took, and the figures for receipt and report."""

    folder: Path
    spend: Spend
    figures: dict[str, Any]


class Trainer(Protocol):
    """Something that teaches a model from pairs."""

    def train(
        self,
        pairs: Sequence[Pair],
        settings: Any,  # noqa: ANN401 - the training stage's own settings
        workspace: Path,
        note: Callable[[dict[str, float]], None],
        seed: int,
    ) -> Trained | None:
        """Train and save the model; `workspace` outlives a killed process, `note` hears each logged step.

        None where this machine is one of several, and another of them has the model.
        """


@dataclass(frozen=True)
class Ports:
    """What the runner lends a stage while it works."""

    engine: Engine
    judge: Judge | None = None
    seed: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Things counted for the receipt, by name: exits found, unreadable verdicts …"""
    paid: list[Spend] = field(default_factory=list)
    """What other models than the engine's took."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a count of the receipt."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def pay(self, spend: Spend) -> None:
        """Take what another model than the engine's took into the receipt."""
        self.paid.append(spend)


class Stage(Settings):
    """One step of a run that turns records into records: its fields are its settings, `run` is what it does."""

    reads: ClassVar[type[Record]]
    writes: ClassVar[type[Record]]
    part: ClassVar[int] = 512
    """Inputs whose outputs are committed together: what a killed stage loses at most."""

    # Left out of every dump: results do not depend on it, so content keys must not either.
    job: ShardedJobSettings = Field(default=ShardedJobSettings(), exclude=True)
    """The stage's Jobs on a cluster; a run on one machine reads past it."""

    @classmethod
    def group(cls, record: Any) -> str | None:  # noqa: ANN401 - the stage's own input
        """Return what a record must stay together with in one part; None: with nothing."""
        del record
        return None

    @abstractmethod
    def run(self, records: Iterable[Any], ports: Ports) -> Iterator[Sequence[Record]]:
        """Yield, for each record read and in the same order, the records that come of it."""


class ModelStage(Settings):
    """One step of a run that turns pairs into a model: its fields are its settings, the trainer does it."""

    reads: ClassVar[type[Record]] = Pair

    job: TrainingJobSettings = Field(default=TrainingJobSettings(), exclude=True)
    """The stage's Job on a cluster; a run on one machine reads past it."""
