"""Arrays and frames count by their content, however they lie in memory."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from millrace.actors.errors import Unhashable
from millrace.runtime.caching import hash_value

np: Any = importlib.import_module("numpy")  # by name: type checkers do without it


def same(one: Any, other: Any) -> bool:
    return hash_value(one) == hash_value(other)


def test_an_array_counts_by_its_values() -> None:
    assert same(np.arange(6), np.arange(6))
    assert not same(np.arange(6), np.arange(1, 7))


def test_how_an_array_lies_in_memory_does_not_matter() -> None:
    table = np.arange(12).reshape(3, 4)

    assert same(table, np.asfortranarray(table))
    assert same(table[:, ::2], table[:, ::2].copy())
    assert same(table.T.T, table)


@pytest.mark.parametrize(
    "other",
    [
        [0, 1, 2, 3],
        (0, 1, 2, 3),
        np.arange(4, dtype="i4"),
        np.arange(4, dtype="f8"),
        np.arange(4, dtype="u8"),
        np.arange(4, dtype=">i8"),
        np.arange(4, dtype="m8[s]"),
        np.arange(4, dtype="m8[ms]"),
        np.arange(4, dtype=object),
        np.arange(4).reshape(2, 2),
        np.arange(4).reshape(4, 1),
        np.arange(4).view(np.recarray),
        np.ma.masked_array(np.arange(4)),
        np.arange(4).tobytes(),
    ],
    ids=lambda other: f"{type(other).__name__}-{getattr(other, 'dtype', '')}-{getattr(other, 'shape', '')}",
)
def test_the_type_and_the_shape_of_an_array_matter(other: Any) -> None:
    assert not same(np.arange(4, dtype="i8"), other)


def test_arrays_of_objects_count_by_the_objects() -> None:
    assert same(np.array([{"a"}, "b"], dtype=object), np.array([{"a"}, "b"], dtype=object))
    assert not same(np.array([1, "1"], dtype=object), np.array([1, 1], dtype=object))


def test_what_lies_between_the_fields_of_an_array_does_not_count() -> None:
    aligned = np.dtype([("a", "i1"), ("b", "i8")], align=True)
    clean, dirty = np.zeros(2, aligned), np.frombuffer(b"\xff" * 2 * aligned.itemsize, aligned).copy()
    for field in aligned.names:
        dirty[field] = 0

    assert clean.tobytes() != dirty.tobytes()
    assert same(clean, dirty)
    dirty["b"][1] = 1
    assert not same(clean, dirty)


@pytest.mark.parametrize(
    "empty", [np.zeros((0, 3)), np.zeros((3, 0)), np.array(1.0), np.array(b""), np.array([], object)]
)
def test_arrays_without_elements_or_dimensions_have_a_hash(empty: Any) -> None:
    assert same(empty, empty.copy())
    assert not same(empty, np.zeros((0, 4)))


def test_an_array_inside_of_something_counts_by_its_content() -> None:
    assert same({"a": [np.ones(3)]}, {"a": [np.ones(3)]})
    assert not same({"a": [np.ones(3)]}, {"a": [np.zeros(3)]})


def count_up() -> Iterator[int]:
    yield 1


def test_an_array_that_holds_something_without_a_hash_has_none() -> None:
    with pytest.raises(Unhashable, match="a 'generator' cannot be taken apart"):
        hash_value(np.array([map(str, ()), count_up()], dtype=object))


class TestFrames:
    """Where the package is there."""

    def test_a_pandas_frame_counts_by_labels_types_and_values(self) -> None:
        pd: Any = pytest.importorskip("pandas", reason="a large package, for this test alone")

        def frame(**columns: Any) -> Any:
            given = {
                "number": [1.5, None, 2],
                "text": ["a", None, "c"],
                "kind": pd.Categorical(["u", "v", "u"]),
                "count": pd.array([1, None, 3], dtype="Int64"),
                "day": pd.date_range("2026-11-20", periods=3),
                "there": pd.date_range("2026-11-20", periods=3, tz="Europe/Berlin"),
                "mixed": [1, "1", None],
            }
            return pd.DataFrame({**given, **columns})

        others = [
            frame(number=[1.5, None, 3]),
            frame(text=["a", "b", "c"]),
            frame(mixed=[1, 1, None]),
            frame(kind=["u", "v", "u"]),
            frame(count=[1, 2, 3]),
            frame(more=[1, 2, 3]),
            frame().rename(columns={"text": "words"}),
            frame().set_index(pd.Index([4, 5, 6])),
            frame()[["text", "number", "kind", "count", "day", "there", "mixed"]],
            frame().iloc[:2],
        ]
        used = frame()
        used.sum(numeric_only=True)
        str(used)
        put_together = frame().assign(more=1).drop(columns="more")

        assert same(frame(), used)
        assert same(frame(), put_together)
        assert same(frame(), pd.concat([frame(), frame()], ignore_index=True).iloc[:3])
        assert len({hash_value(each) for each in [frame(), *others]}) == 1 + len(others)
        assert all(same(frame()[name], frame()[name]) for name in frame())
        assert len({hash_value(frame()[name]) for name in frame()}) == len(frame().columns)

    def test_a_polars_frame_counts_by_labels_types_and_values(self) -> None:
        pl: Any = pytest.importorskip("polars", reason="a large package, for this test alone")

        def frame(**columns: Any) -> Any:
            given = {"number": [1, 2, 3], "text": ["a", "b", "c"], "nested": [[1], [2, 3], []]}
            return pl.DataFrame({**given, **columns})

        pieces = pl.concat([frame()[:1], frame()[1:]], rechunk=False)
        others = [
            frame(number=[1, 2, 4]),
            frame(number=[1.0, 2.0, 3.0]),
            frame(text=["a", "b", None]),
            frame(more=[1, 2, 3]),
            frame().rename({"text": "words"}),
            frame()[:2],
            frame()["number"],
            frame()["text"],
        ]

        assert same(frame(), frame())
        assert same(frame(), pieces)
        assert len({hash_value(each) for each in [frame(), *others]}) == 1 + len(others)

    def test_an_arrow_table_counts_by_labels_types_and_values(self) -> None:
        pa: Any = pytest.importorskip("pyarrow", reason="a large package, for this test alone")

        def table(number: Any = (1, 2, 3)) -> Any:
            return pa.table({"number": list(number), "text": ["a", None, "c"]})

        slice_of_two = pa.concat_tables([table(), table()]).slice(3, 3)
        others = [table([1, 2, 4]), table([1.0, 2.0, 3.0]), table().rename_columns(["a", "b"]), table()["number"]]

        assert same(table(), slice_of_two)
        assert same(pa.array([1, 2]), pa.array([0, 1, 2])[1:])
        assert same(table().to_batches()[0], table().to_batches()[0])
        assert len({hash_value(each) for each in [table(), *others]}) == 1 + len(others)
