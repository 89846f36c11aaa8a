"""`flow` and `task` for tests of what they do: without types, so that futures may stand for values, and be left alone.

What the types promise is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import millrace

Body = Callable[..., Any]


@overload
def flow(fn: Body, /) -> Any: ...
@overload
def flow(**options: Any) -> Callable[[Body], Any]: ...
def flow(fn: Body | None = None, /, **options: Any) -> Any:
    """The same as `millrace.flow`."""
    return millrace.flow(**options) if fn is None else millrace.flow(fn)


@overload
def task(fn: Body, /) -> Any: ...
@overload
def task(**options: Any) -> Callable[[Body], Any]: ...
def task(fn: Body | None = None, /, **options: Any) -> Any:
    """The same as `millrace.task`."""
    return millrace.task(**options) if fn is None else millrace.task(fn)
