"""Pairs of one problem, made from made-up traces."""

import pytest

from dto_jobs.core.preference import Preference, pairs
from dto_jobs.core.records import EndedTrace, Pattern, Problem, PrunedTrace, Response, SearchedTrace

PROBLEM = Problem(id="p", question="1+1?", answer="2", level="easy")


def trace(name, tokens, *, correct=True, optimized=None, kept=2, finished=True):
    """A trace of so many tokens whose optimized form has `optimized` tokens (None: there is none)."""
    response = Response(
        id=f"p#{name}", problem=PROBLEM, prompt="ask", text=f"original {name}", prompt_tokens=10, tokens=tokens,
        finished=finished, opened=True, answer="2", correct=correct,
    )  # fmt: skip
    patterns = tuple(Pattern(text=f"\n\npattern {i}", kind="step") for i in range(4))
    searched = SearchedTrace(response=response, patterns=patterns, boundaries=(), exit=2 if optimized else None)
    ended = EndedTrace(trace=searched, ending="2" if optimized else None)
    text = f"optimized {name}" if optimized else None
    return PrunedTrace(ended=ended, kept=tuple(range(kept)), text=text, tokens=optimized or 0)


def made(*traces, stopped_earlier=lambda _: None, **settings):
    return pairs(traces, Preference(**settings), stopped_earlier)


def test_an_optimized_right_trace_is_preferred_to_its_original():
    [pair] = made(trace("a", 100, optimized=40))
    assert (pair.kind, pair.chosen, pair.rejected) == ("compressed", "optimized a", "original a")
    assert (pair.chosen_tokens, pair.rejected_tokens) == (40, 100)


def test_an_optimized_wrong_trace_is_a_rescue():
    [pair] = made(trace("a", 100, correct=False, optimized=40))
    assert pair.kind == "rescued"


def test_a_trace_without_optimized_form_is_no_pair():
    assert made(trace("a", 100)) == []


@pytest.mark.parametrize(("optimized", "count"), [(90, 1), (91, 0)])
def test_the_chosen_must_be_shorter_by_the_margin(optimized, count):
    assert len(made(trace("a", 100, optimized=optimized), min_saving=0.1)) == count


@pytest.mark.parametrize(("window", "count"), [(110, 1), (109, 0)])
def test_a_pair_over_the_window_is_dropped_never_cut(window, count):
    assert len(made(trace("a", 100, optimized=40), max_tokens=window)) == count


def test_the_cap_keeps_the_shortest_of_both_kinds():
    traces = [
        trace("a", 100, optimized=40),
        trace("b", 100, optimized=30),
        trace("c", 100, correct=False, optimized=50),
    ]
    assert [(pair.kind, pair.chosen) for pair in made(*traces)] == [
        ("rescued", "optimized c"),
        ("compressed", "optimized b"),
    ]


def test_the_longest_correct_response_may_be_the_rejected():
    traces = [trace("a", 100, optimized=40), trace("b", 300), trace("c", 900, correct=False)]
    [pair] = made(*traces, rejected="longest-correct")
    assert pair.rejected == "original b"


def test_an_incorrect_response_may_be_the_rejected():
    traces = [trace("a", 100, optimized=40), trace("b", 300), trace("c", 900, correct=False)]
    [pair] = made(*traces, rejected="incorrect")
    assert pair.rejected == "original c"
    assert made(traces[0], traces[1], rejected="incorrect") == []


def test_a_necessary_thought_is_shown_by_what_went_wrong_without_it():
    [main, necessary] = made(trace("a", 100, optimized=40), stopped_earlier=lambda _: ("stopped", 30), necessary=3)
    assert main.kind == "compressed"
    assert (necessary.kind, necessary.chosen, necessary.rejected, necessary.copies) == (
        "necessary",
        "optimized a",
        "stopped",
        3,
    )


def test_a_single_pattern_is_no_necessary_thought():
    [pair] = made(trace("a", 100, optimized=40, kept=1), stopped_earlier=lambda _: ("stopped", 30))
    assert pair.kind == "compressed"


def test_long_and_correct_beats_short_and_wrong():
    traces = [trace("a", 100), trace("b", 30, correct=False), trace("c", 10, correct=False, finished=False)]
    [pair] = made(*traces, long_correct=2)
    assert (pair.kind, pair.chosen, pair.rejected, pair.copies) == ("long-correct", "original a", "original b", 2)


def test_the_control_takes_sampled_responses_the_shortest_correct_against_the_longest():
    traces = [
        trace("a", 100, optimized=40),
        trace("b", 60),
        trace("c", 30, correct=False),
        trace("d", 200, correct=False),
    ]
    [pair] = made(*traces, chosen="shortest-correct")
    assert (pair.kind, pair.chosen, pair.rejected) == ("rescued", "original b", "original d")
    assert made(trace("a", 100), trace("b", 95), chosen="shortest-correct") == []
