"""Many sleeping tasks, cancelled with their flow."""

from __future__ import annotations

import asyncio

from benchmarks.works.probes import Timed, expect, on_new_loop
from millrace import Engine, flow, task

_asleep: list[None] = []


@task
async def _sleep(_number: int) -> None:
    _asleep.append(None)
    await asyncio.sleep(3600)


@flow
async def _sleep_all(n: int) -> None:
    await _sleep.map(range(n))


async def _until_asleep(n: int) -> None:
    while len(_asleep) < n:  # noqa: ASYNC110  # asking now and then is the least work for all
        await asyncio.sleep(0.01)


def by_engine(n: int) -> dict[str, float]:
    """`Engine.cancel`, until it returns the final state."""

    async def main() -> dict[str, float]:
        async with Engine() as engine:
            host = asyncio.create_task(_sleep_all(n, return_state=True))
            await _until_asleep(n)
            flow_run = engine.flow_runs()[0]
            with Timed() as timed:
                state = await engine.cancel(flow_run.uuid)
            expect(state.is_cancelled(), expected=True)
            expect((await host).is_cancelled(), expected=True)
        return timed.figures(n)

    return on_new_loop(main())


def from_outside(n: int) -> dict[str, float]:
    """The asyncio task that awaits the flow, cancelled by the host, until it has ended."""

    async def main() -> dict[str, float]:
        host = asyncio.create_task(_sleep_all(n))
        await _until_asleep(n)
        with Timed() as timed:
            host.cancel()
            await asyncio.wait([host])
        expect(host.cancelled(), expected=True)
        return timed.figures(n)

    return on_new_loop(main())
