"""Values: equal, hashed and shown by their fields, and never changed."""

from __future__ import annotations

import copy
import pickle
from typing import Any, ClassVar
from uuid import UUID

import pytest

from millrace.actors.events import Event
from millrace.actors.policies import CrashPolicy, RetryPolicy
from millrace.actors.states import Completed, StateDetails
from millrace.actors.values import Value, put, with_changes
from millrace.runtime.tracking import FlowRunResult, TaskRunResult


class Point(Value):
    """A value with two fields."""

    __slots__ = ("x", "y")

    x: int
    y: int

    def __init__(self, x: int, y: int = 0) -> None:
        put(self, "x", x)
        put(self, "y", y)


class Place(Point):
    """One with another field than what it derives from."""

    __slots__ = ("name",)

    name: str

    def __init__(self, x: int, y: int = 0, name: str = "") -> None:
        super().__init__(x, y)
        put(self, "name", name)


class Marked(Point):
    """One that its author gave no slots."""

    mark: ClassVar[str] = "x"


def test_values_are_equal_where_all_their_fields_are() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert len({Point(1, 2), Point(1, 2), Point(2, 1)}) == 2
    assert Place(1, 2, "a") != Place(1, 2, "b")


def test_values_of_different_classes_are_different() -> None:
    number = UUID(int=1)

    assert Point(1, 2) != Place(1, 2)
    assert Point(1, 2) != Marked(1, 2)
    assert Point(1, 2) != (1, 2)
    assert TaskRunResult(number) != FlowRunResult(number)
    assert hash(TaskRunResult(number)) != hash(FlowRunResult(number))


def test_a_value_is_shown_with_all_its_fields() -> None:
    assert repr(Place(1, name="a")) == "Place(x=1, y=0, name='a')"
    assert repr(RetryPolicy(2)) == "RetryPolicy(retries=2, delays=(), jitter=0.0, condition=None)"


@pytest.mark.parametrize("value", [Point(1, 2), Place(1, 2, "a"), Marked(1, 2), StateDetails(), CrashPolicy()])
def test_a_value_cannot_be_changed(value: Any) -> None:
    before = repr(value)

    for name in (*value.__match_args__, "anything"):
        with pytest.raises(AttributeError, match=rf"^{type(value).__name__}\.{name} cannot be set: it is a value"):
            setattr(value, name, 3)
        with pytest.raises(AttributeError, match=rf"^{type(value).__name__}\.{name} cannot be deleted: it is a value"):
            delattr(value, name)

    assert repr(value) == before


@pytest.mark.parametrize(
    "value",
    [
        Place(1, 2, "a"),
        StateDetails(cache_key="k", flow_run_id=UUID(int=1)),
        CrashPolicy(restart="task"),
        TaskRunResult(UUID(int=1)),
    ],
)
def test_a_value_survives_pickling_and_copying(value: Any) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value  # its own
    assert copy.deepcopy(value) == copy.copy(value) == value


def test_a_value_is_made_anew_with_other_fields() -> None:
    place = Place(1, 2, "a")

    assert with_changes(place, y=3) == Place(1, 3, "a")
    assert place == Place(1, 2, "a")
    assert with_changes(StateDetails(cache_key="k"), transition_id=str(UUID(int=1))).transition_id == UUID(int=1)


def test_what_is_not_a_field_cannot_be_given_in_a_change() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        with_changes(Point(1), z=1)


def test_a_value_is_matched_by_its_fields() -> None:
    match Place(1, 2, "a"):
        case Place(x, y, name):
            assert (x, y, name) == (1, 2, "a")


def test_events_are_what_has_happened_and_no_two_are_equal() -> None:
    state = Completed()
    one, other = (Event(state, None, 0, "returned", "fast-fox") for _ in range(2))

    assert one == one  # noqa: PLR0124  # itself
    assert one != other
    assert hash(one) == hash(one)
    with pytest.raises(AttributeError, match=r"^Event\.cause cannot be set"):
        setattr(one, "cause", "raised")  # noqa: B010  # checkers refuse the plain way, as they should
