"""Pruning checks, answered by a made-up world in which some patterns are needed."""

from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.pruning import Check, candidates, leave_one_out, verified


def answer(talk: Check, right) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Answer every check with `right(kept)`; return what was kept and all that was checked."""
    checked = []
    try:
        kept = next(talk)
        while True:
            checked.append(kept)
            kept = talk.send(right(kept))
    except StopIteration as end:
        return end.value, checked


counts = st.integers(1, 12)
sets = st.frozensets(st.integers(0, 11))


@given(counts, sets, sets, st.booleans())
def test_a_needed_pattern_survives_whatever_an_adversarial_judge_proposes(count, needed, proposed, bisect):
    needed &= set(range(count))
    kept, _ = answer(verified(count, proposed, bisect=bisect), lambda trial: needed <= set(trial))
    assert needed <= set(kept)


@given(counts, sets, st.data())
def test_only_what_passed_its_check_is_kept(count, proposed, data):
    """Even in a world that answers at random, as sampling does near the threshold."""
    passed = {tuple(range(count))}

    def right(trial):
        verdict = data.draw(st.booleans())
        if verdict:
            passed.add(trial)
        return verdict

    for talk in (verified(count, proposed), leave_one_out(count)):
        kept, _ = answer(talk, right)
        assert kept in passed


@given(counts, sets, sets)
def test_bisection_keeps_just_the_needed_of_what_was_proposed(count, needed, proposed):
    needed &= set(range(count))
    kept, _ = answer(verified(count, proposed), lambda trial: needed <= set(trial))
    allowed = set(candidates(count)) & proposed
    assert set(kept) == set(range(count)) - (allowed - needed)


@given(counts, sets)
def test_leave_one_out_drops_all_but_the_needed_and_the_last(count, needed):
    needed &= set(range(count))
    kept, checked = answer(leave_one_out(count), lambda trial: needed <= set(trial))
    assert set(kept) == needed | {count - 1}
    assert len(checked) == count - 1


def test_a_good_judge_needs_one_check():
    kept, checked = answer(verified(6, {1, 2, 4}), lambda _: True)
    assert kept == (0, 3, 5)
    assert checked == [(0, 3, 5)]


def test_without_bisection_a_failed_proposal_is_put_back_whole():
    kept, checked = answer(verified(4, {0, 1}, bisect=False), lambda trial: 0 in trial)
    assert kept == (0, 1, 2, 3)
    assert checked == [(2, 3)]


def test_the_last_pattern_is_never_tried():
    assert answer(verified(3, {2}), lambda _: True) == ((0, 1, 2), [])
    assert answer(leave_one_out(1), lambda _: True) == ((0,), [])
