"""Slots of limits: handed over to whoever waits, and taken where they are free."""

from __future__ import annotations

import asyncio
from threading import Thread

from benchmarks.works.floors import WARM, anoop
from benchmarks.works.probes import Timed, expect, on_new_loop
from millrace import Engine, concurrency, flow, task
from millrace.runtime.entering import stand_in

_noop = task(anoop)
_limited = task(tags=["slot"])(anoop)


async def _hand_over(engine: Engine, n: int) -> Timed:
    """Have so many coroutines wait for one slot, then hand it from one to the next."""
    done = 0

    async def use() -> None:
        nonlocal done
        async with concurrency("slot"):
            done += 1

    async with concurrency("slot"):
        waiting = [asyncio.create_task(use()) for _ in range(n)]
        while len(engine.limits["slot"].waiters()) < n:  # noqa: ASYNC110  # asking now and then is the least work
            await asyncio.sleep(0.01)
    with Timed() as timed:
        await waiting[-1]
    expect(done, n)
    return timed


def handed_over_to_blocks(n: int) -> dict[str, float]:
    """From one coroutine in `async with concurrency` to the next that waits."""

    async def main() -> dict[str, float]:
        async with Engine(limits={"slot": 1}) as engine:
            await _hand_over(engine, WARM)
            timed = await _hand_over(engine, n)
        return timed.figures(n)

    return on_new_loop(main())


@flow
async def _runs(engine: Engine, n: int) -> Timed:
    async with concurrency("slot"):
        futures = [_limited.submit(number) for number in range(n)]
        while len(engine.limits["slot"].waiters()) < n:  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.01)
    with Timed() as timed:
        await futures[-1]
    expect(sum([await each for each in futures]), sum(range(n)))
    return timed


def handed_over_to_runs(n: int) -> dict[str, float]:
    """From one task run to the next that waits for the slot of its tag, with all that a run is beside that."""

    async def main() -> dict[str, float]:
        async with Engine(limits={"slot": 1}) as engine:
            await _runs(engine, WARM)
            timed = await _runs(engine, n)
        return timed.figures(n)

    return on_new_loop(main())


def handed_over_to_threads(n: int) -> dict[str, float]:
    """Between two threads that wait for each other in `with concurrency`, to and fro."""
    engine = Engine(limits={"slot": 1})

    def use() -> None:
        for _ in range(n // 2):
            with concurrency("slot"):
                pass

    with stand_in(engine):
        threads = [Thread(target=use) for _ in range(2)]
        with Timed() as timed:
            for each in threads:
                each.start()
            for each in threads:
                each.join()
    expect(engine.limits["slot"].held, 0)
    engine.close()
    return timed.figures(n)


def free_blocks(n: int) -> dict[str, float]:
    """A block whose slot is free, again and again."""

    async def main() -> dict[str, float]:
        async with Engine(limits={"slot": 1}) as engine:
            for _ in range(WARM):
                async with concurrency("slot"):
                    pass
            with Timed() as timed:
                for _ in range(n):
                    async with concurrency("slot"):
                        pass
            expect(engine.limits["slot"].held, 0)
        return timed.figures(n)

    return on_new_loop(main())


@flow
async def _map(n: int, *, limited: bool) -> list[int]:
    return await (_limited if limited else _noop).map(range(n))


def mapped(n: int, *, limited: bool) -> dict[str, float]:
    """A map whose runs find a free slot; or the same map without a limit, in the same engine."""

    async def main() -> dict[str, float]:
        async with Engine(limits={"slot": 8}):
            await _map(WARM, limited=limited)
            with Timed() as timed:
                found = await _map(n, limited=limited)
            expect(sum(found), sum(range(n)))
        return timed.figures(n)

    return on_new_loop(main())
