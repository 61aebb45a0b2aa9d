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


def kind_after_a_start(words, settings=FINE):
    """The kind of the pattern that these words open as a paragraph of their own."""
    return kinds(f"We know that 2 and 3 are given here.\n\n{words}", settings)[1:]


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


# --- cues -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Wait, let me check that again.", "check"),
        ("Let me check the signs.", "check"),
        ("Let me just double-check.", "check"),
        ("let me verify this", "check"),
        ("Let me re-read the problem.", "check"),
        ("Wait. Let me recompute it.", "check"),
        ("But wait, let's verify with 3.", "check"),
        ("Hmm, but just to make sure, 2 + 2.", "check"),
        ("Okay, so let me double check.", "check"),
        ("Wait, let me go digit by digit.", "check"),
        ("Let\N{RIGHT SINGLE QUOTATION MARK}s check it.", "check"),
        ("I should verify this.", "check"),
        ("Wait, no.", "doubt"),
        ("Wait", "doubt"),
        ("Hmm, is 14+19 really 33?", "doubt"),
        ("But wait, did I read it right?", "doubt"),
        ("Hold on.", "doubt"),
        ("Actually, it is 5.", "doubt"),
        ("Alternatively, I go through it again.", "alternative"),
        ("Another way is to factor.", "alternative"),
        ("Wait, another approach: factor.", "alternative"),
        ("Maybe I can factor it.", "alternative"),
        ("First, I go from left to right.", "step"),
        ("Next, add 3.", "step"),
        ("Now we add.", "step"),
        ("### Step 2: add", "step"),
        ("So, it is 5.", "summary"),
        ("Therefore it is 5.", "summary"),
        ("Thus we have 5.", "summary"),
        ("That settles it.", "conclusion"),
        ("So the answer is 5.", "conclusion"),
        ("So, the answer is 5.", "conclusion"),
        ("Therefore, the final answer is 5.", "conclusion"),
        ("**Final Answer**\n5", "conclusion"),
        ("等等，这不对。", "doubt"),
        ("嗯，是这样吗？", "doubt"),
        ("等等，让我检查一下。", "check"),
        ("让我重新计算。", "check"),
        ("验证一下结果。", "check"),
        ("或者，用因式分解。", "alternative"),
        ("另一种方法是画图。", "alternative"),
        ("首先，加三。", "step"),
        ("然后，再加。", "step"),
        ("所以结果是五。", "summary"),
        ("因此，答案是五。", "conclusion"),
        ("最终答案：五", "conclusion"),
    ],
)
def test_a_cue_names_the_pattern_that_it_opens(words, kind):
    assert kind_after_a_start(words) == [kind]


@pytest.mark.parametrize(
    "words",
    ["Waiting is fine.", "Some are even.", "Nowhere is it odd.", "Letting go.", "Checkers are red.", "The wait"],
)
def test_a_word_that_only_begins_like_a_cue_is_none(words):
    assert kind_after_a_start(words) == []


@pytest.mark.parametrize(
    "before",
    [
        "It is 3. ",
        "It is 3! ",
        'He said "3." ',
        "It is 3.\n",
        "3\n",
        "是三。",
        "是三。 ",
        "**It is 3.** ",
        "It is 3...  ",
    ],
)
def test_a_cue_at_the_start_of_a_sentence_is_enough(before):
    assert kinds(before + "Wait, no, it is 4.") == ["start", "doubt"]


@pytest.mark.parametrize("before", ["It is 3, ", "3.", "then we ", "asyncio."])
def test_a_cue_within_a_sentence_is_none(before):
    assert kinds(before + "wait, no, it is 4.") == ["start"]


@pytest.mark.parametrize("words", ["So it is 4.", "First, add.", "Then add.", "Therefore it is 4."])
def test_steps_and_summaries_count_at_paragraphs_only(words):
    assert kinds(f"It is 3. {words}\n{words}") == ["start"]
    assert len(kinds(f"It is 3.\n\n{words}")) == 2


def test_a_pattern_begins_with_the_white_space_before_its_cue():
    assert [pattern.text for pattern in segment("It is 3.\n\nWait, no.  Hmm, yes.", FINE)] == [
        "It is 3.",
        "\n\nWait, no.",
        "  Hmm, yes.",
    ]


def test_every_shipped_cue_is_found_as_its_own_kind_or_an_earlier_one():
    order = list(CUES["en"])
    for language, by_kind in CUES.items():
        for kind, cues in by_kind.items():
            for cue in cues:
                found = kind_after_a_start(f"{cue} 5", FINE.model_copy(update={"languages": (language,)}))
                assert found, cue
                assert order.index(found[0]) <= order.index(kind), (cue, found)


def test_only_the_languages_asked_for_are_looked_for():
    text = "It is 3.\n\nWait, it is 4.\n\n等等，是五。"
    assert kinds(text, FINE.model_copy(update={"languages": ("en",)})) == ["start", "doubt"]
    assert [p.text for p in segment(text, FINE.model_copy(update={"languages": ("zh",)}))][1] == "\n\n等等，是五。"


def test_people_add_cues_of_known_and_new_kinds():
    settings = FINE.model_copy(
        update={"extra_cues": {"check": ("Überprüfen wir",), "aside": ("übrigens", "let me check by the way")}}
    )
    text = "Es ist 3. Überprüfen wir das. Übrigens, ja. Warte, nein. Let me check by the way."
    assert kinds(text, settings) == ["start", "check", "aside", "aside"]


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_cues": {"check": [""]}},
        {"extra_cues": {"": ["x"]}},
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


def test_a_kind_without_phrases_changes_nothing():
    text = "It is 3. It is 4. Wait, no."
    assert segment(text, FINE.model_copy(update={"extra_cues": {"aside": ()}})) == segment(text, FINE)


def test_cues_with_signs_of_regular_expressions_are_plain_text():
    settings = FINE.model_copy(update={"extra_cues": {"aside": ("(a|b)*", "[c")}})
    assert kinds("One. (a|b)* is it. aab is not. [c is.", settings) == ["start", "aside", "aside"]


# --- formulas and code ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "whole",
    [
        "\\(x.\nWait, y\\)",
        "\\[\nx = 3.\nWait, y\n\\]",
        "$$\nx.\nWait\n$$",
        "```python\nx = 3\n\n# Then\n\nwait\n\nSo\n```",
        "\\[\na \\\\[2pt]\nWait, b\n\\]",
    ],
)
def test_formulas_and_code_are_not_cut(whole):
    text = f"We have {whole} here, which is known.\n\nWait, that is all there is."
    assert [pattern.text.count(whole) for pattern in segment(text, FINE)] == [1, 0]


@pytest.mark.parametrize("mark", ["\\(", "\\[", "$$", "\\)", "\\]"])
def test_a_formula_without_an_end_stops_no_cut_after_its_paragraph(mark):
    assert kinds(f"We have {mark} x.\n\nIt is 3.\n\nWait, no. {mark}") == ["start", "doubt"]


def test_code_without_an_end_is_cut_like_text():
    assert kinds("Code:\n```python\nx = 3\n\nWait, that is wrong.") == ["start", "doubt"]


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
