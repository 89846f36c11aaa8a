"""Measuring: the trials of a plan, one after another.

Decides what surrounds a trial: a warm-up before the first, a collection of garbage before each, and the end of it all
where the very first trial shows that the work never succeeds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from millrace.runtime.benching.contenders import RIVALS
from millrace.runtime.benching.load import Load
from millrace.runtime.benching.plan import Plan, Step
from millrace.runtime.benching.sampling import Sampler
from millrace.runtime.benching.trials import ADAPTIVE, MILLRACE, Trial
from millrace.runtime.benching.under_engine import UnderEngine
from millrace.runtime.benching.works import Work
from millrace.runtime.ports import Clock, system_clock

WARM_UP: Final = 10
"""So many items are done, and forgotten, before anything is measured."""


class Watching(Protocol):
    """Is told how far it is."""

    def began(self, step: Step, load: Load) -> None:
        """A trial begins. The load counts what has ended."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""


async def measure(
    work: Work, plan: Plan, trials: list[Trial], watching: Watching, *, now: Clock = system_clock
) -> None:
    """Make the trials of a plan.

    Args:
        work: What is done.
        plan: Under which limits.
        trials: Where each trial is put when it has ended, so that those before an interruption are not lost.
        watching: Who is told.
        now: The time, which is that of the running loop.

    Raises:
        MissingExtra: a contender is not installed.

    Cancellation: what runs is cancelled and waited for; the trials that have ended are there.
    """
    async with work.opened():
        warm = attrs.evolve(work, count=min(WARM_UP, work.count))
        await _trial(warm, Step(MILLRACE, plan.limits[0], 0), plan, lambda *_: None, now)
        for step in plan.steps():
            trial = await _trial(work, step, plan, watching.began, now)
            trials.append(trial)
            watching.ended(trial)
            if len(trials) == 1 and not any(sample.ok for sample in trial.samples):
                return


async def _trial(work: Work, step: Step, plan: Plan, began: Callable[[Step, Load], None], now: Clock) -> Trial:
    gc.collect()
    engine = UnderEngine(adaptive=step.contender == ADAPTIVE, most=plan.limits[-1])
    contender = RIVALS.get(step.contender, engine.run)
    load = Load(work, step.limit, now, plan.seconds_for(step))
    began(step, load)
    with Sampler(engine.look) as sampler:
        await contender(load)
    return Trial(
        contender=step.contender,
        limit=engine.came_to or step.limit,
        round=step.round,
        offered=load.offered,
        samples=tuple(load.samples),
        vitals=attrs.evolve(sampler.vitals, threads=load.threads),
        first_error=load.first_error,
        limits=engine.changes,
    )
