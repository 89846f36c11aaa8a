"""Telling: values and exceptions of somebody else's, as text."""

from __future__ import annotations

import pytest

from millrace.actors.telling import shown, text_of, told_of


class Hidden(Exception):
    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("error", "text", "told"),
    [
        (ValueError("no"), "no", "ValueError: no"),
        (ValueError(), "", "ValueError"),
        (KeyError("a"), "'a'", "KeyError: 'a'"),
        (KeyboardInterrupt(), "", "KeyboardInterrupt"),
        (Hidden(), "its text cannot be shown", "Hidden (its text cannot be shown)"),
    ],
    ids=range(5),
)
def test_an_exception_is_told_with_its_type(error: BaseException, text: str, told: str) -> None:
    assert (text_of(error), told_of(error)) == (text, told)


def test_a_value_is_shown_by_its_repr() -> None:
    assert shown("a") == "'a'"
    assert shown([1, None]) == "[1, None]"


def test_of_a_long_value_the_ends_are_shown() -> None:
    text = shown(list(range(10_000)))

    assert text.startswith("[0, 1, 2, ")
    assert text.endswith(", 9998, 9999]")
    assert len(text) <= 200


@pytest.mark.parametrize("value", [Hidden(), 10**5_000], ids=["a repr that raises", "too many digits"])
def test_a_value_that_cannot_be_shown_is_named(value: object) -> None:
    assert shown(value) == object.__repr__(value)
