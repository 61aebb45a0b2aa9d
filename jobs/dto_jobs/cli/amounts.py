"""Large numbers as a person reads them."""


def amount(value: float) -> str:
    """Return a number a person can read at a glance: 1,234 · 25.3k · 1.20M · 3.4G · 5.6T · 7.8P."""
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:,.0f}"
