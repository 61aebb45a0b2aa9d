from dto_jobs.core.records import PrunedTrace
from dto_jobs.report.examples import LONGEST, Piece, kinds, shortened, trace_example


def find(traces: list[PrunedTrace], exit_: int | None, *, more: bool = True) -> PrunedTrace:
    """Return a trace with this exit that goes on after it."""
    return next(
        one
        for one in traces
        if one.ended.trace.exit == exit_ and (exit_ is None or not more or len(one.ended.trace.patterns) > exit_)
    )


def test_the_pieces_before_are_the_whole_response(traces: list[PrunedTrace]) -> None:
    for trace in traces:
        text = "".join(piece.text for piece in trace_example(trace).before.pieces)
        assert text == trace.ended.trace.response.text


def test_patterns_are_kept_dropped_or_cut(traces: list[PrunedTrace]) -> None:
    example = trace_example(find(traces, 4))
    fates = [piece.fate for piece in example.before.pieces]
    assert fates[:4] == ["kept", "dropped", "kept", "kept"]
    assert set(fates[4:-1]) == {"cut"}
    assert fates[-1] == "answer"
    assert example.telling


def test_the_pieces_after_are_the_kept_patterns_and_the_ending(traces: list[PrunedTrace]) -> None:
    trace = find(traces, 4)
    example = trace_example(trace)
    assert "".join(piece.text for piece in example.after.pieces) == trace.text
    assert [piece.fate for piece in example.after.pieces] == ["kept", "kept", "kept", "ending"]
    assert [piece.kind for piece in example.after.pieces[:3]] == ["start", "alternative", "doubt"]


def test_a_pattern_that_the_optimized_text_does_not_hold_is_passed_over(traces: list[PrunedTrace]) -> None:
    trace = find(traces, 4).model_copy(update={"text": "all was said anew"})
    assert trace_example(trace).after.pieces == (Piece("all was said anew", fate="ending"),)


def test_a_trace_without_exit_has_no_other_side(traces: list[PrunedTrace]) -> None:
    example = trace_example(find(traces, None))
    assert example.after is None
    assert example.fate.endswith("no exit")
    assert not example.telling


def test_a_trace_whose_endings_were_all_wrong_says_so(traces: list[PrunedTrace]) -> None:
    trace = find(traces, 4).model_copy(update={"text": None, "kept": (), "dropped": ()})
    assert trace_example(trace).fate.endswith("no right ending from the exit")


def test_white_space_is_kept_outside_what_is_said() -> None:
    piece = Piece(" \n said so\n\n")
    assert (piece.lead, piece.said, piece.trail) == (" \n ", "said so", "\n\n")
    blank = Piece("\n \n")
    assert (blank.lead, blank.said, blank.trail) == ("\n \n", "", "")


def test_a_long_text_keeps_its_two_ends() -> None:
    text = "a" * LONGEST + "b" * LONGEST
    short = shortened(text)
    assert short.startswith("a" * 100)
    assert short.endswith("b" * 100)
    assert f"{LONGEST:,} characters" in short
    assert shortened("short") == "short"


def test_kinds_come_in_the_order_of_their_first_appearance(traces: list[PrunedTrace]) -> None:
    assert kinds([trace_example(trace) for trace in traces]) == ["start", "check", "alternative", "doubt", "summary"]
