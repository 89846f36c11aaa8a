"""Tasks called one after another, inside one flow."""

from __future__ import annotations

from benchmarks.works.maps import anoop, noop
from benchmarks.works.repeating import awaited_again, called_again
from millrace import flow, run

WARM = 1_000


@flow
async def _await_one_after_another(n: int) -> dict[str, float]:
    return await awaited_again(anoop, n, WARM)


@flow
def _call_one_after_another(n: int) -> dict[str, float]:
    return called_again(noop, n, WARM)


def awaited(n: int) -> dict[str, float]:
    """An async task awaited again and again."""
    return run(_await_one_after_another, n)


def called(n: int) -> dict[str, float]:
    """A sync task called again and again in a sync flow."""
    return run(_call_one_after_another, n)
