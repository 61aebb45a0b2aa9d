"""A judge made of a model that answers chats: a served one, or a second one in this process.

Traces are judged in windows that fit the model's context, many windows at once. What a model said is remembered by the
digest of model and question, so that a resumed or repeated stage does not pay for it again. Of an answer only ids and
keep-or-drop are used; what cannot be read counts as keep.
"""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Protocol

from dto_jobs.core.cost import ModelShape, Spend, inference
from dto_jobs.core.segmentation import estimated_tokens
from dto_jobs.core.verdicts import Verdict, parse_verdicts, verdict_schema, windows
from dto_jobs.engines.openai import Answer, Call, Served
from dto_jobs.judges import JudgeSource
from dto_jobs.prompts import JUDGE_INSTRUCTION, judge_prompt
from dto_jobs.stage import Completion, Engine, Memory, Request, Review

VERDICT_TOKENS: Final = 80
"""Room for one verdict with its reason."""
MARK_TOKENS: Final = 16
"""What a pattern's marks and its id take in the question."""
FRAME_TOKENS: Final = 128
"""What the words around problem and patterns take, beside the instruction."""


@dataclass(frozen=True, slots=True)
class Question:
    """A chat to be answered, by the name of its answer; `schema` is the form of the answer, for models that can be held to it."""

    name: str
    messages: Sequence[dict[str, str]]
    max_tokens: int
    schema: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said to a question: None where the question did not fit; and the tokens it took."""

    name: str
    text: str | None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0


class Chat(Protocol):
    """A model that answers chats, many at once."""

    identity: str
    """What tells the model from any other."""
    shape: ModelShape | None
    """Its numbers for FLOPs, where they are known."""

    def count(self, text: str) -> int:
        """Return how many tokens a text is, or is at most."""

    def replies(self, source: Callable[[int], Sequence[Question]]) -> Iterator[Reply]:
        """Yield replies as they come, asking `source` whenever places are free."""


class ServedChat:
    """A served model."""

    shape: ModelShape | None = None

    def __init__(self, served: Served, identity: str) -> None:
        self._served = served
        self.identity = identity

    def count(self, text: str) -> int:
        """Return a third of the text's bytes: more than the tokens of nearly any text."""
        return -(-estimated_tokens(text) * 4 // 3)

    def replies(self, source: Callable[[int], Sequence[Question]]) -> Iterator[Reply]:
        """Yield replies as they come, asking `source` whenever places are free."""
        asked: dict[str, Question] = {}

        def calls(free: int) -> list[Call]:
            questions = source(free)
            asked.update({question.name: question for question in questions})
            return [_call(question) for question in questions]

        for answer in self._served.answers(calls):
            yield self._reply(asked.pop(answer.name), answer)

    def _reply(self, question: Question, answer: Answer) -> Reply:
        if answer.text is None:
            return Reply(answer.name, None)
        prompt, tokens = answer.prompt_tokens, answer.tokens
        if prompt is None or tokens is None:
            # An endpoint that does not say what it took is taken to have taken what its texts look like.
            prompt, tokens = self.count("\n".join(one["content"] for one in question.messages)), self.count(answer.text)
        return Reply(answer.name, answer.text, prompt, answer.cached_tokens, tokens)


def _call(question: Question) -> Call:
    form: dict[str, Any] = {}
    if question.schema is not None:
        named = {"name": "verdicts", "schema": question.schema, "strict": True}
        form = {"response_format": {"type": "json_schema", "json_schema": named}}
    fields = {"messages": question.messages, "max_tokens": question.max_tokens, "temperature": 0.0, "seed": 0, **form}
    return Call(question.name, "chat", fields)


class EngineChat:
    """A model in this process."""

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self.identity = identity
        self.shape: ModelShape | None = engine.shape
        self.count = engine.count

    def replies(self, source: Callable[[int], Sequence[Question]]) -> Iterator[Reply]:
        """Yield replies as they come; a system message opens the user's, since not every model knows the role."""
        for completion in self._engine.complete(lambda free: [self._request(question) for question in source(free)]):
            yield _said(completion)

    def _request(self, question: Question) -> Request:
        text = "\n\n".join(message["content"] for message in question.messages)
        return Request(
            question.name,
            self._engine.render(text),
            max_tokens=question.max_tokens,
            temperature=0.0,
            schema=json.dumps(question.schema) if question.schema else "",
        )


def _said(completion: Completion) -> Reply:
    # An engine gives back at once, without a token, what does not fit its context.
    text = completion.text if completion.tokens else None
    spent = completion.prompt_tokens if completion.tokens else 0
    return Reply(completion.key, text, spent, completion.cached_tokens if spent else 0, completion.tokens)


@dataclass(frozen=True, slots=True)
class _Window:
    """Neighbouring patterns of one trace that are judged together."""

    trace: int
    question: str
    first: int
    """How many patterns of the trace come before."""
    patterns: tuple[str, ...]

    def halves(self) -> "list[_Window]":
        middle = len(self.patterns) // 2
        cuts = (0, middle), (middle, len(self.patterns))
        return [_Window(self.trace, self.question, self.first + i, self.patterns[i:j]) for i, j in cuts]


@dataclass
class _Draft:
    """A review in the making."""

    verdicts: list[Verdict] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    spend: Spend = field(default_factory=Spend)

    def add(self, window: _Window, answer: str | None) -> bool:
        """Take in what was said of a window; tell whether any of it could be read."""
        if answer is None:
            self.counts["too_long"] += len(window.patterns)
            return False
        said, flaws = parse_verdicts(answer, len(window.patterns))
        self.verdicts += [Verdict(one.pattern + window.first, one.keep, one.reason) for one in said]
        self.counts.update(flaws)
        return bool(said)

    def review(self, seconds: float) -> Review:
        verdicts = sorted(self.verdicts, key=lambda one: one.pattern)
        return Review(tuple(verdicts), dict(self.counts), self.spend + Spend(seconds=seconds))


class ModelJudge:
    """A judge that asks a model, window by window."""

    def __init__(self, chat: Chat, source: JudgeSource, memory: Memory) -> None:
        self._chat = chat
        self._source = source
        self._memory = memory

    def review(self, traces: Sequence[tuple[str, Sequence[str]]]) -> list[Review]:
        """Return a review of each (question, patterns), in that order."""
        start = perf_counter()
        drafts = [_Draft() for _ in traces]
        waiting = deque(window for place, trace in enumerate(traces) for window in self._windows(place, *trace))
        asked: dict[str, _Window] = {}

        def source(free: int) -> list[Question]:
            questions: list[Question] = []
            while waiting and len(questions) < free:
                window = waiting.popleft()
                question = self._question(window, f"judge/{len(asked)}")
                known = self._memory.get(self._digest(question))
                if known is None:
                    asked[question.name] = window
                    questions.append(question)
                else:
                    drafts[window.trace].add(window, known)
                    drafts[window.trace].counts["remembered"] += len(window.patterns)
            return questions

        for reply in self._chat.replies(source):
            window = asked[reply.name]
            drafts[window.trace].spend += self._spend(reply)
            if reply.text is None and len(window.patterns) > 1:
                waiting.extendleft(reversed(window.halves()))
            elif drafts[window.trace].add(window, reply.text) and reply.text is not None:
                # What could not be read is asked again another time.
                self._memory.put(self._digest(self._question(window, reply.name)), reply.text)
        # They were judged together, so each has its share of the time.
        seconds = (perf_counter() - start) / max(1, len(drafts))
        return [draft.review(seconds) for draft in drafts]

    def _windows(self, place: int, question: str, patterns: Sequence[str]) -> list[_Window]:
        fixed = self._chat.count(JUDGE_INSTRUCTION) + self._chat.count(question) + FRAME_TOKENS
        budget = self._source.context - fixed - self._source.thinking_tokens
        lengths = [self._chat.count(text) + MARK_TOKENS + VERDICT_TOKENS for text in patterns]
        return [
            _Window(place, question, window.start, tuple(patterns[window.start : window.stop]))
            for window in windows(lengths, budget)
        ]

    def _question(self, window: _Window, name: str) -> Question:
        count = len(window.patterns)
        return Question(
            name,
            judge_prompt(window.question, list(enumerate(window.patterns, start=1))),
            max_tokens=count * VERDICT_TOKENS + FRAME_TOKENS // 2 + self._source.thinking_tokens,
            schema=verdict_schema(count) if self._source.guided else None,
        )

    def _digest(self, question: Question) -> str:
        asked = [self._chat.identity, list(question.messages), question.max_tokens, question.schema]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _spend(self, reply: Reply) -> Spend:
        flops = Spend()
        if self._chat.shape is not None and reply.prompt_tokens:
            flops = inference(
                self._chat.shape, prompt=reply.prompt_tokens, cached=reply.cached_tokens, generated=reply.tokens
            )
        return Spend(
            judge_tokens=reply.prompt_tokens + reply.tokens,
            dense_flops=flops.dense_flops,
            attention_flops=flops.attention_flops,
        )
