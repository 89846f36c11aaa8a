"""State exceptions: what is a state, and which exception one stands for.

This module alone decides which exception that is, and when several states count as such. It does not know what else a
state holds (`state`), nor what makes one of an exception (`outcomes`). Users import all of it from `states`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

from millrace.actors.errors import CancelledRun, CrashedRun, FailedRun, NoStateException, StateDataError
from millrace.actors.state_details import AnyState, StateType
from millrace.actors.stored_result import MISSING, aloaded, loaded

if TYPE_CHECKING:
    from millrace.actors.state import State


def is_state(value: object) -> TypeGuard[State[Any]]:
    """Whether a value is a state."""
    # By its real class: a proxy may raise when it is asked for the one that it stands for.
    return issubclass(type(value), AnyState)


def is_state_iterable(
    value: object,
) -> TypeGuard[list[State[Any]] | set[State[Any]] | tuple[State[Any], ...]]:
    """Whether a value is a list, set or tuple that holds states and nothing else.

    An empty one is not, and neither is one inside an annotation, nor one that raises when it is looked into.
    """
    # The type comes first and the first other item ends it: this is asked of every returned value.
    if not issubclass(type(value), (list, set, tuple)):
        return False
    found = False
    try:
        for item in cast("list[object]", value):
            if not issubclass(type(item), AnyState):
                return False
            found = True
    except Exception:  # noqa: BLE001 - a subclass of the user's may do what it likes
        return False
    return found


def states_in(data: Any) -> Sequence[State[Any]]:
    """The states that the data of a state are: itself one, or several and nothing else."""
    if is_state(data):
        return [data]
    return list(data) if is_state_iterable(data) else ()


_WRAPPERS: Final = {
    StateType.FAILED: (FailedRun, "Run failed."),
    StateType.CRASHED: (CrashedRun, "Run crashed."),
    StateType.CANCELLED: (CancelledRun, "Run cancelled."),
}


def get_state_exception(state: State[Any]) -> BaseException:
    """The exception that a FAILED, CRASHED or CANCELLED state stands for.

    That is the exception in its data. A string there becomes the message of a `FailedRun`,
    `CrashedRun` or `CancelledRun`; with nothing there, the state's message does. For a state in
    the data it is that state's exception, and for several states that of the first with one.

    Raises:
        StateDataError: The data is something else. A `TypeError`.
        NoStateException: The state has no exception, or none of the states in its data has. A `ValueError`.
    """
    while True:
        found = _exception_or_next(state, loaded(state.data))
        if isinstance(found, BaseException):
            return found
        state = found


async def aget_state_exception(state: State[Any]) -> BaseException:
    """Like `get_state_exception`; the loop is not blocked where the exception lies in a storage.

    Cancellation: only the reading ends; the state and the storage stay as they are.

    Raises:
        StateDataError: As there.
        NoStateException: As there.
    """
    while True:
        found = _exception_or_next(state, await aloaded(state.data))
        if isinstance(found, BaseException):
            return found
        state = found


def raise_state_exception(state: State[Any]) -> None:
    """Raise the exception of a FAILED, CRASHED or CANCELLED state; do nothing for any other."""
    if state.type in _WRAPPERS:
        raise get_state_exception(state)


def _exception_or_next(state: State[Any], data: Any) -> BaseException | State[Any]:
    """A state's exception, or the state in its data that has it."""
    if state.type not in _WRAPPERS:
        raise NoStateException(
            f"Only a FAILED, CRASHED or CANCELLED state has an exception, and {state} is {state.type}."
        )
    wrapper, default = _WRAPPERS[state.type]
    if data is None or data is MISSING:
        return wrapper(state.message or default)
    if isinstance(data, BaseException) or is_state(data):
        return data
    if isinstance(data, str):
        return wrapper(data)
    if not is_state_iterable(data):
        raise StateDataError(state, data)
    for inner in data:
        if inner.type in _WRAPPERS:
            return inner
    raise NoStateException(f"None of the states in the data of {state} failed, crashed or was cancelled.")
