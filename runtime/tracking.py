"""Tracking: which earlier run a value came from, told by the value itself.

Decides which results are remembered by identity and for how long. A result that was taken (returned by a call, or asked
of a future) and is passed on later is a dependency, although no future says so; the same goes for the items of its
first layer. Small ints, booleans, None, members of enums and the other objects that Python shares are never remembered:
they would point anywhere.

Memory: a remembered object must not be mistaken for a later one at the same address, so it is held: weakly where its
type allows, else by reference until nobody but the tracker holds it, which is looked at whenever the table, or what it
holds, has doubled.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Collection, Sequence
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from millrace.actors.errors import InputResolutionError
from millrace.actors.uuids import to_uuid
from millrace.actors.values import Value, put
from millrace.runtime.nesting import LEAVES, held_by

if TYPE_CHECKING:
    from uuid import UUID

_SHARED_TYPES: Final = (bool, type(None), type(...), type(NotImplemented), type, Enum, ModuleType)
UNTRACKED: Final = frozenset(_SHARED_TYPES)
"""Types whose values are never remembered, for a quick look before asking."""

_SMALL_INTS: Final = range(-5, 257)
_FEW: Final = 64
_LITTLE: Final = 1 << 20  # bytes


class TaskRunResult(Value):
    """A dependency on a task run.

    Args:
        id: The task run's id.
    """

    __slots__ = ("id",)

    id: UUID

    def __init__(self, id: UUID) -> None:  # noqa: A002  # what is given is what is read
        put(self, "id", id)


class FlowRunResult(Value):
    """A dependency on a flow run.

    Args:
        id: The flow run's id.
    """

    __slots__ = ("id",)

    id: UUID

    def __init__(self, id: UUID) -> None:  # noqa: A002  # what is given is what is read
        put(self, "id", id)


TaskRunInput = TaskRunResult | FlowRunResult
"""What one parameter of a task run depends on."""


def trackable(value: object) -> bool:
    """Whether a value's identity says where it came from."""
    if value.__class__ is int:
        return value not in _SMALL_INTS  # first: it is a frequent one, and soon told
    if isinstance(value, _SHARED_TYPES):
        return False
    if isinstance(value, int):
        return value not in _SMALL_INTS
    # The empty ones, and strings and bytes of one character, are made once and shared. Never asked with `==`: what that
    # gives is up to the value, and an array gives an array.
    if isinstance(value, (str, bytes)):
        return len(value) > 1
    return value.__class__ not in (tuple, frozenset) or bool(value)


_NO_WEAK_REFERENCES: Final = frozenset({int, float, complex, str, bytes, bytearray, list, tuple, dict, range, slice})
"""The usual types that cannot be held weakly, so as not to try: a refusal is an exception, and those are slow."""
_HELD_LEAVES: Final = LEAVES & _NO_WEAK_REFERENCES


