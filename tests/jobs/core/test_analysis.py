import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.analysis import all_trajectories, exit_results, pair_results, regime_results, rollout_results
from dto_jobs.core.cost import ModelShape, response_flops
from dto_jobs.core.records import (
    Boundary,
    Drop,
    EndedTrace,
    Pair,
    Pattern,
    Problem,
    PrunedTrace,
    Response,
    SearchedTrace,
)

SHAPE = ModelShape(parameters=1000, layers=2, width=8)


def response(problem: str = "p", sample: int = 0, *, level: str = "", **more: object) -> Response:
    fields = {"tokens": 100, "finished": True, "correct": True} | more
    return Response(
        id=f"{problem}#{sample}",
        problem=Problem(id=problem, question="?", answer="1", level=level),
        prompt="Q",
        text="thinking",
        prompt_tokens=10,
        opened=True,
        answer="1",
        **fields,
    )


def searched(patterns: int, exit_: int | None, **more: object) -> SearchedTrace:
    looked = patterns if exit_ is None else exit_
    return SearchedTrace(
        response=response(**more),
        patterns=tuple(Pattern(text="x", kind="check" if i else "start") for i in range(patterns)),
        boundaries=tuple(Boundary(hits=0, misses=5) for _ in range(looked)),
        exit=exit_,
    )


def pruned(tokens: int | None, **more: object) -> PrunedTrace:
    trace = searched(4, None if tokens is None else 2, **more)
    if tokens is None:
        return PrunedTrace(ended=EndedTrace(trace=trace, ending=None))
    return PrunedTrace(
        ended=EndedTrace(trace=trace, ending="so 1", tried=4, correct=3),
        kept=(1,),
        dropped=(Drop(pattern=0, reason="idle"),),
        text="short",
        tokens=tokens,
        optimized_correct_rate=0.75,
    )


# Rollouts


def test_rollouts_are_counted_by_problem_and_by_level() -> None:
    rows = [
        response("a", 0, level="easy", tokens=10),
        response("a", 1, level="easy", tokens=30, correct=False),
        response("b", 0, level="hard", tokens=80, correct=False, finished=False),
    ]
    found = rollout_results(iter(rows))
    assert (found.problems, found.responses) == (2, 3)
    assert found.accuracy.value == pytest.approx(1 / 3)
    assert found.tokens.value == pytest.approx(40)
    assert found.unfinished == pytest.approx(1 / 3)
    assert [(level.level, level.accuracy, level.tokens) for level in found.levels] == [
        ("easy", 0.5, 20),
        ("hard", 0, 80),
    ]


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ({"Level 10": 1, "Level 2": 0}, ["Level 2", "Level 10"]),
        ({"algebra": 0, "number theory": 1}, ["number theory", "algebra"]),
    ],
)
def test_levels_go_from_easy_to_hard(levels: dict[str, bool], wanted: list[str]) -> None:
    found = rollout_results(response(name, level=name, correct=bool(right)) for name, right in levels.items())
    assert [one.level for one in found.levels] == wanted


def test_a_single_level_is_not_repeated_beside_the_whole() -> None:
    assert rollout_results([response("a", level="easy")]).levels == ()


def test_no_responses_have_no_accuracy() -> None:
    found = rollout_results([])
    assert (found.responses, found.accuracy, found.tokens) == (0, None, None)


# Exits


def test_exits_are_placed_by_how_much_of_the_trace_they_keep() -> None:
    found = exit_results([searched(4, 1), searched(4, 2), searched(4, 3), searched(4, 4), searched(4, None)])
    assert (found.traces, found.with_exit) == (5, 4)
    assert (found.first_half, found.second_half, found.at_end) == (2, 1, 1)
    assert (found.patterns, found.kept) == (4, 2.5)
    assert found.samples == 5 * (1 + 2 + 3 + 4 + 4)
    assert found.kinds == {"check": 15, "start": 5}


