"""What exceptions, returned values and several states make of a run."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from millrace.actors.annotations import quote
from millrace.actors.errors import TerminationSignal
from millrace.actors.outcomes import (
    StateGroup,
    aggregate,
    exception_to_crashed_state,
    exception_to_failed_state,
    holds_states,
    is_state,
    is_state_iterable,
    judged,
    return_value_to_state,
)
from millrace.actors.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateDetails,
    StateType,
)

pytestmark = pytest.mark.usefixtures("surroundings")

RUN = UUID(int=7)


# An exception to a state.


def test_an_exception_makes_a_failed_state_with_its_text_and_itself() -> None:
    error = ValueError("no such page")

    state = exception_to_failed_state(error)

    assert (state.type, state.name) == (StateType.FAILED, "Failed")
    assert state.message == "ValueError: no such page"
    assert state.data is error
    assert state.hand_made


@pytest.mark.parametrize("message", ["Task run encountered an exception:", "Task run encountered an exception: "])
def test_the_text_of_the_exception_comes_after_the_message(message: str) -> None:
    state = exception_to_failed_state(ValueError("no"), message=message, name="TimedOut")

    assert state.message == "Task run encountered an exception: ValueError: no"
    assert state.name == "TimedOut"


def test_without_an_exception_the_active_one_is_taken() -> None:
    nothing: dict[str, int] = {}
    try:
        nothing["x"]
    except KeyError:
        state = exception_to_failed_state()
    else:
        pytest.fail("nothing was raised")

    assert isinstance(state.data, KeyError)
    assert state.message == "KeyError: 'x'"


def test_without_an_exception_and_without_an_active_one_it_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^No exception was given, and there is none active\. Give one\.$"):
        exception_to_failed_state()


def test_an_exception_without_text_is_named_only() -> None:
    assert exception_to_failed_state(ValueError()).message == "ValueError"


def test_an_exception_whose_text_fails_makes_a_failed_state_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    state = exception_to_failed_state(Broken())

    assert state.message == "Broken (its text cannot be shown)"


def test_an_exception_can_be_retried_unless_somebody_says_otherwise() -> None:
    assert exception_to_failed_state(ValueError()).state_details.retriable is None


class Deadline(asyncio.CancelledError):
    """A cancellation of a kind of its own."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (asyncio.CancelledError(), "The run was cancelled by the runtime environment."),
        (Deadline(), "The run was cancelled by the runtime environment."),
        (KeyboardInterrupt(), "The run was ended by an interrupt signal."),
        (TerminationSignal(15), "The run was ended by a termination signal."),
        (SystemExit(1), "The run was ended by a Python system exit call."),
        (ValueError("b"), "The run was ended by an unexpected exception: ValueError: b"),
        (GeneratorExit(), "The run was ended by an unexpected exception: GeneratorExit"),
        (
            concurrent.futures.CancelledError(),
            "The run was ended by an unexpected exception: CancelledError",
        ),
    ],
)
def test_a_crash_says_what_it_was(error: BaseException, message: str) -> None:
    state = exception_to_crashed_state(error)

    assert (state.type, state.name, state.message) == (StateType.CRASHED, "Crashed", message)
    assert state.data is error


# A returned value to a state.


@pytest.mark.parametrize("value", [3, None, "x", [], (), {1}, [1, 2], {"a": 1}])
def test_data_makes_a_completed_state(value: object) -> None:
    state = return_value_to_state(value)

    assert (state.type, state.name, state.message) == (StateType.COMPLETED, "Completed", None)
    assert state.data is value
    assert state.hand_made


@pytest.mark.parametrize("make", [Completed, Failed, Cancelled, Running])
def test_a_state_made_by_hand_is_used_as_it_is(make: Callable[..., State[Any]]) -> None:
    state = make(message="mine")

    assert return_value_to_state(state) is state


@pytest.mark.parametrize("field", ["flow_run_id", "task_run_id"])
def test_one_state_with_a_run_id_is_aggregated(field: str) -> None:
    inner = Failed(message="no", state_details={field: RUN})

    state = return_value_to_state(inner)

    assert (state.type, state.message) == (StateType.FAILED, "1/1 states failed.")
    assert state.data is inner


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_a_list_set_or_tuple_of_states_is_aggregated_and_stays_in_the_data(
    kind: type[Any],
) -> None:
    states = kind([Completed(data=1), Failed()])

    state = return_value_to_state(states)

    assert (state.type, state.message) == (StateType.FAILED, "1/2 states failed.")
    assert state.data is states


def test_states_beside_other_things_are_data() -> None:
    mixed = [Failed(), 5]

    assert return_value_to_state(mixed).type is StateType.COMPLETED


def test_a_quoted_state_is_data() -> None:
    value = quote(Failed())

    state = return_value_to_state(value)

    assert state.type is StateType.COMPLETED
    assert state.data is value


def test_a_generator_becomes_a_list() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)

    assert return_value_to_state(numbers()).data == [0, 1, 2]


