"""Interrupting: an exception raised inside a sync body by another thread.

Decides that such an exception reaches the body and nothing behind it. Python raises it at the thread's next bytecode,
whatever code that is then; so whoever leaves the body and whoever wants to interrupt it ask for one token. If the body
got it, nothing is raised any more. If the other one did, the exception is on its way, and the body is not left before
it has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any, Final

_PATIENCE: Final = 1_000_000
"""Looks at whether the exception has come; it may have been swallowed by code that does not tell."""


class Interruption:
    """A sync body on this thread that another thread may interrupt."""

    __slots__ = ("_thread", "_token", "arrived")

    def __init__(self) -> None:
        self._thread = get_ident()
        self._token: deque[None] = deque((None,))  # `pop` is atomic: it is given out once
        self.arrived = False  # the exception has been raised in the body

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the body.

        Raises:
            BaseException: what it raises, and what `interrupt` was given.
        """
        try:
            return fn(*args, **kwargs)
        finally:
            self._leave()

    def interrupt(self, make: Callable[[], Exception]) -> bool:
        """Raise an exception in the body at its next bytecode. From another thread.

        Returns:
            Whether it will be; False where the body was left before.
        """
        try:
            self._token.pop()
        except IndexError:
            return False
        _raise_in(self._thread, _raiser(self, make))
        return True

    def _leave(self) -> None:
        try:
            self._token.pop()
        except IndexError:
            for _ in range(_PATIENCE):
                if self.arrived:
                    return
            _raise_in(self._thread, None)


def _raiser(interruption: Interruption, make: Callable[[], Exception]) -> type[Exception]:
    """A class that can be made without arguments, as Python does it, and says when it is."""
    error = make()

    def __init__(self: Exception) -> None:  # noqa: N807  # becomes one
        interruption.arrived = True
        self.__dict__.update(error.__dict__)
        self.args = error.args

    kind = type(error)
    return type(kind.__name__, (kind,), {"__init__": __init__, "__module__": kind.__module__, "__doc__": kind.__doc__})


def _raise_in(thread: int, error: type[Exception] | None) -> None:
    import ctypes  # noqa: PLC0415  # slow to import, and seldom needed

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
