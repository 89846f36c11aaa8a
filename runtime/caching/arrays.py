"""Arrays and frames: numpy's arrays, pandas' frames and series, pyarrow's and polars' tables, taken apart by content.

Decides what of them counts: the type of the elements, the shape, the labels and the values; not how they lie in memory.
None of these packages is imported here: an object of theirs can only come from where they have been imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from millrace.runtime.caching.tokens import Opened, Token, name_of

_PLAIN: Final = frozenset("biufcmMSUV")
"""Kinds of numpy's types whose elements lie in the array itself."""


def opened_array(value: Any) -> Opened | None:
    """An array or frame, taken apart; None for everything else, and for what pickle shows the content of as well."""
    package = type(value).__module__.partition(".")[0]
    opener = _OPENERS.get(package)
    return None if opener is None else opener(value, sys.modules[package])


def _numpy(value: Any, numpy: Any) -> Opened | None:
    if type(value) is not numpy.ndarray:
        return None
    dtype = value.dtype
    parts: list[Any] = [name_of(numpy.ndarray), dtype.str, dtype.name, *value.shape]
    if dtype.names is not None:  # field by field, since what lies between the fields is no content
        for name in dtype.names:
            parts += (name, value[name])
    elif dtype.hasobject or dtype.kind not in _PLAIN:
        parts += value.ravel().tolist()
    elif value.nbytes:
        parts.append(_digest(numpy.ascontiguousarray(value).reshape(-1).view("u1")))
    return Opened(value, b"y", parts)


def _pandas(value: Any, pandas: Any) -> Opened | None:
    if isinstance(value, pandas.DataFrame):
        labels = [value.columns, value.index]
        columns = [value.iloc[:, at] for at in range(value.shape[1])]
    elif isinstance(value, pandas.Series):
        labels = [value.name, value.index]
        columns = [value]
    elif isinstance(value, pandas.api.extensions.ExtensionArray):
        return Opened(value, b"y", [name_of(type(value)), value.dtype, *_content(value.__reduce_ex__(4))])
    else:
        return None
    # Where the elements lie in a plain array of numpy's, this gives the array itself.
    arrays = [each.array if pandas.api.types.is_extension_array_dtype(each) else each.to_numpy() for each in columns]
    extra = [getattr(value, name, None) for name in value._metadata if name != "name"]  # noqa: SLF001  # for subclasses
    return Opened(value, b"y", [name_of(type(value)), len(arrays), *labels, *arrays, *extra])


def _content(part: Any) -> list[Any]:
    """What pickle would keep of an array of pandas', without whether it may be written to, and how it is made again."""
    kept: list[Any] = []
    for each in part if isinstance(part, tuple) else [part]:
        if isinstance(each, tuple):
            kept += _content(each)
        elif isinstance(each, dict):
            state = {name: value for name, value in each.items() if name != "_readonly"}
            kept += [state] if state else []
        elif not callable(each):
            kept.append(each)
    return kept


def _pyarrow(value: Any, pyarrow: Any) -> Opened | None:
    if isinstance(value, pyarrow.Table):
        table = value
    elif isinstance(value, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([value])
    elif isinstance(value, (pyarrow.Array, pyarrow.ChunkedArray)):
        table = pyarrow.table({"": value})
    else:
        return None
    return Opened(value, b"y", [name_of(type(value)), _stream(table, pyarrow)])


def _polars(value: Any, polars: Any) -> Opened | None:
    if not isinstance(value, (polars.DataFrame, polars.Series)):
        return None
    single = isinstance(value, polars.Series)
    frame = value.to_frame() if single else value
    # Polars' own writing of a frame, since a conversion to arrow needs another package for some types.
    sink = _Sink()
    frame.rechunk().write_ipc_stream(sink, compat_level=polars.CompatLevel.oldest())
    return Opened(value, b"y", [name_of(type(value)), str(frame.schema), sink.token()])


def _stream(table: Any, pyarrow: Any) -> Token:
    """The digest of a table as it would be sent: in one piece, without what it is a slice of."""
    sink = _Sink()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.token()


class _Sink:
    """A file to write to that keeps a digest only."""

    closed = False

    def __init__(self) -> None:
        self._hash = sha256()

    def write(self, data: Any) -> int:
        """Take some more."""
        self._hash.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def token(self) -> Token:
        """The digest of all that was written."""
        return Token(b"D" + self._hash.digest())


def _digest(data: Any) -> Token:
    return Token(b"D" + sha256(data).digest())


_OPENERS: Final[dict[str, Callable[[Any, Any], Opened | None]]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
}