@given(st.lists(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), max_size=20))
def test_every_exit_has_one_place_and_one_tenth(traces: list[tuple[int, int]]) -> None:
    found = exit_results(searched(patterns, exit_) for patterns, exit_ in traces)
    assert found.first_half + found.second_half + found.at_end == sum(found.positions) == found.with_exit == len(traces)
    for tenth, count in enumerate(found.positions):
        assert count == sum(10 * exit_ > tenth * n and 10 * exit_ <= (tenth + 1) * n for n, exit_ in traces)


def test_no_traces_have_no_exits() -> None:
    found = exit_results([])
    assert (found.traces, found.with_exit, found.kept, sum(found.positions)) == (0, 0, 0, 0)


# Regimes


def test_right_traces_are_compressed_and_wrong_ones_rescued_apart() -> None:
    traces = [pruned(40), pruned(None), pruned(20, correct=False), pruned(None, correct=False)]
    found = regime_results(iter(traces), SHAPE)
    assert (found.right.traces, found.right.optimized, found.right.dropped) == (2, 1, 1)
    assert (found.right.accuracy_before, found.right.accuracy_after) == (1, 1)
    assert (found.wrong.traces, found.wrong.accuracy_before, found.wrong.accuracy_after) == (2, 0, 0.5)
    assert found.wrong.correct_rate == 0.75


def test_traces_without_optimized_trajectory_stay_as_they_were_in_the_overall_saving() -> None:
    right = regime_results([pruned(40, problem="a"), pruned(None, problem="b")], SHAPE).right
    assert (right.overall.tokens.before, right.overall.tokens.after) == (100, 70)
    assert (right.of_optimized.tokens.before, right.of_optimized.tokens.after) == (100, 40)
    assert right.overall.tokens.change.value == pytest.approx(-0.3)
    assert right.of_optimized.tokens.change.value == pytest.approx(-0.6)


def test_attention_saves_more_than_tokens_and_is_told_apart() -> None:
    right = regime_results([pruned(40)], SHAPE).right.of_optimized
    before, after = response_flops(SHAPE, 10, 100), response_flops(SHAPE, 10, 40)
    assert right.attention_flops.change.value == pytest.approx(after[1] / before[1] - 1)
    assert right.flops.change.value == pytest.approx(sum(after) / sum(before) - 1)
    assert right.attention_flops.change.value < right.tokens.change.value


def test_both_regimes_together_weigh_by_traces() -> None:
    regimes = regime_results([pruned(40), pruned(None), pruned(10, correct=False)], SHAPE)
    assert all_trajectories(regimes) == (100, pytest.approx((40 + 100 + 10) / 3))


def test_an_empty_regime_has_no_trajectories() -> None:
    wrong = regime_results([pruned(40)], SHAPE).wrong
    assert (wrong.traces, wrong.overall, wrong.of_optimized, wrong.accuracy_after) == (0, None, None, 0)


# Pairs


def test_pairs_are_counted_by_kind_and_as_often_as_they_are_repeated() -> None:
    def pair(kind: str, problem: str, copies: int = 1) -> Pair:
        text = {"prompt": "Q", "chosen": "c", "rejected": "r", "chosen_tokens": 10, "rejected_tokens": 30}
        return Pair(problem_id=problem, level="", kind=kind, copies=copies, **text)

    found = pair_results([pair("compressed", "a"), pair("necessary", "a", 3), pair("necessary", "b", 3)])
    assert (found.pairs, found.copies, found.problems) == (3, 7, 2)
    assert (found.kinds["necessary"].pairs, found.kinds["necessary"].copies) == (2, 6)
    assert (found.kinds["compressed"].chosen_tokens, found.kinds["compressed"].rejected_tokens) == (10, 30)


def test_no_pairs_are_no_kinds() -> None:
    assert pair_results([]).model_dump() == {"pairs": 0, "copies": 0, "problems": 0, "kinds": {}}
