"""Results that are kept: found in a cache in memory, and written to a folder."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from benchmarks.works.floors import KEYS, RESULT
from benchmarks.works.probes import Timed, expect
from millrace import INPUTS, MemoryStorage, flow, run, task


@task(cache_policy=INPUTS, result_storage=MemoryStorage())
def add(number: int, unit: str) -> str:
    """Make a text of two small arguments."""
    return f"{number} {unit}"


@task(cache_policy=INPUTS, result_storage=MemoryStorage())
async def aadd(number: int, unit: str) -> str:
    """The same, on the loop."""
    return f"{number} {unit}"


@task
def make(number: int) -> bytes:
    """Make something of a KiB."""
    return RESULT[number % 2 :]


@task
async def amake(number: int) -> bytes:
    """The same, on the loop."""
    return RESULT[number % 2 :]


def _length_of_all(n: int) -> int:
    return sum(len(f"{number % KEYS} kg") for number in range(n))


@flow
def _call_hits(n: int) -> dict[str, float]:
    for number in range(KEYS):
        add(number, "kg")
    expect(add(0, "kg", return_state=True).name, "Cached")
    with Timed() as timed:
        total = sum([len(add(number % KEYS, "kg")) for number in range(n)])
    expect(total, _length_of_all(n))
    return timed.figures(n)


@flow
async def _await_hits(n: int) -> dict[str, float]:
    for number in range(KEYS):
        await aadd(number, "kg")
    expect((await aadd(0, "kg", return_state=True)).name, "Cached")
    with Timed() as timed:
        total = sum([len(await aadd(number % KEYS, "kg")) for number in range(n)])
    expect(total, _length_of_all(n))
    return timed.figures(n)


@flow
def _call_kept(n: int, folder: str) -> dict[str, float]:
    kept = make.with_options(result_storage=folder)
    kept(-1)
    with Timed() as timed:
        total = sum([len(kept(number)) for number in range(n)])
    expect(total, n * len(RESULT) - n // 2)
    return timed.figures(n)


@flow
async def _await_kept(n: int, folder: str) -> dict[str, float]:
    kept = amake.with_options(result_storage=folder)
    await kept(-1)
    with Timed() as timed:
        total = sum([len(await kept(number)) for number in range(n)])
    expect(total, n * len(RESULT) - n // 2)
    return timed.figures(n)


def hits_called(n: int) -> dict[str, float]:
    """A sync task called again and again, whose results are in the cache."""
    return run(_call_hits, n)


def hits_awaited(n: int) -> dict[str, float]:
    """An async task awaited again and again, whose results are in the cache."""
    return run(_await_hits, n)


def kept_called(n: int) -> dict[str, float]:
    """A sync task called again and again, each result kept in a file."""
    with TemporaryDirectory() as folder:
        return run(_call_kept, n, folder)


def kept_awaited(n: int) -> dict[str, float]:
    """An async task awaited again and again, each result kept in a file."""
    with TemporaryDirectory() as folder:
        return run(_await_kept, n, folder)
