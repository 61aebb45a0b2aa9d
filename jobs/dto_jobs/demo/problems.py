"""Graded problems for the demonstration: sums and differences whose difficulty can be seen in the prompt."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from dto_jobs.demo.arithmetic import HIGHEST, Expression, Term, exact

LEVELS = ("easy", "medium", "hard")
PER_LEVEL = 400  # problems of each level in each of the two splits
SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Grade:
    """What a level's expressions look like."""

    fewest: int
    most: int
    two_digit: float  # probability that an operand has two digits


# A quick pass is right for all easy problems, for about half of the medium and for a sixth of the hard ones.
GRADES = {"easy": Grade(3, 4, 0.0), "medium": Grade(3, 4, 0.4), "hard": Grade(4, 5, 1.0)}


def draw_expression(source: random.Random, level: str) -> Expression:
    """Draw an expression whose running values, exact and quick, all have at most two digits.

    Its value differs from where it starts: what the model answers without thinking is never right by luck.
    """
    while True:
        expression = _draw(source, GRADES[level])
        values = expression.exact_values() + expression.quick_values()
        if (
            min(values) >= 0
            and max(values) <= HIGHEST
            and _shows(level, expression)
            and values[0] != expression.value()
        ):
            return expression


def _draw(source: random.Random, grade: Grade) -> Expression:
    value = _operand(source, grade)
    start, terms = value, []
    for _ in range(source.randint(grade.fewest, grade.most) - 1):
        operand = _operand(source, grade)
        sign = "+" if value < operand else source.choice("+-")
        terms.append(Term(sign, operand))
        value = exact(value, terms[-1])
    return Expression(start, tuple(terms))


def _operand(source: random.Random, grade: Grade) -> int:
    return source.randint(12, 29) if source.random() < grade.two_digit else source.randint(2, 9)


def _shows(level: str, expression: Expression) -> bool:
    """Say whether the operands alone tell the level: none, some or all of them have two digits."""
    long = [operand >= 10 for operand in (expression.start, *(term.operand for term in expression.terms))]
    return {"easy": not any(long), "medium": any(long) and not all(long), "hard": all(long)}[level]


def training_problems(count: int) -> list[dict[str, str]]:
    """Return the first `count` problems for a DTO run, the levels taking turns."""
    return _rows("training", count)


def test_problems(count: int) -> list[dict[str, str]]:
    """Return the first `count` problems for an evaluation, the levels taking turns; none is a training problem."""
    return _rows("test", count)


test_problems.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def reserved_expressions() -> frozenset[str]:
    """Return the expressions of both splits, which the model's own training data must not contain."""
    return frozenset(
        str(expression) for split in _splits().values() for level in split.values() for expression in level
    )


def _rows(split: str, count: int) -> list[dict[str, str]]:
    if not 0 <= count <= PER_LEVEL * len(LEVELS):
        raise ValueError(f"there are {PER_LEVEL * len(LEVELS)} {split} problems, not {count}")
    return [_row(split, LEVELS[index % len(LEVELS)], index // len(LEVELS)) for index in range(count)]


def _row(split: str, level: str, index: int) -> dict[str, str]:
    expression = _splits()[split][level][index]
    return {
        "id": f"{split}-{level}-{index:03d}",
        "problem": f"Compute {expression}.",
        "answer": str(expression.value()),
        "level": level,
    }


@cache
def _splits() -> dict[str, dict[str, list[Expression]]]:
    splits: dict[str, dict[str, list[Expression]]] = {"test": {}, "training": {}}
    for level in LEVELS:
        distinct = _distinct(level)
        for split in splits.values():
            split[level] = [next(distinct) for _ in range(PER_LEVEL)]
    return splits


def _distinct(level: str) -> Iterator[Expression]:
    source = random.Random(f"{SEED} {level}")  # noqa: S311 - reproducible data, not secrets
    seen: set[Expression] = set()
    while True:
        expression = draw_expression(source, level)
        if expression not in seen:
            seen.add(expression)
            yield expression
