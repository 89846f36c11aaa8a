"""Interrupting: an exception raised inside a sync body by another thread.

Python raises it at the thread's next bytecode, whatever code that is then. Decides that it reaches the user's code and
nothing else: neither what comes behind the body, nor the engine's own code that a body calls, which would be left half
done, with a lock held, or with a run counted that never starts. So the place where the thread is has to be looked up
and the exception sent with no bytecode in between; see `_send`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate, chain, islice, repeat, takewhile
from operator import attrgetter, is_not, itemgetter, methodcaller
from threading import get_ident
from types import FrameType
from typing import Any

from millrace.runtime.attempt import ENGINE_FOLDERS


class Interruption:
    """A sync body that another thread may interrupt."""

    __slots__ = ("_base", "_sent", "_thread")

    def __init__(self) -> None:
        self._thread = 0
        self._base: FrameType | None = None  # the frame that calls the body; None: it is not being called
        self._sent = False

    @property
    def inside(self) -> bool:
        """Whether the body is being called."""
        return self._base is not None

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the body, or one step of it.

        Raises:
            BaseException: what it raises, and what `interrupt` was given.
        """
        self._thread = get_ident()
        self._base = sys._getframe()  # noqa: SLF001  # there is no other name for it
        try:
            return fn(*args, **kwargs)
        finally:
            self._base = None
            if self._sent:
                _take_back(self._thread)  # it has been raised by now, unless the interpreter lost sight of it

    def interrupt(self, make: Callable[[], Exception]) -> bool:
        """Raise an exception in the body at its next bytecode. From another thread.

        Returns:
            Whether it will be; False where the body is not being called, or the thread is in the engine's own code.
        """
        base = self._base
        if base is None or self._sent:
            return False
        error = _class_of(make())
        self._sent = True  # first: from the next line on it may be raised, and the body be left
        self._sent = _send(self._thread, base, error)
        return self._sent


def _class_of(error: Exception) -> type[Exception]:
    """A class that makes such an error when it is called without arguments, as Python does here."""

    def __init__(self: Exception) -> None:  # noqa: N807  # becomes one
        self.__dict__.update(error.__dict__)
        self.args = error.args

    kind = type(error)
    return type(kind.__name__, (kind,), {"__init__": __init__, "__module__": kind.__module__, "__doc__": kind.__doc__})


def _send(thread: int, base: FrameType, error: type[Exception]) -> bool:
    """Raise an error in a thread, if it is in the user's code above a frame.

    All steps are one call into C: the iterators do nothing before that, and then no thread gets a turn in between, as
    those change at bytecodes. The thread stands between two of its own, or waits in something that it has called; so
    the next one is in the very code that was looked at.
    """
    import ctypes  # noqa: PLC0415  # slow to import, and seldom needed

    frames = map(itemgetter(thread), iter(sys._current_frames, None))  # noqa: SLF001  # there is no other name for it
    stack = accumulate(chain(islice(frames, 1), repeat("f_back")), getattr)
    files = map(attrgetter("f_code.co_filename"), takewhile(partial(is_not, base), stack))
    in_engine = map(any, [map(methodcaller("startswith", ENGINE_FOLDERS), files)])
    errors = map({False: ctypes.py_object(error)}.__getitem__, in_engine)
    sent = map(partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(thread)), errors)
    try:
        return next(sent) == 1
    except (KeyError, AttributeError):  # it is in the engine's code, or has left the body: the stack ends without it
        return False


def _take_back(thread: int) -> None:
    """Raise nothing that was sent and has not been raised."""
    import ctypes  # noqa: PLC0415  # see above

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)
