"""Answers that only computer algebra can compare: math-verify, loaded when first needed and kept on a short leash.

Its own time limits use signals, which work on the main thread only and make a grade depend on how busy the machine
is. Here what could blow up is refused by its shape, and the rest gets a budget of function calls: the same everywhere.
"""

import logging
import math
import re
import sys
import threading
from collections.abc import Callable
from functools import cache, lru_cache
from inspect import CO_GENERATOR
from types import CodeType, FrameType
from typing import Any

LONGEST = 300
DEEPEST = 16
LONGEST_DIGITS = 30
LARGEST_POWER = 100_000  # bits of an integer
LARGEST_PRECISION = 20_000  # bits of a real number
LARGEST_FACTORIAL = 3_000
LARGEST_EXPANSION = 5_000  # terms
BUDGET = 2_000_000
"""Calls and returns, of Python and C functions: half a second; a plain formula takes some ten thousands."""
PATIENCE = 3_000_000
"""The same, for all parts of an answer together."""

_MARK = re.compile(r"\^|!|[{(\[]|[})\]]|\S")
_LONG_DIGITS = re.compile(rf"\d{{{LONGEST_DIGITS + 1}}}")
_LARGE_OPERAND = re.compile(r"\^\s*[{(]?\s*[-+]?\d{4}|\d{4}\s*!|![\s})]*!|\\[dt]?binom[\s{]*\d{5}|\d\s*[eE]\s*\d{3}")
# Sums, products, integrals and limits would be evaluated; none is an answer in its final form.
_UNFINISHED = re.compile(r"\\(?:sum|prod|i*int|lim|bigcup|bigcap)(?![A-Za-z])")

