"""Something that takes a number and gives it back, timed: called again and again, or once for all the numbers.

Does not know what it is: a task, a flow, or a flow with a map or a stream. Each is run before it is timed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.works.probes import Timed, expect, on_new_loop


async def awaited_again(each: Callable[[int], Awaitable[int]], n: int, warm: int) -> dict[str, float]:
    """Await it for so many numbers, one after another: per number."""
    for number in range(warm):
        await each(number)
    total = 0
    with Timed() as timed:
        for number in range(n):
            total += await each(number)
    expect(total, sum(range(n)))
    return timed.figures(n)


def called_again(each: Callable[[int], int], n: int, warm: int) -> dict[str, float]:
    """Call it for so many numbers, one after another: per number."""
    for number in range(warm):
        each(number)
    total = 0
    with Timed() as timed:
        for number in range(n):
            total += each(number)
    expect(total, sum(range(n)))
    return timed.figures(n)


def awaited_once(total_of: Callable[[int], Awaitable[int]], n: int, warm: int) -> dict[str, float]:
    """Await it once, for the sum of so many numbers, on a loop of its own: per number."""

    async def main() -> dict[str, float]:
        await total_of(warm)
        with Timed() as timed:
            total = await total_of(n)
        expect(total, sum(range(n)))
        return timed.figures(n)

    return on_new_loop(main())


def called_once(total_of: Callable[[int], int], n: int, warm: int) -> dict[str, float]:
    """Call it once, for the sum of so many numbers: per number."""
    total_of(warm)
    with Timed() as timed:
        total = total_of(n)
    expect(total, sum(range(n)))
    return timed.figures(n)
