"""Calls to an OpenAI-compatible endpoint: many at once, patient with what passes, clear about what does not.

The one file that knows the client library. What a server says is data: a wrong form counts as a failure, never as an answer.
"""

import asyncio
import random
import re
import time
from asyncio import Task
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import openai

from dto_jobs.endpoint import Endpoint
from dto_jobs.errors import (
    DtoError,
    EndpointError,
    RefusedRequestError,
    UnauthorizedEndpointError,
    UnknownModelError,
    UnreachableEndpointError,
)
from dto_jobs.settings import key_from_environment

Some = TypeVar("Some")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
PASSING: Final = {408, 409, 425, 429}
"""Statuses, besides the 5xx, after which the same request may be answered later."""
NO_SUCH_PAGE: Final = {404, 405, 501}
LONGEST_MESSAGE: Final = 300
UNREADABLE: Final = "gives answers that cannot be read"
# vLLM, OpenAI, llama.cpp and SGLang each say in words of their own that a prompt is too long.
_TOO_LONG: Final = re.compile(
    r"context.?(?:length|window|size)|maximum model length|max_model_len|too long", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request: a name for its answer, which of the interfaces is asked, and what it is sent besides the model's name."""

    name: str
    interface: Literal["completions", "chat"]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call. Token counts are None where the endpoint does not say; `text` is None of a call that was too long."""

    name: str
    text: str | None
    finish: str = ""
    """`stop`, `length`, or another reason of the endpoint's."""
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    tokens: int | None = None
    log_probabilities: tuple[float | None, ...] | None = None
    """Of each token of the text, where that was asked for and is served."""


Source = Callable[[int], Sequence[Call | Answer]]
"""Asked with the number of free places; returns at most so many calls, or answers that need no call."""


class _PassingError(Exception):
    """A failure after which the same call may succeed."""

    def __init__(self, error: type[EndpointError], what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.error = error
        self.wait = wait
        """Seconds the endpoint asks to be left alone."""


class Served:
    """A served model, asked many things at once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._key = key_from_environment(endpoint.api_key_variable)
        if self._key is None and endpoint.secret_ref is not None:
            raise UnauthorizedEndpointError(
                f"the key of {self} is to come from the environment variable {endpoint.api_key_variable}, which is not set"
            )

    def __str__(self) -> str:
        """Name the model and its place, without what a URL may hold of credentials."""
        where = urlsplit(self._endpoint.url)
        place = f"{where.scheme}://{where.hostname}{f':{where.port}' if where.port else ''}{where.path}"
        return f"the model {self._endpoint.model!r} at {place}"

    def answers(self, source: Source) -> Iterator[Answer]:
        """Yield answers as they come, asking `source` whenever places are free; end when it has nothing and none is under way.

        A failure that waiting cannot mend, or that outlasts the endpoint's patience, raises and cancels what is under way.
        """
        under_way: set[Task[Answer]] = set()
        with asyncio.Runner() as runner, self._opened(runner) as client:
            start = runner.get_loop().create_task
            while True:
                free = self._endpoint.concurrency - len(under_way)
                asked = source(free) if free else ()
                under_way |= {start(self._patiently(client, one)) for one in asked if isinstance(one, Call)}
                done = [one for one in asked if isinstance(one, Answer)]
                if under_way and not done:
                    ended, under_way = runner.run(_first(under_way))
                    done = [task.result() for task in ended]
                if not done:
                    return
                yield from done

    @contextmanager
    def _opened(self, runner: asyncio.Runner) -> Iterator[openai.AsyncOpenAI]:
        client = self._client()
        try:
            yield client
        finally:
            runner.run(_closed(client))

    def context(self) -> int | None:
        """Return the most tokens the endpoint takes, where it says so; UnknownModelError where it serves others only."""
        return asyncio.run(self._context())

    async def _context(self) -> int | None:
        async with self._client() as client:
            served = await self._patient(lambda: _listed(client))
        if served is None:
            return None
        if self._endpoint.model not in served:
            raise UnknownModelError(f"{self} is not served there; there is: {', '.join(sorted(served)) or 'nothing'}")
        return served[self._endpoint.model]

    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self._endpoint.url,
            # The library insists on a key; servers that want none ignore it.
            api_key=self._key or "none",
            timeout=self._endpoint.timeout_seconds,
            max_retries=0,
        )

    async def _patiently(self, client: openai.AsyncOpenAI, call: Call) -> Answer:
        async def once() -> Answer:
            interface = client.completions if call.interface == "completions" else client.chat.completions
            return _read(call.name, await interface.create(model=self._endpoint.model, **call.fields))

        try:
            return await self._patient(once)
        except _TooLongError:
            return Answer(call.name, None)

    async def _patient(self, once: Callable[[], Awaitable[Some]]) -> Some:
        """Return what `once` returns, after as many tries as patience allows."""
        deadline = None
        for attempt in count():
            try:
                return await self._tried(once)
            except _PassingError as trouble:
                now = time.monotonic()
                deadline = deadline or now + self._endpoint.patience_seconds
                pause = _pause(attempt) if trouble.wait is None else trouble.wait + _pause(0)
                if now + pause > deadline:
                    raise self._given_up(trouble) from trouble.__cause__
            await asyncio.sleep(pause)
        raise AssertionError("tries end with an answer or an error")

    async def _tried(self, once: Callable[[], Awaitable[Some]]) -> Some:
        try:
            return await once()
        except openai.APIConnectionError as problem:
            what = "did not answer in time" if isinstance(problem, openai.APITimeoutError) else "is out of reach"
            raise _PassingError(UnreachableEndpointError, what) from problem
        except openai.APIStatusError as problem:
            raise self._status(problem) from problem
        except (openai.APIError, ValueError) as problem:
            raise _PassingError(EndpointError, UNREADABLE) from problem

    def _status(self, problem: openai.APIStatusError) -> Exception:
        """Return the error that a status stands for."""
        status, said = problem.status_code, self._said(problem)
        if status in {401, 403}:
            # Its message is left out: some endpoints repeat the key in it.
            state = "is refused" if self._key else "is missing"
            return UnauthorizedEndpointError(
                f"{self}: the API key {state} ({status}); set the environment variable {self._endpoint.api_key_variable}"
            )
        if status == 404:
            return UnknownModelError(
                f"{self} is not served there ({said}); the URL must end where /models lies, mostly in /v1"
            )
        if status not in PASSING and status < 500 and _TOO_LONG.search(said):
            return _TooLongError()
        if (status in PASSING or status >= 500) and problem.code != "insufficient_quota":
            return _PassingError(EndpointError, f"answered {status} ({said})", _retry_after(problem))
        return RefusedRequestError(f"{self} refused a request ({status}): {said}")

    def _said(self, problem: openai.APIStatusError) -> str:
        said = " ".join(problem.message.split())
        return (said.replace(self._key, "…") if self._key else said)[:LONGEST_MESSAGE]

    def _given_up(self, trouble: _PassingError) -> DtoError:
        patience = f"{self._endpoint.patience_seconds:g} s"
        wait = f", and asks to be left alone for {trouble.wait:g} s" if trouble.wait else ""
        return trouble.error(
            f"{self} {trouble}{wait}; gave up within a patience of {patience}. What was finished is kept: see that the "
            "endpoint is well and run again, or raise patienceSeconds or lower concurrency"
        )


class _TooLongError(Exception):
    """A call is longer than the endpoint's context."""


async def _first(under_way: set[Task[Answer]]) -> tuple[set[Task[Answer]], set[Task[Answer]]]:
    return await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)


async def _closed(client: openai.AsyncOpenAI) -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await client.close()


async def _listed(client: openai.AsyncOpenAI) -> dict[str, int | None] | None:
    """Return the served models with their context, where told; None of an endpoint that keeps no list."""
    try:
        listed = await client.models.list()
    except openai.APIStatusError as problem:
        if problem.status_code in NO_SUCH_PAGE:
            return None
        raise
    return {card.id: _whole((card.model_extra or {}).get("max_model_len")) for card in listed.data}


def _pause(attempt: int) -> float:
    """Return seconds to wait: doubled with every attempt, and spread so that callers do not come back all at once."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, guards nothing


def _retry_after(problem: openai.APIStatusError) -> float | None:
    """Return the seconds that a Retry-After header (a number, or a date) asks to wait."""
    said = problem.response.headers.get("retry-after")
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def _read(name: str, said: object) -> Answer:
    try:
        return _answer(name, said)
    except (AttributeError, LookupError, TypeError, ValueError) as problem:
        raise _PassingError(EndpointError, UNREADABLE) from problem


def _answer(name: str, said: Any) -> Answer:  # noqa: ANN401 - a server's word, not yet trusted
    choice = said.choices[0]
    text = choice.text if hasattr(choice, "text") else choice.message.content or ""
    if not isinstance(text, str):
        raise TypeError("an answer's text is a string")
    usage = getattr(said, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    found = getattr(getattr(choice, "logprobs", None), "token_logprobs", None)
    return Answer(
        name,
        text,
        finish=str(choice.finish_reason),
        prompt_tokens=_whole(getattr(usage, "prompt_tokens", None)),
        cached_tokens=_whole(getattr(details, "cached_tokens", None)) or 0,
        tokens=_whole(getattr(usage, "completion_tokens", None)),
        log_probabilities=None if found is None else tuple(None if one is None else float(one) for one in found),
    )


def _whole(number: object) -> int | None:
    return number if type(number) is int and number >= 0 else None
