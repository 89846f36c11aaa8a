"""Assertions: about how runs ended. What does not hold is told with the way that the run went.

Decides nothing about runs.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

from millrace.actors.states import State, StateType, get_state_exception
from millrace.runtime.futures import Future
from millrace.runtime.testing.engine import SeenRun

E = TypeVar("E", bound=BaseException)
_ANY: Final[Any] = Exception


class Run(Protocol):
    """A run of a flow or of a task."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def history(self) -> list[State[Any]]:
        """Every state it has had."""
        ...


AnyRun = State[Any] | Future[Any] | SeenRun | Run
"""What an assertion can be about: a run, its future, what an engine remembers of it, or its state."""


def assert_completed(run: AnyRun) -> Any:
    """Check that a run is COMPLETED.

    Args:
        run: The run, its future, what `runs` of an engine gives, or its state.

    Returns:
        Its result.

    Raises:
        AssertionError: it is not; what it failed with is the cause.
    """
    name, states = _way(run)
    state = states[-1]
    if state.type is not StateType.COMPLETED:
        raise AssertionError(_told(name, states, "it should be Completed")) from _exception(state)
    return state.result()


def assert_failed(run: AnyRun, error: type[E] = _ANY, match: str | None = None) -> E:
    """Check that a run is FAILED, and with what.

    Args:
        run: As for `assert_completed`.
        error: The class of exceptions that it failed with.
        match: What is in the exception's text.

    Returns:
        The exception.

    Raises:
        AssertionError: it has not failed, or with something else, which is the cause.
    """
    name, states = _way(run)
    state = states[-1]
    found = _exception(state)
    if state.type is not StateType.FAILED:
        raise AssertionError(_told(name, states, "it should be Failed")) from found
    if not isinstance(found, error) or (match is not None and match not in str(found)):
        wanted = error.__name__ if match is None else f"{error.__name__} with {match!r}"
        raise AssertionError(_told(name, states, f"it should have failed with {wanted}")) from found
    return found


def assert_states(run: AnyRun, *names: str) -> None:
    """Check which states a run has had.

    Args:
        run: As for `assert_completed`; not a state, which knows no others.
        *names: Of all its states, first to last, as in `"Pending", "Running", "AwaitingRetry", "Running", "Completed"`.

    Raises:
        AssertionError: it has had others.
    """
    name, states = _way(run)
    if tuple(state.name for state in states) != names:
        raise AssertionError(_told(name, states, f"it should be {' -> '.join(names)}"))


def _way(run: AnyRun) -> tuple[str, list[State[Any]]]:
    if isinstance(run, State):
        return "The run", [run]
    if isinstance(run, SeenRun):
        return f"Run '{run.name}'", run.states
    source: Any = run.source if isinstance(run, Future) else run
    return f"Run '{source.name}'", source.history() if hasattr(source, "history") else [source.state]


def _told(name: str, states: list[State[Any]], expected: str) -> str:
    way = " -> ".join(state.name for state in states)
    return f"{name} is {states[-1]}, and {expected}. Its states: {way}."


def _exception(state: State[Any]) -> BaseException | None:
    return get_state_exception(state) if state.is_failed() or state.is_crashed() or state.is_cancelled() else None
