"""The knee: which limit is right, and what to say where the measurements do not tell.

**The knee is the smallest limit that reaches 95 % of the highest throughput** on the fitted curve, within the limits
that were measured. Not the peak itself: near its peak a curve is flat, so that where exactly the peak lies is mostly
noise, and the last twentieth of throughput is the dearest; it can ask for twice as much in flight, and so for twice
the latency. Where a service saturates at once, the knee is a twentieth below its capacity. Nothing is ever read off the
curve beyond the largest limit that was measured, except to say that it may be worth measuring there.

Decides which measurements can be used, and which of the answers below is given. Each is a sentence that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from math import ceil, log, sqrt
from typing import Final

import attrs

from millrace.runtime.benching.figures import Point, Spread
from millrace.runtime.benching.fitting import Fit, fit, fit_scalability
from millrace.runtime.benching.laws import Law, Saturation, UniversalScalability

SHARE: Final = 0.95
"""The share of the highest throughput that the knee reaches."""

LEAST_POINTS: Final = 4
"""A law has three numbers: fewer measurements than one more would fit any curve."""

SAME: Final = 1.10
"""Throughputs are the same if the highest is at most so many times the lowest."""

ALIKE: Final = 1.50
"""Or so many times, where the rounds of one limit are as far apart as the limits are."""

STILL_RISING: Final = 1.05
"""Throughput still rises if twice the largest limit would bring so many times as much."""

BEYOND: Final = 1.10
"""A capacity counts if the largest limit is at least so many times as much: only beyond it can it be seen."""

SCATTERED: Final = 0.20
"""Measurements that are further from every law, on average, follow none."""

MORE_ERRORS: Final = 0.02
"""Runs begin to fail under the first limit at which so much more of them fail than under all those below it."""

BY_CHANCE: Final = 3.0
"""And the difference is more than so many times what it would be by chance."""

_HALVINGS: Final = 60


class Verdict(StrEnum):
    """What the measurements tell."""

    FOUND = "knee"
    """There is a knee between the limits that were measured."""
    AT_FIRST = "first limit"
    """The smallest limit that was measured is the best, or as good as any."""
    FAILING = "failures begin"
    """Throughput grows up to where runs begin to fail."""
    RISING = "still rising"
    """Throughput still grows at the largest limit."""
    FLAT = "flat"
    """Throughput does not depend on the limit."""
    SCATTERED = "no curve"
    """No law describes the measurements."""
    TOO_FEW = "too few"
    """There are too few measurements."""
    FAILED = "all failed"
    """No run completed under any limit."""


@attrs.frozen
class Finding:
    """What the measurements tell about the right limit.

    Args:
        verdict: Which answer it is.
        sentence: The answer, and why.
        knee: The right limit, between whole numbers; None where there is no saying.
        peak: With which limit the fitted curve is highest, among those measured.
        best: The throughput there.
        fit: The law that describes the measurements best; None without enough of them.
        scalability: The Universal Scalability Law as it fits best, also where another law fits better.
        fitted: The limits whose measurements went into the fit.
        range: The knees of the single rounds; None with a single one, or where a round has none.
        notes: What else should be known.
    """

    verdict: Verdict
    sentence: str
    knee: float | None = None
    peak: float | None = None
    best: float | None = None
    fit: Fit | None = None
    scalability: Fit | None = None
    fitted: tuple[int, ...] = ()
    range: Spread | None = None
    notes: tuple[str, ...] = ()

    @property
    def limit(self) -> int | None:
        """The right limit, as a whole number."""
        return None if self.knee is None else _reaching(self.knee)

    @property
    def agreed(self) -> tuple[int, int] | None:
        """Between which limits the single rounds have their knee, as whole numbers."""
        return None if self.range is None else (_reaching(self.range.low), _reaching(self.range.high))


def find_knee(points: Sequence[Point], rounds: Sequence[Mapping[int, float]] = ()) -> Finding:
    """What the measurements of one contender tell about the right limit.

    Args:
        points: One for each limit.
        rounds: For each round, throughput by limit; to say how sure the knee is.
    """
    notes: list[str] = []
    if points and not any(point.throughput.median > 0 for point in points):
        return _all_failed(points)
    usable = _usable(points, notes)
    sound, failing = _until_failures(usable)
    if failing:
        notes.append(
            f"From {failing[0].limit} in flight on, more runs fail ({failing[0].error_share:.1%}; the first said: "
            f"{_without_stop(failing[0].first_error)}). Such a limit is not the right one: these are left out of the "
            "fit."
        )
    limits = tuple(point.limit for point in sound)
    if len(sound) < LEAST_POINTS:
        found = _failing(sound, failing, None) if failing else _too_few(len(sound))
        return attrs.evolve(found, fitted=limits, notes=tuple(notes))
    found = _judge([(float(point.limit), point.throughput.median) for point in sound], noisy=_differ_by_chance(sound))
    if failing and found.verdict is Verdict.RISING:
        found = _failing(sound, failing, found)
    spread = _over_rounds(limits, rounds) if found.verdict is Verdict.FOUND else None
    if spread is not None and spread.high > 2 * spread.low:
        notes.append(
            f"The rounds do not agree on the knee ({_reaching(spread.low)} to {_reaching(spread.high)}): "
            "more items or more rounds would make it surer."
        )
    return attrs.evolve(found, fitted=limits, range=spread, notes=tuple(notes))


def _until_failures(points: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    """The points before runs begin to fail for having too many beside them, and those from there on."""
    runs = errors = 0
    for place, each in enumerate(points):
        if runs and each.runs and each.error_share > errors / runs + _tolerated(errors + each.errors, runs, each.runs):
            return list(points[:place]), list(points[place:])
        runs += each.runs
        errors += each.errors
    return list(points), []


def _tolerated(errors: int, runs: int, more: int) -> float:
    """By how much the share of errors may be higher among some more runs and still be the same.

    Few runs do not tell a share well: how far two of them differ by chance where the true one is the same.
    """
    share = errors / (runs + more)
    return max(MORE_ERRORS, BY_CHANCE * sqrt(share * (1 - share) * (1 / runs + 1 / more)))


def _too_few(count: int) -> Finding:
    return Finding(
        Verdict.TOO_FEW,
        f"There is no saying: a curve needs {LEAST_POINTS} limits that were measured well, and there "
        f"{'is' if count == 1 else 'are'} {count or 'none'}.",
    )


def _failing(sound: Sequence[Point], failing: Sequence[Point], rising: Finding | None) -> Finding:
    """Throughput grows, as far as anybody can tell, up to where runs fail."""
    last, first = sound[-1], failing[0]
    told = (
        f"{last.limit} is the largest limit that was measured under which no more runs fail than usual "
        f"({_rate(last.throughput.median)} runs/s); under {first.limit}, {first.error_share:.0%} of them do. Measure "
        "limits in between."
    )
    if rising is None:
        return Finding(Verdict.FAILING, told, knee=float(last.limit))
    return attrs.evolve(rising, verdict=Verdict.FAILING, sentence=told, knee=float(last.limit))


def _usable(points: Sequence[Point], notes: list[str]) -> list[Point]:
    usable = [point for point in points if point.filled and point.throughput.median > 0]
    unfilled = [point.limit for point in points if not point.filled]
    if unfilled:
        notes.append(
            f"Left out of the fit: {_limits(unfilled)}, which had too few items to fill it three times. Give more "
            "items, or more time."
        )
    nothing = [point.limit for point in points if point.filled and point.throughput.median == 0]
    if nothing and usable:
        notes.append(f"Left out of the fit: {_limits(nothing)}, where no run completed.")
    return usable


def _differ_by_chance(points: Sequence[Point]) -> bool:
    """Whether there is a throughput that is between the rounds of every limit, so that nothing tells these apart."""
    rates = [point.throughput for point in points]
    like = max(each.median for each in rates) <= ALIKE * min(each.median for each in rates)
    return like and max(each.low for each in rates) <= min(each.high for each in rates)


def _judge(measured: Sequence[tuple[float, float]], *, noisy: bool = False) -> Finding:
    rates = [rate for _, rate in measured]
    limits = [limit for limit, _ in measured]
    least, most = min(limits), max(limits)
    found, scalability = fit(measured), fit_scalability(measured)
    if isinstance(found.law, Saturation) and most < BEYOND * found.law.capacity:
        found = scalability  # what would be a capacity may be noise of the last measurement
    law = found.law
    if noisy or max(rates) <= SAME * min(rates):
        return attrs.evolve(_flat(least, most, rates), fit=found, scalability=scalability)
    if found.error > SCATTERED:
        return Finding(
            Verdict.SCATTERED,
            f"There is no saying: the measurements follow no curve (on average {found.error:.0%} off the best one). "
            "More items or more rounds may even them out; a machine that is busy otherwise will not.",
            fit=found,
            scalability=scalability,
        )
    peak = min(max(law.peak, least), most)
    beyond = law(min(max(law.peak, most), 2 * most))
    best = law(peak)
    told = Finding(Verdict.FOUND, "", peak=peak, best=best, fit=found, scalability=scalability)
    if beyond > STILL_RISING * law(most):
        return attrs.evolve(
            told,
            verdict=Verdict.RISING,
            sentence=f"There is no knee up to {_whole(most)}: throughput still rises there ({_rate(law(most))} runs/s; "
            f"by the fit, twice the limit would bring {_rate(law(2 * most))}). Measure larger limits.",
        )
    if law(least) >= SHARE * best:
        return attrs.evolve(
            told,
            verdict=Verdict.AT_FIRST,
            sentence=f"The smallest limit that was measured, {_whole(least)}, is right: it already reaches "
            f"{law(least) / best:.0%} of the highest throughput, and more in flight makes it no better.",
            knee=least,
        )
    knee = _first(lambda n: law(n) >= SHARE * best, least, peak)
    return attrs.evolve(
        told,
        sentence=f"{_reaching(knee)} in flight reach {SHARE:.0%} of the highest throughput, which is "
        f"{_rate(best)} runs/s {_where(law, peak, most)}.",
        knee=knee,
    )


def _flat(least: float, most: float, rates: Sequence[float]) -> Finding:
    """Throughput does not depend on the limit."""
    apart = "" if max(rates) <= SAME * min(rates) else ", and as far apart in the rounds of one limit"
    return Finding(
        Verdict.FLAT,
        f"The limit makes no difference: throughput is {_rate(min(rates))} to {_rate(max(rates))} runs/s under every "
        f"limit from {_whole(least)} to {_whole(most)}{apart}, so {_whole(least)} is enough. Something else takes one "
        "item at a time: code that holds the loop or the interpreter, a lock, a single connection.",
        knee=least,
    )


def _where(law: Law, peak: float, most: float) -> str:
    if isinstance(law, Saturation):
        falls = ", and falls beyond" if law(most) < SHARE * law(peak) else "; beyond it items only wait"
        return f"at a capacity of {_whole(peak)}{falls}"
    if peak >= most:
        return f"at {_whole(peak)}, the largest limit that was measured; beyond the knee it grows slowly"
    return f"at {_whole(peak)}, and falls beyond"


def _first(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where something begins to hold that holds at the high end; by bisection."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def _over_rounds(limits: Sequence[int], rounds: Sequence[Mapping[int, float]]) -> Spread | None:
    if len(rounds) < 2:  # noqa: PLR2004  # one round has no spread
        return None
    knees: list[float] = []
    for each in rounds:
        measured = [(float(limit), each[limit]) for limit in limits if each.get(limit, 0.0) > 0]
        knee = _judge(measured).knee if len(measured) >= LEAST_POINTS else None
        if knee is None:
            return None
        knees.append(knee)
    return Spread.of(knees)


def _all_failed(points: Sequence[Point]) -> Finding:
    said = next((point.first_error for point in points if point.first_error), None)
    runs = sum(point.runs for point in points)
    told = f", and the first said: {_without_stop(said)}" if said else ""
    limits = _limits([point.limit for point in points])
    return Finding(Verdict.FAILED, f"No run completed: {runs:,} ended under {limits}{told}. There is nothing to fit.")


def _without_stop(said: str | None) -> str:
    """What somebody else said, inside of a sentence of one's own."""
    return (said or "").rstrip(".")


