"""Steps of the demonstration's arithmetic: exact, digit by digit, and the quick way that forgets carries."""

from dataclasses import dataclass
from typing import Self

HIGHEST = 99  # every running value has at most two digits


@dataclass(frozen=True, slots=True)
class Term:
    """One signed operand of an expression, such as the `-19` of `33-19`."""

    sign: str
    operand: int

    def __str__(self) -> str:
        return f"{self.sign}{self.operand}"


@dataclass(frozen=True, slots=True)
class Expression:
    """A start value and the terms that are added to it or taken from it, from left to right."""

    start: int
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return str(self.start) + "".join(str(term) for term in self.terms)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression such as `33-19+4`."""
        spaced = text.replace("+", " +").replace("-", " -").split()
        return cls(int(spaced[0]), tuple(Term(word[0], int(word[1:])) for word in spaced[1:]))

    def value(self) -> int:
        """Return the exact value."""
        return self.exact_values()[-1]

    def exact_values(self) -> list[int]:
        """Return the start value and every exact running value."""
        values = [self.start]
        for term in self.terms:
            values.append(exact(values[-1], term))
        return values

    def quick_values(self) -> list[int]:
        """Return the start value and every running value of a quick pass."""
        values = [self.start]
        for term in self.terms:
            values.append(quick(values[-1], term))
        return values

    def is_tricky(self) -> bool:
        """Say whether a quick pass gives the wrong result."""
        return self.quick_values()[-1] != self.value()


def exact(value: int, term: Term) -> int:
    """Return the value after the term."""
    return value + term.operand if term.sign == "+" else value - term.operand


def carries(value: int, term: Term) -> bool:
    """Say whether the step carries into the tens (or borrows from them)."""
    units, operand_units = value % 10, term.operand % 10
    return units + operand_units >= 10 if term.sign == "+" else units < operand_units


def is_trap(value: int, term: Term) -> bool:
    """Say whether a quick step goes wrong: a carry or borrow together with a two-digit operand."""
    return term.operand >= 10 and carries(value, term)


def quick(value: int, term: Term) -> int:
    """Return the value after the term, done in one mental step.

    On a trap it is wrong, always, in the two ways known from schools: an addition forgets the carry (19+14 gives 23), a
    subtraction takes the smaller digit from the larger one (33-19 gives 26). The two seldom cancel out.
    """
    if not is_trap(value, term):
        return exact(value, term)
    if term.sign == "+":
        return value + term.operand - 10
    tens, units = value // 10 - term.operand // 10, term.operand % 10 - value % 10
    return 10 * tens + units


def digit_by_digit(value: int, term: Term) -> str:
    """Write the step out on units and tens, the carry included: `33-19` becomes `13-9=4, 2-1=1`."""
    tens, units = divmod(value, 10)
    operand_tens, operand_units = divmod(term.operand, 10)
    carry = carries(value, term)
    if term.sign == "+":
        carried = "+1" if carry else ""
        total = tens + operand_tens + carry
        return f"{units}+{operand_units}={units + operand_units}, {tens}+{operand_tens}{carried}={total}"
    units, tens = (units + 10, tens - 1) if carry else (units, tens)
    return f"{units}-{operand_units}={units - operand_units}, {tens}-{operand_tens}={tens - operand_tens}"
