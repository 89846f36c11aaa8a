"""Races: what ends a run comes in the same moment as the result of its body, thousands of times, and one counts.

Each kind of race is run with bodies, threads and loops as users have them. A run that raced has one final state, one
event of an end, and gives the result of its body exactly where it is COMPLETED.

    python -m tests.proofs.races --races 10000
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from time import sleep
from typing import Any, Final

from millrace import Engine, Event, Future, run
from tests.loose import flow, task
from tests.proofs.verdicts import Row, tell

PATIENCE_SECONDS: Final = 60.0
LIMIT_SECONDS: Final = 0.003
BATCH: Final = 100
"""So many race at a time: with more of them a loop comes to the deadlines before it comes to the bodies."""


class Watched:
    """An engine and what it has told of the ends of runs."""

    def __init__(self) -> None:
        self.engine = Engine(threads=4)
        self._ends: list[Event] = []
        self.engine.subscribe(self._note)

    def _note(self, event: Event) -> None:
        if event.task_run_id is not None and event.state.is_final():
            self._ends.append(event)

    def check(self, futures: Sequence[Future[int]]) -> Counter[str]:
        """Check that each run has one outcome, and had it from its event on.

        Args:
            futures: Of runs that have ended; the body of each returns its place among them.

        Returns:
            How often which outcome was.
        """
        ended = {event.task_run_id: event.state for event in self._ends}
        assert len(self._ends) == len(ended) == len(futures)
        for number, future in enumerate(futures):
            state = future.state
            assert ended[future.task_run_id] == state
            assert future.result(raise_on_failure=False) == number if state.is_completed() else state.data != number
        return Counter(future.state.name for future in futures)


def delay_of(number: int) -> float:
    """When a body is done: a millisecond around its deadline."""
    return LIMIT_SECONDS + (number % 21 - 10) / 20_000


def deadlines_in_threads(count: int) -> Counter[str]:
    """Sync bodies that are done when their time is over."""
    pause, watched = threading.Event(), Watched()

    @task(timeout_seconds=LIMIT_SECONDS)
    def near(number: int) -> int:
        pause.wait(delay_of(number))
        return number

    @flow
    def races() -> Counter[str]:
        futures = near.map(range(count))
        for future in futures:
            assert future.wait(PATIENCE_SECONDS)
        return watched.check(futures)

    with watched.engine:
        found: Counter[str] = races()
    return found


def deadlines_on_a_loop(count: int) -> Counter[str]:
    """Async bodies that are done when their time is over."""
    watched = Watched()

    @task(timeout_seconds=LIMIT_SECONDS)
    async def near(number: int) -> int:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(delay_of(number), done.set)
        await done.wait()
        return number

    @flow
    async def races() -> Counter[str]:
        futures = near.map(range(count), max_in_flight=BATCH)
        for future in futures:
            await future.wait_async(PATIENCE_SECONDS)
        return watched.check(futures)

    with watched.engine:
        found: Counter[str] = run(races)
    return found


def cancellations_in_threads(count: int) -> Counter[str]:
    """Sync bodies that return while they are cancelled."""
    watched = Watched()

    @task
    def near(number: int) -> int:
        return number

    @flow
    def races() -> Counter[str]:
        futures = []
        for number in range(count):
            future = near.submit(number)
            for _ in range(number % 8):
                sleep(0)  # the other thread gets the interpreter
            future.cancel()
            assert future.wait(PATIENCE_SECONDS)
            futures.append(future)
        return watched.check(futures)

    with watched.engine:
        found: Counter[str] = races()
    return found


def cancellations_on_a_loop(count: int) -> Counter[str]:
    """Async bodies that return while they are cancelled."""
    watched = Watched()

    @task(timeout_seconds=PATIENCE_SECONDS)
    async def near(number: int, gate: asyncio.Event) -> int:
        await gate.wait()
        return number

    @flow
    async def races() -> Counter[str]:
        raced = []
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            gates = [asyncio.Event() for _ in numbers]
            futures = near.map(numbers, gates)
            while not futures[-1].state.is_running():  # noqa: ASYNC110  # nobody tells of that
                await asyncio.sleep(0)
            for number, future in enumerate(futures):
                gates[number].set()
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                future.cancel()
            for future in futures:
                await future.wait_async(PATIENCE_SECONDS)
            raced += futures
        return watched.check(raced)

    with watched.engine:
        found: Counter[str] = run(races)
    return found


KINDS: Final[tuple[tuple[Callable[[int], Counter[str]], str], ...]] = (
    (deadlines_in_threads, "TimedOut"),
    (deadlines_on_a_loop, "TimedOut"),
    (cancellations_in_threads, "Cancelled"),
    (cancellations_on_a_loop, "Cancelled"),
)
"""The kinds of races, and what else than Completed may come of each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run races of each kind; 1 where one of them had another outcome than it may have."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.races")
    parser.add_argument("--races", type=int, default=10_000, metavar="N", help="so many of each kind")
    options: Any = parser.parse_args(arguments)
    rows: list[Row] = []
    for races, rival in KINDS:
        found = races(options.races)
        ends = ", ".join(f"{count:,} {state}" for state, count in sorted(found.items()))
        held = set(found) <= {"Completed", rival} and found.total() == options.races
        rows.append(Row(f"races: {races.__name__.replace('_', ' ')}", ends, holds=held))
    return tell(rows)


if __name__ == "__main__":
    sys.exit(main())
