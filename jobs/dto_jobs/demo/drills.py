"""Drills: single steps of arithmetic, many in a row, from which the model learns its sums before its reasoning."""

import random

from dto_jobs.demo.arithmetic import HIGHEST, Term, digit_by_digit, exact, quick


def draw_drill(source: random.Random) -> list[tuple[str, str]]:
    """Draw quick or careful steps as they stand in traces: pairs of what is given and what is to be learnt."""
    if source.random() < 0.5:
        return [_quick_step(source) for _ in range(source.randint(16, 32))]
    return [_careful_step(source) for _ in range(source.randint(8, 16))]


def draw_step(source: random.Random) -> tuple[int, Term]:
    """Draw a value and a term such that neither the exact nor the quick result leaves the range."""
    while True:
        value, term = source.randint(0, HIGHEST), _draw_term(source)
        results = exact(value, term), quick(value, term)
        if min(results) >= 0 and max(results) <= HIGHEST:
            return value, term


def _draw_term(source: random.Random) -> Term:
    operand = source.randint(12, 29) if source.random() < 0.6 else source.randint(2, 9)
    return Term(source.choice("+-"), operand)


def _quick_step(source: random.Random) -> tuple[str, str]:
    value, term = draw_step(source)
    return f"{value}{term}=", f"{quick(value, term)}\n"


def _careful_step(source: random.Random) -> tuple[str, str]:
    value, term = draw_step(source)
    # A rest of varying length moves the operands away, as in a trace; else only their fixed place would be learnt.
    rest = "".join(str(_draw_term(source)) for _ in range(source.randint(0, 2)))
    return f"{value}{term}{rest}\n", f"{digit_by_digit(value, term)}, so {exact(value, term)}\n"
