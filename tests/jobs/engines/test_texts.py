"""Tokens of a trace that is cut and continued: those before the cut stay, whatever follows, and the text stays the text."""

import pytest

pytest.importorskip("torch")
from bisect import bisect_right
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dto_jobs.core.segmentation import Segmentation, segment
from dto_jobs.core.trajectory import stopped
from dto_jobs.engines.model_sources import SMOLLM2, TINY_REASONER, resolve
from dto_jobs.engines.prefixes import shared
from dto_jobs.engines.texts import Texts, load_texts
from dto_jobs.model_source import ModelSource
from dto_jobs.prompts import exit_pattern, finalize_pattern

pytestmark = pytest.mark.engines

TRACE = """user: What is 7+8-3?
assistant: <think>
Okay, so I need to compute 7+8-3. First, I go from left to right. 7+8=15, so 15-3=12. Wait, let me double-check that.

15 - 3 = 12.0000. Hmm… naïve? No: 答案是十二。等等!让我再检查一遍。 It's 12 🙂👩‍🏫!

```python
assert 7 + 8 - 3 == 12  # \ttabs\t\tand   spaces
```

Alternatively, 8-3=5 and 7+5=12.\n\n\nThat's it.
"""
# Qwen2's and with it R1's way to part text before merging: a full stop and the line breaks after it are one piece.
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def qwen_like():
    """A small tokenizer that parts text as Qwen2 does, with merges learned from the trace."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, show_progress=False, special_tokens=["</think>"]
    )
    tokenizer.train_from_iterator([TRACE, "so.\n\nThat settles it.\n"] * 3, trainer)
    return Texts(PreTrainedTokenizerFast(tokenizer_object=tokenizer))


@pytest.fixture(scope="module", params=[TINY_REASONER, SMOLLM2, "qwen-like"])
def texts(request):
    if request.param == "qwen-like":
        return qwen_like()
    return load_texts(resolve(request.param, Path()), ModelSource(source=request.param))


def before(texts, trace, prompt):
    """The trace's tokens that end before prompt and trace part, by plain tokenization of the trace; none where it loses text."""
    found = texts.tokenizer(trace, add_special_tokens=False, return_offsets_mapping=True)
    if texts.tokenizer.decode(found["input_ids"], clean_up_tokenization_spaces=False) != trace:
        return []
    ends = [end for _, end in found["offset_mapping"]]
    return found["input_ids"][: bisect_right(ends, shared(prompt, trace))]


@settings(max_examples=40)
@given(cut=st.integers(0, len(TRACE)), closing=st.sampled_from([exit_pattern, finalize_pattern]))
def test_a_trace_cut_anywhere_keeps_its_tokens_before_the_cut(texts, cut, closing):
    prompt = TRACE[:cut] + closing(thinking=texts.thinking)
    tokens, kept = texts.prompt(prompt, TRACE), before(texts, TRACE, prompt)
    assert tokens[: len(kept)] == kept
    assert texts.tokenizer.decode(tokens) == texts.tokenizer.decode(texts.fresh(prompt))


@settings(max_examples=40)
@given(trace=st.text(max_size=60), cut=st.integers(0, 60), then=st.text(max_size=12))
def test_so_does_any_text_whatever_follows(texts, trace, cut, then):
    prompt = trace[:cut] + then
    tokens, kept = texts.prompt(prompt, trace), before(texts, trace, prompt)
    assert tokens[: len(kept)] == kept
    assert texts.tokenizer.decode(tokens) == texts.tokenizer.decode(texts.fresh(prompt))


@pytest.mark.parametrize("cut", range(6))
def test_a_trace_that_the_vocabulary_cannot_say_is_read_as_text(texts, cut):
    # SmolLM2 has no token for the first byte of U+40000, drops it, and counts the next character's as its.
    trace = "000\U00040000\U00018cd6"
    assert texts.tokenizer.decode(texts.prompt(trace[:cut], trace)) == texts.tokenizer.decode(texts.fresh(trace[:cut]))


def test_the_trace_of_these_tests_can_be_said_so_that_its_tokens_are_kept(texts):
    assert before(texts, TRACE, TRACE) == texts.fresh(TRACE)


def test_every_cut_of_the_exit_search_keeps_them(texts):
    thinking = TRACE.partition("<think>\n")[2]
    beginning = TRACE.removesuffix(thinking)
    patterns = [pattern.text for pattern in segment(thinking, Segmentation(min_tokens=1))]
    assert len(patterns) > 4
    for count in range(1, len(patterns) + 1):
        prompt = beginning + stopped(patterns[:count], exit_pattern(thinking=texts.thinking))
        kept = before(texts, TRACE, prompt)
        assert kept
        assert texts.prompt(prompt, TRACE)[: len(kept)] == kept


def test_text_alone_would_change_the_token_at_a_cut_between_sentences():
    texts = qwen_like()
    prompt = TRACE[: TRACE.index(" Wait, let me")] + exit_pattern(thinking=True)
    kept, plain = before(texts, TRACE, prompt), texts.fresh(prompt)
    assert kept[-1] == texts.fresh("12.")[-1]
    assert plain[: len(kept)] != kept, "the full stop and the line breaks after it become one token"
    assert texts.prompt(prompt, TRACE)[: len(kept)] == kept


def test_a_prompt_that_continues_nothing_is_tokenized_as_text(texts):
    assert texts.prompt(TRACE) == texts.prompt(TRACE, "something else") == texts.fresh(TRACE)
    assert texts.prompt(TRACE, TRACE) == texts.fresh(TRACE)


def test_tokenizers_that_cannot_be_joined_get_text(texts, monkeypatch):
    monkeypatch.setattr(texts, "_joins", False)
    prompt = TRACE[:200] + exit_pattern(thinking=True)
    assert texts.prompt(prompt, TRACE) == texts.fresh(prompt)