class Tracker:
    """The results of one flow run that were taken and are still alive."""

    __slots__ = ("_batches", "_held", "_known", "_latest", "_sweep_at", "_sweep_at_bytes")

    def __init__(self) -> None:
        # id(object) -> (a weak reference to it, or a strong one in a tuple; the number and the kind of its run)
        self._known: dict[int, tuple[Any, int, type[TaskRunInput]]] = {}
        self._held = 0  # bytes of what is held by a strong reference, without what that holds
        self._sweep_at = _FEW
        self._sweep_at_bytes = _LITTLE
        # (list of results, the numbers of their runs): not looked into before somebody asks, and most never are
        self._batches: list[tuple[list[Any], Sequence[int]]] = []
        # (result, the number and the kind of its run): what calls have given, not looked into before somebody asks. By
        # then most are gone, and have cost an entry here instead of one in the table, and of one in the next sweep.
        # A list although it is taken from at its front: it is short, and an empty deque takes ten times its memory.
        self._latest: list[tuple[object, int, type[TaskRunInput]]] = []  # len <= _FEW + the number of threads

    def __bool__(self) -> bool:
        """Whether anything may be found."""
        return bool(self.known())

    def forget(self) -> None:
        """The flow run has ended: nobody will ask any more."""
        self._latest.clear()
        self._batches.clear()
        self._known.clear()

    def known(self) -> Collection[int]:
        """The ids of the objects that `find` may know something of; for a quick look before asking."""
        if self._batches:
            self._unpack()
        if self._latest:
            self._sort_out()
        return self._known

    def remember(self, run_id: int, value: object, kind: type[TaskRunInput] = TaskRunResult) -> None:
        """Note that a value, and the items of its first layer, came from a run."""
        if value.__class__ in _HELD_LEAVES:
            latest = self._latest
            latest.append((value, run_id, kind))
            if len(latest) > _FEW:
                self._sort_out()
            return
        self._note(run_id, value, kind)
        try:
            items = held_by(value, "the result")
        except InputResolutionError:
            return  # nobody has asked to look into it
        for item in items or ():
            self._note(run_id, item, kind)

    def remember_all(self, run_ids: Sequence[int], values: list[Any]) -> None:
        """Note that values came from runs, one each. They are not looked into before somebody asks or notes more."""
        if self._batches:
            self._unpack()
        self._batches.append((values, run_ids))

    def find(self, value: object) -> TaskRunInput | None:
        """The run that a value came from; None where that is not known."""
        entry = self._known.get(id(value))
        if entry is None:
            return None
        held, run_id, kind = entry
        alive: Any = cast("Any", held)() if isinstance(held, weakref.ref) else held[0]
        return kind(to_uuid(run_id)) if alive is value else None

    def _sort_out(self) -> None:
        """Note of the latest results those that are still alive."""
        latest = self._latest
        while latest:
            try:
                value, run_id, kind = latest.pop(0)
            except IndexError:  # another thread is at it, too
                return
            if sys.getrefcount(value) > 2:  # noqa: PLR2004  # the one here, and the argument's
                self._note(run_id, value, kind)

    def _unpack(self) -> None:
        batches, self._batches = self._batches, []
        for values, run_ids in batches:
            for index, run_id in enumerate(run_ids):
                # Held by the list and by the argument: nobody else can ask about it any more. If the user has the list,
                # they can; that is the list, `batches` and `values` here, and the argument.
                if sys.getrefcount(values[index]) > 2 or sys.getrefcount(values) > 3:  # noqa: PLR2004
                    self.remember(run_id, values[index])

    def _note(self, run_id: int, value: object, kind: type[TaskRunInput]) -> None:
        if not trackable(value):
            return
        if value.__class__ not in _NO_WEAK_REFERENCES and self._note_weakly(run_id, value, kind):
            return
        known = self._known
        known[id(value)] = ((value,), run_id, kind)
        self._held += sys.getsizeof(value)
        if len(known) >= self._sweep_at or self._held >= self._sweep_at_bytes:
            self._sweep()

    def _note_weakly(self, run_id: int, value: object, kind: type[TaskRunInput]) -> bool:
        """Note it without holding it; whether that is possible."""
        known, key = self._known, id(value)

        def forget(_gone: object) -> None:
            known.pop(key, None)

        try:
            reference = weakref.ref(value, forget)
        except TypeError:
            return False
        known[key] = (reference, run_id, kind)
        return True

    def _sweep(self) -> None:
        """Forget what nobody else holds. The next time comes at twice the rest: O(1) for a note, on average."""
        known = self._known
        held_now = 0
        # In few steps: each result that was alive when somebody asked is looked at here, and nearly all go.
        for key, entry in list(known.items()):
            held = entry[0]
            if held.__class__ is not tuple:
                continue
            if sys.getrefcount(held[0]) > 2:  # noqa: PLR2004  # the tuple's, and the argument's
                held_now += sys.getsizeof(held[0])
            else:
                known.pop(key, None)
        self._held = held_now
        self._sweep_at = max(_FEW, 2 * len(known))
        self._sweep_at_bytes = max(_LITTLE, 2 * held_now)


NOTHING_TAKEN: Final = Tracker()
"""That of a flow run of which no result has been taken yet. Nothing is remembered in it."""
