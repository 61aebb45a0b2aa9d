"""Computer algebra on a short leash: right where it can be, bounded where it cannot, on any thread."""

import sys
import threading

import pytest

from dto_jobs.core import symbolic
from dto_jobs.core.symbolic import Algebra, is_tame

EQUAL = [
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"),
    (r"\frac{-1+\sqrt{5}}{4}", r"\frac{\sqrt{5}-1}{4}"),
    (r"[-2,1)", r"-2 \le x < 1"),
    (r"(1,\infty)", "x > 1"),
    (r"\cos x", r"\frac{1}{\sec x}"),
    ("2^{10}", "1024"),
    ("1 - i", "-i + 1"),
    ("x^8+x^7+x^6+x^5+x^4+x^3+x^2+x+1", r"\frac{x^9-1}{x-1}"),
]
UNEQUAL = [(r"\sqrt{2}", "2"), ("x^2", "x^3"), ("[1,2)", "[1,2]"), (r"\pi", "3"), ("", "1"), (r"\frac{", "1")]

# Tame in shape, hard in fact: what they take is bounded by the budget and by the guards on single giant steps.
HARD = [
    r"(a+b+c+d+e+f)^{99}",
    r"\left((x+y)^{99}+z\right)^{99}",
    r"(((9^{99})^{99})^{99})^{99}",
    r"(9^{9})^{(9*9*9*9*9*9*9*9*9)}",
    r"\exp(\exp(\exp(99)))",
    r"\cos(10^{999})",
    r"\pi^{9*9*9*9*9*9*9*9*9*9*9*9*9}",
    r"(1+\sqrt{2})^{999}",
    r"\arctan(\tan(\arcsin(\sin(x))))^{99}",
    r"\{x | \sqrt{x^2+1}+\sqrt{x^4+x+1} < \sqrt{x^6+7}\}",
    r"\binom{9999}{5000}",
    r"(99*99*99)!",
    r"\frac{x^{999}-y^{999}}{x-y}",
    r"\sqrt{2+\sqrt{3+\sqrt{5+\sqrt{7+\sqrt{11}}}}}",
    r"\sqrt{12345678912345678912345678917}",
    "+".join(["x"] * 140),
]

WILD = [
    "9^9^9^9^9",
    "9^{9^{9^{9}}}",
    "10^{10^{10}}",
    "9**9**9",
    r"\left(9\right)^{\left(9^9\right)}",
    "e^{e^{e^{9}}}",
    "x^{99999}",
    "(999!)!",
    "99999!",
    "2^{9!}",
    r"\binom{99999}{5}",
    r"\sum_{n=1}^{999} n",
    r"\int_0^1 x dx",
    r"\lim_{x \to 0} x",
    "9" * 40,
    "{" * 30 + "1" + "}" * 30,
    "1+" * 200 + "1",
    "1e999",
]


@pytest.fixture
def in_thread():
    """Run something on a thread that is not the main one, where signals do not work; fail where it does not end."""

    def run(work):
        found = []
        thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
        thread.start()
        thread.join(timeout=60)
        assert not thread.is_alive(), "did not end"
        return found[0]

    return run


@pytest.mark.parametrize(("answer", "gold"), EQUAL)
def test_algebra_finds_equal_values(answer, gold):
    assert Algebra().same_value(answer, gold)
    assert Algebra().same_value(gold, answer)


@pytest.mark.parametrize(("answer", "gold"), UNEQUAL)
def test_different_values_and_unreadable_ones_are_not_equal(answer, gold):
    assert not Algebra().same_value(answer, gold)


@pytest.mark.parametrize("formula", WILD)
def test_formulas_that_promise_endless_work_are_refused_by_their_shape(formula):
    assert not is_tame(formula)
    assert not Algebra().same_value(formula, "1")


@pytest.mark.parametrize(
    "formula",
    [formula for pair in EQUAL for formula in pair] + ["e^{-x^2}".replace("^2", "y"), "10!", "x^{n+1}", "2^{-3}"],
)
def test_formulas_as_people_write_them_are_not_refused(formula):
    assert is_tame(formula)


@pytest.mark.parametrize("formula", HARD)
def test_hard_formulas_end_within_their_budget_on_any_thread(formula, in_thread):
    for gold in ("x^2+1", r"\sqrt{2}"):
        same, spent = in_thread(lambda gold=gold: symbolic._same_value(formula, gold))
        assert not same
        # What was under way when the budget ended may return through its frames.
        assert spent <= symbolic.BUDGET + 1_000_000


def test_one_answer_has_one_budget_for_all_its_parts(monkeypatch):
    asked = []
    monkeypatch.setattr(symbolic, "_same_value", lambda *pair: (asked.append(pair), (False, symbolic.BUDGET))[1])
    algebra = Algebra()
    for number in range(10):
        algebra.same_value(f"x+{number}", "y")
    assert len(asked) == 2  # the second begins within what is left of PATIENCE


def test_the_profiler_of_the_caller_is_left_in_place():
    def watch(*_):
        return None

    sys.setprofile(watch)
    try:
        symbolic._same_value("x+17", "x+18")
        assert sys.getprofile() is watch
    finally:
        sys.setprofile(None)


def test_several_threads_get_the_answers_that_one_gets():
    def ask(number):
        return symbolic._same_value.__wrapped__(rf"\sqrt{{{number * number * 2}}}", rf"{number}\sqrt{{2}}")[0]

    found = []
    threads = [
        threading.Thread(target=lambda number=number: found.append(ask(number)), daemon=True) for number in range(2, 8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == [True] * 6
