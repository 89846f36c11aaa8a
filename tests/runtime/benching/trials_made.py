"""Trials and points as they would have been measured, computed instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from millrace.runtime.benching.figures import Percentiles, Point, Spread
from millrace.runtime.benching.laws import Saturation
from millrace.runtime.benching.plan import Plan
from millrace.runtime.benching.report import Report, Setting, make_report
from millrace.runtime.benching.trials import ADAPTIVE, MILLRACE, Sample, Trial, Vitals

LIMITS = (1, 2, 4, 8, 16, 32, 64, 128)
SETTING = Setting(
    target="shop.py:fetch",
    command="millrace bench limits shop.py:fetch --items 1000",
    items=1000,
    started="2026-11-20T12:00:00+00:00",
    machine={"Python": "3.11.7"},
)


def point(limit: int, rate: float, *, errors: int = 0, filled: bool = True) -> Point:
    """What a limit came to."""
    return Point(
        contender=MILLRACE,
        limit=limit,
        throughput=Spread(rate, rate * 0.98, rate * 1.02),
        latency=Percentiles(limit / rate, 1.5 * limit / rate, 2 * limit / rate) if rate else None,
        queueing=Percentiles(1.0, 2.0, 3.0),
        runs=1000,
        errors=errors,
        lag=0.001,
        threads=3,
        memory_bytes=50_000_000,
        filled=filled,
        first_error="ValueError: no" if errors else None,
    )


def points(law: Callable[[float], float], limits: Sequence[int] = LIMITS) -> list[Point]:
    """What limits came to, if throughput follows a law."""
    return [point(limit, law(limit)) for limit in limits]


def trial(
    law: Callable[[float], float],
    limit: int,
    *,
    number: int = 0,
    contender: str = MILLRACE,
    limits: tuple[tuple[int, int], ...] = (),
    failing: int = 0,
) -> Trial:
    """A trial: the limit filled eight times, each time as long as the law says; so many runs of each filling fail."""
    length = round(limit / law(limit) * 1e9)
    samples = [
        Sample(filling * length, (filling + 1) * length, ok=place >= failing)
        for filling in range(8)
        for place in range(limit)
    ]
    return Trial(
        contender=contender,
        limit=limit,
        round=number,
        offered=0,
        samples=tuple(samples),
        vitals=Vitals((0.001, 0.002), threads=3, memory_bytes=50_000_000),
        first_error='Overloaded: <too> much & "more"' if failing else None,
        limits=limits,
    )


def trials(
    law: Callable[[float], float],
    *,
    limits: Iterable[int] = LIMITS,
    rounds: int = 2,
    rivals: Iterable[str] = (),
    chosen: int | None = None,
) -> list[Trial]:
    """All trials of a plan."""
    found: list[Trial] = []
    for number in range(rounds):
        for contender in (MILLRACE, *rivals):
            found.extend(trial(law, limit, number=number, contender=contender) for limit in limits)
        if chosen is not None:
            changes = ((0, 1), (10_000_000, chosen))
            found.append(trial(law, chosen, number=number, contender=ADAPTIVE, limits=changes))
    return found


def report(
    law: Callable[[float], float],
    *,
    limits: Sequence[int] = LIMITS,
    rivals: tuple[str, ...] = (),
    chosen: int | None = None,
) -> Report:
    """The report on these."""
    plan = Plan(limits=tuple(limits), rounds=2, rivals=rivals, adaptive=chosen is not None)
    return make_report(SETTING, plan, trials(law, limits=limits, rivals=rivals, chosen=chosen))


def failing_report() -> Report:
    """The report on a service that refuses more than twenty; its name and its message are what HTML is afraid of."""
    law = Saturation(20.0, 1000.0, 0.0)
    made = [trial(law, limit, number=number, failing=max(0, limit - 20)) for number in range(2) for limit in LIMITS]
    setting = attrs.evolve(SETTING, target="<b>shop</b>.py:fetch & co")
    return make_report(setting, Plan(limits=LIMITS, rounds=2, adaptive=False), made)
