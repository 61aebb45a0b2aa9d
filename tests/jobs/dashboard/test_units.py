"""How values are written."""

import pytest

from dto_jobs.dashboard.units import on_axis, written


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.4198, "percentunit", 1, "42.0 %"),
        (-0.05, "percentunit", 0, "−5 %"),
        (34269.0, "short", 1, "34.3 k"),
        (12.345, "short", 1, "12.3"),
        (0.0, "short", None, "0"),
        (0.00002, "short", None, "2.0e−05"),
        (7.57e12, "si:FLOP", None, "7.57 TFLOP"),
        (9.22, "suffix: points", 1, "9.2 points"),
        (0.0125, "s", None, "12.5 ms"),
        (0.0, "s", None, "0 s"),
        (90.0, "s", None, "90 s"),
        (600.0, "s", None, "10 min"),
        (7200.0, "s", None, "2 h"),
        (604_800.0, "s", None, "7 days"),
        (1.5, "h", None, "90 min"),
        (0.001, "h", None, "3.6 s"),
        (1234.0, "h", None, "1.23 k h"),
        (34269.0, "suffix: answers", None, "34.3 k answers"),
        (2.5e9, "decbytes", None, "2.5 GB"),
        (3.0, "reqps", None, "3 req/s"),
        (5e-7, "sci", None, "5.00e−07"),
        (1.0, "bool_yes_no", None, "yes"),
        (0.0, "bool_yes_no", None, "no"),
    ],
)
def test_values_are_written_as_people_read_them(value, unit, decimals, text):
    assert written(value, unit, decimals).replace("\N{NO-BREAK SPACE}", " ") == text


def test_a_unit_that_is_not_known_is_not_guessed():
    with pytest.raises(KeyError):
        written(1.0, "furlongs")


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ((0.0, 50.0, 150.0), "s", ["0 s", "0.833 min", "2.5 min"]),
        ((0.5, 1.5), "s", ["0.5 s", "1.5 s"]),
        ((0.5, 3.0), "h", ["0.5 h", "3 h"]),
        ((0.5, 1.0), "percentunit", ["50 %", "100 %"]),
        ((0.005, 0.01), "percentunit", ["0.5 %", "1.0 %"]),
        ((500.0, 1500.0), "short", ["500", "1.5 k"]),
    ],
)
def test_values_beside_an_axis_have_one_unit_of_time(values, unit, texts):
    shown = [on_axis(value, unit, max(values)) for value in values]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in shown] == texts
