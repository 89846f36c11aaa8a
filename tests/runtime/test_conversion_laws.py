"""Laws of conversion: what holds for every annotation and every value; and what is loaded for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import (
    Sequence,
)
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import GenericAlias
from typing import (
    Any,
    Literal,
    Union,
)

from hypothesis import given
from hypothesis import strategies as st

from millrace.runtime.validation.converting import Converters
from millrace.runtime.validation.fitting import check_of
from millrace.runtime.validation.wrong import Wrong
from tests.runtime.annotated import (
    Colour,
    Config,
    Level,
    Mode,
    Options,
    Pair,
    Point,
    UserId,
    convert,
)

# Properties.


SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.integers().map(str),
    st.floats().map(str),
    st.binary(max_size=5),
    st.dates(),
    st.dates().map(str),
    st.datetimes(),
    st.datetimes().map(str),
    st.times().map(str),
    st.timedeltas(),
    st.timedeltas().map(str),
    st.decimals(),
    st.sampled_from([*Colour, *Level, *Mode, "red", "fast", "true", "no"]),
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3),
        st.fixed_dictionaries({"x": inner}, optional={"y": inner}),
        st.fixed_dictionaries({"retries": inner}, optional={"name": inner, "tags": inner}),
    ),
    max_leaves=6,
)
TYPES = st.recursive(
    st.sampled_from(
        [
            int,
            float,
            bool,
            str,
            bytes,
            None,
            datetime,
            date,
            time,
            timedelta,
            Decimal,
            Colour,
            Level,
            Mode,
            Path,
            Config,
            Point,
            Pair,
            Options,
            Any,
            list,
            dict,
            Literal[1, "a"],
            UserId,
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda each: list[each]),  # type: ignore[valid-type]
        inner.map(lambda each: Sequence[each]),  # type: ignore[valid-type]
        inner.map(lambda each: tuple[each, ...]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda pair: GenericAlias(tuple, pair)),
        st.tuples(st.sampled_from([str, int]), inner).map(lambda pair: GenericAlias(dict, pair)),
        st.tuples(inner, inner).map(lambda pair: Union[pair]),  # noqa: UP007  # of types that come at run time
    ),
    max_leaves=4,
)


@given(TYPES, VALUES)
def test_a_converted_value_is_not_converted_again(annotation: Any, value: Any) -> None:
    hook = Converters().hook(annotation)
    try:
        converted = hook(value)
    except Wrong:
        return
    again = hook(converted)
    assert again is converted, (annotation, value)


@given(TYPES, VALUES)
def test_what_fits_at_a_glance_would_not_have_been_changed(annotation: Any, value: Any) -> None:
    fits = check_of(annotation)
    if fits is None or fits(value):
        assert Converters().hook(annotation)(value) is value


@given(st.one_of(st.integers(), st.floats(), st.decimals(), st.booleans(), st.text(max_size=6)))
def test_nothing_is_lost_where_a_whole_number_is_made(value: Any) -> None:
    try:
        number = convert(int, value)
    except Wrong:
        return
    assert Decimal(value.replace("_", "") if isinstance(value, str) else value) == number


@given(st.timedeltas())
def test_a_duration_written_by_python_is_read_back(duration: timedelta) -> None:
    assert convert(timedelta, str(duration)) == duration


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_written_in_iso_format_is_read_back(moment: datetime) -> None:
    assert convert(datetime, moment.isoformat()) == moment


# What is loaded.


LOADED = """
import json, sys
from typing import Any
from millrace import flow

class Plain: pass

@flow
def bare(a, b=1): return a
@flow
def anything(a: Any, *more: Any, **others: object): return a
@flow
def simple(a: int, b: str | None = None, c: list[str] = [], d: "dict[str, float]" = {}, e: Plain | None = None):
    return a
@flow
def text(a: int): return a
@flow
def numbers(a: list[int]): return a

loaded = []
def note():
    loaded.append(["cattrs" in sys.modules, "millrace.runtime.validation.converting" in sys.modules])
bare(object()); anything("x", 1, b=2); note()
simple(1, "b", ["c"], {"d": 1.5}, Plain()); simple(2); note()
assert text("3") == 3 and numbers(("4",)) == [4]; note()

import attrs
@attrs.define
class Config: x: int
@flow
def made(config: Config): return config
assert made(Config("kept")).x == "kept"; note()
assert made({"x": "3"}) == Config(3); note()
print(json.dumps(loaded))
"""


def test_cattrs_is_loaded_when_a_class_has_to_be_made_of_a_mapping_and_not_before() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        [False, False],  # nothing is asked of the values
        [False, False],  # they fit
        [False, True],  # simple values are converted
        [False, True],  # an instance fits
        [True, True],
    ]
