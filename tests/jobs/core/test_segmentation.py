# ruff: noqa: RUF001 - Chinese punctuation is meant
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from pydantic import ValidationError

from dto_jobs.core.cues import CUES
from dto_jobs.core.records import Pattern
from dto_jobs.core.segmentation import (
    CLOSE,
    Segmentation,
    Thinking,
    count_rechecks,
    drop_opening,
    estimated_tokens,
    segment,
    split_thinking,
)

TRACES = Path(__file__).parents[3] / ".." / "shared/data/traces"
# The first text in a language waits for its cues to be compiled.
UNTIMED = trials(deadline=None)
FINE = Segmentation(min_tokens=1, max_patterns=10_000)

# Pieces from which a trace, or something that looks like one to the scanner, can be put together.
FRAGMENTS = st.sampled_from(
    [
        *(
            "Wait, ",
            "Hmm. ",
            "Let me check that. ",
            "Alternatively, ",
            "So, ",
            "First, ",
            "等等，",
            "让我检查。",
            "所以",
            "word ",
        ),
        *(
            "\n",
            "\n\n",
            " \n \n",
            ". ",
            "。",
            "...",
            "\\(",
            "\\)",
            "\\[",
            "\\]",
            "$$",
            "```",
            "```python\n",
            "**",
            "<think>",
            "x",
        ),
        *("\ud800", "\u2028", "\x00", "\r\n", "é", "🙂", "\u200b"),
    ]
)
TEXTS = st.one_of(st.text(st.characters()), st.lists(FRAGMENTS, max_size=60).map("".join))
SETTINGS = st.builds(
    Segmentation,
    strategy=st.sampled_from(["cues", "structure"]),
    languages=st.sampled_from([("en", "zh"), ("en",), ("zh",), ()]),
    max_patterns=st.integers(1, 20),
    min_tokens=st.integers(1, 40),
    block_tokens=st.integers(16, 60),
)


def real_traces(name):
    path = TRACES / name
    if not path.exists():
        pytest.skip(f"the real traces are not beside this checkout: {name}")
    return [json.loads(line)["response"] for line in path.read_text(encoding="utf-8").splitlines()]


def joined(patterns):
    return "".join(pattern.text for pattern in patterns)


def kinds(text, settings=FINE):
    return [pattern.kind for pattern in segment(text, settings)]


# --- for any text -----------------------------------------------------------------------------------------------------


@UNTIMED
@given(TEXTS, SETTINGS)
def test_joining_the_patterns_gives_back_the_text(text, settings):
    assert joined(segment(text, settings)) == text


@UNTIMED
@given(TEXTS, SETTINGS)
def test_there_are_never_more_patterns_than_allowed_and_none_is_empty(text, settings):
    patterns = segment(text, settings)
    assert len(patterns) <= settings.max_patterns
    assert all(pattern.text for pattern in patterns)


@UNTIMED
@given(TEXTS, SETTINGS)
def test_no_pattern_is_shorter_than_the_least_unless_it_is_alone(text, settings):
    patterns = segment(text, settings)
    assert len(patterns) < 2 or min(estimated_tokens(pattern.text) for pattern in patterns) >= settings.min_tokens


@UNTIMED
@given(TEXTS, SETTINGS)
def test_the_first_pattern_is_the_start_and_no_other_is(text, settings):
    found = kinds(text, settings)
    assert found[:1] == ["start"][: len(found)]
    assert "start" not in found[1:]


@UNTIMED
@given(TEXTS)
def test_the_same_text_is_cut_the_same_way_again(text):
    assert segment(text) == segment(text)


def test_an_empty_text_has_no_patterns():
    assert segment("") == ()


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_cues": {"check": [""]}},
        {"extra_cues": {"check": [" x"]}},
        {"languages": ["de"]},
        {"max_patterns": 0},
        {"min_tokens": 0},
        {"block_tokens": 3},
        {"strategy": "words"},
        {"cues": []},
    ],
)
def test_settings_out_of_range_are_refused(fields):
    with pytest.raises(ValidationError):
        Segmentation.model_validate(fields)


