import json
import subprocess
import sys
from collections import Counter

import pytest

from dto_jobs.demo.arithmetic import HIGHEST, Expression, Term, digit_by_digit, exact, is_trap, quick
from dto_jobs.demo.problems import LEVELS, reserved_expressions, test_problems, training_problems

TRAINING = training_problems(1200)
TEST = test_problems(1200)


def expression_of(row):
    return Expression.parse(row["problem"].removeprefix("Compute ").removesuffix("."))


def test_both_splits_hold_enough_problems_in_equal_shares_per_level():
    assert len(training_problems(600)) == 600
    assert len(test_problems(900)) == 900
    for rows in (training_problems(600), test_problems(900)):
        assert Counter(row["level"] for row in rows) == dict.fromkeys(LEVELS, len(rows) // 3)


def test_no_problem_occurs_twice_in_or_across_the_splits():
    problems = [row["problem"] for row in TRAINING + TEST]
    assert len(set(problems)) == len(problems) == 2400
    ids = [row["id"] for row in TRAINING + TEST]
    assert len(set(ids)) == len(ids)


def test_fewer_problems_are_the_first_of_more():
    assert training_problems(10) == TRAINING[:10]
    assert test_problems(0) == []


@pytest.mark.parametrize("count", [-1, 1201])
def test_asking_for_more_than_there_are_is_an_error(count):
    with pytest.raises(ValueError, match="there are 1200 training problems"):
        training_problems(count)


def test_another_process_gets_the_same_problems():
    code = "import json, dto_jobs.demo.problems as p; print(json.dumps([p.training_problems(60), p.test_problems(60)]))"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert json.loads(answer.stdout) == [TRAINING[:60], TEST[:60]]


def test_every_row_has_exactly_the_fields_of_a_problem_as_text():
    for row in TRAINING + TEST:
        assert set(row) == {"id", "problem", "answer", "level"}
        assert all(isinstance(value, str) for value in row.values())


def test_answers_are_right():
    for row in TRAINING + TEST:
        # An independent calculation: Python's own, on digits and signs only.
        text = row["problem"].removeprefix("Compute ").removesuffix(".")
        assert set(text) <= set("0123456789+-")
        assert row["answer"] == str(eval(text))


def test_the_prompt_shows_its_level():
    for row in TRAINING + TEST:
        expression = expression_of(row)
        operands = [expression.start, *(term.operand for term in expression.terms)]
        long = sum(operand >= 10 for operand in operands)
        seen = "easy" if long == 0 else "hard" if long == len(operands) else "medium"
        assert seen == row["level"]


def test_all_running_values_have_at_most_two_digits_whether_exact_or_quick():
    for row in TRAINING + TEST:
        expression = expression_of(row)
        assert all(0 <= value <= HIGHEST for value in expression.exact_values() + expression.quick_values())


@pytest.mark.parametrize(
    ("level", "lowest", "highest"), [("easy", 1.0, 1.0), ("medium", 0.5, 0.65), ("hard", 0.1, 0.22)]
)
def test_a_quick_pass_is_right_less_often_the_harder_the_level(level, lowest, highest):
    expressions = [expression_of(row) for row in TRAINING + TEST if row["level"] == level]
    right = sum(not one.is_tricky() for one in expressions) / len(expressions)
    assert lowest <= right <= highest


def test_the_training_of_the_model_must_leave_out_both_splits():
    assert {str(expression_of(row)) for row in TRAINING + TEST} <= reserved_expressions()


def test_an_expression_reads_what_it_writes():
    expression = Expression(33, (Term("-", 19), Term("+", 4)))
    assert str(expression) == "33-19+4"
    assert Expression.parse("33-19+4") == expression
    assert expression.exact_values() == [33, 14, 18]


@pytest.mark.parametrize(
    ("value", "term", "outcome"),
    [
        (19, Term("+", 14), 23),  # the carry is forgotten
        (33, Term("-", 19), 26),  # the smaller digit is taken from the larger one
        (12, Term("+", 14), 26),  # nothing to carry
        (19, Term("+", 4), 23),  # a single digit is carried rightly
        (33, Term("-", 9), 24),
    ],
)
def test_a_quick_step_goes_wrong_only_where_a_two_digit_operand_meets_a_carry(value, term, outcome):
    assert quick(value, term) == outcome
    assert is_trap(value, term) == (outcome != exact(value, term))


@pytest.mark.parametrize(
    ("value", "term", "written"),
    [
        (33, Term("-", 19), "13-9=4, 2-1=1"),
        (19, Term("+", 14), "9+4=13, 1+1+1=3"),
        (12, Term("+", 14), "2+4=6, 1+1=2"),
        (8, Term("+", 5), "8+5=13, 0+0+1=1"),
        (13, Term("-", 5), "13-5=8, 0-0=0"),
    ],
)
def test_a_careful_step_writes_the_carry_out(value, term, written):
    assert digit_by_digit(value, term) == written


def test_a_careful_step_always_leads_to_the_exact_value():
    for value in range(HIGHEST + 1):
        for term in (Term(sign, operand) for sign in "+-" for operand in range(1, 30)):
            if 0 <= exact(value, term) <= HIGHEST:
                units, tens = (int(part.split("=")[1]) for part in digit_by_digit(value, term).split(", "))
                assert 10 * tens + units % 10 == exact(value, term)


def test_the_start_value_is_never_the_answer():
    assert not any(str(expression_of(row).start) == row["answer"] for row in TRAINING + TEST)
