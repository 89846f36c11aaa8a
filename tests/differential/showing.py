"""Showing: values, exceptions, states and futures as plain data that two engines can be compared by.

Decides what counts. Of a state its type, its name and its result; of an exception its class by name, and its arguments
where it is not an engine's own: engines have words of their own for what went wrong. Ids and times do not count.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

MARK = "of_a_script"
"""Attribute of exceptions that a script raised; other ones are shown without their words."""

_PLAIN = {"NoStateException": "ValueError"}
"""Classes of millrace's for what Prefect raises a class of Python's for, which each of them derives from."""

_ANNOTATIONS = ("allow_failure", "unmapped", "quote", "opaque")


def shown(value: Any) -> Any:
    """Plain data that says what the value is.

    Args:
        value: Of any kind.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value.name if isinstance(value, enum.Enum) else value
    if isinstance(value, BaseException):
        return shown_error(value)
    if _is_state(value):
        return shown_state(value)
    if hasattr(value, "task_run_id"):
        return {"future": None}
    if type(value).__name__ in _ANNOTATIONS:
        return {"annotation": type(value).__name__}
    return _shown_collection(value)


def _shown_collection(value: Any) -> Any:
    match value:
        case Mapping():
            return {"dict": [[shown(key), shown(item)] for key, item in value.items()]}
        case tuple() if hasattr(value, "_fields"):
            return {type(value).__name__: [shown(item) for item in value]}
        case list():
            return [shown(item) for item in value]
        case tuple():
            return {"tuple": [shown(item) for item in value]}
        case set() | frozenset():
            return {"set": sorted((shown(item) for item in value), key=repr)}
        case _ if dataclasses.is_dataclass(value):
            return {type(value).__name__: [shown(getattr(value, each.name)) for each in dataclasses.fields(value)]}
        case _:
            return {"of type": type(value).__name__}


def shown_error(error: BaseException) -> dict[str, Any]:
    """An exception: its class, and its arguments where they are the user's."""
    if MARK not in error.__dict__:
        return {"error": _PLAIN.get(type(error).__name__, type(error).__name__)}
    return {"error": type(error).__name__, "with": [shown(each) for each in error.args]}


def shown_state(state: Any) -> dict[str, Any]:
    """A state: its type, its name, and what its result is or raises."""
    found = {"state": state.type.value, "name": state.name}
    if state.is_final():
        try:
            found["result"] = shown(state.result(**_here(state)))
        except BaseException as error:  # noqa: BLE001
            found["raises"] = shown_error(error)
    return found


def _is_state(value: Any) -> bool:
    return hasattr(value, "state_details") and hasattr(value, "is_final")


def _here(state: Any) -> dict[str, Any]:
    """Prefect's method gives a coroutine where a loop runs, unless it is told."""
    return {"_sync": True} if type(state).__module__.startswith("prefect.") else {}
