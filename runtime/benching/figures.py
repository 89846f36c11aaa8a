"""Figures: what trials come to, in numbers.

Decides which part of a trial counts for its throughput, how percentiles are taken, and how rounds are put together.
Latency is a run's own time, from the moment its slot was there; what it waited for that before is queueing.

Throughput counts what completed, not what failed, in a window: it opens when as many runs have ended as fit in at once,
for until then the first ones fill the pipe; and closes when the last item has begun, for from then on slots stand
empty. A trial whose window would be too short to say anything has its whole time counted, and does not count as filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from statistics import fmean, median, quantiles

import attrs

from millrace.runtime.benching.trials import Sample, Trial

FILLS = 3
"""A limit is filled where it was given so many times as many items as fit in at once."""


@attrs.frozen
class Spread:
    """Several measurements of one thing: the middle one, and the range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of one value or more."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])


@attrs.frozen
class Percentiles:
    """How values are spread, all of them together. In the unit of the values."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles | None:
        """The percentiles, between the two nearest values where they fall between; None without values."""
        if not values:
            return None
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        cuts = quantiles(values, n=100, method="inclusive")
        return cls(cuts[49], cuts[94], cuts[98])


@attrs.frozen
class Point:
    """What the trials of one contender under one limit come to, over all rounds.

    Args:
        contender: Whose limit it was.
        limit: The limit; of one that finds itself, the median of what it came to.
        throughput: Completed runs a second; the spread is over the rounds.
        latency: Seconds from the slot to the end, of completed runs; None where none completed.
        queueing: Seconds from the offer of all items to a run's slot; None where no run ended.
        runs: How many ended.
        errors: How many of these did not complete.
        lag: The 99th percentile of how late the loop was, in seconds; None where nobody asked.
        threads: The most that were alive.
        memory_bytes: The most that was resident.
        filled: Whether there were items enough to judge the limit by.
        first_error: What the first run that failed said.
    """

    contender: str
    limit: int
    throughput: Spread
    latency: Percentiles | None
    queueing: Percentiles | None
    runs: int
    errors: int
    lag: float | None
    threads: int
    memory_bytes: int
    filled: bool
    first_error: str | None = None

    @property
    def error_share(self) -> float:
        """The share of runs that did not complete."""
        return self.errors / self.runs if self.runs else 0.0

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Point:
        """What trials of one contender under one limit, one or more, come to."""
        samples = [sample for trial in trials for sample in trial.samples]
        lags = Percentiles.of([lag for trial in trials for lag in trial.vitals.lags])
        return cls(
            contender=trials[0].contender,
            limit=round(median(trial.limit for trial in trials)),
            throughput=Spread.of(throughput(trial) for trial in trials),
            latency=Percentiles.of([(each.ended - each.started) / 1e9 for each in samples if each.ok]),
            queueing=Percentiles.of([(s.started - t.offered) / 1e9 for t in trials for s in t.samples]),
            runs=len(samples),
            errors=sum(not each.ok for each in samples),
            lag=None if lags is None else lags.p99,
            threads=max(trial.vitals.threads for trial in trials),
            memory_bytes=max(trial.vitals.memory_bytes for trial in trials),
            filled=all(is_filled(trial) for trial in trials),
            first_error=next((trial.first_error for trial in trials if trial.first_error), None),
        )


def points_of(trials: Iterable[Trial]) -> list[Point]:
    """The points of one contender's trials, by limit, the smallest first."""
    by_limit: dict[int, list[Trial]] = {}
    for trial in trials:
        by_limit.setdefault(trial.limit, []).append(trial)
    return [Point.of(by_limit[limit]) for limit in sorted(by_limit)]


def is_filled(trial: Trial) -> bool:
    """Whether a trial had items enough to judge its limit by."""
    return len(trial.samples) >= FILLS * trial.limit


def throughput(trial: Trial) -> float:
    """Completed runs a second, in the window that the module's docstring speaks of."""
    samples = sorted(trial.samples, key=lambda sample: sample.ended)
    if not samples:
        return 0.0
    opens, closes = trial.offered, samples[-1].ended
    completed = [sample.ended for sample in samples if sample.ok]
    if is_filled(trial):
        window = samples[trial.limit - 1].ended, max(sample.started for sample in samples)
        inside = [ended for ended in completed if window[0] < ended <= window[1]]
        if not inside and window[1] > window[0]:
            return 0.0
        usual = median(sample.ended - sample.started for sample in samples if sample.ok) if inside else 0
        if inside and inside[-1] - inside[0] >= max(1, usual):  # in less time than a run takes one burst is seen
            return _slope(inside) * 1e9
    return len(completed) / ((closes - opens) / 1e9) if closes > opens else 0.0


def _slope(times: Sequence[int]) -> float:
    """How fast the count of times grows, by least squares.

    Not their number over the length of the window: a service that works in lock-step finishes many at once, and where
    the edges of the window fall between these would decide.
    """
    mean, middle = fmean(times), (len(times) - 1) / 2
    above = sum((time - mean) * (place - middle) for place, time in enumerate(times))
    return above / sum((time - mean) ** 2 for time in times)


@attrs.frozen
class Timeline:
    """How many runs were in flight, and how many items waited, over the time of one trial.

    Args:
        label: What it is called.
        limit: The limit; of one that finds itself, what it came to.
        seconds: Since the offer, where each step ends.
        in_flight: The mean number in each step.
        limits: Of a limit that finds itself: since when, in seconds, it was what.
    """

    label: str
    limit: int
    seconds: tuple[float, ...]
    in_flight: tuple[float, ...]
    limits: tuple[tuple[float, int], ...] = ()

    @classmethod
    def of(cls, trial: Trial, label: str, steps: int = 120) -> Timeline:
        """The time-line of a trial with at least one run, in so many steps of one length."""
        ends = max(sample.ended for sample in trial.samples)
        step = max(1.0, (ends - trial.offered) / steps)
        return cls(
            label=label,
            limit=trial.limit,
            seconds=tuple((number + 1) * step / 1e9 for number in range(steps)),
            in_flight=_mean_in_flight(trial.samples, trial.offered, step, steps),
            limits=tuple(((at - trial.offered) / 1e9, limit) for at, limit in trial.limits),
        )


def _mean_in_flight(samples: Sequence[Sample], begins: int, step: float, steps: int) -> tuple[float, ...]:
    """The mean number of runs in flight in each step: a run counts in each by the part of it that it takes."""
    whole = [0.0] * (steps + 1)  # changes of the number of runs that are in flight for the whole step
    part = [0.0] * steps  # what runs that begin or end in the step add
    for sample in samples:
        first, last = ((at - begins) / step for at in (sample.started, sample.ended))
        opens, closes = (min(steps - 1, max(0, int(at))) for at in (first, last))
        if opens == closes:
            part[opens] += last - first
        else:
            part[opens] += opens + 1 - first
            part[closes] += last - closes
            whole[opens + 1] += 1
            whole[closes] -= 1
    return tuple(more + running for more, running in zip(part, accumulate(whole), strict=False))
