"""How values are written, by the names that Grafana has for units."""

from collections.abc import Callable

from dto_jobs.report.words import MINUS, NARROW, count, percent, quantity

DAY = 86_400.0


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value in its unit; KeyError for a unit that is not known here."""
    if unit.startswith("si:"):
        return quantity(value, unit.removeprefix("si:"))
    if unit.startswith("suffix:"):
        text = count(value, decimals) if decimals is not None else short(value)
        return f"{text} {unit.removeprefix('suffix:').strip()}"
    if unit == "percentunit":
        return percent(value, 1 if decimals is None else decimals)
    if decimals is not None and abs(value) < 1000:
        return UNITS[unit](round(value, decimals))
    return UNITS[unit](value)


def short(value: float) -> str:
    """Return a number in three digits, with a prefix where it is large."""
    if value and abs(value) < 0.001:
        return scientific(value, 1)
    return quantity(value, "").rstrip(NARROW)


def scientific(value: float, digits: int = 2) -> str:
    """Return a number with a power of ten."""
    return f"{value:.{digits}e}".replace("-", MINUS)


def duration(seconds: float, beside: float | None = None) -> str:
    """Return a time in the unit that suits it, or the one beside which it stands."""
    if not seconds:
        return f"0{NARROW}s"
    size = abs(beside or seconds)
    if size < 1:
        return f"{1000 * seconds:.3g}{NARROW}ms"
    for limit, length, unit in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (2 * DAY, 3600.0, "h")):
        if size < limit:
            return f"{seconds / length:.3g}{NARROW}{unit}"
    return f"{seconds / DAY:.3g}{NARROW}days"


def on_axis(value: float, unit: str, most: float) -> str:
    """Return a value beside an axis that goes up to the most: all in one unit of time, and whole per cents."""
    if unit in {"s", "h"}:
        length = 3600.0 if unit == "h" else 1.0
        return duration(length * value, length * most)
    return written(value, unit, 0 if unit == "percentunit" and most > 0.05 else None)


UNITS: dict[str, Callable[[float], str]] = {
    "none": short,
    "short": short,
    "s": duration,
    "h": lambda hours: f"{short(hours)}{NARROW}h" if abs(hours) >= 2 else duration(3600 * hours),
    "decbytes": lambda size: quantity(size, "B"),
    "reqps": lambda pace: f"{short(pace)}{NARROW}req/s",
    "sci": scientific,
    "bool_yes_no": lambda claim: "yes" if claim else "no",
}
"""Units but those that carry their own words."""