# --- length -----------------------------------------------------------------------------------------------------------


def test_a_short_hesitation_joins_the_check_that_follows_and_is_named_after_it():
    text = "It is three, as we know from above.\n\nWait, no.\n\nLet me check: 1 + 2 = 3, and that is what we had."
    assert kinds(text, Segmentation()) == ["start", "check"]


def test_a_short_summary_joins_what_it_sums_up():
    first = "It is three, as we know from above.\n\nWait, 1 + 2 + 0 is three as well, I believe.\n\nSo, 3."
    text = first + "\n\nAlternatively, count on your fingers: one, two, three."
    assert joined(segment(text)[:2]) == first
    assert kinds(text, Segmentation()) == ["start", "doubt", "alternative"]


def test_the_shortest_neighbours_are_merged_first():
    long, short = "\n\nWait, " + "and so on and on " * 12, "\n\nHmm, is that so, really?"
    patterns = segment(long + short + short + long + long, Segmentation(max_patterns=4))
    assert [pattern.text for pattern in patterns] == [long, short + short, long, long]


def test_very_many_patterns_are_merged_to_about_equal_length():
    sizes = [len(pattern.text) for pattern in segment("Wait, is that really so, I wonder? " * 20_000)]
    assert len(sizes) == 64
    assert max(sizes) < 3 * min(sizes)


def test_a_loop_of_short_summaries_is_still_divided():
    assert len(segment("\n\nSo, 121." * 5_000)) > 16


def test_length_is_estimated_from_bytes_of_any_text():
    assert [estimated_tokens(text) for text in ("", "a", "abcd", "abcde", "等等等等", "\ud800")] == [0, 1, 1, 2, 3, 1]


# --- structure --------------------------------------------------------------------------------------------------------

PARAGRAPH = "Der Wert ist drei, und das bleibt auch so. " * 4
STRUCTURE = Segmentation(strategy="structure", block_tokens=100)


def test_text_without_cues_is_cut_between_paragraphs_into_blocks():
    patterns = segment("\n\n".join([PARAGRAPH] * 20), Segmentation(block_tokens=100))
    assert [pattern.kind for pattern in patterns] == ["start"] + ["block"] * (len(patterns) - 1)
    assert all(pattern.text.startswith(" \n\n") for pattern in patterns[1:])
    assert all(50 <= estimated_tokens(pattern.text) <= 100 for pattern in patterns[:-1])


def test_a_paragraph_longer_than_a_block_is_cut_between_sentences():
    patterns = segment("Der Wert ist drei, und das bleibt so. " * 100, Segmentation(block_tokens=100))
    assert len(patterns) > 8
    assert all(pattern.text.startswith(" Der") for pattern in patterns[1:-1])
    assert max(estimated_tokens(pattern.text) for pattern in patterns) <= 101


def test_a_sentence_is_never_cut():
    assert len(segment("und " * 10_000)) == 1


def test_a_rare_cue_keeps_its_kind_and_the_rest_becomes_blocks():
    text = "\n\n".join([PARAGRAPH] * 6) + "\n\nWait, nein.\n\n" + "\n\n".join([PARAGRAPH] * 6)
    found = kinds(text, Segmentation(block_tokens=100))
    assert found.count("doubt") == 1
    assert found[0] == "start"
    assert set(found) == {"start", "block", "doubt"}


def test_where_cues_are_frequent_structure_does_not_cut():
    text = "\n\n".join(["Wait, that is one.\n\nIt is so.\n\nAnd so on."] * 20)
    assert "block" not in kinds(text, Segmentation())


def test_structure_looks_at_no_words():
    text = "\n\n".join(["Wait, let me check.", PARAGRAPH] * 10)
    assert set(kinds(text, STRUCTURE)) == {"start", "block"}


def test_blocks_do_not_cut_code():
    code = "```\n" + "x = x + 1\n\n" * 200 + "```"
    assert any(code in pattern.text for pattern in segment(f"{PARAGRAPH}\n\n{code}\n\n{PARAGRAPH}", STRUCTURE))


