"""Interrupting: an exception raised inside a sync body by another thread.

Python raises it at the thread's next bytecode, whatever code that is then. Decides that it reaches the user's code and
nothing else: neither what comes behind the body, nor the engine's own code that a body calls, which would be left half
done, with a lock held, or with a run counted that never starts. So the place where the thread is has to be looked up
and the exception sent with no bytecode in between; see `_send`. Where that finds the engine's code, the exception is
raised by that: when the body starts something there, or when it has waited there; see `check`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, chain, islice, repeat, takewhile
from operator import attrgetter, is_not, itemgetter, methodcaller
from threading import Lock, get_ident, local
from types import FrameType
from typing import Any

from millrace.runtime.attempt import ENGINE_FOLDERS
from millrace.runtime.context import CURRENT


class Interruption:
    """A sync body that another thread may interrupt.

    Args:
        run: Whose body it is.
        sends: False: it may not be interrupted after all.
    """

    __slots__ = ("_base", "_came", "_sends", "_wanted", "run", "thread")

    def __init__(self, run: Any = None, *, sends: bool = True) -> None:
        self._sends = sends
        self.run = run
        self.thread = 0  # where it is called
        self._base: FrameType | None = None  # the frame that calls the body; None: it is not being called
        self._wanted: Exception | None = None  # is to be raised, by whatever comes to it first
        self._came = False  # it was sent, or raised by `check`

    @property
    def pending(self) -> bool:
        """Whether the body is being called and has not been interrupted yet."""
        return self._base is not None and not self._came

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the body, or one step of it.

        Raises:
            BaseException: what it raises, and what `interrupt` was given.
        """
        if not self._sends:
            return fn(*args, **kwargs)
        outer = _here.interruption
        _here.interruption = self
        self.thread = get_ident()
        self._base = sys._getframe()  # noqa: SLF001  # there is no other name for it
        try:
            return fn(*args, **kwargs)
        finally:
            self._base = None
            _here.interruption = outer
            if self._came:
                _take_back(self.thread)  # it has been raised by now, unless the interpreter lost sight of it
            del self  # an exception of the body holds this frame, and the run holds that

    def interrupt(self, error: Exception) -> bool:
        """Raise an exception in the body at its next bytecode, or when it comes to `check`. From another thread.

        Returns:
            Whether it was sent. False where the body is not being called, or the thread is in the engine's own code.
        """
        base = self._base
        if base is None or self._came:
            return False
        kind = _class_of(error)
        self._wanted = error
        self._came = True  # first: it may be raised before the next line is done
        self._came = _send(self.thread, base, kind)
        return self._came

    def check(self) -> None:
        """Raise what is wanted. In the engine's own code, on the body's thread."""
        error = self._wanted
        if error is not None and self.pending and CURRENT.get() is self.run:
            self._came = True
            raise error


class _Here(local):
    """What goes on on a thread."""

    interruption: Interruption | None = None  # of the body that is being called; None where none is


_here = _Here()


def check() -> None:
    """Raise what the body at hand is to be interrupted by, if it is. Not in a body that it has called directly."""
    interruption = _here.interruption
    if interruption is not None:
        interruption.check()


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
    those change at bytecodes, and a garbage collection that would run some is held off. The thread stands between two
    of its own, or waits in something that it has called; so the next one is in the very code that was looked at.
    """
    import ctypes  # noqa: PLC0415  # slow to import, and seldom needed

    frames = map(itemgetter(thread), iter(sys._current_frames, None))  # noqa: SLF001  # there is no other name for it
    stack = accumulate(chain(islice(frames, 1), repeat("f_back")), getattr)
    files = map(attrgetter("f_code.co_filename"), takewhile(partial(is_not, base), stack))
    in_engine = map(any, [map(methodcaller("startswith", ENGINE_FOLDERS), files)])
    errors = map({False: ctypes.py_object(error)}.__getitem__, in_engine)
    sent = map(partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(thread)), errors)
    with _no_collections():
        try:
            threads: int = next(sent)
            return threads == 1
        except (KeyError, AttributeError):  # it is in the engine's code, or has left the body: no such frame
            return False


_one_at_a_time = Lock()


@contextmanager
def _no_collections() -> Generator[None]:
    """Hold off garbage collections: before Python 3.12 one may begin at any allocation; later, only at a bytecode."""
    if sys.version_info >= (3, 12):
        yield
        return
    with _one_at_a_time:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()


def _take_back(thread: int) -> None:
    """Raise nothing that was sent and has not been raised."""
    import ctypes  # noqa: PLC0415  # see above

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)
