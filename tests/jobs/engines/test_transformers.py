"""The sampler against transformers' own generate, against itself in other batches, and at its limits."""

import json
import math
import random
import shutil

import pytest

pytest.importorskip("torch")
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from dto_jobs.core.cost import attention_flops, dense_flops
from dto_jobs.engines.attention import KEYS
from dto_jobs.errors import InputError
from dto_jobs.stage import Request

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def plain(tiny):
    """The same model and tokenizer, without anything of ours."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(tiny)


def greedy_tokens(plain, prompt, limit):
    model, tokenizer = plain
    tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    out = model.generate(**tokens, max_new_tokens=limit, do_sample=False)[0, tokens["input_ids"].shape[1] :]
    return out.tolist()


# What it completes


def test_greedy_completions_are_those_of_generate(engine, plain, completed, sums):
    requests = sums(engine, 24, temperature=0.0, max_tokens=80)
    found = completed(engine, requests)
    end = plain[1].eos_token_id
    for request in requests:
        tokens = greedy_tokens(plain, request.prompt, 80)
        ended = tokens[-1] == end
        assert found[request.key].text == plain[1].decode(tokens[:-1] if ended else tokens)
        assert (found[request.key].tokens, found[request.key].finished) == (len(tokens), ended)


def test_a_completion_follows_from_its_request_and_not_from_the_batch(opened, completed, sums):
    small, large = opened(slots=5), opened(slots=64)
    requests = sums(small, 40, max_tokens=40)
    shuffled = random.Random(1).sample(requests, len(requests))
    alone = completed(small, requests[:1])
    one, other = completed(small, requests), completed(large, shuffled)
    assert one == other
    assert alone.items() <= one.items()


def test_the_same_key_and_prompt_give_the_same_words_and_another_key_others(engine, completed):
    prompt = engine.render("Compute 48-17+25-9.")
    texts = [completed(engine, [Request(key, prompt, 60)])[key].text for key in ("a", "a", "b", "c")]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_every_request_is_answered_once_even_where_places_are_few(opened, sums):
    engine = opened(slots=4)
    waiting = sums(engine, 30, max_tokens=12)
    keys = [request.key for request in waiting]
    places = []

    def feed(free):
        places.append(free)
        taken, waiting[:] = waiting[:free], waiting[free:]
        return taken

    done = [one.key for one in engine.complete(feed)]
    assert sorted(done) == sorted(keys)
    assert all(0 < free <= 4 for free in places)


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


def test_a_completion_that_reaches_its_limit_is_not_finished(engine, completed):
    found = completed(engine, [Request("k", engine.render("Compute 12+5-3."), 3)])["k"]
    assert (found.tokens, found.finished) == (3, False)


def test_the_context_bounds_completions_and_refuses_longer_prompts(opened, completed):
    engine = opened(slots=4, context=40)
    prompt = engine.render("Compute 1+1.")
    room = 40 - engine.count(prompt)
    found = completed(engine, [Request("fits", prompt, 500), Request("not", prompt + "and " * 40, 10)])
    assert (found["fits"].tokens, found["fits"].finished) == (room, False)
    refused = found["not"]
    assert (refused.tokens, refused.finished, refused.prompt_tokens - refused.cached_tokens) == (0, False, 0)


def test_texts_too_long_for_the_memory_take_turns(opened, completed, sums):
    spacious, tight = opened(slots=8), opened(slots=8, cache_mebibytes=1)
    requests = sums(spacious, 12, max_tokens=400)
    assert completed(tight, requests) == completed(spacious, requests)


# What it computes


def exits(engine, family="trace"):
    """Requests as the exit search makes them: growing beginnings of one trace, several samples each."""
    start = engine.render("Compute 48-17+25.")
    thoughts = [
        "First, I go from left to right.\n48-17=31",
        "\n\nWait, let me check.\n31+25=56",
        "\n\nHmm.\nThis gives 56.",
    ]
    close = "\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{"
    return [
        Request(f"{family}/{kept}/{n}", start + "".join(thoughts[:kept]) + close, 6, family=family)
        for kept in (1, 2, 3)
        for n in range(4)
    ]


def test_shared_beginnings_are_computed_once_and_change_nothing(engine, opened, completed):
    requests = exits(engine)
    together = completed(engine, requests)
    apart = {request.key: completed(engine, [request])[request.key] for request in requests}
    without = completed(opened(slots=16, prefix_cache_mebibytes=0), requests)
    assert {key: one.text for key, one in together.items()} == {key: one.text for key, one in apart.items()}
    assert {key: one.text for key, one in together.items()} == {key: one.text for key, one in without.items()}
    computed = [
        sum(one.prompt_tokens - one.cached_tokens for one in found.values()) for found in (together, apart, without)
    ]
    longest = max(one.prompt_tokens for one in together.values())
    close = engine.count("\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{")
    assert computed[0] <= longest + 2 * (close + 2) + len(requests)
    assert computed[1] == sum(one.prompt_tokens for one in together.values())
    assert computed[0] < computed[2] < computed[1]


def test_later_requests_of_a_family_find_what_earlier_ones_computed(opened, completed):
    engine = opened(slots=4)
    found = completed(engine, exits(engine))
    # Four places: the boundaries enter one after the other, each finds the one before.
    assert found["trace/2/0"].cached_tokens > engine.count(engine.render("Compute 48-17+25."))
    assert found["trace/2/3"].cached_tokens == found["trace/2/3"].prompt_tokens - 1


def test_computed_prompt_tokens_are_those_that_passed_through_the_model(engine, completed, monkeypatch):
    passed = []
    inner = engine._model.get_decoder()
    forward = type(inner).forward

    def counted(self, **given):
        passed.append(given["input_ids"].numel())
        return forward(self, **given)

    monkeypatch.setattr(type(inner), "forward", counted)
    found = completed(engine, [Request("k", engine.render("Compute 12+5-3."), 1)])["k"]
    # The prompt but its last token, padded to a multiple of four; then that token, beside three idle rows.
    padded = -(-(found.prompt_tokens - 1) // 4) * 4
    assert passed == [padded, 4]
    assert found.cached_tokens == 0


def test_the_written_flops_are_the_profilers_within_five_per_cent(engine, plain):
    model, _ = plain
    length = 2 * KEYS
    tokens = torch.randint(5, model.config.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.set_attn_implementation("eager")
        model(input_ids=tokens, use_cache=False)
    # The profiler counts the whole square of keys and queries; causal attention needs the lower half and the diagonal.
    square = attention_flops(engine.shape, 0, length) * 2 * length / (length + 1)
    written = dense_flops(engine.shape, length) + square
    assert written == pytest.approx(counter.get_total_flops(), rel=0.05)
    counts = counter.get_flop_counts()["Global"]
    products = sum(counts[product] for product in (torch.ops.aten.mm, torch.ops.aten.addmm))
    assert dense_flops(engine.shape, length) == pytest.approx(products, rel=0.001)


def test_scores_are_mean_log_probabilities(engine, plain):
    model, tokenizer = plain
    texts = [
        (engine.render("Compute 12+5-3."), then)
        for then in ("First, I go", "Banana", "First, I go from left to right.\n12")
    ]
    scores = engine.score(texts)
    for (prompt, then), score in zip(texts, scores, strict=True):
        start, rest = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, then))
        with torch.inference_mode():
            logs = model(input_ids=torch.tensor([start + rest])).logits[0].log_softmax(-1)
        wanted = [logs[len(start) - 1 + place, token] for place, token in enumerate(rest)]
        assert score == pytest.approx(float(torch.stack(wanted).mean()), abs=1e-4)
    assert scores[0] > scores[1]


def test_what_cannot_be_scored_is_no_number(opened):
    engine = opened(slots=4, context=32)
    empty, long, fine = engine.score([("a", ""), ("a", "word " * 60), ("a", "word")])
    assert math.isnan(empty)
    assert math.isnan(long)
    assert fine < 0


# What it says about itself


def test_a_question_is_rendered_by_the_chat_template_with_thinking_opened(engine):
    text = engine.render("Compute 12+5-3.")
    assert "Compute 12+5-3." in text
    assert text.endswith("<think>\n")
    assert text.count("<think>") == 1
    assert engine.thinking


def test_thinking_is_opened_where_the_template_does_not(opened, plain):
    template = plain[1].chat_template.replace("<think>\\n", "").replace("<think>\n", "")
    engine = opened(slots=4, chat_template=template)
    assert engine.render("Why is <think> a word?").endswith("assistant\n<think>\n")


def test_text_is_counted_without_special_tokens(engine, plain):
    assert engine.count("") == 0
    assert engine.count("Compute 12.") == len(plain[1].tokenize("Compute 12."))


# What it refuses


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "model")


def test_a_model_without_chat_template_is_refused(opened, copy):
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"no chat template.*spec\.model\.chatTemplate"):
        opened(folder=copy, slots=4)


def test_code_that_comes_with_a_model_is_never_run(opened, copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "made-up", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (copy / "config.json").write_text(json.dumps(config))
    ran = copy / "ran"
    (copy / "evil.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Config: pass\nclass Model: pass\n")
    with pytest.raises(InputError, match="cannot load"):
        opened(folder=copy, slots=4)
    assert not ran.exists()


@pytest.mark.parametrize("broken", ["config.json", "tokenizer.json"])
def test_damaged_files_are_reported_with_their_folder(opened, copy, broken):
    (copy / broken).write_text("{")
    with pytest.raises(InputError, match="model"):
        opened(folder=copy, slots=4)


def test_sliding_windows_are_refused(opened, copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"layer_types": ["sliding_attention"] * config["num_hidden_layers"], "use_sliding_window": True}
    (copy / "config.json").write_text(json.dumps(config | {"sliding_window": 64}))
    with pytest.raises(InputError, match="full attention"):
        opened(folder=copy, slots=4)
