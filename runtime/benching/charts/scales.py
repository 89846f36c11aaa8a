"""Scales: where on a chart a value lies, and which values are written beside an axis.

Decides how values become places. Knows no colours and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log, log10
from typing import Protocol

import attrs


class Scale(Protocol):
    """Gives the place of a value."""

    def __call__(self, value: float) -> float:
        """The place, in the units of the drawing."""
        ...


@attrs.frozen
class Linear:
    """Equal steps are equal distances.

    Args:
        values: The first and the last value.
        places: Where they lie.
    """

    values: tuple[float, float]
    places: tuple[float, float]

    def __call__(self, value: float) -> float:
        """The place of a value."""
        (low, high), (start, end) = self.values, self.places
        return start + (end - start) * (value - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values, so many at most: 1, 2 or 5 times a power of ten apart."""
        low, high = self.values
        step = _round_step((high - low) / most)
        return [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


@attrs.frozen
class Log:
    """Equal ratios are equal distances.

    Args:
        values: The first and the last value; above 0.
        places: Where they lie.
    """

    values: tuple[float, float]
    places: tuple[float, float]

    def __call__(self, value: float) -> float:
        """The place of a value."""
        (low, high), (start, end) = self.values, self.places
        return start + (end - start) * log(value / low) / log(high / low)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values, so many at most: 1, 2 and 5 times powers of ten, or the powers alone."""
        low, high = self.values
        powers = range(floor(log10(low)), ceil(log10(high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            found = [
                factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high
            ]
            if len(found) <= most:
                return found
        found = [10.0**power for power in powers if low <= 10.0**power <= high]
        return found[:: ceil(len(found) / most)]


def along(low: float, high: float, count: int) -> list[float]:
    """So many values from a low one to a high one, at equal ratios."""
    return [low * (high / low) ** (number / (count - 1)) for number in range(count)]


def spaced(places: Sequence[float], least: float) -> list[float]:
    """The same places, moved so far that no two are nearer than that; their order stays."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    return moved


def _round_step(least: float) -> float:
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
