"""Judges made of models that answer chats: windows, memory, and answers that cannot be trusted."""

import json
import re

import pytest
from faulty_endpoint import Said, chat, error, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.artifacts.memory import StoreMemory
from dto_jobs.core.cost import ModelShape, inference
from dto_jobs.core.records import EndedTrace, Pattern, Problem, Response, SearchedTrace
from dto_jobs.engines.judging import EngineChat, ModelJudge, ServedChat
from dto_jobs.engines.openai import Served
from dto_jobs.judges import JudgeSource
from dto_jobs.stage import Completion, Ports
from dto_jobs.stages.pruning import Pruning


@pytest.fixture
def memory(tmp_path):
    return StoreMemory(FolderStore(tmp_path), "cache/verdicts")


def judge_of(server, memory, **source):
    endpoint = server.endpoint()
    chat = ServedChat(Served(endpoint), f"{endpoint.url} {endpoint.model}")
    return ModelJudge(chat, JudgeSource(endpoint=endpoint, **source), memory)


def shown(body):
    """Return the patterns that a question shows, by id."""
    text = body["messages"][-1]["content"]
    found = re.findall(r'<pattern id="(\d+)">\n(.*?)\n</pattern>', text, re.DOTALL)
    return {int(number): pattern for number, pattern in found}


def verdicts(body, *, keep=lambda text: "needed" in text):
    said = [{"id": number, "keep": keep(text), "reason": f"on {text[:12]}"} for number, text in shown(body).items()]
    return chat(json.dumps({"verdicts": said}))


TRACES = [(f"question {n}", [f"thought {n}.{i}{' needed' * (i % 2)}" for i in range(5)]) for n in range(6)]


def test_every_pattern_of_every_trace_gets_its_own_verdict(memory):
    with serving(verdicts) as server:
        reviews = judge_of(server, memory).review(TRACES)
    assert len(server.asked) == len(TRACES)
    for (_, patterns), review in zip(TRACES, reviews, strict=True):
        assert [(one.pattern, one.keep) for one in review.verdicts] == [
            (i + 1, "needed" in text) for i, text in enumerate(patterns)
        ]
        assert review.counts == {}


def test_the_form_of_the_answer_is_asked_for_where_it_is_wanted(memory):
    with serving(verdicts) as server:
        judge_of(server, memory).review(TRACES[:1])
        judge_of(server, memory, guided=False).review(TRACES[:1])
    guided, free = server.asked
    assert guided["response_format"]["json_schema"]["schema"]["properties"]["verdicts"]["maxItems"] == 5
    assert "response_format" not in free


def test_a_long_trace_is_judged_in_windows_that_fit(memory):
    patterns = [f"thought {i} " + "goes on and on " * 40 for i in range(30)]
    with serving(lambda body: verdicts(body, keep=lambda text: "thought 7 " not in text)) as server:
        [review] = judge_of(server, memory, context=2048).review([("q", patterns)])
    sizes = [len(shown(body)) for body in server.asked]
    assert sum(sizes) == 30
    assert max(sizes) < 30
    for body in server.asked:
        asked = sum(len(message["content"]) for message in body["messages"]) / 3 + body["max_tokens"]
        assert asked <= 2048
    assert [one.pattern for one in review.verdicts] == list(range(1, 31))
    assert [one.pattern for one in review.verdicts if not one.keep] == [8], "ids of a window are those of the trace"


def test_a_window_that_the_judge_finds_too_long_is_halved(memory):
    def narrow(body):
        if len(shown(body)) > 3:
            return error(400, "This model's maximum context length is 100 tokens")
        return verdicts(body)

    with serving(narrow) as server:
        [review] = judge_of(server, memory).review([("q", [f"t{i}" for i in range(10)])])
    assert [one.pattern for one in review.verdicts] == list(range(1, 11))


def test_a_pattern_that_is_too_long_by_itself_is_kept_and_counted(memory):
    def never_two(body):
        return (
            error(400, "maximum context length")
            if any("long" in text for text in shown(body).values())
            else verdicts(body)
        )

    with serving(never_two) as server:
        [review] = judge_of(server, memory).review([("q", ["short", "long", "short too"])])
    assert [one.pattern for one in review.verdicts] == [1, 3]
    assert review.counts == {"too_long": 1}


