"""Problem sets: files, benchmarks, built-in and inline problems become the same records."""

import json
from itertools import islice
from pathlib import Path

import pytest

from dto_jobs.artifacts.benchmarks import BENCHMARKS
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.core.grading import grader
from dto_jobs.core.records import Problem
from dto_jobs.errors import InputError
from dto_jobs.problem_source import ProblemSource

BENCH = Path(__file__).parents[3] / ".." / "shared/data/bench"
ROWS = [
    {"id": "a", "problem": "1+1", "answer": "2", "level": "easy"},
    {"id": "b", "problem": "2+2", "answer": 4, "level": "hard"},
    {"id": "c", "problem": "3+3", "answer": 6.0, "level": "hard"},
]


@pytest.fixture
def written(tmp_path):
    """Write rows to a file and read them with the settings given."""

    def write(rows=ROWS, **settings):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / "set.jsonl").write_text("\n".join(lines))
        return read_problems(ProblemSource(source="set.jsonl", **settings), tmp_path)

    return write


def test_a_file_is_read_with_its_columns_guessed(written):
    assert list(written(ask_for_box=False)) == [
        Problem(id="a", question="1+1", answer="2", level="easy"),
        Problem(id="b", question="2+2", answer="4", level="hard"),
        Problem(id="c", question="3+3", answer="6", level="hard"),
    ]


def test_columns_can_be_named(written):
    row = {"frage": "1+1", "loesung": "2", "nr": 7, "stufe": 3, "problem": "another", "answer": "another"}
    problem = next(written([row], prompt="frage", answer="loesung", id="nr", level="stufe", ask_for_box=False))
    assert problem == Problem(id="7", question="1+1", answer="2", level="3")


def test_a_row_without_an_id_is_called_by_its_line(written):
    rows = [{"problem": "1+1", "answer": "2"}, "", {"problem": "2+2", "answer": "4"}]
    assert [problem.id for problem in written(rows)] == ["1", "3"]


def test_a_boxed_answer_is_asked_for_once(written):
    asked = [
        problem.question
        for problem in written([{"problem": "1+1", "answer": "2"}, {"problem": "box it: \\boxed{}", "answer": "2"}])
    ]
    assert [question.count("\\boxed{}") for question in asked] == [1, 1]


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"limit": 2}, "ab"),
        ({"skip": 1}, "bc"),
        ({"skip": 1, "limit": 1}, "b"),
        ({"filter": {"level": ["hard"]}}, "bc"),
        ({"filter": {"level": ["easy", "hard"], "answer": ["4", "6"]}}, "bc"),
        ({"filter": {"level": ["hard"]}, "skip": 1}, "c"),
    ],
)
def test_rows_are_filtered_then_skipped_then_limited(written, settings, ids):
    assert "".join(problem.id for problem in written(**settings)) == ids


def test_what_lies_behind_the_limit_is_not_read(written):
    assert len(list(written([*ROWS, "broken"], limit=3))) == 3


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        ([], {}, ["set.jsonl holds no problems", "at least one"]),
        (ROWS, {"filter": {"level": ["none"]}}, ["no problems", "`filter`"]),
        (ROWS, {"skip": 9}, ["no problems", "`skip`"]),
        ([ROWS[0], "{broken"], {}, ["set.jsonl:2", "not JSON"]),
        (
            [{"text": "1+1", "answer": "2"}],
            {},
            ["set.jsonl:1", "no column for the prompt", "text, answer", "`prompt:`"],
        ),
        ([{"problem": "1+1"}], {}, ["set.jsonl:1", "no column for the answer", "problem", "`answer:`"]),
        ([{}], {}, ["set.jsonl:1", "there are none"]),
        (ROWS, {"prompt": "frage"}, ["set.jsonl:1", "no column 'frage'", "id, problem, answer, level"]),
        (ROWS, {"filter": {"stufe": ["1"]}}, ["set.jsonl:1", "no column 'stufe'"]),
        ([{"problem": "1+1", "answer": " "}], {}, ["set.jsonl:1", "'answer' is empty", "skipUnanswered"]),
        ([{"problem": "1+1", "answer": None}], {}, ["set.jsonl:1", "'answer' is empty"]),
        ([{"problem": "", "answer": "2"}], {}, ["set.jsonl:1", "'problem' is empty"]),
        ([{"problem": "1+1", "answer": ["2"]}], {}, ["set.jsonl:1", "'answer' holds a list"]),
        ([ROWS[0], ROWS[1], ROWS[0]], {}, ["set.jsonl:3", "'a' is taken by", "set.jsonl:1", "`id:`"]),
        ([{"question": "Which?", "options": "A", "answer": "A"}], {"grader": "choice"}, ["set.jsonl:1", "no list"]),
        (
            [{"question": "Which?", "options": ["x"] * 27, "answer": "A"}],
            {"grader": "choice"},
            ["set.jsonl:1", "at most 26"],
        ),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_remedy(written, rows, settings, words):
    with pytest.raises(InputError) as caught:
        list(written(rows, **settings))
    for word in words:
        assert word in str(caught.value)


