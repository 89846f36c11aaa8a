"""The soak: a mixed load in one process, for as long as it is told, and nothing may grow.

Each round calls flows that do what programs do: maps on a loop and in threads, streams, retries, timeouts, subflows,
failures, cancellations, limits, and a store on the disk. Between two rounds all is at rest, and then files, threads,
asyncio tasks, objects, memory, and runs that have not ended are counted. What there is after the first rounds is what
there must be in the end, and after a million runs.

    python -m tests.proofs.soak --minutes 5
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from millrace import Engine, SqliteStore, as_completed, flow, task
from tests.proofs.verdicts import Row, tell

WARM_UP: Final = 0.2
"""This part of the time, and of the runs, comes before anything is compared."""

MOST_BYTES: Final = 12 * 2**20
"""So much more memory in the end is put down to the allocator."""

MOST_OBJECTS: Final = 2_000
"""So many more objects are put down to caches that are still filling."""


@task
async def doubled(number: int) -> int:
    return 2 * number


@task
def tripled(number: int) -> int:
    return 3 * number


@task(retries=2)
async def fails_at_first(number: int, tries: list[int]) -> int:
    tries.append(number)
    if tries.count(number) < 2:
        raise ConnectionError("at first")
    return number


@task
async def fails(number: int) -> None:
    raise ValueError(number)


@task(timeout_seconds=0.001)
async def never_ends() -> None:
    await asyncio.Event().wait()


@task(tags=["narrow"])
async def one_by_one(number: int) -> int:
    await asyncio.sleep(0)
    return number


@flow
async def inner(number: int) -> int:
    return sum(await doubled.map(range(number)))


@flow
async def on_a_loop(size: int) -> int:
    total = sum(await doubled.map(tripled.map(range(size))))
    tries: list[int] = []
    total += sum(await fails_at_first.map(range(8), [tries] * 8))
    total += sum(await one_by_one.map(range(8)))
    total += await inner(4)
    async for number in doubled.stream(range(32), max_in_flight=8):
        total += number
    failed = [fails.submit(number) for number in range(4)] + [never_ends.submit()]
    for future in failed:
        with suppress(Exception):
            await future
    return total


@flow
def in_threads(size: int) -> int:
    futures = tripled.map(range(size))
    return sum(future.result() for future in as_completed(futures))


@flow
async def is_cancelled() -> None:
    _many = doubled.map(range(10_000))
    await asyncio.Event().wait()


@attrs.frozen
class Sample:
    """What there is at one moment of rest.

    Args:
        runs: How many runs there were so far.
        files: Descriptors that are open.
        threads: Threads that live.
        tasks: asyncio tasks.
        objects: What the collector knows.
        resident: Bytes of memory.
        unresolved: Runs that have not ended.
    """

    runs: int
    files: int
    threads: int
    tasks: int
    objects: int
    resident: int
    unresolved: int


def files_open() -> int:
    """How many descriptors this process has; -1 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else -1


def resident() -> int:
    """The memory of this process, in bytes; where the system tells only the most that it ever was, that."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Soak:
    """The load, and what is counted of it."""

    def __init__(self, engine: Engine, recorded: Engine, seed: int) -> None:
        self._engine = engine
        self._recorded = recorded
        self._draw = random.Random(seed)
        self.runs = 0
        self.samples: list[Sample] = []

    async def round(self) -> None:
        """Call all that there is to call, side by side."""
        size = self._draw.choice((50, 200, 400))
        calls: list[Any] = [on_a_loop(size), on_a_loop(10), inner(20)]
        started = [self._engine.start(in_threads, size) for _ in range(2)]
        cancelled = self._engine.start(is_cancelled)
        recorded = self._recorded.start(inner, 20)
        await asyncio.gather(*calls)
        for future in started:
            await future
        await recorded
        cancelled.cancel()
        with suppress(Exception):
            await cancelled
        self.runs += 4 * size + 2 * (8 + 8 + 4 + 32 + 6) + 2 * 20 + 20 + 8

    def sample(self) -> None:
        """Count what there is, at rest."""
        gc.collect()
        stats = [each.stats() for each in (self._engine, self._recorded)]
        self.samples.append(
            Sample(
                self.runs,
                files_open(),
                threading.active_count(),
                len(asyncio.all_tasks()),
                len(gc.get_objects()),
                resident(),
                sum(each.flow_runs + each.task_runs for each in stats),
            )
        )


async def soak(minutes: float, runs: int, seed: int, folder: Path) -> Soak:
    """Put the load on for so long, and for so many runs at least.

    Args:
        minutes: How long.
        runs: How many.
        seed: Of what is left to chance.
        folder: Where the store is.
    """
    store = SqliteStore(folder / "soak.db", synchronous="NORMAL")
    async with Engine(threads=1, store=store) as recorded, Engine(threads=4, limits={"narrow": 2}) as engine:
        made = Soak(engine, recorded, seed)  # calls belong to the engine that was entered last
        began = time.monotonic()
        while time.monotonic() - began < 60 * minutes or made.runs < runs:
            for _ in range(10):
                await made.round()
            await asyncio.sleep(0)  # so that what has just ended is gone
            made.sample()
    return made


def judge(samples: Sequence[Sample]) -> list[Row]:
    """What has grown from the end of the warm-up to the end."""
    after = samples[int(len(samples) * WARM_UP) :]
    first, last = after[: max(1, len(after) // 4)], after[-max(1, len(after) // 4) :]
    rows: list[Row] = []
    for name, what, allowed in (
        ("files", "files that are open", 0),
        ("threads", "threads", 0),
        ("tasks", "asyncio tasks", 0),
        ("unresolved", "runs that have not ended", 0),
        ("objects", "objects", MOST_OBJECTS),
        ("resident", "bytes of memory", MOST_BYTES),
    ):
        before = max(getattr(each, name) for each in first)
        now = min(getattr(each, name) for each in last)
        text = f"{before:,} after {first[-1].runs:,} runs, {now:,} after {last[-1].runs:,}"
        rows.append(Row(f"soak: {what}", text, holds=now <= before + allowed and (name != "unresolved" or now == 0)))
    return rows


def main() -> int:
    """Prove it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=1_000_000, help="at least")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("millrace").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        made = asyncio.run(soak(given.minutes, given.runs, given.seed, Path(folder)))
    return tell(judge(made.samples))


if __name__ == "__main__":
    sys.exit(main())