def nearest(limits: Sequence[int], knee: float) -> int:
    """The measured limit that is nearest to a knee, as a ratio."""
    return min(limits, key=lambda limit: abs(log(limit / knee)))


def numbers_of(law: Law) -> dict[str, float]:
    """The numbers of a law by name."""
    return attrs.asdict(law)


def in_words(found: Fit) -> str:
    """A law with its numbers, and how far the measurements are from it."""
    law = found.law
    if isinstance(law, UniversalScalability):
        numbers = f"contention {law.contention:.3g}, coherency {law.coherency:.2g}"
    else:
        numbers = f"capacity {law.capacity:.3g}" + (f", overload {law.overload:.2g}" if law.overload else "")
    return f"{found.title} fit: {numbers}, {found.error:.1%} off on average"


def _reaching(knee: float) -> int:
    """The smallest whole number that reaches a knee."""
    return max(1, ceil(round(knee, 2)))


def _whole(limit: float) -> str:
    return f"{limit:.0f}"


def _rate(rate: float) -> str:
    return f"{rate:.3g}" if rate < 100 else f"{rate:,.0f}"  # noqa: PLR2004  # three digits


def _limits(limits: Sequence[int]) -> str:
    listed = ", ".join(map(str, limits))
    return f"limit {listed}" if len(limits) == 1 else f"limits {listed}"
