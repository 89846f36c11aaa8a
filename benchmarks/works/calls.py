"""Tasks called one after another, inside one flow."""

from __future__ import annotations

from benchmarks.works.maps import anoop, noop
from benchmarks.works.probes import Timed, expect
from millrace import flow, run

WARM = 1_000


@flow
async def _await_one_after_another(n: int) -> dict[str, float]:
    for number in range(WARM):
        await anoop(number)
    total = 0
    with Timed() as timed:
        for number in range(n):
            total += await anoop(number)
    expect(total, sum(range(n)))
    return timed.figures(n)


@flow
def _call_one_after_another(n: int) -> dict[str, float]:
    for number in range(WARM):
        noop(number)
    total = 0
    with Timed() as timed:
        for number in range(n):
            total += noop(number)
    expect(total, sum(range(n)))
    return timed.figures(n)


def awaited(n: int) -> dict[str, float]:
    """An async task awaited again and again."""
    return run(_await_one_after_another, n)


def called(n: int) -> dict[str, float]:
    """A sync task called again and again in a sync flow."""
    return run(_call_one_after_another, n)
