"""Tracking: which earlier run a value came from, told by the value itself.

Decides which results are remembered by identity and for how long. A result that was taken (returned by a call, or asked of a
future) and is passed on later is a dependency, although no future says so; the same goes for the items of its first layer.
Small ints, booleans, None and the other objects that Python shares are never remembered: they would point anywhere.

Memory: a remembered object must not be mistaken for a later one at the same address, so it is held: weakly where its type
allows, else by reference until nobody but the tracker holds it, which is looked at whenever the table has doubled.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any, Final
from uuid import UUID

import attrs

_SHARED_TYPES: Final = (bool, type(None), type(...), type(NotImplemented), type)
UNTRACKED: Final = frozenset(_SHARED_TYPES)
"""Types whose values are never remembered, for a quick look before asking."""

_SMALL_INTS: Final = range(-5, 257)
_FIRST_SWEEP: Final = 256


@attrs.frozen
class TaskRunResult:
    """A dependency on a task run.

    Args:
        id: The task run's id.
    """

    id: UUID


@attrs.frozen
class FlowRunResult:
    """A dependency on a flow run.

    Args:
        id: The flow run's id.
    """

    id: UUID


TaskRunInput = TaskRunResult | FlowRunResult
"""What one parameter of a task run depends on."""


def trackable(value: object) -> bool:
    """Whether a value's identity says where it came from."""
    if isinstance(value, _SHARED_TYPES):
        return False
    if isinstance(value, int):
        return value not in _SMALL_INTS
    # The empty ones, and strings and bytes of one character, are made once and shared.
    return not (isinstance(value, (str, bytes)) and len(value) < 2) and value not in ((), frozenset())


class Tracker:
    """The results of one flow run that were taken and are still alive."""

    __slots__ = ("_known", "_sweep_at")

    def __init__(self) -> None:
        # id(object) -> (a weak reference to it, or a strong one in a tuple; the number of the run it came from)
        self._known: dict[int, tuple[Any, int]] = {}
        self._sweep_at = _FIRST_SWEEP

    def __bool__(self) -> bool:
        return bool(self._known)

    def remember(self, run_id: int, value: object) -> None:
        """Note that a value, and the items of its first layer, came from a run."""
        self._note(run_id, value)
        if isinstance(value, (list, tuple, set, frozenset)):
            for item in value:
                self._note(run_id, item)
        elif isinstance(value, dict):
            for item in value.values():
                self._note(run_id, item)

    def find(self, value: object) -> int | None:
        """The number of the run that a value came from; None where that is not known."""
        entry = self._known.get(id(value))
        if entry is None:
            return None
        held, run_id = entry
        alive = held() if isinstance(held, weakref.ref) else held[0]
        return run_id if alive is value else None

    def _note(self, run_id: int, value: object) -> None:
        if not trackable(value):
            return
        known = self._known
        key = id(value)
        try:
            known[key] = (weakref.ref(value, lambda _gone, known=known, key=key: known.pop(key, None)), run_id)
        except TypeError:
            known[key] = ((value,), run_id)
            if len(known) >= self._sweep_at:
                self._sweep()

    def _sweep(self) -> None:
        """Forget what nobody else holds. Twice the rest is the next time to look, so that a note costs O(1) on average."""
        known = self._known
        for key in list(known):
            held, _ = known[key]
            if not isinstance(held, weakref.ref) and sys.getrefcount(held[0]) <= 2:  # noqa: PLR2004
                del known[key]
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(known))
