"""The exit search, fed with made-up samples: `seen[b][k]` is sample k at boundary b + 1."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.exit_point import Ask, Found, Search, curtailed, exhaustive, hits_needed, search


def feed(talk: Search, seen: Sequence[Sequence[bool]]) -> tuple[Found, list[Ask]]:
    """Answer every ask from `seen`; return what was found and all that was asked."""
    asked: list[Ask] = []
    try:
        asks = next(talk)
        while True:
            asked += asks
            asks = talk.send([seen[ask.boundary - 1][ask.first : ask.first + ask.samples] for ask in asks])
    except StopIteration as end:
        return end.value, asked


def drawn(asked: Sequence[Ask]) -> int:
    return sum(ask.samples for ask in asked)


@st.composite
def samples(draw):
    completions = draw(st.integers(1, 12))
    patterns = draw(st.integers(0, 12))
    row = st.lists(st.booleans(), min_size=completions, max_size=completions)
    threshold = draw(st.floats(0.01, 1.0))
    return draw(st.lists(row, min_size=patterns, max_size=patterns)), completions, threshold


@given(samples())
def test_curtailed_and_exhaustive_find_the_same_exit_in_the_same_samples(case):
    seen, completions, threshold = case
    full, asked_full = feed(exhaustive(len(seen), completions, threshold), seen)
    short, asked_short = feed(curtailed(len(seen), completions, threshold), seen)
    assert short.exit == full.exit
    assert drawn(asked_short) <= drawn(asked_full) == completions * len(seen)


@given(samples())
def test_the_exit_is_the_first_boundary_whose_rate_reaches_the_threshold(case):
    seen, completions, threshold = case
    found, _ = feed(exhaustive(len(seen), completions, threshold), seen)
    passing = [b for b, row in enumerate(seen, start=1) if sum(row) / completions >= threshold - 1e-9]
    assert found.exit == (passing[0] if passing else None)


@given(samples())
def test_curtailed_asks_for_each_sample_once_and_in_order(case):
    seen, completions, threshold = case
    found, asked = feed(curtailed(len(seen), completions, threshold), seen)
    by_boundary: dict[int, int] = {}
    for ask in asked:
        assert ask.first == by_boundary.get(ask.boundary, 0)
        by_boundary[ask.boundary] = ask.first + ask.samples
    assert list(by_boundary) == list(range(1, len(found.boundaries) + 1))
    assert all(count <= completions for count in by_boundary.values())


@given(samples())
def test_curtailed_stops_as_soon_as_a_boundary_is_decided(case):
    seen, completions, threshold = case
    found, _ = feed(curtailed(len(seen), completions, threshold), seen)
    needed = hits_needed(completions, threshold)
    for boundary in found.boundaries:
        passed, failed = boundary.hits == needed, boundary.misses == completions - needed + 1
        assert passed != failed


def test_nothing_is_looked_at_behind_the_exit():
    seen = [[False] * 8, [True] * 8, [True] * 8]
    found, asked = feed(curtailed(3, 8, 0.5), seen)
    assert found.exit == 2
    assert {ask.boundary for ask in asked} == {1, 2}
    assert drawn(asked) == 5 + 4


def test_no_passing_boundary_is_no_exit():
    found, asked = feed(curtailed(2, 8, 0.5), [[False] * 8] * 2)
    assert found.exit is None
    assert drawn(asked) == 10, "five misses decide a boundary: 1.6 times fewer than eight"


def test_a_trace_without_patterns_has_no_exit():
    assert feed(search(0, 8, 0.5, "curtailed"), [])[0] == Found((), None)
    assert feed(search(0, 8, 0.5, "exhaustive"), [])[0] == Found((), None)


@pytest.mark.parametrize(
    ("completions", "threshold", "needed"),
    [(8, 0.5, 4), (8, 0.51, 5), (5, 0.6, 3), (1, 0.01, 1), (8, 1.0, 8), (10, 0.1, 1), (3, 0.34, 2)],
)
def test_hits_needed_is_the_fewest_that_reach_the_threshold(completions, threshold, needed):
    assert hits_needed(completions, threshold) == needed