# --- thinking and answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("Thought.\n</think>\n\nSaid.", True, Thinking("Thought.\n", "\n\nSaid.")),
        ("Thought.\n</think>\n\nSaid.", False, Thinking("Thought.\n", "\n\nSaid.")),
        ("<think>\nThought.\n</think>\n\nSaid.", False, Thinking("Thought.\n", "\n\nSaid.")),
        ("<think>\nThought.\n</think>\n\nSaid.", True, Thinking("Thought.\n", "\n\nSaid.")),
        ("\n <think>Thought.</think>Said.", False, Thinking("Thought.", "Said.")),
        ("Thought, \\boxed{3}", True, Thinking("Thought, \\boxed{3}", None)),
        ("<think>\nThought, \\boxed{3}", False, Thinking("Thought, \\boxed{3}", None)),
        ("No marks, \\boxed{3}", False, Thinking("No marks, \\boxed{3}", "No marks, \\boxed{3}")),
        ("a</think>b</think>c", True, Thinking("a", "b</think>c")),
        ("</think>b", True, Thinking("", "b")),
        ("<think>\n", False, Thinking("", None)),
        ("", True, Thinking("", None)),
        ("", False, Thinking("", "")),
        ("It says <think> here", False, Thinking("It says <think> here", "It says <think> here")),
    ],
)
def test_thinking_ends_at_the_first_closing_mark(text, opened, expected):
    assert split_thinking(text, opened=opened) == expected


@given(st.lists(st.sampled_from(["a", "\n", CLOSE, "<think>", " "]), max_size=8).map("".join), st.booleans())
def test_thinking_mark_and_answer_are_the_response_again(text, opened):
    thinking, answer = split_thinking(text, opened=opened)
    response = drop_opening(text)
    assert (thinking + CLOSE + str(answer) if CLOSE in response else thinking) == response


def test_rechecks_are_the_patterns_of_that_kind():
    assert count_rechecks([Pattern(text="a", kind=kind) for kind in ("start", "check", "doubt", "check")]) == 2


# --- real traces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["en_math_r1.jsonl", "zh_mixed_r1_1p5b.jsonl"])
@pytest.mark.parametrize("settings", [Segmentation(), FINE, STRUCTURE], ids=["default", "fine", "structure"])
def test_real_traces_come_back_whole_and_bounded(name, settings):
    for response in real_traces(name):
        thinking = split_thinking(response, opened=True).thinking
        patterns = segment(thinking, settings)
        assert joined(patterns) == thinking
        assert 1 <= len(patterns) <= settings.max_patterns


def test_real_english_traces_show_every_kind_of_pattern():
    traces = [segment(split_thinking(text, opened=True).thinking) for text in real_traces("en_math_r1.jsonl")]
    assert {p.kind for patterns in traces for p in patterns} == {"start", "block", *CUES["en"]}
    assert sum(len(patterns) >= 12 for patterns in traces) > 100


def test_real_chinese_traces_are_cut_at_chinese_cues():
    traces = [segment(split_thinking(text, opened=True).thinking) for text in real_traces("zh_mixed_r1_1p5b.jsonl")]
    openings = {pattern.text.strip()[:2] for patterns in traces for pattern in patterns[1:]}
    assert {"因此", "然后"} <= openings


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "unit",
    [
        *(
            "Wait, no. ",
            "Wait, wait, wait, ",
            "\n\nSo, 121.",
            "等等。",
            "\n",
            " ",
            ".",
            ". ",
            ".)",
            "(",
            "\\(",
            "\\)",
            "$$",
            "`",
            "```",
            "*",
            "# ",
        ),
        *("\n- ", "\n\n", "Wait!", "wait ", "let ", "a", "。", "。等等", "Hmm... ", "\\[\n\n", "\n\n```\n"),
    ],
)
def test_a_loop_of_a_million_characters_ends(unit):
    text = unit * (1_000_000 // len(unit))
    patterns = segment(text)
    assert joined(patterns) == text
    assert len(patterns) <= 64
