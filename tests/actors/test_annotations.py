"""Wrappers around arguments."""

from __future__ import annotations

import pickle
from typing import Any, assert_type

import pytest

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote, unmapped

KINDS: list[type[Annotation[Any]]] = [allow_failure, quote, opaque, unmapped]

each_kind = pytest.mark.parametrize("kind", KINDS)


def sent(value: object) -> Any:
    return pickle.loads(pickle.dumps(value))


@each_kind
def test_an_annotation_holds_its_value_as_it_is(kind: type[Annotation[Any]]) -> None:
    value = [1, 2]

    wrapped = kind(value)

    assert wrapped.value is value
    assert wrapped.unwrap() is value
    assert isinstance(wrapped, Annotation)


@each_kind
def test_rewrapping_keeps_the_kind(kind: type[Annotation[Any]]) -> None:
    assert kind(1).rewrap(2) == kind(2)


@each_kind
def test_an_annotation_reads_like_the_call_that_made_it(kind: type[Annotation[Any]]) -> None:
    assert repr(kind("x")) == f"{kind.__name__}('x')"


@each_kind
def test_annotations_are_equal_by_kind_and_value(kind: type[Annotation[Any]]) -> None:
    assert kind([1]) == kind([1])
    assert kind([1]) != kind([2])
    bare: Any = [1]
    assert kind([1]) != bare
    assert all(kind(1) != other(1) for other in KINDS if other is not kind)
    assert hash(kind(1)) == hash(kind(1))


@each_kind
def test_an_annotation_survives_pickling(kind: type[Annotation[Any]]) -> None:
    assert sent(kind([1])) == kind([1])


@each_kind
def test_an_annotation_cannot_be_changed(kind: type[Annotation[Any]]) -> None:
    with pytest.raises(AttributeError, match="cannot be set: it is a value"):
        setattr(kind(1), "value", 2)  # noqa: B010 - checkers refuse the plain way, as they should


def test_annotations_nest_in_any_order() -> None:
    inside_out: Annotation[Any] = allow_failure(unmapped(1))

    assert unmapped(allow_failure(1)).unwrap().unwrap() == 1
    assert unmapped(allow_failure(1)) != inside_out
    assert sent(unmapped(quote(1))) == unmapped(quote(1))


def test_unquote_gives_what_is_quoted() -> None:
    assert quote("x").unquote() == "x"


def test_an_annotation_knows_the_type_of_its_value() -> None:
    assert_type(allow_failure(1), allow_failure[int])
    assert_type(unmapped(quote("x")).unwrap().unquote(), str)
    assert_type(opaque(1).rewrap(2), opaque[int])