def test_what_was_said_is_not_asked_again_and_costs_nothing(memory):
    with serving(verdicts) as server:
        first = judge_of(server, memory).review(TRACES)
        again = judge_of(server, memory).review(TRACES)
    assert [review.verdicts for review in again] == [review.verdicts for review in first]
    assert len(server.asked) == len(TRACES)
    assert [review.spend.judge_tokens for review in first] == [15] * len(TRACES)
    assert [review.spend.judge_tokens for review in again] == [0] * len(TRACES)
    assert [review.counts for review in again] == [{"remembered": 5}] * len(TRACES)


def test_another_judge_or_question_is_asked_anew(memory):
    with serving(verdicts) as server:
        judge_of(server, memory).review(TRACES[:1])
        endpoint = server.endpoint().model_copy(update={"model": "other"})
        other = ModelJudge(
            ServedChat(Served(endpoint), f"{endpoint.url} other"), JudgeSource(endpoint=endpoint), memory
        )
        other.review(TRACES[:1])
        judge_of(server, memory).review(TRACES[1:2])
    assert len(server.asked) == 3


def test_what_could_not_be_read_is_asked_again_another_time(memory):
    said = iter([chat("I would rather not"), None])
    with serving(lambda body: next(said) or verdicts(body)) as server:
        [first] = judge_of(server, memory).review(TRACES[:1])
        [second] = judge_of(server, memory).review(TRACES[:1])
    assert first.counts == {"unreadable": 1, "missing": 5}
    assert len(second.verdicts) == 5


def test_a_killed_stage_keeps_what_was_answered(memory):
    def one_then_refusal(body):
        return verdicts(body) if "question 0" in body["messages"][-1]["content"] else error(400, "no")

    with serving(one_then_refusal) as server:
        endpoint = server.endpoint(concurrency=1)
        judge = ModelJudge(ServedChat(Served(endpoint), "judge"), JudgeSource(endpoint=endpoint), memory)
        with pytest.raises(Exception, match="refused a request"):
            judge.review(TRACES[:2])
        judge.review(TRACES[:1])
    assert len(server.asked) == 2


# A model in this process

SHAPE = ModelShape(parameters=1000, layers=2, width=16)


class Speaker:
    """An engine that answers a judge's question as told, and takes so many tokens at most."""

    shape, thinking, continuous = SHAPE, False, False

    def __init__(self, say, limit=10**9):
        self.say, self.limit = say, limit

    def render(self, question):
        return f"user: {question}\nassistant: "

    def count(self, text):
        return len(text.split())

    def complete(self, feed):
        while requests := feed(4):
            for request in requests:
                prompt = self.count(request.prompt)
                if prompt > self.limit:
                    yield Completion(request.key, "", 0, prompt, prompt, finished=False)
                else:
                    text = self.say(request.prompt)
                    yield Completion(request.key, text, self.count(text) + 1, prompt, 0, finished=True)

    def score(self, texts):
        return [0.0 for _ in texts]


def said(prompt):
    return verdicts({"messages": [{"content": prompt}]}).body["choices"][0]["message"]["content"]


def engine_judge(memory, say=said, limit=10**9, **source):
    return ModelJudge(EngineChat(Speaker(say, limit), "speaker"), JudgeSource(model="file:judge", **source), memory)


def test_a_second_model_judges_and_its_flops_are_known(memory):
    judge = engine_judge(memory)
    [review] = judge.review(TRACES[:1])
    assert [one.keep for one in review.verdicts] == [False, True, False, True, False]
    spend = review.spend
    assert spend.judge_tokens > 0
    assert spend.flops > inference(SHAPE, prompt=1, generated=1).flops
    assert (spend.generated, spend.prompt_computed) == (0, 0), "these count the run's own model"


