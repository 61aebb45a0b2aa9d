"""The client of served models against a server that misbehaves on demand."""

import socket
import threading
from itertools import islice

import pytest
from faulty_endpoint import Said, chat, error, serving

from dto_jobs.endpoint import Endpoint, SecretRef
from dto_jobs.engines import openai
from dto_jobs.engines.openai import Answer, Call, Served
from dto_jobs.errors import (
    EndpointError,
    RefusedRequestError,
    UnauthorizedEndpointError,
    UnknownModelError,
    UnreachableEndpointError,
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(openai, "FIRST_PAUSE", 0.001)


def asked(count=1, text="hello"):
    return [Call(f"call {n}", "chat", {"messages": [{"role": "user", "content": f"{text} {n}"}]}) for n in range(count)]


def answers(server, calls, **settings):
    waiting = iter(calls)
    served = Served(server.endpoint(**settings))
    return {one.name: one for one in served.answers(lambda free: list(islice(waiting, free)))}


def words(body):
    return body["messages"][0]["content"]


class Trouble:
    """Answers each request with trouble so many times, and then well."""

    def __init__(self, times, *kinds):
        self.times, self.kinds, self.seen, self.lock = times, kinds, {}, threading.Lock()

    def __call__(self, body):
        with self.lock:
            number = self.seen[words(body)] = self.seen.get(words(body), 0) + 1
        if number > self.times:
            return chat(words(body).upper())
        return self.kinds[(number - 1) % len(self.kinds)]


STORM = error(429, "slow down")
RESET = Said(None)
NONSENSE = Said(b"<html>gateway</html>", 200, {"content-type": "text/html"})
HALF = Said(b'{"choices": [', 200)
EMPTY = Said({"choices": []})
NUMBER = chat(17)


@pytest.mark.parametrize(
    "kind", [STORM, error(503, "loading"), error(408, "late"), RESET, NONSENSE, HALF, EMPTY, NUMBER],
    ids=["429", "503", "408", "reset", "html", "half", "no choice", "no text"],
)  # fmt: skip
def test_what_passes_is_waited_out(kind):
    with serving(Trouble(2, kind)) as server:
        found = answers(server, asked(3))
    assert {name: one.text for name, one in found.items()} == {f"call {n}": f"HELLO {n}" for n in range(3)}
    assert len(server.asked) == 9


def test_a_storm_of_everything_ends_with_every_answer_once():
    with serving(Trouble(6, STORM, RESET, error(500, "bug"), HALF, error(502, "gateway"))) as server:
        found = answers(server, asked(40), concurrency=8)
    assert sorted(found) == sorted(f"call {n}" for n in range(40))
    assert server.at_once <= 8


def test_no_more_requests_are_under_way_than_wanted_and_as_many_as_wanted():
    gate = threading.Barrier(4, timeout=60)

    def together(body):
        gate.wait()  # opens only if four are really there at once
        return chat(words(body))

    with serving(together) as server:
        assert len(answers(server, asked(12), concurrency=4)) == 12
    assert server.at_once == 4


def test_retry_after_is_honoured():
    with serving(Trouble(1, error(429, "later", retry_after="3600"))) as server, pytest.raises(EndpointError) as failed:
        answers(server, asked(), patience_seconds=60)
    assert "left alone for 3600 s" in str(failed.value)
    assert len(server.asked) == 1, "nobody knocks before the time"


@pytest.mark.parametrize("said", ["0", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
def test_retry_after_may_be_a_number_a_date_or_nonsense(said):
    with serving(Trouble(2, error(503, "later", retry_after=said))) as server:
        assert len(answers(server, asked())) == 1
    assert len(server.asked) == 3


def test_patience_ends():
    with serving(lambda _: error(503, "never")) as server, pytest.raises(EndpointError) as failed:
        answers(server, asked(), patience_seconds=0.05)
    assert "answered 503" in str(failed.value)
    assert "patience" in str(failed.value)


def test_an_answer_that_does_not_come_in_time_is_asked_for_again():
    slow = threading.Event()
    first = [True]

    def once_slow(body):
        if first.pop() if first else False:
            slow.wait(60)
        return chat(words(body))

    with serving(once_slow) as server:
        found = answers(server, asked(), timeout_seconds=0.5)
        slow.set()
    assert found["call 0"].text == "hello 0"
    assert len(server.asked) >= 2


def test_nobody_there_is_said():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = Served(Endpoint(url=f"http://me:secret@127.0.0.1:{port}/v1", model="m", patience_seconds=0.01))
    with pytest.raises(UnreachableEndpointError, match="out of reach") as failed:
        list(served.answers(lambda _: asked()))
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (error(401, "Incorrect API key provided: sk-very-secret"), UnauthorizedEndpointError, "DTO_API_KEY"),
        (error(403, "no access for sk-very-secret"), UnauthorizedEndpointError, "DTO_API_KEY"),
        (error(404, "The model `m` does not exist."), UnknownModelError, "does not exist"),
        (error(400, "temperature must be positive, sk-very-secret"), RefusedRequestError, "must be positive"),
        (error(422, "no such field"), RefusedRequestError, "no such field"),
        (
            Said({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429),
            RefusedRequestError,
            "quota",
        ),
    ],
)
def test_what_does_not_pass_is_said_at_once_and_without_the_key(said, kind, words, monkeypatch):
    monkeypatch.setenv("DTO_API_KEY", "sk-very-secret")
    with serving(lambda _: said) as server, pytest.raises(kind, match=words) as failed:
        answers(server, asked())
    assert len(server.asked) == 1
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in str(failed.value)


def test_the_key_comes_from_the_variable_that_the_run_names(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-judge")
    with serving(lambda body: chat(words(body))) as server:
        answers(server, asked(), api_key_variable="JUDGE_KEY")
    assert server.headers[0]["authorization"] == "Bearer sk-judge"


def test_a_secret_that_did_not_arrive_is_said_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("DTO_API_KEY", raising=False)
    with pytest.raises(UnauthorizedEndpointError, match="DTO_API_KEY"):
        Served(Endpoint(url="http://x/v1", model="m", secret_ref=SecretRef(name="judge")))


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 512 tokens. However, you requested 600",
        "the request exceeds the available context size",
        "The decoder prompt (length 600) is longer than the maximum model length of 512",
    ],
)
def test_what_is_too_long_is_an_answer_without_text(said):
    with serving(lambda body: error(400, said) if words(body).endswith(" 1") else chat("fine")) as server:
        found = answers(server, asked(2))
    assert (found["call 0"].text, found["call 1"].text) == ("fine", None)


def test_an_error_cancels_what_is_under_way():
    release = threading.Event()

    def one_bad(body):
        if words(body).endswith(" 0"):
            return error(400, "bad")
        release.wait(60)
        return chat("late")

    with serving(one_bad) as server:
        with pytest.raises(RefusedRequestError):
            answers(server, asked(4))
        release.set()


def test_calls_that_follow_from_answers_are_made():
    waiting, heard = asked(1), []

    def source(_free):
        return [waiting.pop()] if waiting else []

    with serving(lambda body: chat(words(body))) as server:
        for one in Served(server.endpoint()).answers(source):
            heard.append(one.text)
            if len(heard) < 3:
                waiting += asked(1, text=f"again after {len(heard)}")
    assert heard == ["hello 0", "again after 1 0", "again after 2 0"]


def test_answers_that_need_no_call_are_passed_on():
    known = [Answer("known", None), Answer("also known", None)]
    with serving(lambda body: chat(words(body))) as server:
        found = [one.name for one in Served(server.endpoint()).answers(lambda _: [known.pop()] if known else [])]
    assert found == ["also known", "known"]
    assert server.asked == []


def test_usage_that_is_missing_or_nonsense_is_not_believed():
    told = chat("a").body
    with serving(lambda _: Said({**told, "usage": {"prompt_tokens": "many", "completion_tokens": -3}})) as server:
        [one] = answers(server, asked()).values()
    assert (one.text, one.prompt_tokens, one.tokens, one.cached_tokens) == ("a", None, None, 0)
