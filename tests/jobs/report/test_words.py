import pytest

from dto_jobs.core.interval import Interval
from dto_jobs.report import words

MINUS = "\N{MINUS SIGN}"


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (words.count(1234567), "1,234,567"),
        (words.count(-3.14, 1), f"{MINUS}3.1"),
        (words.percent(0.8234), "82.3 %"),
        (words.change(-0.55), f"{MINUS}55 %"),
        (words.change(0.05, 1), "+5.0 %"),
        (words.points(-0.004), f"{MINUS}0.4"),
        (words.flops(1.234e15), "1.23 PFLOP"),
        (words.flops(5.0), "5 FLOP"),
        (words.rough(33214), "33,200"),
        (words.rough(4.25), "4.2"),
        (words.seconds(40), "40 s"),
        (words.seconds(600), "10 min"),
        (words.seconds(9000), "2.5 h"),
    ],
)
def test_numbers_are_written_for_people(written: str, wanted: str) -> None:
    assert plain(written) == wanted


@pytest.mark.parametrize("form", [words.count, words.percent, words.change, words.points, words.flops, words.rough])
def test_nothing_is_a_dash(form: object) -> None:
    assert form(None) == "\N{EN DASH}"


def test_bounds_are_told_with_their_signs() -> None:
    interval = Interval(value=-0.5, low=-0.61, high=0.02, n=9)
    assert words.bounds(interval, 100, 0, sign=True) == f"{MINUS}61 to +2"
    assert words.bounds(interval, 1, 2) == f"{MINUS}0.61 to 0.02"


def test_unknown_bounds_are_a_dash() -> None:
    assert words.bounds(Interval(value=1, n=1)) == words.bounds(None) == "\N{EN DASH}"


def test_only_hyphens_before_numbers_become_minus_signs() -> None:
    assert words.typeset("a re-check: -3, x-4") == f"a re-check: {MINUS}3, x-4"