def test_the_result_of_aggregated_states_that_completed_are_the_states() -> None:
    states = [Completed(data=1), Completed(data=2)]

    assert return_value_to_state(states).result() is states


def test_the_result_of_aggregated_states_that_failed_is_the_first_exception() -> None:
    error = ValueError("no")
    state = return_value_to_state([Completed(data=1), Failed(data=error), Crashed()])

    assert state.result(raise_on_failure=False) is error


# Several states as one.


@pytest.mark.parametrize(
    ("states", "kind", "message"),
    [
        ([Completed, Completed], StateType.COMPLETED, "All states completed."),
        ([Failed, Failed, Completed, Completed, Completed], StateType.FAILED, "2/5 states failed."),
        ([Failed, Crashed, Completed], StateType.FAILED, "2/3 states failed."),
        ([Completed, Running, Completed], StateType.FAILED, "1/3 states are not final."),
        ([Failed, Running, Pending], StateType.FAILED, "1/3 states failed."),
        ([Cancelling, Completed], StateType.FAILED, "1/2 states are not final."),
        ([Failed, Cancelled, Paused], StateType.CANCELLED, "1/3 states cancelled."),
        ([Failed, Paused, Running], StateType.PAUSED, "1/3 states paused."),
    ],
)
def test_states_are_aggregated(states: list[Callable[[], State[Any]]], kind: StateType, message: str) -> None:
    given = [make() for make in states]

    state = aggregate(given)

    assert (state.type, state.message, state.data) == (kind, message, given)
    assert state.name == kind.title()


def test_a_group_counts() -> None:
    group = StateGroup(
        make() for make in (Completed, Completed, Failed, Crashed, Cancelled, Paused, Running, Scheduled)
    )

    assert group.total_count == 8
    assert group.completed_count == 2
    assert group.fail_count == 2
    assert group.cancelled_count == 1
    assert group.paused_count == 1
    assert group.final_count == 5
    assert group.not_final_count == 3
    assert group.type_counts[StateType.RUNNING] == 1
    assert not group.all_completed()
    assert not group.all_final()
    assert group.any_failed()
    assert group.any_cancelled()
    assert group.any_paused()


def test_a_group_of_completed_states_is_final_and_nothing_else() -> None:
    group = StateGroup([Completed()])

    assert group.all_completed()
    assert group.all_final()
    assert not group.any_failed()
    assert not group.any_cancelled()
    assert not group.any_paused()


def test_a_group_tells_its_counts_in_the_order_of_the_types() -> None:
    group = StateGroup([Failed(), Completed(), Running(), Completed()])

    text = "total=4, not_final=1, 'RUNNING'=1, 'COMPLETED'=2, 'FAILED'=1"
    assert group.counts_message() == text
    assert repr(group) == f"StateGroup<{text}>"
    assert StateGroup([Completed()]).counts_message() == "total=1, 'COMPLETED'=1"


# Looking for states.


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_a_list_set_or_tuple_of_nothing_but_states_is_a_state_iterable(kind: type[Any]) -> None:
    assert is_state_iterable(kind([Completed(), Failed()]))
    assert not is_state_iterable(kind([Completed(), 1]))
    assert not is_state_iterable(kind([1, Completed()]))
    assert not is_state_iterable(kind())


def test_nothing_else_is_a_state_iterable() -> None:
    states = [Completed()]

    for value in (states[0], iter(states), dict.fromkeys(states), frozenset(states), "x", None, 3):
        assert not is_state_iterable(value)


class Hostile(list[Any]):
    """A list that raises whatever is asked of it."""

    def __iter__(self) -> Iterator[Any]:
        raise LookupError

    def __len__(self) -> int:
        raise LookupError

    __bool__ = __len__


class Proxy:
    """Stands for something that is not there now."""

    @property  # type: ignore[misc]  # the class is what is asked for
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise LookupError


@pytest.mark.parametrize("make", [lambda: Hostile([Completed()]), Proxy], ids=["a list", "a proxy"])
def test_what_raises_when_it_is_looked_into_is_data(make: Callable[[], Any]) -> None:
    value = make()

    assert not is_state_iterable(value)
    assert not is_state(value)
    assert not holds_states(value)
    assert return_value_to_state(value).type is StateType.COMPLETED


def test_a_returned_value_that_cannot_be_judged_makes_a_failure() -> None:
    class Unjudged(State[Any]):
        @property
        def hand_made(self) -> bool:
            raise LookupError("not my day")

    assert judged(Completed(data=1)).result() == 1
    assert str(judged(Unjudged(type="COMPLETED"))) == "Failed('LookupError: not my day')"


def test_states_inside_annotations_are_not_looked_for() -> None:
    assert not is_state_iterable(quote([Completed()]))


def test_a_state_is_known_by_its_class() -> None:
    assert is_state(State[Any](type=StateType.RUNNING, state_details=StateDetails()))
    assert not is_state(StateType.RUNNING)
    assert not is_state([Completed()])
