"""Flows that do nothing, by themselves and in another; flows that pause; many flow runs at once."""

from __future__ import annotations

import asyncio
from queue import SimpleQueue
from uuid import UUID

from benchmarks.works.maps import AT_LEAST_S, anoop
from benchmarks.works.probes import Timed, expect, on_new_loop
from benchmarks.works.repeating import awaited_again, called_again
from millrace import Engine, Event, StateType, flow, pause_flow_run, resume_flow_run, run

WARM = 200
TASKS = 10  # of each of many flow runs


@flow
async def anothing(number: int) -> int:
    """Do nothing."""
    return number


@flow
def nothing(number: int) -> int:
    """Do nothing, on the calling thread."""
    return number


async def _await_one_after_another(n: int) -> dict[str, float]:
    return await awaited_again(anothing, n, WARM)


def _call_one_after_another(n: int) -> dict[str, float]:
    return called_again(nothing, n, WARM)


_around_awaits = flow(_await_one_after_another)
_around_calls = flow(_call_one_after_another)


def awaited(n: int) -> dict[str, float]:
    """An async flow awaited again and again, outside of any other."""
    return on_new_loop(_await_one_after_another(n))


def awaited_inside(n: int) -> dict[str, float]:
    """An async flow awaited again and again, in another."""
    return run(_around_awaits, n)


def called(n: int) -> dict[str, float]:
    """A sync flow called again and again, outside of any other."""
    return _call_one_after_another(n)


def called_inside(n: int) -> dict[str, float]:
    """A sync flow called again and again, in another."""
    return _around_calls(n)


@flow
async def _pause_often(n: int) -> int:
    resumed = 0
    for _ in range(n):
        resumed += await pause_flow_run()
    return resumed


@flow
def _pause_often_in_a_thread(n: int) -> int:
    return sum([pause_flow_run() for _ in range(n)])


def paused(n: int) -> dict[str, float]:
    """An async flow that pauses again and again, and is resumed by a task of the same loop as soon as it is paused."""

    async def pause(n: int) -> None:
        async with Engine() as engine:
            future = engine.start(_pause_often, n)
            for _ in range(n):
                while not future.state.is_paused():  # noqa: ASYNC110  # being told would cost more than a look
                    await asyncio.sleep(0)
                _ = resume_flow_run(future.flow_run_id, 1)
                await asyncio.sleep(0)
            expect(await future, n)

    async def main() -> dict[str, float]:
        await pause(WARM)
        with Timed() as timed:
            await pause(n)
        return timed.figures(n)

    return on_new_loop(main())


def paused_in_a_thread(n: int) -> dict[str, float]:
    """A sync flow that pauses again and again, and is resumed by another thread that is told of each pause."""
    engine = Engine.current()
    pauses: SimpleQueue[UUID | None] = SimpleQueue()

    def listen(event: Event) -> None:
        if event.state.type is StateType.PAUSED:
            pauses.put(event.flow_run_id)

    def pause(n: int) -> None:
        future = engine.start(_pause_often_in_a_thread, n)
        for _ in range(n):
            expect(pauses.get(), future.flow_run_id)
            _ = resume_flow_run(future.flow_run_id, 1)
        expect(future.result(), n)

    engine.subscribe(listen)
    pause(WARM)
    with Timed() as timed:
        pause(n)
    engine.close()
    return timed.figures(n)


class _Gate:
    """Where so many flow runs wait until all of them are there."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self._open = asyncio.Event()

    async def passed(self) -> None:
        """Wait for the others."""
        self._missing -= 1
        if not self._missing:
            self._open.set()
        await self._open.wait()


@flow
async def _ten_tasks(gate: _Gate) -> int:
    await gate.passed()
    return sum(await anoop.map(range(TASKS)))


async def _at_once(n: int) -> int:
    gate = _Gate(n)
    async with Engine() as engine:
        futures = [engine.start(_ten_tasks, gate) for _ in range(n)]
        return sum([await future for future in futures])


def many_at_once(n: int) -> dict[str, float]:
    """So many flow runs at once in one loop, of ten tasks each, from the first start to the last end: per task.

    Few of them are repeated until they can be timed.
    """

    async def main() -> dict[str, float]:
        await _at_once(WARM)
        repeats = total = 0
        with Timed() as timed:
            while repeats == 0 or timed.so_far() < AT_LEAST_S:
                total = await _at_once(n)
                repeats += 1
        expect(total, n * sum(range(TASKS)))
        return timed.figures(n * TASKS * repeats)

    return on_new_loop(main())
