import math
from collections import Counter

from dto_jobs import metering
from dto_jobs.core.cost import inference
from dto_jobs.dialogue import Score, hold
from dto_jobs.engines.scripted import SumsReasoner
from dto_jobs.metering import MeteredEngine, MeteredPorts
from dto_jobs.stage import Request


def completed(engine, count, keys=None):
    waiting = [
        Request(key, engine.render("Compute 4+3."), max_tokens=200) for key in keys or [f"k{i}" for i in range(count)]
    ]

    def feed(free):
        return [waiting.pop() for _ in range(min(free, len(waiting)))]

    return list(engine.complete(feed))


def test_every_completion_is_counted_once():
    engine = MeteredEngine(SumsReasoner)
    done = completed(engine, 5)
    assert engine.total.generated == sum(one.tokens for one in done)
    spend = engine.taken()
    each = [
        inference(engine.shape, prompt=one.prompt_tokens, cached=one.cached_tokens, generated=one.tokens)
        for one in done
    ]
    assert (spend.requests, spend.generated) == (5, sum(one.tokens for one in done))
    assert spend.flops == sum(one.flops for one in each)
    assert spend.seconds > 0


def test_scored_texts_count_as_prompts_and_what_cannot_be_scored_as_nothing():
    engine = MeteredEngine(PartlyScoring)
    engine.score([("What is 4+3?", "It is 7."), ("What is 4+3?", "")])
    spend = engine.taken()
    assert (spend.requests, spend.generated) == (2, 0)
    assert spend.prompt_computed == engine.count("What is 4+3?") + engine.count("It is 7.")


class PartlyScoring(SumsReasoner):
    """Finds no number for nothing."""

    def score(self, texts):
        return [-0.5 if then else math.nan for _, then in texts]


def test_what_was_taken_is_not_counted_again():
    engine = MeteredEngine(SumsReasoner)
    completed(engine, 2)
    engine.taken()
    assert engine.taken().model_copy(update={"seconds": 0.0}).requests == 0


def test_an_account_holds_its_own_work_however_the_work_is_interleaved():
    engine = MeteredEngine(SumsReasoner)
    ports = MeteredPorts(engine=engine)

    def talk(name, turns):
        for turn in range(turns):
            yield [Request(f"{name}/{turn}", engine.render("Compute 4+3."), max_tokens=200)]
            ports.count("turns")
        return turns

    for place, turns in enumerate(hold((talk(n, n % 5) for n in range(40)), engine)):
        ports.count("results")
        spend, counts = engine.settled(place)
        alone = completed(SumsReasoner(), 0, [f"{place}/{turn}" for turn in range(turns)])
        assert (spend.requests, spend.generated) == (turns, sum(one.tokens for one in alone))
        assert counts == Counter(turns=turns, results=1)


def test_scores_are_charged_to_who_asked():
    engine = MeteredEngine(SumsReasoner)

    def scorer(words):
        yield Score(tuple(("p", " w" * words) for _ in range(words)))
        if words % 2:
            [one] = yield [Request(f"{words}", engine.render("Compute 4+3."), max_tokens=200)]
            return one.tokens
        return 0

    for place, tokens in enumerate(hold((scorer(n) for n in range(1, 7)), engine)):
        spend, _ = engine.settled(place)
        words = place + 1
        scored = words * (words + 1)
        asked = engine.count(engine.render("Compute 4+3.")) if words % 2 else 0
        assert (spend.requests, spend.prompt_computed) == (words + words % 2, scored + asked)
        assert spend.generated == tokens


def test_what_dialogues_do_when_asked_is_not_the_engines_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(metering, "perf_counter", lambda: now[0])

    def opened():
        now[0] += 2.0
        return SumsReasoner()

    def slow_feed(_free):
        now[0] += 100.0
        return []

    engine = MeteredEngine(opened)
    list(engine.complete(slow_feed))
    assert engine.taken().seconds == 2.0, "opening is the engine's time, feeding is not"
