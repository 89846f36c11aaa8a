"""Units: how numbers are written for people.

Decides units and digits: three digits that mean something, and no more.
"""

from __future__ import annotations

_MILLION = 1_000_000


def rate(value: float) -> str:
    """Runs a second."""
    return f"{value:,.0f}" if value >= 999.5 else _three(value)  # noqa: PLR2004  # four digits need a comma


def seconds(value: float | None) -> str:
    """A length of time."""
    if value is None:
        return "–"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= 0.9995 * size:  # a thousand of the smaller unit, as it would be written
            return f"{_three(value / size)} {unit}"
    return f"{value * 1e6:.0f} µs" if value >= 1e-6 else "0 ms"  # noqa: PLR2004  # below, it is no time at all


def rate_tick(value: float) -> str:
    """Runs a second that are a round number, beside an axis."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def tick(value: float) -> str:
    """A length of time that is round, beside an axis."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size * (1 - 1e-9):
            return f"{value / size:g} {unit}"
    return f"{value * 1e6:g} µs"


def memory(value: int) -> str:
    """Bytes."""
    return f"{value / _MILLION:,.0f} MB" if value else "–"


def limit(value: float) -> str:
    """A limit that need not be a whole number."""
    return f"{value:.0f}"


def _three(value: float) -> str:
    """Three digits, at most one of them behind the point where there are others before it."""
    if value >= 99.95:  # noqa: PLR2004  # three before the point
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"  # noqa: PLR2004  # two before it