def test_unanswered_rows_can_be_left_out(written):
    rows = [{"problem": "1+1", "answer": None}, {"problem": "2+2", "answer": "4"}, {"problem": "3+3", "answer": ""}]
    assert [problem.id for problem in written(rows, skip_unanswered=True)] == ["2"]


def test_choices_are_lettered(written):
    row = {"question": "Which?", "options": ["one", "two"], "answer": "B"}
    problem = next(written([row], grader="choice"))
    assert "A. one\nB. two" in problem.question
    assert problem.grader == "choice"


def test_problems_can_stand_in_the_run_file():
    source = ProblemSource(inline=({"problem": "1+1", "answer": 2}, {"problem": "2+2", "answer": ""}))
    problems = read_problems(source, Path())
    assert next(problems).answer == "2"
    with pytest.raises(InputError, match="inline problem 2: column 'answer' is empty"):
        next(problems)


def test_built_in_problems_are_said_as_they_are():
    sets = [
        list(islice(read_problems(ProblemSource(source=f"builtin:{name}"), Path()), 30))
        for name in ("graded-sums", "graded-sums-test")
    ]
    assert all(problem.question.startswith("Compute ") and "\\boxed" not in problem.question for problem in sets[0])
    assert {problem.level for problem in sets[0]} == {"easy", "medium", "hard"}
    assert not {problem.question for problem in sets[0]} & {problem.question for problem in sets[1]}


def test_unknown_built_in_problems_are_refused_with_the_names_there_are():
    with pytest.raises(InputError, match=r"'builtin:sums'.*builtin:graded-sums and builtin:graded-sums-test"):
        list(read_problems(ProblemSource(source="builtin:sums"), Path()))


@pytest.fixture
def benchmarks(tmp_path):
    """Make a folder with small benchmark files."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    gsm8k = {"question": "How many?", "answer": "16 - 3 = 13 #### no\n#### 1,013"}
    (folder / "gsm8k_test.jsonl").write_text(json.dumps(gsm8k))
    mmlu = {"question_id": 5, "question": "Which?", "options": ["x", "y"], "answer": "B", "category": "law"}
    (folder / "mmlu_pro_small.jsonl").write_text(json.dumps(mmlu))
    return folder


def test_benchmarks_are_read_by_name_from_the_folder_beside_the_run(benchmarks):
    problem = next(read_problems(ProblemSource(source="gsm8k"), benchmarks.parent))
    assert (problem.answer, problem.benchmark, problem.grader) == ("1,013", "gsm8k", "math")
    problem = next(read_problems(ProblemSource(source="mmlu-pro"), benchmarks.parent))
    assert (problem.id, problem.answer, problem.level, problem.grader) == ("5", "B", "law", "choice")


def test_the_folder_of_benchmarks_can_be_named_in_the_run_or_the_environment(benchmarks, tmp_path, monkeypatch):
    other = tmp_path / "other"
    assert next(read_problems(ProblemSource(source="gsm8k", folder=str(benchmarks)), other)).benchmark == "gsm8k"
    monkeypatch.setenv("DTO_BENCHMARKS", str(benchmarks))
    assert next(read_problems(ProblemSource(source="gsm8k"), other)).benchmark == "gsm8k"


def test_a_missing_benchmark_says_where_it_was_looked_for(benchmarks):
    with pytest.raises(
        InputError, match=r"math500\*\.jsonl of the benchmark math500 in .*benchmarks: .*DTO_BENCHMARKS"
    ):
        list(read_problems(ProblemSource(source="math500"), benchmarks.parent))


def test_settings_given_win_over_the_benchmarks_own(benchmarks):
    source = ProblemSource(source="mmlu-pro", level="question_id", grader="text")
    problem = next(read_problems(source, benchmarks.parent, benchmark="mine"))
    assert (problem.level, problem.grader, problem.benchmark) == ("5", "text", "mine")


COUNTS = {
    "math500": (500, {"1", "2", "3", "4", "5"}),
    "math-train": (7470, None),
    "gsm8k": (1319, {""}),
    "gsm8k-train": (7473, {""}),
    "gaokao2023en": (383, {""}),
    "amc2023": (40, {""}),
    "aime2024": (30, {""}),
    "aime2025": (30, {""}),
    "mmlu-pro": (1400, None),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_real_benchmarks_are_read_whole(name):
    if not BENCH.is_dir():
        pytest.skip(f"the real benchmarks are not beside this checkout: no folder {BENCH}")
    problems = list(read_problems(ProblemSource(source=name, folder=str(BENCH)), Path()))
    count, levels = COUNTS[name]
    assert len(problems) == count
    assert {problem.benchmark for problem in problems} == {name}
    assert levels in (None, {problem.level for problem in problems})
    assert all(problem.question.count("\\boxed{}") >= 1 for problem in problems)
    assert all(grader(problem.grader).equal(problem.answer, problem.answer) for problem in problems)
    assert not any("####" in problem.answer for problem in problems)
