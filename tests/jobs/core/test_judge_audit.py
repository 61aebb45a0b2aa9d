"""What an audit says of judges, on made-up traces whose needed patterns are known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.audits import Terms
from dto_jobs.core.judge_audit import Audited, judge_audit
from dto_jobs.core.records import Boundary
from dto_jobs.core.statistics import kappa_interval
from dto_jobs.core.verdicts import Verdict

TERMS = Terms(run="r", completions=8, threshold=0.5, seed=0)
RIGHT, LOST = Boundary(hits=4, misses=1), Boundary(hits=1, misses=5)


def said(drops, heard):
    return [Verdict(pattern, keep=pattern not in drops, reason="") for pattern in heard]


def trace(problem, needed, drops, *, heard=None, whole=RIGHT, other=()):
    """Make a trace of which patterns (from 1) are needed and which a judge drops."""
    count = len(needed)
    heard = range(1, count + 1) if heard is None else heard
    return Audited(
        problem=problem,
        whole=whole,
        without=[LOST if one else RIGHT for one in needed],
        verdicts={"judge": said(drops, heard), "other": said(other, range(1, count + 1))},
    )


def audit(traces, *judges):
    return judge_audit(traces, {judge: {} for judge in judges or ("judge",)}, TERMS)


def test_a_judge_that_sees_what_is_needed_agrees_and_harms_nothing():
    found = audit([trace(f"p{n}", [True, False, False], {2, 3}) for n in range(10)])
    [judge] = found.judges
    assert (judge.agreement.value, judge.kappa.value, judge.harm.value, judge.missed.value) == (1, 1, 0, 0)
    assert found.needed.value == pytest.approx(1 / 3)
    assert judge.harm.high > 0, "ten problems are no proof of harmlessness"


def test_a_judge_that_drops_everything_harms_as_often_as_patterns_are_needed():
    found = audit([trace(f"p{n}", [True, False, False, True], {1, 2, 3, 4}) for n in range(6)])
    [judge] = found.judges
    assert judge.harm.value == found.needed.value == 0.5
    assert (judge.agreement.value, judge.kappa.value) == (0.5, 0.0)


def test_a_judge_that_keeps_everything_harms_nothing_and_misses_everything():
    [judge] = audit([trace(f"p{n}", [True, False], ()) for n in range(4)]).judges
    assert (judge.harm, judge.missed.value, judge.dropped.value) == (None, 1.0, 0.0)


def test_a_pattern_without_a_verdict_counts_as_kept():
    [judge] = audit([trace("p", [False, False, True], {1}, heard=[1])]).judges
    assert (judge.unheard, judge.patterns) == (2, 3)
    assert judge.missed.value == 0.5


def test_traces_whose_answers_are_not_steady_tell_nothing():
    found = audit([trace("p", [True], {1}, whole=LOST), trace("q", [False], {1})])
    assert (found.traces, found.unsteady, found.needed.value) == (1, 1, 0.0)
    assert audit([trace("p", [True], {1}, whole=LOST)]) is None
    assert audit([trace("p", [], ())]) is None


def test_two_judges_are_compared_with_each_other():
    found = audit([trace(f"p{n}", [True, False], {2}, other={1}) for n in range(5)], "judge", "other")
    [pair] = found.pairs
    assert (pair.first, pair.second, pair.agreement.value, pair.kappa.value) == ("judge", "other", 0.0, -1.0)


# Cohen (1960) and its textbook example: 50 grants, κ = 0.4.
def test_kappa_is_cohens():
    assert kappa_interval({"all": (20, 5, 10, 15)}).value == pytest.approx(0.4)


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4).filter(any), min_size=2, max_size=12))
def test_kappa_is_bounded_symmetric_and_within_its_interval(tables):
    named = {str(place): table for place, table in enumerate(tables)}
    swapped = {name: (a, c, b, d) for name, (a, b, c, d) in named.items()}
    found = kappa_interval(named, resamples=200)
    assert -1 <= found.low <= found.high <= 1
    assert found.value == pytest.approx(kappa_interval(swapped, resamples=200).value)


def test_raters_who_agree_on_everything_alike_agree_by_chance():
    assert kappa_interval({"a": (5, 0, 0, 0), "b": (3, 0, 0, 0)}).value == 0.0
