"""Many traces, each talking with one engine in turns, held together so that the engine's batch stays full.

A dialogue is a generator: it yields requests (or texts to be scored), is sent what came of them, and returns its result.
It reads like the algorithm for one trace; `hold` runs any number of them at once. Nothing waits for a wave to end: a
dialogue's next requests enter as soon as its last ones are answered.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from dto_jobs.stage import Completion, Engine, Request

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Score:
    """Texts whose mean log-probability a dialogue wants to know, as (prompt, continuation)."""

    texts: tuple[tuple[str, str], ...]


Turn = Sequence[Request] | Score
Dialogue = Generator[Turn, Any, Result]
"""Is sent a list of completions in the order of its requests, or a list of log-probabilities."""

SCORES_AT_ONCE = 64


@runtime_checkable
class Charged(Protocol):
    """An engine that wants to know for which dialogue it works."""

    def charge(self, place: int, items: int = 0) -> None:
        """Hear that the dialogue at `place` goes on, and that the `items` oldest uncharged completions or scores were for it."""


@dataclass
class _Open(Generic[Result]):
    """A dialogue under way: its place in the order, and what it waits for."""

    place: int
    dialogue: Dialogue[Result]
    waiting: dict[str, Completion | None] = field(default_factory=dict)


class _Hall(Generic[Result]):
    """Where dialogues wait for the engine."""

    def __init__(self, dialogues: Iterable[Dialogue[Result]], engine: Engine) -> None:
        self._coming = enumerate(dialogues)
        self._engine = engine
        self._ready: deque[Request] = deque()
        self._asked: dict[str, _Open[Result]] = {}
        self._scores: list[tuple[_Open[Result], Score]] = []
        self.charge: Callable[..., None] = engine.charge if isinstance(engine, Charged) else _unheard
        self.results: dict[int, Result] = {}

    def feed(self, free: int) -> list[Request]:
        """Hand out requests that are ready; open further dialogues only when the open ones leave places free."""
        while len(self._ready) < free and self._stir():
            """Goes on until there is enough, or all that is left waits for the engine."""
        return [self._ready.popleft() for _ in range(min(free, len(self._ready)))]

    def hear(self, completion: Completion) -> None:
        """Pass a completion to its dialogue, which goes on once it has all it asked for."""
        one = self._asked.pop(completion.key)
        self.charge(one.place, 1)
        one.waiting[completion.key] = completion
        if all(one.waiting.values()):
            answers = list(one.waiting.values())
            one.waiting = {}
            self._advance(one, answers)

    def _open_next(self) -> bool:
        place, dialogue = next(self._coming, (0, None))
        if dialogue is None:
            return False
        self.charge(place)
        self._advance(_Open(place, dialogue), None)
        return True

    def _stir(self) -> bool:
        """Do one thing that may lead to requests: score a full batch, open a dialogue, or score what there is.

        The last only once as many dialogues wait for it as for completions, lest scores be computed one by one.
        """
        if len(self._scores) >= SCORES_AT_ONCE:
            return self._score()
        return self._open_next() or (len(self._scores) >= max(1, len(self._asked)) and self._score())

    def _score(self) -> bool:
        waiting, self._scores = self._scores, []
        values = (
            iter(self._engine.score([text for _, score in waiting for text in score.texts])) if waiting else iter(())
        )
        for one, score in waiting:
            self.charge(one.place, len(score.texts))
            self._advance(one, [next(values) for _ in score.texts])
        return bool(waiting)

    def _advance(self, one: _Open[Result], answers: Any) -> None:  # noqa: ANN401 - completions or log-probabilities, as was asked
        try:
            turn = one.dialogue.send(answers)
            while not isinstance(turn, Score) and not turn:
                turn = one.dialogue.send([])
        except StopIteration as end:
            self.results[one.place] = end.value
            return
        if isinstance(turn, Score):
            self._scores.append((one, turn))
            return
        one.waiting = {request.key: None for request in turn}
        assert len(one.waiting) == len(turn), "a key names one sample"
        self._asked.update(dict.fromkeys(one.waiting, one))
        # A dialogue's follow-up goes first: its shared beginning is still warm, and few stay open.
        self._ready.extendleft(reversed(turn))


def hold(dialogues: Iterable[Dialogue[Result]], engine: Engine) -> Iterator[Result]:
    """Yield each dialogue's result, in the order of the dialogues."""
    hall = _Hall(dialogues, engine)
    place = 0
    for completion in engine.complete(hall.feed):
        hall.hear(completion)
        while place in hall.results:
            # Whatever the stage counts for this result is on its account, not on that of whoever spoke last.
            hall.charge(place)
            yield hall.results.pop(place)
            place += 1
    for left in sorted(hall.results):
        hall.charge(left)
        yield hall.results.pop(left)


def _unheard(place: int, items: int = 0) -> None:
    """Be told, and need not know."""
    del place, items
