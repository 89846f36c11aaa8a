"""Fitting: the law that describes measurements best.

Decides how the numbers of a law are found, how far measurements are from it, and which of two laws is the better one.
All distances are ratios: a measurement that is ten per cent off counts the same wherever it is.

The Universal Scalability Law is linear once it is turned around: `n / throughput` is a sum of its numbers times `1`,
`n - 1` and `n · (n - 1)`. So least squares give a first answer at once, and a few Gauss-Newton steps, on ratios, the
final one. A number that came out below 0 has no meaning; each subset of them is tried at 0, and the best that is left
is taken. Saturation has one number that cannot be had that way, its capacity: that is searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log, log1p, sqrt
from statistics import fmean
from typing import Final

import attrs

from millrace.runtime.benching.laws import Law, Saturation, UniversalScalability

Measured = Sequence[tuple[float, float]]
"""Pairs of a limit and a throughput, both more than 0."""

PRECISION: Final = 0.01
"""No measurement is believed to be better than that: a law is not preferred for what is below."""

STEPS: Final = 24
HALVINGS: Final = 12
CAPACITIES: Final = 64
GOLDEN: Final = (sqrt(5) - 1) / 2
MOST_OVERLOAD: Final = 4.0

ENOUGH_BEYOND: Final = 2
"""So many measurements beyond a capacity tell what being overloaded costs."""


@attrs.frozen
class Fit:
    """A law, and how well it describes measurements.

    Args:
        law: The law.
        error: How far measurements are from it: the root of the mean square of the ratios' logarithms. Near a small
            value it is a share: 0.05 means five per cent.
    """

    law: Law
    error: float

    @property
    def title(self) -> str:
        """What the law is called."""
        return self.law.title


def fit(measured: Measured) -> Fit:
    """The law that describes measurements best: of two that do it equally well, the simpler one.

    Source: the Bayesian information criterion, G. Schwarz, Annals of Statistics 6 (1978).
    """
    candidates = [fit_scalability(measured), fit_saturation(measured)]
    return min(candidates, key=lambda found: _criterion(found, len(measured)))


def _criterion(found: Fit, count: int) -> float:
    return 2 * count * log(max(found.error, PRECISION)) + found.law.freedom * log(count)


def fit_scalability(measured: Measured) -> Fit:
    """The Universal Scalability Law that describes measurements best."""
    fits = [
        _fit_law(_scalability, _descend(_linear(measured, free), free, measured), measured)
        for free in ((0, 1, 2), (0, 1), (0, 2), (0,))
    ]
    return min(fits, key=lambda found: (max(found.error, PRECISION / 10), found.law.freedom))


def fit_saturation(measured: Measured) -> Fit:
    """The law of saturation that describes measurements best."""
    limits = [limit for limit, _ in measured]
    low, high = log(min(limits)), log(max(limits))

    def error(place: float) -> float:
        return _saturation(exp(place), measured).error

    step = (high - low) / CAPACITIES
    if step == 0:
        return _saturation(exp(low), measured)
    best = min(range(CAPACITIES + 1), key=lambda number: error(low + number * step))
    place = _lowest(error, low + max(0, best - 1) * step, low + min(CAPACITIES, best + 1) * step)
    return min(_saturation(exp(place), measured), _saturation(exp(low + best * step), measured), key=lambda f: f.error)


def _error(law: Callable[[float], float], measured: Measured) -> float:
    return sqrt(sum(log(rate / law(limit)) ** 2 for limit, rate in measured) / len(measured))


def _fit_law(make: Callable[[Sequence[float]], Law], numbers: Sequence[float], measured: Measured) -> Fit:
    law = make(numbers)
    return Fit(law, _error(law, measured))


# The Universal Scalability Law. Its numbers here: the logarithm of the time of one, contention, coherency.


def _scalability(numbers: Sequence[float]) -> UniversalScalability:
    return UniversalScalability(exp(-numbers[0]), numbers[1], numbers[2])


def _linear(measured: Measured, free: Sequence[int]) -> list[float]:
    """The first answer, from linear least squares over some of the numbers."""
    rows = [[(1.0, limit - 1, limit * (limit - 1))[index] * rate / limit for index in free] for limit, rate in measured]
    found = least_squares(rows, [1.0] * len(rows))  # each row divided by what it has to give, for the sake of ratios
    time = found[0] if found[0] > 0 else min(limit / rate for limit, rate in measured)
    numbers = [log(time), 0.0, 0.0]
    for index, value in zip(free[1:], found[1:], strict=True):
        numbers[index] = max(0.0, value / time)
    return numbers


def _descend(numbers: list[float], free: Sequence[int], measured: Measured) -> list[float]:
    """The final answer, by Gauss-Newton steps that are halved where they lead up."""
    error = _error(_scalability(numbers), measured)
    for _ in range(STEPS):
        rows: list[list[float]] = []
        misses: list[float] = []
        for limit, rate in measured:
            pairs = limit * (limit - 1)
            whole = 1 + numbers[1] * (limit - 1) + numbers[2] * pairs
            slopes = (1.0, (limit - 1) / whole, pairs / whole)
            rows.append([slopes[index] for index in free])
            misses.append(log(limit / rate) - numbers[0] - log(whole))
        steps = least_squares(rows, misses)
        for halving in range(HALVINGS):
            tried = list(numbers)
            for index, step in zip(free, steps, strict=True):
                tried[index] += step / 2**halving
                if index:
                    tried[index] = max(0.0, tried[index])
            better = _error(_scalability(tried), measured)
            if better < error:
                break
        else:
            return numbers
        settled = error - better < 1e-9  # noqa: PLR2004  # far below what anybody can measure
        numbers, error = tried, better
        if settled:
            break
    return numbers


def least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """The factors with which the columns of `rows` come nearest to `wanted`; 0 for a column that adds nothing.

    Source: normal equations, with columns scaled to one length, solved by Gauss-Jordan elimination.
    """
    columns = list(zip(*rows, strict=True))
    lengths = [sqrt(sum(value * value for value in column)) or 1.0 for column in columns]
    scaled = [[value / length for value in column] for column, length in zip(columns, lengths, strict=True)]
    size = len(scaled)
    table = [
        [*(_dot(column, other) for other in scaled), _dot(column, wanted)] for column in scaled
    ]  # size rows of size + 1
    solved: list[int] = []
    for index in range(size):
        pivot = table[index][index]
        if abs(pivot) < 1e-12:  # noqa: PLR2004  # the column is a sum of the others
            continue
        solved.append(index)
        table[index] = [value / pivot for value in table[index]]
        for other in range(size):
            if other != index:
                factor = table[other][index]
                table[other] = [a - factor * b for a, b in zip(table[other], table[index], strict=True)]
    return [table[index][size] / lengths[index] if index in solved else 0.0 for index in range(size)]


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


# Saturation.


def _saturation(capacity: float, measured: Measured) -> Fit:
    """The best law of one capacity."""
    straight = [log(rate / min(limit, capacity)) for limit, rate in measured]
    beyond = [max(0.0, limit / capacity - 1) for limit, _ in measured]

    def fitted(overload: float) -> tuple[float, float]:
        """The logarithm of the best rate, and the error with it."""
        rates = [each + log1p(overload * more) for each, more in zip(straight, beyond, strict=True)]
        middle = fmean(rates)
        return middle, sqrt(fmean((each - middle) ** 2 for each in rates))

    overload = 0.0
    # With one point beyond the capacity, any larger capacity with some overload would fit that point as well.
    if sum(more > 0 for more in beyond) >= ENOUGH_BEYOND:
        tried = _lowest(lambda each: fitted(each)[1], 0.0, MOST_OVERLOAD)
        if fitted(tried)[1] < fitted(0.0)[1] - PRECISION / 10:
            overload = tried
    middle, error = fitted(overload)
    return Fit(Saturation(exp(middle), capacity, overload), error)


def _lowest(call: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest. Source: golden-section search, J. Kiefer, 1953."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = call(left), call(right)
    for _ in range(STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = call(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = call(right)
    return (low + high) / 2
