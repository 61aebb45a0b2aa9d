"""Grading: by equality, the same for every way of writing, and never for long."""

import json
import subprocess
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.artifacts.benchmarks import BENCHMARKS
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.core.grading import boxed, grade, grader
from dto_jobs.core.segmentation import split_thinking
from dto_jobs.errors import InputError
from dto_jobs.problem_source import ProblemSource

DATA = Path(__file__).parents[3] / ".." / "shared/data"
MATH, CHOICE, TEXT = grader("math"), grader("choice"), grader("text")

SAME = [
    ("1/2", "0.5"),
    ("1/2", r"\frac{1}{2}"),
    (r"\frac12", r"\dfrac{1}{2}"),
    ("-1/2", r"\frac{-1}{2}"),
    (r"1\frac45", "1.8"),
    ("1,000", "1000"),
    (r"10,\!080", "10080"),
    (r"11,\! 111,\! 111,\! 100", "11111111100"),
    ("27.0", "27"),
    (r"\$18", "18"),
    ("18 dollars", r"\$18.00"),
    (r"50\%", "50"),
    (r"50\%", "0.5"),
    ("50 percent", r"50\%"),
    ("x=5", "5"),
    ("y = 2x+1", "2x + 1"),
    (r"x \in [2,\infty)", r"[2,+\infty)"),
    ("(1,2)", "(1, 2)"),
    (r"\left(1,2\right)", "(1,2)"),
    ("x=1, y=2", "(1,2)"),
    (r"\text{B}", "B"),
    ("(B)", "B"),
    (r"\text{(B)}", "B"),
    ("12 cm", "12"),
    (r"12\text{ cm}", "12 centimeters"),
    (r"15\mbox{ cm}^2", "15"),
    (r"576\pi\;m^{2}", r"576\pi"),
    (r"20\text{ days}", "20"),
    (r"30^\circ", "30 degrees"),
    (r"\text{Evelyn}", "evelyn"),
    (r"\{0,2,4\}", r"\{4, 2, 0\}"),
    (r"\{1,2\}", "2, 1"),
    (r"1 \text{ or } 2", "1,2"),
    ("$2$ or $-2$", r"\pm 2"),
    (r"1\pm\sqrt{19}", r"1-\sqrt{19}, 1+\sqrt{19}"),
    (r"\{1\pm\sqrt{5},-2\}", r"\{-2, 1-\sqrt{5}, 1+\sqrt{5}\}"),
    (r"\{x|-2\leq x<1\}", "[-2,1)"),
    (r"\{x \mid -2 \le x < 1\}", r"$\{x|-2\leq x < 1\}$"),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,+\infty)\cup(-\infty,2)"),
    ("k > 3", r"(3,\infty)"),
    ("0.333333", "1/3"),
    ("6.17", r"6.17\%"),
    (r"1.5\times 10^3", "1500"),
    ("3i - 2", "-2 + 3 i"),
    ("1204_9", "1204_{9}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    ("(x+1)^2", "x^2+2x+1"),
    (r"\frac\pi6", r"\pi/6"),
    ("2**10", "1024"),
    ("x^12", "x^{12}"),
    (r"2^10", "1024"),
    ("\u22125", "-5"),
]
DIFFERENT = [
    ("1", "11"),
    ("12", "2"),
    ("2", "12"),
    ("0.33", "1/3"),
    ("0.5", "50"),
    ("3/4", "4/3"),
    ("5", "-5"),
    ("100", "1,000"),
    ("[1,2]", "(1,2)"),
    ("[1,2)", "[1,2]"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", r"\{1,2\}"),
    ("A and B", "A"),
    ("A", "a"),
    ("1,2", "1"),
    ("1,1", "1,2"),
    ("x=5", "y=5"),
    ("12 cm", "12 m"),
    ("12 cm", r"12 \text{ cm}^2"),
    ("even", "odd"),
    ("cat", "act"),
    ("2x", "2"),
    ("2 x", "2"),
    (r"\sqrt{2}", "2"),
    ("x^2", "x^3"),
    ("1/0", "1"),
    ("", "5"),
]


@pytest.mark.parametrize(("answer", "gold"), SAME)
def test_ways_of_writing_one_answer_are_equal(answer, gold):
    assert MATH.equal(answer, gold)
    assert MATH.equal(gold, answer)


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_answers_are_never_right_by_containing_or_resembling_the_gold_one(answer, gold):
    assert not MATH.equal(answer, gold)
    assert not MATH.equal(gold, answer)


@given(value=st.integers(-(10**9), 10**9), other=st.integers(-(10**9), 10**9))
def test_integers_are_right_exactly_where_they_are_the_same(value, other):
    assert grade(MATH, rf"So \boxed{{{value:,}}}.", str(value)).correct
    assert grade(MATH, rf"So \boxed{{{value}}}.", str(other)).correct is (value == other)


@given(values=st.lists(st.integers(-99, 99), min_size=2, max_size=6), random=st.randoms())
def test_the_order_counts_in_tuples_and_not_in_sets(values, random):
    shuffled = random.sample(values, len(values))
    inside, shuffled_inside = ", ".join(map(str, values)), ", ".join(map(str, shuffled))
    assert MATH.equal(rf"\{{{shuffled_inside}\}}", rf"\{{{inside}\}}")
    assert MATH.equal(f"({shuffled_inside})", f"({inside})") is (values == shuffled)


@pytest.mark.parametrize("text", [None, "", "no idea", r"\boxed{"])
def test_no_answer_is_a_wrong_answer(text):
    assert grade(MATH, text, "5") == (False, "")


def test_an_answer_inside_unclosed_thinking_does_not_count():
    _, answer = split_thinking(r"<think>It is surely \boxed{5}.", opened=True)
    assert not grade(MATH, answer, "5").correct


def test_a_boxed_completion_is_graded_by_its_content():
    assert MATH.equal(boxed(r"\frac{1}{2}}.\] More"), "0.5")


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        (r"\boxed{B}", "B", True),
        ("The answer is (B).", "B", True),
        ("B.", "(B)", True),
        (r"\boxed{A and B}", "A", False),
        (r"\boxed{C}", "B", False),
        ("none of them", "B", False),
    ],
)
def test_choices_are_graded_by_letter(text, gold, correct):
    assert grade(CHOICE, text, gold).correct is correct


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("I say\nHello  World", "hello world", True),
        (r"\boxed{a b}", "A  B", True),
        ("Hello World!", "hello world", False),
        ("ab", "a", False),
    ],
)
def test_text_is_graded_whatever_its_spaces_and_case(text, gold, correct):
    assert grade(TEXT, text, gold).correct is correct


