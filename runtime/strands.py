"""Strands: what runs in order in a flow run, and how its calls are known from one process to the next.

Decides what a call's place is. The body is one strand, the trunk. Each asyncio task and each thread in which it makes
calls is a branch of the strand that started it, and is known by its first call (`beginnings`); of those that begin
alike, by its number among them. What runs beside something else keeps no order with that, so calls are counted in each
strand by itself.

What a task's body calls stands in strands of its own, below the place of the call that made the run, by its attempts;
and so do the items of a stream, below the strand that began to iterate over it.
"""

from __future__ import annotations

import asyncio
from array import array
from binascii import crc32
from collections.abc import Iterator
from contextvars import ContextVar
from threading import current_thread
from typing import Any, Final, Protocol
from weakref import ref

import attrs

from millrace.runtime.marks import Marks, part
from millrace.runtime.running import running_loop

Path = tuple[int, ...]
"""Of a strand: what each branch on the way to it is known by. Empty for the trunk."""

INSIDE: Final = -1
"""In a path, before three numbers: the run of a task, by name and place of its call, and its attempt."""

STREAM: Final = -2
"""In a path, before two numbers: a stream, by name, and its number among those in the strand."""


@attrs.frozen
class Call:
    """A task or a flow that the body has called, submitted or mapped.

    Args:
        name: What was called.
        place: Which call of it in its strand this is, counted from 0; a map counts its items.
        ids: Of the run; of all runs of a map.
        order: Which call of the attempt this is, counted from 0.
        marks: Of its arguments, as another process has recorded them; empty for a call of this one.
    """

    name: str
    place: int
    ids: range
    order: int
    marks: Marks = b""

    def is_like(self, name: str, count: int) -> bool:
        """Whether another call is of the same, with as many runs."""
        return self.name == name and len(self.ids) == count

    def __str__(self) -> str:
        return shown(self.name, len(self.ids))


def shown(name: str, count: int) -> str:
    """What is called, and how often."""
    return name if count == 1 else f"{name}, {count:,} times"


@attrs.frozen
class Place:
    """Where a run stands: what its own calls stand below.

    Args:
        path: Of the strand that called it.
        known: What that strand was known by in other processes; None if none of them had it.
        name: What was called.
        index: Which call of that in its strand.
        marks: Of its arguments.
    """

    path: Path
    known: Path | None
    name: str
    index: int
    marks: Marks = b""

    def below(self, attempt: int) -> Path:
        """The path of what an attempt of the run calls."""
        return (*self.path, INSIDE, crc32(self.name.encode()), self.index, attempt)

    def known_below(self) -> Path | None:
        """The same whatever the attempt, as other processes have it."""
        return None if self.known is None else (*self.known, INSIDE, crc32(self.name.encode()), self.index, 0)


class Origin(Protocol):
    """A call that makes runs; in the context of each of them."""

    def place_of(self, run_id: int, /) -> Place | None:
        """Where one of its runs stands; None where the run is another's."""
        ...


@attrs.frozen
class CallOrigin:
    """A call, as the origin of its runs.

    Args:
        call: The call.
        path: Of its strand.
        known: See `Place`.
        marks: Of the arguments of its runs.
    """

    call: Call
    path: Path
    known: Path | None
    marks: Marks

    def place_of(self, run_id: int) -> Place | None:
        """See `Origin`."""
        call = self.call
        if run_id not in call.ids:
            return None
        index = run_id - call.ids.start
        marks = self.marks if len(call.ids) == 1 else part(self.marks, index)
        return Place(self.path, self.known, call.name, call.place + index, marks)


STRAND: ContextVar[Strand | None] = ContextVar("millrace_strand", default=None)
"""Of the code at hand."""

ORIGIN: ContextVar[Origin | None] = ContextVar("millrace_origin", default=None)
"""The call that was made last: in the context of a run that has called nothing, the one that made it."""


class Strand:
    """What runs in order in one attempt of a body: the body itself, or an asyncio task or a thread that it started."""

    __slots__ = (
        "attempt", "branches", "calls", "counts", "known", "lost", "made", "owner", "path", "streams",
        "within",
    )  # fmt: skip

    def __init__(
        self, attempt: Attempt, path: Path, known: Path | None, within: tuple[int, int] | None, *, here: bool
    ) -> None:
        self.attempt = attempt
        self.path = path
        self.known = known  # what it was known by in the attempts before; None where none of them had it
        self.within = within  # the run of a task, and the attempt of that, whose body this is; None for the flow's
        self.owner: Any = ref(this()) if here else _nobody
        self.branches: dict[int, int] = {}  # by beginning: how many have begun so
        self.calls: list[Call] = []  # of the flow's own body; nobody looks at others
        self.made = 0  # so many calls
        self.counts: dict[str, int] = {}  # by name: runs called
        self.streams: dict[str, int] = {}  # by name of the task: streams
        self.lost = False  # it is a branch that goes another way than before

    def below(self, number: int) -> tuple[Path, Path | None]:
        """The path of a branch, and what it was known by."""
        return (*self.path, number), None if self.known is None else (*self.known, number)


class Attempt:
    """What one attempt of a body has called."""

    __slots__ = ("calls", "given", "inside", "number", "strands", "undone", "whose")

    def __init__(self, whose: object, number: int = 0) -> None:
        self.whose = whose  # says which flow run it is one of, and holds nothing of that
        self.number = number  # from 0, over all processes that have run the flow run
        self.strands: dict[Path, Strand] = {}  # by path; those of the flow's own body
        self.inside: dict[int, Strand] = {}  # by id: of runs of tasks that call something, the one to branch off
        self.calls = 0
        self.given: dict[Path, array[int]] = {}  # by stream of the flow's own body: which outcomes were given
        self.undone: int | None = None  # the first call, in a stream, whose runs have not all completed


def this() -> Any:
    """What the code at hand runs in: an asyncio task, else a thread."""
    task = None if running_loop() is None else asyncio.current_task()
    return current_thread() if task is None else task


def _nobody() -> None:
    """The owner of a strand in which nobody makes calls: all do in branches."""


def text_of(path: Path) -> str:
    """A path as it stands on record."""
    return ".".join(map(str, path))


def path_of(text: str) -> Path:
    """The path that stands on record."""
    return tuple(int(part) for part in text.split(".") if part)


def of_a_body(path: Path) -> bool:
    """Whether a strand belongs to the flow's own body, and not to a task or a stream in it."""
    return INSIDE not in path and STREAM not in path


def in_a_stream_of_the_body(path: Path) -> bool:
    """Whether it is a stream that the flow's own body has iterated over."""
    return INSIDE not in path and STREAM in path


def ends_in_stream(text: str) -> bool:
    """Whether a path, as it stands on record, is that of a stream."""
    return text.split(".")[-3:-2] == [str(STREAM)]


def attempts_in(path: Path) -> Iterator[tuple[Path, int]]:
    """The runs of tasks on the way to a strand: what each is known by, whatever its attempt; and that attempt."""
    known = list(path)
    at = 0
    while at < len(known):
        if known[at] == INSIDE:
            attempt, known[at + 3] = known[at + 3], 0
            yield tuple(known[: at + 4]), attempt
        at += {INSIDE: 4, STREAM: 3}.get(known[at], 1)


def whatever_the_attempts(path: Path) -> Path:
    """What a strand is known by in other processes."""
    known = list(path)
    at = 0
    while at < len(known):
        if known[at] == INSIDE:
            known[at + 3] = 0
        at += {INSIDE: 4, STREAM: 3}.get(known[at], 1)
    return tuple(known)
