from dto_jobs import metering
from dto_jobs.core.cost import inference
from dto_jobs.engines.scripted import SumsReasoner
from dto_jobs.metering import MeteredEngine
from dto_jobs.stage import Request


def completed(engine, count):
    waiting = [Request(f"k{i}", engine.render("Compute 4+3."), max_tokens=200) for i in range(count)]

    def feed(free):
        return [waiting.pop() for _ in range(min(free, len(waiting)))]

    return list(engine.complete(feed))


def test_every_completion_is_counted_once():
    engine = MeteredEngine(SumsReasoner)
    done = completed(engine, 5)
    assert engine.tokens == sum(one.tokens for one in done)
    spend = engine.taken()
    each = [
        inference(engine.shape, prompt=one.prompt_tokens, cached=one.cached_tokens, generated=one.tokens)
        for one in done
    ]
    assert (spend.requests, spend.generated) == (5, sum(one.tokens for one in done))
    assert spend.flops == sum(one.flops for one in each)
    assert spend.seconds > 0


def test_what_was_taken_is_not_counted_again():
    engine = MeteredEngine(SumsReasoner)
    completed(engine, 2)
    engine.taken()
    assert engine.taken().model_copy(update={"seconds": 0.0}).requests == 0
    assert engine.tokens == 0


def test_scores_count_as_computed_prompts():
    engine = MeteredEngine(SumsReasoner)
    engine.score([("one two", " three"), ("four", " five")])
    spend = engine.taken()
    assert (spend.requests, spend.prompt_computed, spend.generated) == (2, 5, 0)


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
