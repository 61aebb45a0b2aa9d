"""Logged traces: right and wrong, closed and open, as they were logged."""

import json
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.artifacts.imported_traces import read_traces, together
from dto_jobs.core.records import ImportedTrace, Problem
from dto_jobs.errors import InputError
from dto_jobs.problem_source import TraceSource

TRACES = Path(__file__).parents[3] / ".." / "shared/data/traces"
RESPONSES = ["<think>\nTwo.\n</think>\n\n\\boxed{2}", "Two, never closed \\boxed{2}", "three </think> \\boxed{3}"]
ROWS = [{"id": f"t{n}", "problem": "1+1", "gold": "2", "response": text} for n, text in enumerate(RESPONSES)]


@pytest.fixture
def written(tmp_path):
    """Write rows to a file and read them with the settings given."""

    def write(rows=ROWS, **settings):
        (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return read_traces(TraceSource(source="log.jsonl", **settings), tmp_path)

    return write


def test_traces_keep_their_text_with_or_without_marks(written):
    assert [trace.text for trace in written()] == RESPONSES


def test_traces_of_one_problem_share_its_id(written):
    other = {"id": "x", "problem": "1+2", "gold": "3", "response": "three"}
    ids = [trace.problem.id for trace in written([*ROWS, other])]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


def test_the_question_and_the_gold_answer_are_as_logged(written):
    problem = next(written()).problem
    assert (problem.question, problem.answer, problem.grader) == ("1+1", "2", "math")


def test_columns_grader_and_level_can_be_named(written):
    row = {"q": "1+1", "a": 2, "out": "two", "kind": "sum", "key": 9}
    settings = {"prompt": "q", "answer": "a", "response": "out", "level": "kind", "id": "key", "grader": "text"}
    trace = next(written([row], **settings))
    assert (trace.id, trace.text, trace.problem.answer) == ("9", "two", "2")
    assert (trace.problem.level, trace.problem.grader) == ("sum", "text")


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"limit": 1}, ["t0"]),
        ({"skip": 2}, ["t2"]),
        ({"filter": {"id": ["t1"]}}, ["t1"]),
        ({"max_characters": 29}, ["t1", "t2"]),
    ],
)
def test_a_part_of_a_log_can_be_taken(written, settings, ids):
    assert [trace.id for trace in written(**settings)] == ids


@given(st.lists(st.sampled_from("abcd")))
def test_traces_of_a_problem_come_one_after_the_other_in_the_order_of_the_log(problems):
    log = [
        ImportedTrace(id=str(number), problem=Problem(id=name, question=name, answer="1"), text="t")
        for number, name in enumerate(problems)
    ]
    ordered = list(together(lambda: iter(log)))
    assert sorted(ordered, key=log.index) == log
    blocks = [(name, [trace.id for trace in block]) for name, block in groupby(ordered, lambda trace: trace.problem.id)]
    assert dict(blocks) == {name: [t.id for t in log if t.problem.id == name] for name in problems}
    assert len(blocks) == len(set(problems))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [{"problem": "1+1", "gold": "2"}],
            ["log.jsonl:1", "no column for the response", "problem, gold", "`response:`"],
        ),
        ([{"problem": "1+1", "response": "two"}], ["log.jsonl:1", "no column for the answer"]),
        ([{"problem": "1+1", "gold": "2", "response": " "}], ["log.jsonl:1", "'response' is empty"]),
        ([{"problem": "1+1", "gold": "", "response": "x"}], ["log.jsonl:1", "'gold' is empty"]),
        ([ROWS[0], ROWS[0]], ["log.jsonl:2", "'t0' is taken by", "log.jsonl:1"]),
        ([], ["holds no traces"]),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_remedy(written, rows, words):
    with pytest.raises(InputError) as caught:
        list(written(rows))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("name", "count", "problems"), [("en_math_r1", 200, 154), ("zh_mixed_r1_1p5b", 19, 19)])
def test_the_real_traces_are_read_whole(name, count, problems):
    if not TRACES.is_dir():
        pytest.skip(f"the real traces are not beside this checkout: no folder {TRACES}")
    traces = list(read_traces(TraceSource(source=str(TRACES / f"{name}.jsonl")), Path()))
    assert len(traces) == count
    assert len({trace.problem.id for trace in traces}) == problems
    assert max(len(trace.text) for trace in traces) > 3_000