def test_a_second_model_that_thinks_first_is_understood(memory):
    [review] = engine_judge(memory, lambda prompt: f"<think>\nhm {{</think>\n{said(prompt)}").review(TRACES[:1])
    assert len(review.verdicts) == 5


def test_a_second_models_window_that_does_not_fit_is_halved(memory):
    patterns = [f"thought {i} " + "on " * 50 for i in range(8)]
    judge = engine_judge(memory, limit=500)
    [review] = judge.review([("q", patterns)])
    assert [one.pattern for one in review.verdicts] == list(range(1, 9))


# Whatever a judge says, answers stay right

HOSTILE = st.one_of(
    st.text(max_size=200),
    st.just('{"verdicts": ['),
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.one_of(st.integers(-3, 9), st.text(max_size=3), st.none(), st.booleans(), st.just(10**30)),
                "keep": st.one_of(st.booleans(), st.text(max_size=3), st.none()),
                "reason": st.one_of(st.text(max_size=20), st.just("\x1b[31m<script>alert(1)</script>"), st.none()),
            }
        ),
        max_size=12,
    ).map(lambda entries: json.dumps({"verdicts": entries})),
)


def ended(number):
    problem = Problem(id=f"p{number}", question="Compute 40+2.", answer="42")
    texts = [f"Wait, thought {i} of trace {number}." for i in range(5)]
    response = Response(
        id=f"p{number}#0", problem=problem, prompt="user: ?\nassistant: ", text="".join(texts), prompt_tokens=3,
        tokens=100, finished=True, opened=False, answer="42", correct=True,
    )  # fmt: skip
    patterns = tuple(Pattern(text=text, kind="doubt") for text in texts)
    return EndedTrace(
        trace=SearchedTrace(response=response, patterns=patterns, boundaries=(), exit=5),
        ending="\\boxed{42}", tried=4, correct=4,
    )  # fmt: skip


class Forgetful:
    def get(self, _name):
        return None

    def put(self, _name, _text):
        pass


@settings(max_examples=100)
@given(answers=st.lists(HOSTILE, min_size=3, max_size=3), needed=st.sets(st.integers(0, 4)), guard=st.booleans())
def test_no_answer_of_a_judge_can_cost_a_needed_thought(answers, needed, guard):
    needed = needed | {4}

    def finish(prompt):
        return "\\boxed{42}" if all(f"thought {i} " in prompt for i in needed) else "\\boxed{41}"

    said = iter(answers)
    judge = engine_judge(Forgetful(), lambda _: next(said))
    ports = Ports(engine=Speaker(finish), judge=judge)
    stage = Pruning(guard=guard)
    for [made] in stage.run([ended(number) for number in range(3)], ports):
        assert needed <= set(made.kept)
        assert made.text.endswith("\\boxed{42}")
        assert all(drop.reason.isprintable() for drop in made.dropped)


def test_what_became_of_the_verdicts_is_counted_for_the_receipt(memory):
    answers = iter(
        [
            '{"verdicts": [{"id": 1, "keep": false, "reason": ""}, {"id": 1, "keep": true, "reason": ""}]}',
            "no",
            '{"verdicts": [{"id": 99, "keep": false, "reason": ""}, {"id": 2, "keep": false, "reason": "x"}]}',
        ]
    )
    judge = engine_judge(memory, lambda _: next(answers))
    ports = Ports(engine=Speaker(lambda _: "\\boxed{42}"), judge=judge)
    list(Pruning().run([ended(number) for number in range(3)], ports))
    told = {name: number for name, number in ports.counts.items() if name.startswith("verdicts")}
    assert told == {
        "verdicts": 1, "verdicts_drop": 1, "verdicts_contradictory": 1, "verdicts_missing": 4 + 5 + 4,
        "verdicts_unreadable": 1, "verdicts_unknown_id": 1,
    }  # fmt: skip


def test_an_endpoint_that_says_nothing_of_tokens_is_estimated(memory):
    with serving(lambda body: Said({**verdicts(body).body, "usage": None})) as server:
        [review] = judge_of(server, memory).review(TRACES[:1])
    assert review.spend.judge_tokens > 100