_WARM_UP = (
    (r"x^2+2x+1", r"(x+1)^{2}"),
    (r"x^4+x^3+x^2+x+1", r"\frac{x^5-1}{x-1}"),
    (r"(a+5)(b+2)", r"ab+2a+5b+10"),
    (r"\frac{\sqrt{2}}{2}\pi", r"\frac{-\pi}{\sqrt{2}}"),
    (r"[1,\infty)", r"-2 \le x < 1"),
    (r"(1,2)\cup[3,4)", r"\{1,2\}"),
    (r"\cos x", r"\frac{1}{\sec x}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
    (r"y = 2x + 1", r"2x - y + 1 = 0"),
)

_turn = threading.Lock()  # the parser's tables are shared and not made for several threads


class _BudgetSpentError(BaseException):
    """Not an Exception, so that the algebra's own `except Exception` does not swallow it."""


class Algebra:
    """Computer algebra with one budget for all the parts of an answer."""

    def __init__(self) -> None:
        self._left = PATIENCE

    def same_value(self, answer: str, gold: str) -> bool:
        """Say whether two LaTeX answers are equal; False where either is unreadable or the work too much."""
        if self._left <= 0 or not (is_tame(answer) and is_tame(gold)):
            return False
        same, spent = _same_value(answer, gold)
        self._left -= spent
        return same


@lru_cache(maxsize=65_536)
def _same_value(answer: str, gold: str) -> tuple[bool, int]:
    """Compare two tame answers; the second value is what it took, the same whenever it is asked again."""
    compare = _comparison()
    with _turn:
        return _within_budget(lambda: compare(answer, gold))


def is_tame(text: str) -> bool:
    """Say whether a formula's shape promises bounded work: no towers of powers, giant numbers, deep nesting or sums."""
    return (
        len(text) <= LONGEST
        and not any(pattern.search(text) for pattern in (_LONG_DIGITS, _LARGE_OPERAND, _UNFINISHED))
        and _is_shallow(text.replace("**", "^"))
    )


def _is_shallow(text: str) -> bool:
    """Say whether brackets nest little and no exponent holds a power or a factorial."""
    raised: list[bool] = []  # for each open bracket: it is an exponent, or lies in one
    previous = before = ""
    for mark in _MARK.findall(text):
        if mark in "{([":
            raised.append(previous == "^" or any(raised[-1:]))
        if mark in "})]":
            raised[-1:] = []
        if mark in "^!" and (any(raised[-1:]) or before == "^"):
            return False
        before, previous = previous, mark
        if len(raised) > DEEPEST:
            return False
    return True


def _within_budget(work: Callable[[], bool]) -> tuple[bool, int]:
    """Return what the work says and the calls it took; False where they exceed the budget or a giant step is due."""
    left, guards, outer = BUDGET, _guards(), sys.getprofile()

    def spend(frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - what the interpreter passes
        nonlocal left
        left -= 1
        # Never raised inside a generator: its clean-up would swallow the error, and the budget with it.
        if event != "call" or frame.f_code.co_flags & CO_GENERATOR:
            return
        if left < 0 or ((guard := guards.get(frame.f_code)) and guard(frame.f_locals)):
            raise _BudgetSpentError

    sys.setprofile(spend)
    try:
        return work(), BUDGET - left
    except (_BudgetSpentError, RecursionError, MemoryError):
        return False, BUDGET - left
    finally:
        sys.setprofile(outer)


@cache
def _guards() -> dict[CodeType, Callable[[dict[str, Any]], bool]]:
    """Return, for functions that may work long within one call, what tells from their arguments that they would."""
    # sympy takes a second to import: only the first hard answer pays for it.
    from mpmath import libmp  # type: ignore[import-untyped]  # noqa: PLC0415 - as said above
    from sympy import Integer, binomial, factorial  # type: ignore[import-untyped]  # noqa: PLC0415 - as said above
    from sympy.ntheory import multinomial  # type: ignore[import-untyped]  # noqa: PLC0415 - as said above

    def is_large(name: str) -> Callable[[dict[str, Any]], bool]:
        return lambda arguments: arguments[name].is_Integer and abs(int(arguments[name])) > LARGEST_FACTORIAL

    return {
        Integer._eval_power.__code__: _is_giant_power,  # noqa: SLF001 - the one place where integers are raised
        factorial.eval.__func__.__code__: is_large("n"),
        binomial.eval.__func__.__code__: is_large("n"),
        multinomial.multinomial_coefficients.__code__: _is_giant_expansion,
        multinomial.multinomial_coefficients_iterator.__code__: _is_giant_expansion,
        # All constants of mpmath share this code; exponentials and sines of giant numbers ask it for giant precision.
        libmp.pi_fixed.__code__: lambda arguments: arguments["prec"] > LARGEST_PRECISION,
        libmp.mpf_pow.__code__: lambda arguments: arguments["t"][2] > LARGEST_PRECISION,
        libmp.mpf_pow_int.__code__: lambda arguments: int(arguments["n"]).bit_length() > LARGEST_PRECISION,
    }


def _is_giant_power(arguments: dict[str, Any]) -> bool:
    base, exponent = arguments["self"], arguments["expt"]
    return bool(exponent.is_Rational and int(base).bit_length() * abs(int(exponent)) > LARGEST_POWER)


def _is_giant_expansion(arguments: dict[str, Any]) -> bool:
    return math.comb(arguments["n"] + arguments["m"] - 1, arguments["n"]) > LARGEST_EXPANSION


@cache
def _comparison() -> Callable[[str, str], bool]:
    """Load math-verify, quiet and without its signals."""
    from math_verify import LatexExtractionConfig, parse, verify  # noqa: PLC0415 - lazy, as sympy is

    for name in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    form = [LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)]

    def read(answer: str) -> Any:  # noqa: ANN401 - sympy expressions
        return parse(f"\\boxed{{{answer}}}", form, parsing_timeout=None)

    def compare(answer: str, gold: str) -> bool:
        return bool(verify(read(gold), read(answer), timeout_seconds=None, allow_set_relation_comp=True))

    # Fills the parser's tables and loads the algebra's parts outside of any answer's budget.
    for answer, gold in _WARM_UP:
        compare(answer, gold)
    return compare
