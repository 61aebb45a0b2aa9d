"""vLLM's CPU build on the embedded model: what it completes, what it counts, and that order and split change nothing."""

import math
import random
from itertools import islice

import pytest

pytest.importorskip("vllm")
from vllm.v1.metrics.reader import get_metrics_snapshot

from dto_jobs.core.records import Problem
from dto_jobs.metering import MeteredEngine
from dto_jobs.stage import Ports, Request
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.rollout import Rollout

pytestmark = pytest.mark.engines
CONTEXT = 600


@pytest.fixture(scope="module")
def engine(vllm_opened):
    with vllm_opened(max_sequences=16, context=CONTEXT, cache_mebibytes=256) as engine:
        yield engine


@pytest.fixture(scope="module")
def other(opened):
    """The same model through transformers."""
    return opened(slots=16, context=CONTEXT)


# What it completes


def test_greedy_completions_are_those_of_transformers(engine, other, completed, sums):
    requests = sums(engine, 24, temperature=0.0, max_tokens=80)
    found, wanted = completed(engine, requests), completed(other, requests)
    assert {key: (one.text, one.tokens, one.finished, one.prompt_tokens) for key, one in found.items()} == {
        key: (one.text, one.tokens, one.finished, one.prompt_tokens) for key, one in wanted.items()
    }


def test_order_and_split_change_no_completion(engine, completed, sums):
    requests = sums(engine, 40, max_tokens=100)
    shuffled = random.Random(1).sample(requests, len(requests))
    together = {key: (one.text, one.tokens) for key, one in completed(engine, requests).items()}
    mixed = completed(engine, shuffled)
    halves = completed(engine, requests[20:]) | completed(engine, requests[:20])
    assert {key: (one.text, one.tokens) for key, one in mixed.items()} == together
    assert {key: (one.text, one.tokens) for key, one in halves.items()} == together


def records(engine, problems):
    """The exits found in a problem's responses, by problem."""
    ports = Ports(engine=engine, seed=7)
    responses = [one for made in Rollout(samples=2, max_tokens=200).run(problems, ports) for one in made]
    return {one.response.id: one for made in Exits(max_tokens=16).run(responses, ports) for one in made}


def test_stages_write_the_same_records_in_any_order_and_number_of_shards(engine):
    problems = [Problem(id=str(n), question=f"Compute {30 + n}-12+{n}.", answer=str(18 + 2 * n)) for n in range(9)]
    whole = records(engine, problems)
    shards = [records(engine, problems[first::3]) for first in range(3)]
    assert records(engine, problems[::-1]) == whole
    assert shards[0] | shards[1] | shards[2] == whole
    assert any(one.exit for one in whole.values())


def test_the_same_key_and_prompt_give_the_same_words_and_another_key_others(engine, completed):
    prompt = engine.render("Compute 48-17+25-9.")
    texts = [completed(engine, [Request(key, prompt, 60)])[key].text for key in ("a", "a", "b", "c")]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_every_request_is_answered_once_and_the_scheduler_never_waits(engine, sums, monkeypatch):
    waiting = sums(engine, 90, max_tokens=30)
    keys = {request.key for request in waiting}
    running = []
    step = engine._engine.step

    def watched():
        running.append((engine._engine.get_num_unfinished_requests(), len(waiting)))
        return step()

    def feed(free):
        assert free > 0
        taken, waiting[:] = waiting[:free], waiting[free:]
        return taken

    monkeypatch.setattr(engine._engine, "step", watched)
    done = [one.key for one in engine.complete(feed)]
    assert sorted(done) == sorted(keys)
    assert all(inside >= 16 for inside, left in running if left), "a full batch as long as there is something to feed"


def test_requests_that_come_of_completions_are_taken_in(engine):
    ready = [Request("first", engine.render("Compute 3+4."), 8)]

    def feed(free):
        del free
        taken, ready[:] = ready[:], []
        return taken

    heard = []
    for one in engine.complete(feed):
        heard.append(one.key)
        if len(heard) < 4:
            ready.append(Request(f"{one.key}+", engine.render("Compute 3+4."), 8))
    assert heard == ["first", "first+", "first++", "first+++"]


def test_requests_that_nobody_waits_for_are_withdrawn(engine, completed, sums):
    waiting = iter(sums(engine, 20, max_tokens=400))
    completions = engine.complete(lambda free: list(islice(waiting, free)))
    next(completions)
    completions.close()
    assert not engine._engine.has_unfinished_requests()
    assert len(completed(engine, sums(engine, 3, max_tokens=5))) == 3


