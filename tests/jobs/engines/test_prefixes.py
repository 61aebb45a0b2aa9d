"""Beginnings found, replaced and forgotten."""

import pytest

pytest.importorskip("torch")
import torch
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.engines.prefixes import TAIL, Beginning, Prefixes, shared

pytestmark = pytest.mark.engines


def beginning(tokens):
    """A beginning whose cache says where it came from: four bytes per token."""
    return Beginning(tokens, torch.tensor(tokens, dtype=torch.float32).reshape(1, 1, -1, 1))


tokens = st.lists(st.integers(0, 2), max_size=30)


@given(tokens, tokens, tokens)
def test_shared_counts_the_common_beginning(start, one, other):
    one, other = start + one, start + other
    slow = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert shared(one, other) == slow


@given(st.lists(st.tuples(st.sampled_from("ab"), tokens), max_size=12), tokens, st.sampled_from(["a", "b", "c"]))
def test_what_is_found_is_the_texts_own_beginning_and_of_its_family(added, text, family):
    known = Prefixes(limit=10_000)
    for name, one in added:
        known.add(name, beginning(one))
    length, cache = known.find(family, text)
    best = max((shared(one, text) for name, one in added if name == family), default=0)
    assert best - TAIL <= length <= best
    assert (cache is None and length == 0) or cache.flatten().tolist() == text[:length]


@given(st.lists(st.tuples(st.sampled_from("abcd"), tokens), max_size=30), st.integers(0, 400))
def test_memory_stays_below_its_limit_and_is_counted_right(added, limit):
    known = Prefixes(limit)
    for name, one in added:
        known.add(name, beginning(one))
        assert known.size <= limit
        assert known.size == sum(one.size for kept in known._families.values() for one in kept)


def test_a_longer_beginning_takes_the_place_of_the_one_it_covers():
    known = Prefixes(limit=10_000)
    known.add("f", beginning([1] * 100 + [2] * TAIL))
    known.add("f", beginning([1] * 300))
    assert known.size == 4 * 300
    known.add("f", beginning([1] * 200))
    assert known.size == 4 * 300
    known.add("f", beginning([3] * 200))
    assert known.size == 4 * 500


def test_the_family_unused_for_longest_is_forgotten_first():
    known = Prefixes(limit=4 * 30)
    for name in "abc":
        known.add(name, beginning([1] * 10))
    known.find("a", [1])
    known.add("d", beginning([1] * 10))
    assert [known.find(name, [1] * 10)[0] for name in "abcd"] == [10, 0, 10, 10]


def test_requests_without_a_family_are_not_kept():
    known = Prefixes(limit=1000)
    known.add("", beginning([1, 2]))
    assert known.size == 0
