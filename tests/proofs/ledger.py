"""The flow that is killed, and the ledger of what it has told before.

Each body notes that it runs, and the flow notes each result that it was given, in one line to a pipe: a line that was
written is there for the parent, however the process ends. What was given to the flow was acknowledged, so from then on
its body must not run again.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator

from millrace import as_completed, flow, task

PIPE = [-1]  # where lines are written; set in the child
CALLS, ITEMS, INNER = 6, 12, 4


def note(what: str, key: str) -> None:
    """Write one line, which is small enough to be written as a whole."""
    os.write(PIPE[0], f"{what} {key}\n".encode())


def expected(key: str) -> str:
    """What the task of a key gives."""
    return f"result of {key}"


@task
def work(key: str) -> str:
    note("ran", key)
    return expected(key)


@task
async def awork(key: str) -> str:
    note("ran", key)
    return expected(key)


def given(key: str, result: str) -> str:
    """The flow has been given a result."""
    assert result == expected(key), (key, result)
    note("ack", key)
    return result


@flow
def inner(number: int) -> list[str]:
    keys = [f"inner-{number}-{each}" for each in range(INNER)]
    return [given(key, work(key)) for key in keys]


@flow
def journey() -> int:
    total = 0
    for number in range(CALLS):
        total += len(given(f"call-{number}", work(f"call-{number}")))
    keys = [f"item-{number}" for number in range(ITEMS)]
    futures = work.map(keys)
    names = dict(zip([each.task_run_id for each in futures], keys, strict=True))
    for future in as_completed(futures):
        total += len(given(names[future.task_run_id], future.result()))
    total += sum(map(len, inner(1)))
    for key, result in zip(keys, awork.map([f"a{key}" for key in keys]).result(), strict=True):
        total += len(given(f"a{key}", result))
    note("end", str(total))
    return total


@flow
async def ajourney() -> int:
    total = 0
    for number in range(CALLS):
        total += len(given(f"call-{number}", await awork(f"call-{number}")))
    keys = [f"item-{number}" for number in range(ITEMS)]
    for key, future in zip(keys, awork.map(keys), strict=True):
        total += len(given(key, await future))
    for key, result in zip(keys, await work.map([f"a{key}" for key in keys]), strict=True):
        total += len(given(f"a{key}", result))
    note("end", str(total))
    return total


def key_of(result: str) -> str:
    """The key of the task that gave something."""
    return result.removeprefix(expected(""))


@flow
def leaves(number: int) -> list[str]:
    keys = [f"leaf-{number}-{each}" for each in range(INNER)]
    return [given(key, work(key)) for key in keys]


@task
def branch(number: int) -> str:
    """Calls tasks, iterates over a stream of them, and calls a flow."""
    note("ran", f"branch-{number}")
    for each in range(INNER):
        given(f"twig-{number}-{each}", work(f"twig-{number}-{each}"))
    for result in work.stream(f"stem-{number}-{each}" for each in range(INNER)):
        given(key_of(result), result)
    leaves(number)
    return expected(f"branch-{number}")


@task
def drawn(number: int) -> Iterator[str]:
    """Is iterated over: so it runs again, and what it calls does not."""
    for each in range(INNER):
        yield given(f"drawn-{number}-{each}", work(f"drawn-{number}-{each}"))


@flow
def woven() -> int:
    total = 0
    for number in range(2):
        total += len(given(f"branch-{number}", branch(number)))
    for result in work.stream((f"load-{number}" for number in range(ITEMS)), max_in_flight=4):
        key = key_of(given(key_of(result), result))
        total += len(given(f"save-{key}", work(f"save-{key}")))
    total += sum(map(len, drawn(0)))
    note("end", str(total))
    return total


@task
async def abranch(number: int) -> str:
    """Calls tasks beside each other, some of which call others."""
    note("ran", f"abranch-{number}")

    async def twig(each: int) -> None:
        for key in (f"first-{number}-{each}", f"second-{number}-{each}"):
            given(key, await awork(key))

    await asyncio.gather(*(twig(each) for each in range(INNER)))
    return expected(f"abranch-{number}")


@flow
async def awoven() -> int:
    total = 0
    for number in range(2):
        total += len(given(f"abranch-{number}", await abranch(number)))
    inner = awork.stream((f"load-{number}" for number in range(ITEMS)), max_in_flight=4)
    async for result in awork.stream(inner, max_in_flight=3):
        inner_result = given(key_of(result), result).removeprefix(expected(""))
        key = f"save-{key_of(given(key_of(inner_result), inner_result))}"
        total += len(given(key, await awork(key)))
    numbers = [10, 11, 12]
    for number, result in zip(numbers, await abranch.map(numbers), strict=True):
        total += len(given(f"abranch-{number}", result))
    note("end", str(total))
    return total


class Ledger:
    """What one run of the flow has told, over all of its lives."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.ran: Counter[str] = Counter()
        self.faults: list[str] = []
        self.ended = False

    def take(self, lines: Iterable[str], life: int) -> None:
        """Take over what one life has told, in its order."""
        told: set[str] = set()
        for line in lines:
            what, _, key = line.partition(" ")
            if what == "ran":
                self.ran[key] += 1
                if key in self.acknowledged | told:
                    self.faults.append(f"life {life}: {key} ran again, although its result had been given")
            elif what == "ack":
                told.add(key)
            elif what == "end":
                self.ended = True
            else:
                self.faults.append(f"life {life}: {line}")
        self.acknowledged |= told
