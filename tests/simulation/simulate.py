"""One simulation: a plan is run, in as many lives of the process as it has, and what came of it is reported."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import attrs

from millrace import (
    Event,
)
from millrace.actors import mailbox, validation
from tests.simulation.disk import SimDisk
from tests.simulation.drawing import draw
from tests.simulation.ledger import Broken, Ledger
from tests.simulation.plans import Plan
from tests.simulation.scheduler import START_NS, Failed
from tests.simulation.simulation import LEAST_STEPS, Simulation
from tests.simulation.world import MAIN, Conditions, World


@attrs.define
class Report:
    """What came of a simulation.

    Args:
        seed: Its seed.
        digest: What its trace comes to.
        problem: What is wrong; empty where nothing is.
        steps: How many steps it took.
        seconds: How much time passed in it.
        runs: How many runs there were.
        lives: How many processes there were, each but the last of which was killed.
        groups: How many groups of records were written.
        trace: What happened, line by line, where that was asked for.
    """

    seed: int
    digest: str
    problem: str = ""
    steps: int = 0
    seconds: float = 0.0
    runs: int = 0
    lives: int = 1
    groups: int = 0
    trace: list[str] = attrs.field(factory=list, repr=False)


@contextlib.contextmanager
def _watched(queue: Any, simulation: Simulation) -> Generator[None]:
    """Look at every message that is taken from a mailbox: control goes ahead of data."""
    take = queue.pop

    def pop(waiting: Any) -> Any:
        control = bool(waiting.control)
        message = take(waiting)
        if control and not message.control:
            simulation.broken(f"14, {message!r} is handled before {waiting.control[0]!r}")
        return message

    with patch.object(queue, "pop", pop):
        yield


CANARY = 999_999_937
"""The seed of a simulation in which an event goes missing: it has to fail."""


def _canary() -> AbstractContextManager[Any]:
    original = Ledger.hear

    def hear(ledger: Ledger, event: Event) -> None:
        if event.sequence != 1:
            original(ledger, event)

    return patch.object(Ledger, "hear", hear)


def check_faults(world: World) -> None:
    """Whether a loop was told of an error that nobody has taken, but for a closing that a body has made up.

    Raises:
        Broken: it was.
    """
    faults = [each for each in world.faults() if not isinstance(each.get("exception"), GeneratorExit)]
    if faults:
        raise Broken(f"12, a loop was told of {faults[0]!r}")


_left_behind: list[Any] = []


def _in_thread(world: World, call: Any) -> None:
    """Run something in a thread that can be left behind: what does not obey must not hold up the next simulation."""
    ended = world.sched.left_behind

    def run() -> None:
        try:
            call()
        finally:
            ended.set()

    threading.Thread(target=run, name=MAIN, daemon=True).start()
    ended.wait()


def _run(simulation: Simulation, world: World, report: Report) -> None:
    loop = world.new_loop()
    try:
        task = loop.create_task(simulation.main(), name="main")
        task.add_done_callback(lambda _: loop.stop())
        while not task.done():
            try:
                loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                world.note("an interrupt went through the loop")
        task.result()
        check_faults(world)
    except BaseException as error:  # noqa: BLE001  # is what is reported
        if world.is_dead:
            return
        report.problem = f"{type(error).__name__}: {error}"
        if not isinstance(error, (Failed, Broken)):
            report.problem += "\n" + "".join(traceback.format_exception(error))
    finally:
        _tell_failure(world, report)


def simulate(
    seed: int,
    *,
    plan: Plan | None = None,
    conditions: Conditions | None = None,
    traced: bool = False,
    without: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    least_steps: int = LEAST_STEPS,
) -> Report:
    """Run the simulation of a seed.

    Args:
        seed: The seed.
        plan: Another plan than that of the seed.
        conditions: Other conditions, likewise.
        traced: Keep what happens, line by line.
        without: Takes a safeguard away; see `ablations`.
        least_steps: How many it takes, before it comes to its end.
    """
    if seed == CANARY:
        without = _canary
    rng = random.Random(seed)
    drawn = Conditions.drawn(rng)
    plan = plan or draw(rng)
    world = World(seed, conditions or drawn, traced=traced)
    disk = SimDisk(plan.store, seed) if plan.store is not None else None
    report = Report(seed, "")
    logging.disable(logging.CRITICAL)
    told = None
    while True:
        simulation = Simulation(plan, world, disk, told, least_steps)
        _live(simulation, world, report, without)
        told = simulation.told
        report.steps = world.steps
        report.runs += 0 if simulation.ledger is None else len(simulation.ledger.chains)
        if report.problem or not world.is_dead:
            break
        report.lives += 1
        world = world.reborn()
    if disk is not None:
        report.groups = len(disk.groups)
        disk.leave()
    logging.disable(logging.NOTSET)
    report.digest = world.digest
    report.seconds = (world.sched.now - START_NS) / 1e9
    report.trace = world.trace or []
    return report


def _live(
    simulation: Simulation, world: World, report: Report, without: Callable[[], AbstractContextManager[Any]]
) -> None:
    """One life of the process."""
    with world.entered(), without(), _watched(mailbox._Queue, simulation):
        switch_off = validation.switch_on(simulation.broken)
        try:
            _in_thread(world, lambda: _run(simulation, world, report))
        finally:
            switch_off()
        _tell_failure(world, report)
        stubborn = world.sched.finish()
        if stubborn:
            report.problem += f"\nthreads that do not end: {stubborn}"
        for each in world.loops:
            each.leave()
        if world.sched.failed is not None or report.problem:
            # What was left in the middle of something would be told when it is collected.
            _left_behind.append((simulation, [asyncio.all_tasks(each) for each in world.loops]))


def _tell_failure(world: World, report: Report) -> None:
    failed = world.sched.failed
    if failed is not None and not world.is_dead and not report.problem:
        report.problem = f"{type(failed).__name__}: {failed}"
