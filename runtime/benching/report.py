"""The report: everything that is shown of a measurement, whatever it is shown on.

Decides how trials are put together: the engine's points and what they tell, the choice of the limit that finds itself,
the others beside it, and which trials are shown over time.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from millrace.runtime.benching.figures import Point, Spread, Timeline, points_of, throughput
from millrace.runtime.benching.knee import Finding, Verdict, find_knee, nearest
from millrace.runtime.benching.plan import Plan
from millrace.runtime.benching.trials import ADAPTIVE, MILLRACE, Trial


@attrs.frozen
class Adaptive:
    """What the limit that finds itself came to.

    Args:
        choice: Limits, over the rounds.
        point: Its figures.
        settled: Whether it had come to rest by the second half of each trial: its largest limit there is no more than
            twice its smallest.
    """

    choice: Spread
    point: Point
    settled: bool


@attrs.frozen
class Setting:
    """What was measured, and where.

    Args:
        target: What was run.
        command: The command that measured it.
        items: How many items each trial had at most.
        started: When, in ISO format.
        machine: Facts about the machine and the software, by name.
    """

    target: str
    command: str
    items: int
    started: str
    machine: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Report:
    """All of it.

    Args:
        setting: What was measured, and where.
        plan: Under which limits, how often.
        complete: Whether all trials of the plan were made.
        points: The engine under each limit.
        finding: What they tell.
        adaptive: The limit that finds itself; None where it was not run.
        rivals: Others under the same limits, by name.
        timelines: Some trials of the engine's over time.
    """

    setting: Setting
    plan: Plan
    complete: bool
    points: tuple[Point, ...]
    finding: Finding
    adaptive: Adaptive | None
    rivals: dict[str, tuple[Point, ...]]
    timelines: tuple[Timeline, ...]

    @property
    def unfinished(self) -> str | None:
        """What is to be said of trials of the plan that were not made; None where all were."""
        if self.complete:
            return None
        if self.finding.verdict is Verdict.FAILED:
            return "So nothing else was measured."
        return "Not all of the plan was measured."

    @property
    def knee_at(self) -> int | None:
        """The measured limit that the knee is nearest to."""
        if self.finding.knee is None or not self.points:
            return None
        return nearest([point.limit for point in self.points], self.finding.knee)


def make_report(setting: Setting, plan: Plan, trials: Sequence[Trial]) -> Report:
    """The report on trials, which may be fewer than were planned."""
    own = [trial for trial in trials if trial.contender == MILLRACE]
    points = points_of(own)
    rounds = [
        {trial.limit: throughput(trial) for trial in own if trial.round == number}
        for number in sorted({trial.round for trial in own})
    ]
    finding = find_knee(points, [each for each in rounds if len(each) == len(points)])
    found = [trial for trial in trials if trial.contender == ADAPTIVE and trial.samples]
    adaptive = _adaptive(found) if found else None
    rivals = {name: tuple(points_of([t for t in trials if t.contender == name])) for name in plan.rivals}
    return Report(
        setting=setting,
        plan=plan,
        complete=len(trials) == plan.count,
        points=tuple(points),
        finding=finding,
        adaptive=adaptive,
        rivals={name: each for name, each in rivals.items() if each},
        timelines=tuple(_timelines(own, found, finding)),
    )


def _adaptive(found: Sequence[Trial]) -> Adaptive:
    choice = Spread.of(trial.limit for trial in found)
    return Adaptive(choice, Point.of(found), settled=all(map(_has_settled, found)))


def _has_settled(trial: Trial) -> bool:
    half = (trial.offered + max(sample.ended for sample in trial.samples)) / 2
    before = [limit for at, limit in trial.limits if at < half][-1:]
    later = [*before, *(limit for at, limit in trial.limits if at >= half)]
    return not later or max(later) <= 2 * min(later)


def _timelines(own: Sequence[Trial], found: Sequence[Trial], finding: Finding) -> list[Timeline]:
    """Over time: the last trial near the knee, that of the largest limit, and the limit that finds itself."""
    shown: list[Timeline] = []
    limits = sorted({trial.limit for trial in own if trial.samples})
    if not limits:
        return shown
    chosen = [limits[-1]] if finding.knee is None else [nearest(limits, finding.knee), limits[-1]]
    for limit in dict.fromkeys(chosen):
        last = [trial for trial in own if trial.limit == limit and trial.samples][-1]
        near = finding.knee is not None and limit == chosen[0]
        shown.append(Timeline.of(last, f"limit {limit}" + (", nearest to the knee" if near else ", the largest")))
    if found:
        shown.append(Timeline.of(found[-1], "the adaptive limit"))
    return shown