def test_long_prompts_with_seeds_enter_together(engine, completed):
    beginning = engine.render("Compute 1+1.")
    longest = (CONTEXT - 20) // engine.count("and so")
    prompts = [beginning + f"{n} " + "and so " * (longest - n) for n in range(48)]
    assert sum(engine.count(prompt) for prompt in prompts) > 4096, "more than vLLM takes in one step"
    found = completed(engine, [Request(f"long/{n}", prompt, 8) for n, prompt in enumerate(prompts)])
    assert len(found) == 48
    assert all(one.tokens for one in found.values())


# Where it ends


@pytest.mark.parametrize("place", [0, 11, 24])
@pytest.mark.parametrize("length", [1, 3, 9])
def test_a_stop_string_ends_a_completion_before_itself(engine, completed, place, length):
    prompt = engine.render("Compute 12+5-3.")
    whole = completed(engine, [Request("k", prompt, 60)])["k"]
    stop = whole.text[place : place + length]
    cut = completed(engine, [Request("k", prompt, 60, stop=("never said", stop))])["k"]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finished
    assert 0 < cut.tokens < whole.tokens


def test_limits_and_the_context_end_completions_and_refuse_longer_prompts(engine, completed):
    prompt = engine.render("Compute 12+5-3.")
    nearly = prompt + "and " * ((CONTEXT - 40) // engine.count("and "))
    requests = [
        Request("short", prompt, 3),
        Request("fits", nearly, 5000, temperature=2.0),
        Request("not", prompt * CONTEXT, 10),
    ]
    found = completed(engine, requests)
    assert (found["short"].tokens, found["short"].finished) == (3, False)
    assert found["fits"].prompt_tokens + found["fits"].tokens <= CONTEXT
    refused = found["not"]
    assert (refused.tokens, refused.finished, refused.prompt_tokens - refused.cached_tokens) == (0, False, 0)


# What it computes


def test_scores_are_those_of_transformers_also_while_completions_run(engine, other, completed, sums):
    prompt = engine.render("Compute 12+5-3.")
    texts = [(prompt, then) for then in ("First, I go", "Banana", "First, I go from left to right.\n12")]
    requests = sums(engine, 12, max_tokens=60)
    alone, waiting, scores = completed(engine, requests), iter(requests), []

    def feed(free):
        taken = list(islice(waiting, min(free, 5)))
        scores.append(engine.score(texts))
        return taken

    assert {key: one.text for key, one in alone.items()} == {one.key: one.text for one in engine.complete(feed)}
    for found in scores:
        assert found == pytest.approx(other.score(texts), abs=1e-4)
    empty, long = engine.score([("a", ""), ("a", "word " * CONTEXT)])
    assert math.isnan(empty)
    assert math.isnan(long)


def test_it_describes_the_model_as_transformers_does(engine, other):
    assert engine.shape == other.shape
    assert (engine.thinking, engine.count("Compute 12.")) == (other.thinking, other.count("Compute 12."))
    assert engine.render("Compute 12+5-3.") == other.render("Compute 12+5-3.")


def counters():
    """What vLLM itself has counted so far: prompt tokens computed and cached, and tokens generated."""
    found = dict.fromkeys(("local_compute", "local_cache_hit", "generated"), 0)
    for metric in get_metrics_snapshot():
        if metric.name == "vllm:prompt_tokens_by_source" and metric.labels["source"] in found:
            found[metric.labels["source"]] += metric.value
        if metric.name == "vllm:generation_tokens":
            found["generated"] += metric.value
    return list(found.values())


def test_a_stage_counts_the_tokens_that_vllm_counts(engine):
    metered = MeteredEngine(lambda: engine)
    ports = Ports(engine=metered)
    problems = [Problem(id=str(n), question=f"Compute {40 + n}-17+{n}.", answer=str(23 + 2 * n)) for n in range(12)]
    responses = []
    for work in (
        lambda: responses.extend(
            one for made in Rollout(samples=2, max_tokens=200).run(problems, ports) for one in made
        ),
        lambda: list(Exits(max_tokens=16).run(responses, ports)),
    ):
        before = counters()
        work()
        spend = metered.taken()
        told = [now - then for now, then in zip(counters(), before, strict=True)]
        assert [spend.prompt_computed, spend.prompt_cached, spend.generated] == told
    assert all(told), "a trace's exits share what is computed once"
