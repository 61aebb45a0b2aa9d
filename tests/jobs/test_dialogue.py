"""Dialogues held over an engine that answers in whatever order it likes."""

import random

import pytest

from dto_jobs.dialogue import Score, hold
from dto_jobs.stage import Completion, Request


class ShuffledEngine:
    """Answers a request with its key, in random order, with so many places."""

    def __init__(self, places, seed=0):
        self.places, self.chance = places, random.Random(seed)
        self.most_open = self.scored = 0
        self.starved = 0

    def complete(self, feed):
        running = []
        while True:
            running += feed(self.places - len(running))
            if not running:
                return
            assert len(running) <= self.places
            request = running.pop(self.chance.randrange(len(running)))
            yield Completion(request.key, f"re: {request.key}", 1, 1, 0, finished=True)

    def score(self, texts):
        self.scored += 1
        return [float(len(then)) for _, then in texts]


def ask(*keys):
    return [Request(key=key, prompt="p", max_tokens=1) for key in keys]


def talk(name, turns):
    heard = []
    for turn in range(turns):
        heard += [one.text for one in (yield ask(f"{name}/{turn}/a", f"{name}/{turn}/b"))]
    return name, heard


@pytest.mark.parametrize("places", [1, 3, 100])
def test_results_come_in_the_order_of_the_dialogues_whatever_ends_first(places):
    talks = [talk(i, turns=i % 4) for i in range(20)]
    results = list(hold(talks, ShuffledEngine(places)))
    assert [name for name, _ in results] == list(range(20))
    for name, heard in results:
        assert heard == [f"re: {name}/{turn}/{which}" for turn in range(name % 4) for which in "ab"]


def test_a_dialogue_without_requests_ends_by_itself():
    def silent():
        return "done"
        yield

    assert list(hold([silent(), silent()], ShuffledEngine(2))) == ["done", "done"]


def test_scores_are_gathered_to_batches():
    def scorer(name):
        [one] = yield ask(f"{name}")
        first, second = yield Score((("p", one.text), ("p", "xy")))
        return first, second

    engine = ShuffledEngine(50)
    assert list(hold([scorer(i) for i in range(10)], engine)) == [(5.0, 2.0)] * 10
    assert engine.scored <= 5


def test_no_more_dialogues_are_open_than_fill_the_engine():
    opened = []

    def counted(i):
        opened.append(i)
        yield ask(f"{i}/a", f"{i}/b")
        return i

    results = hold((counted(i) for i in range(1000)), ShuffledEngine(4))
    assert next(results) == 0
    assert len(opened) < 20


def test_an_error_in_a_dialogue_is_not_swallowed():
    def broken():
        yield ask("a")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        list(hold([broken()], ShuffledEngine(1)))
