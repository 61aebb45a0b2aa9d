"""How cuts are compared, on made-up traces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.audits import Terms
from dto_jobs.core.cut_audit import cut_audit, exit_position
from dto_jobs.core.records import Boundary, Pattern, Problem, Response, SearchedTrace
from dto_jobs.core.segmentation import Segmentation, segment

TERMS = Terms(run="r", completions=8, threshold=0.5, seed=0)


def trace(problem, lengths, exit_):
    response = Response(
        id=f"{problem}#0", problem=Problem(id=problem, question="?", answer="1"), prompt="", text="", prompt_tokens=1,
        tokens=9, finished=True, opened=True, answer="1", correct=True,
    )  # fmt: skip
    patterns = tuple(Pattern(text="x" * length, kind="doubt") for length in lengths)
    seen = (Boundary(hits=4, misses=0),) * (exit_ or len(lengths))
    return SearchedTrace(response=response, patterns=patterns, boundaries=seen, exit=exit_)


def test_places_are_shares_of_the_text_and_not_of_the_patterns():
    assert exit_position(trace("p", [10, 30, 60], 2)) == pytest.approx(0.4)
    assert exit_position(trace("p", [10, 30, 60], 3)) == 1
    assert exit_position(trace("p", [10], None)) is None


def test_the_same_exits_are_no_distance_apart():
    traces = [trace(f"p{n}", [10] * 5, n % 5 + 1) for n in range(10)]
    [pair] = cut_audit({"cues": traces, "again": traces}, TERMS).pairs
    assert (pair.both, pair.same.value, pair.distance.value, pair.shift.value, pair.saving.value) == (10, 1, 0, 0, 0)


def test_later_exits_and_missing_ones_are_told_apart():
    own = [trace("p", [10] * 10, 4), trace("q", [10] * 10, 4)]
    other = [trace("p", [20] * 5, 3), trace("q", [20] * 5, None)]
    found = cut_audit({"cues": own, "other": other}, TERMS)
    [pair] = found.pairs
    assert (pair.both, pair.same.value) == (1, 0.5)
    assert pair.shift.value == pytest.approx(0.2)
    assert pair.saving.value == pytest.approx((0.4 - 0.6 + 0 - 0.6) / 2)
    assert found.cuts[1].position.value == pytest.approx(0.6)
    assert found.cuts[1].saving.value == pytest.approx(0.2)


def test_without_exits_there_is_no_place():
    none = [trace("p", [10], None), trace("q", [10], None)]
    found = cut_audit({"cues": none, "other": none}, TERMS)
    assert (found.cuts[0].position, found.pairs[0].distance, found.cuts[0].saving.value) == (None, None, 0)


def test_without_traces_there_is_no_audit():
    assert cut_audit({"cues": [], "other": []}, TERMS) is None


# The random cut

WORDS = st.lists(
    st.sampled_from(["Wait,", "so", "\n\nAlternatively,", "it is 4.", "Hmm.", "数", "", "  "]), max_size=200
)


@given(WORDS.map(" ".join))
def test_a_random_cut_loses_nothing_and_has_as_many_patterns_as_the_cues(text):
    by_chance = segment(text, Segmentation(strategy="random"))
    assert "".join(pattern.text for pattern in by_chance) == text
    assert all(pattern.text for pattern in by_chance)
    assert len(by_chance) <= len(segment(text, Segmentation()))
    assert by_chance == segment(text, Segmentation(strategy="random")), "the same text is cut alike"


def test_a_random_cut_falls_between_words_and_not_at_cues():
    text = " ".join(f"Wait, number {n} is what I look at now for a while." for n in range(40))
    cues, by_chance = segment(text, Segmentation()), segment(text, Segmentation(strategy="random"))
    assert len(by_chance) == len(cues)
    assert all(pattern.text[0].isspace() and not pattern.text[1].isspace() for pattern in by_chance[1:])
    assert sum(pattern.text.startswith(" Wait,") for pattern in by_chance[1:]) < len(by_chance) / 2
