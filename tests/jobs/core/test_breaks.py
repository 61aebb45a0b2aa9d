# ruff: noqa: RUF001 - Chinese punctuation is meant
import pytest

from dto_jobs.core.cues import CUES
from dto_jobs.core.segmentation import Segmentation, segment

FINE = Segmentation(min_tokens=1, max_patterns=10_000)


def kinds(text, settings=FINE):
    return [pattern.kind for pattern in segment(text, settings)]


def kind_after_a_start(words, settings=FINE):
    """The kind of the pattern that these words open as a paragraph of their own."""
    return kinds(f"We know that 2 and 3 are given here.\n\n{words}", settings)[1:]


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
