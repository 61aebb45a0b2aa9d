"""How numbers are written for people."""

import re

from dto_jobs.core.interval import Interval

MINUS = "\N{MINUS SIGN}"
NARROW = "\N{NO-BREAK SPACE}"
NOTHING = "\N{EN DASH}"


def typeset(text: str) -> str:
    """Return the text with true minus signs where a hyphen opens a number."""
    return re.sub(r"(?<!\w)-(?=\d)", MINUS, text)


def count(value: float | None, digits: int = 0) -> str:
    """Return a number with thousands separated; a dash for none."""
    return NOTHING if value is None else typeset(f"{value:,.{digits}f}")


def rough(value: float | None) -> str:
    """Return a number to three significant digits; a dash for none."""
    return NOTHING if value is None else count(float(f"{value:.3g}"), 0 if value >= 10 else 1)


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in per cent."""
    return NOTHING if share is None else typeset(f"{100 * share:.{digits}f}{NARROW}%")


def change(share: float | None, digits: int = 0) -> str:
    """Return a relative change in per cent, its sign always shown."""
    return NOTHING if share is None else typeset(f"{100 * share:+.{digits}f}{NARROW}%")


def points(difference: float | None) -> str:
    """Return a difference of shares in percentage points, its sign always shown."""
    return NOTHING if difference is None else typeset(f"{100 * difference:+.1f}")


def quantity(value: float, unit: str) -> str:
    """Return a large quantity with a decimal prefix: 12.3 TFLOP."""
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return typeset(f"{value / size:.3g}{NARROW}{prefix}{unit}")
    return typeset(f"{value:.3g}{NARROW}{unit}")


def flops(value: float | None) -> str:
    """Return FLOPs with a decimal prefix; a dash for none."""
    return NOTHING if value is None else quantity(value, "FLOP")


def seconds(value: float) -> str:
    """Return a duration in the unit that suits it."""
    if value < 120:
        return f"{value:.0f}{NARROW}s"
    return f"{value / 60:.0f}{NARROW}min" if value < 7200 else f"{value / 3600:.1f}{NARROW}h"


def bounds(interval: Interval | None, scale: float = 1.0, digits: int = 0, *, sign: bool = False) -> str:
    """Return an interval's bounds as "low to high"; a dash where they are not known."""
    if interval is None or interval.low is None or interval.high is None:
        return NOTHING
    form = f"{'+' if sign else ''},.{digits}f"
    return typeset(f"{scale * interval.low:{form}} to {scale * interval.high:{form}}")
