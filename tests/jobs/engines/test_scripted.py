"""The reasoner without weights: the same words for the same key, wrong now and then, and surer the longer it thinks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.segmentation import segment, split_thinking
from dto_jobs.engines.scripted import Chance, SumsReasoner
from dto_jobs.prompts import exit_pattern, finalize_pattern
from dto_jobs.stage import Request

REASONER = SumsReasoner()
PROMPT = REASONER.render("Compute 48-17+25.")


def completed(*requests):
    waiting = list(requests)

    def feed(free):
        taken, waiting[:] = waiting[:free], waiting[free:]
        return taken

    return list(REASONER.complete(feed))


def texts(prompt, count=400, **settings):
    settings = {"max_tokens": 500} | settings
    return [one.text for one in completed(*(Request(f"k/{n}", prompt, **settings) for n in range(count)))]


def test_every_request_is_answered_in_order():
    requests = [Request(str(n), PROMPT, 500) for n in range(50)]
    assert [one.key for one in completed(*requests)] == [one.key for one in requests]


@given(st.text(), st.integers(1, 60))
def test_a_key_always_says_the_same(key, limit):
    one, same = (completed(Request(key, PROMPT, limit)) for _ in range(2))
    assert one == same


def test_responses_think_in_patterns_and_end_in_an_answer():
    for text in texts(PROMPT):
        thinking, answer = split_thinking(text, opened=True)[:2]
        assert re.fullmatch(r"\s*\*\*Final Answer\*\*\n\\boxed\{-?\d+\}", answer)
        assert len(segment(thinking)) >= text.count("This gives")


def test_some_responses_are_wrong_and_most_are_right():
    right = sum(text.endswith("\\boxed{56}") for text in texts(PROMPT)) / 400
    assert 0.6 < right < 0.95


@pytest.mark.parametrize(("stated", "likely"), [("56", "56}"), ("46", "46}")])
def test_an_exit_shows_what_the_thinking_last_said(stated, likely):
    thought = f"First, I go from left to right. This gives {stated}."
    shown = texts(PROMPT + thought + exit_pattern(thinking=True), max_tokens=8)
    assert 0.9 < shown.count(likely) / len(shown) < 1


def test_a_closed_thinking_is_followed_by_the_whole_answer():
    ended = texts(PROMPT + "First. This gives 56." + finalize_pattern(thinking=True), max_tokens=40)
    assert set(ended) == {"**Final Answer**\n\\boxed{56}", "**Final Answer**\n\\boxed{66}"}


def test_a_limit_cuts_and_says_so():
    whole = completed(Request("k", PROMPT, 500))[0]
    cut = completed(Request("k", PROMPT, 5))[0]
    assert whole.finished
    assert not cut.finished
    assert cut.tokens == 5
    assert whole.text.startswith(cut.text)


def test_chance_is_even():
    chance = Chance("k")
    drawn = [chance.draw() for _ in range(4000)]
    assert min(drawn) >= 0
    assert max(drawn) < 1
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02)
