"""A reasoner without weights: it answers graded sums by rule, so that all but a model can be tried and tested.

It thinks aloud about "Compute 12+5-3." in patterns, knows the answer with a probability that grows with the patterns it
has seen, and may talk itself out of it. Chance is a hash of the request's key: the same request, the same words.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Sequence

from dto_jobs.core.cost import ModelShape
from dto_jobs.core.segmentation import CLOSE
from dto_jobs.prompts import exit_pattern, finalize_pattern
from dto_jobs.stage import Completion, Feed, Request

PLACES = 16
TASK = re.compile(r"Compute ([-+\d]+)\.")
TERM = re.compile(r"[-+]?\d+")
OPENERS = (
    "Wait, let me check that again.",
    "Hmm, is that really so?",
    "Let me check the signs.",
    "Alternatively, I add the other way.",
)


class Chance:
    """Numbers drawn from a key."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._drawn = 0

    def draw(self) -> float:
        """Return the next number in [0, 1)."""
        self._drawn += 1
        digest = hashlib.sha256(f"{self._key}/{self._drawn}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56

    def pick(self, choices: Sequence[str]) -> str:
        """Return one of the choices."""
        return choices[int(self.draw() * len(choices))]


class SumsReasoner:
    """An engine that reasons about sums by rule."""

    thinking = True
    shape = ModelShape(parameters=800_000, layers=4, width=128)

    def __init__(self, delay_seconds: float = 0.0, *, continuous: bool = False) -> None:
        self._delay = delay_seconds
        self.continuous = continuous

    def render(self, question: str) -> str:
        """Return a prompt that opens the thinking."""
        return f"user: {question}\nassistant: <think>\n"

    def count(self, text: str) -> int:
        """Return the number of words and marks."""
        return len(re.findall(r"\w+|\S", text))

    def complete(self, feed: Feed) -> Iterator[Completion]:
        """Yield completions in the order of the requests."""
        while requests := feed(PLACES):
            for request in requests:
                time.sleep(self._delay)
                yield self._completion(request)

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Return the same for every text: this reasoner finds nothing surprising."""
        return [-0.5 for _ in texts]

    def _completion(self, request: Request) -> Completion:
        words = re.findall(r"\s*\S+", self._text(request))
        text = "".join(words[: request.max_tokens])
        prompt = self.count(request.prompt)
        return Completion(
            request.key,
            text,
            min(len(words) + 1, request.max_tokens),
            prompt,
            0,
            finished=len(words) < request.max_tokens,
        )

    def _text(self, request: Request) -> str:
        chance = Chance(request.key)
        task = TASK.search(request.prompt)
        right = sum(int(term) for term in TERM.findall(task[1])) if task else 0
        thought = request.prompt.rpartition("<think>\n")[2]
        if thought:
            believed = _stated(thought, right) if chance.draw() < 0.95 else right + 10
            return (
                f"{believed}}}"
                if request.prompt.endswith(exit_pattern(thinking=True))
                else f"**Final Answer**\n\\boxed{{{believed}}}"
            )
        return _response(right, chance)


def _stated(thought: str, right: int) -> int:
    """Return the last result the thinking states."""
    results = re.findall(r"This gives (-?\d+)", thought.removesuffix(CLOSE))
    return int(results[-1]) if results else right + 1


def _response(right: int, chance: Chance) -> str:
    first = right if chance.draw() < 0.6 else right + 10
    patterns = [f"First, I go from left to right. This gives {first}."]
    while chance.draw() < 0.8 and len(patterns) < 16:
        opener = chance.pick(OPENERS)
        result = right if chance.draw() < 0.85 else right - 10
        patterns.append(f"{opener} I add them one by one. This gives {result}.")
    believed = _stated(patterns[-1], right)
    return "\n\n".join(patterns) + finalize_pattern(thinking=True) + f"**Final Answer**\n\\boxed{{{believed}}}"