class Shouting:
    """A grader from a plug-in."""

    def extract(self, text):
        return text.upper()

    def equal(self, answer, gold):
        return answer == gold.upper()


@pytest.fixture
def plugins(monkeypatch):
    """Install a plug-in."""
    found = EntryPoints([EntryPoint("shouting", f"{__name__}:Shouting", "dto.graders")])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found.select(group=group))
    monkeypatch.setattr(EntryPoint, "load", lambda _: Shouting)
    grader.cache_clear()
    yield
    grader.cache_clear()


@pytest.mark.usefixtures("plugins")
def test_a_plug_in_grades_under_its_name():
    assert grade(grader("shouting"), "yes", "Yes") == (True, "YES")


@pytest.mark.usefixtures("plugins")
def test_an_unknown_grader_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match=r"'maths'.*math, choice, text, shouting.*dto\.graders"):
        grader("maths")


# Rows that hold no answer at all, by line; the loaders leave them out.
UNANSWERED = {
    "math-train": {887: "null", 1010: "null", 5329: "empty", 5331: "empty"},
    "gaokao2023en": {168: "empty", 193: "empty"},
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_gold_answer_graded_against_itself_is_right(name):
    source = ProblemSource(source=name, folder=str(_data("bench")))
    problems = list(read_problems(source, Path()))
    wrong = [problem.answer for problem in problems if not _right_by_itself(problem)]
    assert wrong == []
    lines = len(_file(name).read_text(encoding="utf-8").splitlines())
    assert len(problems) == lines - len(UNANSWERED.get(name, {}))


def _right_by_itself(problem):
    return grade(grader(problem.grader), rf"Thus \boxed{{{problem.answer}}}.", problem.answer).correct


def _file(name):
    return next(path for path in _data("bench").iterdir() if path.name.startswith(BENCHMARKS[name].files))


def test_every_set_of_the_bench_folder_has_a_loader():
    assert {_file(name).name for name in BENCHMARKS} == {path.name for path in _data("bench").glob("*.jsonl")}


def test_gold_answers_are_told_apart():
    problems = read_problems(ProblemSource(source="math500", folder=str(_data("bench"))), Path())
    golds = sorted({problem.answer for problem in problems if problem.answer.isdecimal()})
    assert not any(MATH.equal(one, other) for one, other in pairwise(golds))


# The data set's own flag is approximate: these 15 answers are right, and its grader missed them by their writing.
MISSED_BY_THE_SOURCE = {
    "3188": "box left out: the stated point equals the gold one",
    "3304": "a space",
    "3317": r"\dfrac and \left",
    "3320": "two boxes",
    "3323": "a space",
    "3324": "a space",
    "3332": "a space",
    "3348": "a dollar sign",
    "3356": "a thousands mark",
    "3361": "a thousands mark",
    "3368": "r= in the gold answer",
    "3378": "degrees",
    "3389": "a space",
    "3398": "degrees",
    "3405": "a= in the gold answer",
}


@pytest.mark.parametrize("name", ["en_math_r1", "zh_mixed_r1_1p5b"])
def test_real_traces_are_graded_as_their_source_did_or_better(name):
    lines = (_data("traces") / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    traces = [json.loads(line) for line in lines if line]
    graded = {str(trace["id"]): _graded(trace) for trace in traces}
    flags = {str(trace["id"]): bool(trace["correct"]) for trace in traces}
    differing = {trace: graded[trace] for trace in graded if graded[trace] != flags[trace]}
    assert differing == (dict.fromkeys(MISSED_BY_THE_SOURCE, True) if name == "en_math_r1" else {})


def _graded(trace):
    _, answer = split_thinking(trace["response"], opened=True)
    return grade(MATH, answer, trace["gold"]).correct


def _data(folder):
    if not (DATA / folder).is_dir():
        pytest.skip(f"the real data is not beside this checkout: no folder {DATA / folder}")
    return DATA / folder


HOSTILE = {
    "nested braces": r"\boxed{" + "{" * 10_000 + "1" + "}" * 10_000 + "}",
    "nested fractions": r"\boxed{" + r"\frac{" * 5_000 + "1" + "}{2}" * 5_000 + "}",
    "power tower": r"\boxed{9^9^9^9^9}",
    "braced power tower": r"\boxed{10^{10^{10}}}",
    "factorials": r"\boxed{(999!)!}",
    "expansion": r"\boxed{(a+b+c+d+e+f)^{99}}",
    "long number": r"\boxed{" + "9" * 1_000_000 + "}",
    "long list": r"\boxed{" + "1," * 500_000 + "}",
    "hard list": r"\boxed{" + ",".join(rf"\sqrt{{{n}}}+\sqrt[3]{{{n + 1}}}" for n in range(32)) + "}",
    "long word": r"\boxed{\text{" + "a" * 1_000_000 + "}}",
    "open boxes": r"\boxed{" * 100_000,
    "many boxes": r"\boxed{1} " * 100_000,
    "nested boxes": r"\boxed{" * 50_000 + "}" * 50_000,
    "dollars": "$" * 1_000_000,
    "open formulas": r"\(" * 500_000,
    "backslashes": "\\" * 1_000_000,
    "statements": "answer is " * 100_000,
    "hashes": "#### \n" * 100_000,
    "tags": "<answer>" * 100_000,
    "stars": "answer: " + "**" * 400_000,
    "digits": "1" * 1_000_000,
    "commas": "1," * 500_000,
    "spaces": " " * 1_000_000,
    "lines": "\n" * 1_000_000,
    "signs": r"\boxed{" + r"\pm" * 300 + "}",
    "unions": r"\boxed{" + r"(1,2)\cup" * 100 + "(3,4)}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_graded_wrong_and_end_on_any_thread(name):
    found = []

    def work():
        found.extend(
            grade(each, HOSTILE[name], gold) for each in (MATH, CHOICE, TEXT) for gold in (r"\sqrt{7}, 2", "x+1")
        )

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive(), "did not end"
    assert [result.correct for result in found] == [False] * 6


def test_grading_loads_no_algebra_before_an_answer_needs_it():
    script = (
        "import sys; from dto_jobs.core.grading import grade, grader; assert grade(grader('math'), r'\\boxed{1/2}', '0.5').correct; "
        "print(sorted({'sympy', 'math_verify', 'mpmath'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
