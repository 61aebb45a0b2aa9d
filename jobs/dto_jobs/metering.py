"""What an engine's work costs, counted where it passes through."""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

from dto_jobs.core.cost import ModelShape, Spend, inference
from dto_jobs.stage import Completion, Engine, Feed, Request


class MeteredEngine:
    """An engine that keeps account: tokens and FLOPs of every completion and score, seconds spent inside the engine."""

    def __init__(self, opened: Callable[[], Engine]) -> None:
        start = perf_counter()
        self._engine = engine = opened()
        self.shape: ModelShape = engine.shape
        self.thinking: bool = engine.thinking
        self._spends: list[Spend] = []
        # Importing the engine's libraries and loading the model is the engine's time, too.
        self._seconds = perf_counter() - start
        self.tokens = 0
        """Tokens generated since the last `taken`."""

    def taken(self) -> Spend:
        """Return what was spent since the last call."""
        spend = sum(self._spends, Spend(seconds=self._seconds))
        self._spends, self._seconds, self.tokens = [], 0.0, 0
        return spend

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
            self.tokens += completion.tokens
            self._spends.append(
                inference(
                    self.shape,
                    prompt=completion.prompt_tokens,
                    cached=completion.cached_tokens,
                    generated=completion.tokens,
                )
            )
            yield completion

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Pass on, counting the texts as computed prompts."""
        start = perf_counter()
        scores = self._engine.score(texts)
        self._seconds += perf_counter() - start
        self._spends += [
            inference(self.shape, prompt=self._engine.count(first + then), generated=0) for first, then in texts
        ]
        return scores
