"""Signals: what Ctrl-C and a request to terminate mean while a flow runs in the main thread.

Decides that they become exceptions where that does no harm. In the body of a sync flow, and in what that calls, they
are raised at once; in the engine's own code, which would be left half done with a run counted that never starts, as
soon as the thread has left it. A loop of the engine's making has its main task cancelled by the first, and is left at
once by the second. The former handlers are put back when the flow has ended, and hear of a signal that ended it.

Only handlers that Python has installed are replaced, and those for SIGTERM that a program has: never one that ignores
a signal, never in another thread than the main one, never where somebody else's loop runs.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from _thread import start_new_thread
from contextvars import ContextVar
from threading import Lock, current_thread, main_thread
from time import sleep
from types import FrameType, TracebackType
from typing import Any, Final, Self

from millrace.actors.errors import TerminationSignal
from millrace.runtime.attempt import ENGINE_FOLDERS
from millrace.runtime.waiting import ThreadWaiter

_HERE: Final = os.path.dirname(__file__)  # noqa: PTH120  # importing pathlib takes a twentieth of the whole import
_CALL_BODIES: Final = tuple(
    os.path.join(_HERE, f"{name}.py")  # noqa: PTH118  # likewise
    for name in (
        "attempt",
        "conduct",
        "effects",
        "flow_attempt",
        "flow_body",
        "flow_iterating",
        "interrupting",
        "iterating",
        "stepping",
    )
)
"""What calls bodies and hooks, and nothing else of the users'."""

_STDLIB: Final = os.path.dirname(os.__file__)  # noqa: PTH120  # likewise, and for sysconfig
_NOBODYS: Final = (_STDLIB, "<frozen ")
_INSTALLED: Final = os.path.join(_STDLIB, "site-packages")  # noqa: PTH118  # which has users' code, if no venv has

_BARE: Final[Any] = importlib.import_module("_signal")
"""What `signal` is made of. Its own functions make a member of an enum of every handler that they are given and give,
which is none of that, and so takes longer than everything else that a flow that does nothing needs."""

_BY_DEFAULT: Final = int(signal.SIG_DFL)  # as the bare functions give it: a small number, of which there is one

_AGAIN_SECONDS: Final = 0.001
"""A thread that is in the engine's own code is sent the signal again after so long, then twice that, and so on."""

_LATEST_SECONDS: Final = 0.25


PENDING: Final[set[int]] = set()
"""Have come while the main thread was in the engine's own code, in the one flow there whose signals are handled."""


class Handled:
    """Handles signals for as long as its block lasts, where that is possible. See the module's docstring."""

    def __init__(self) -> None:
        self._former: dict[int, Any] = {}  # by signal: the handlers that were replaced
        # By signal that the former handlers are to hear of: where it came.
        self._heard: dict[int, FrameType | None] = {}

    def __enter__(self) -> Self:
        if current_thread() is main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if _is_replaced(number):
                    self._former[number] = _BARE.signal(number, self.handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        former, self._former = self._former, {}
        for number, handler in former.items():
            if _BARE.getsignal(number) == self.handle:  # else somebody else has put one in its place
                _BARE.signal(number, handler)
        for number, frame in self._heard.items():
            if callable(former.get(number)) and number != signal.SIGINT:
                former[number](number, frame)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """A signal has come. On the main thread, between any two of its steps."""
        raise NotImplementedError


class InBodies(Handled):
    """Raises signals in the body of a sync flow that runs on the main thread."""

    def __init__(self) -> None:
        super().__init__()
        self._own: set[int] = set()  # are on their way again
        self._left = False
        self._guard = Lock()  # of both, and of `PENDING`, but for the handler, which can wait for nobody

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            self._left = True
        if self._own:
            sleep(0)  # what is on its way to this thread comes now, and not to another handler
        super().__exit__(kind, error, trace)
        left = sorted(PENDING)
        PENDING.clear()
        for number in left:
            signal.raise_signal(number)  # the flow has ended before it could be raised there

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise the exception here, or have the signal sent again."""
        own = number in self._own
        self._own.discard(number)
        if own and number not in PENDING:
            return  # raised meanwhile
        if self._left:
            if not own:
                PENDING.add(number)
            return
        if _may_raise(frame) or (number in PENDING and not own):  # somebody insists
            PENDING.discard(number)
            self._heard[number] = frame
            raise error_of(number)
        if number not in PENDING:
            PENDING.add(number)
            start_new_thread(self._send_again, (number,))

    def raise_pending(self) -> None:
        """Raise what has come while the thread was in the engine's own code. From there, where nothing is half done."""
        for number in sorted(PENDING):
            PENDING.discard(number)
            self._heard[number] = None
            raise error_of(number)

    def _send_again(self, number: int) -> None:
        pause = _AGAIN_SECONDS
        while True:
            sleep(pause)
            with self._guard:
                if self._left or number not in PENDING:
                    return
                self._own.add(number)
                signal.pthread_kill(main_thread().ident or 0, number)
            pause = min(2 * pause, _LATEST_SECONDS)


class OnLoop(Handled):
    """Cancels the main task of a loop when the first signal comes; the second is the end at once.

    Args:
        task: The main task of a loop, which is to run on the main thread.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        super().__init__()
        self._task = task
        self._first: int | None = None
        self.killed = False  # by the second, or by one that finds nothing to cancel

    @property
    def error(self) -> BaseException | None:
        """What a signal that came means; None where none came."""
        return None if self._first is None else error_of(self._first)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Cancel the task, or raise the exception here."""
        self._heard[number] = frame
        self.killed = self._first is not None or self._task.done()
        self._first = self._first or number
        if self.killed:
            raise KeyboardInterrupt
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)


STOPPED_BY: Final[ContextVar[OnLoop | None]] = ContextVar("millrace_stopped_by", default=None)
"""What may have cancelled the asyncio task at hand, where its loop is the engine's."""


def handles_here() -> bool:
    """Whether a sync flow that is called here is one whose signals are handled: no other one is, and no loop runs."""
    return current_thread() is main_thread() and _is_replaced(signal.SIGTERM)


def check() -> None:
    """Raise a signal that is pending, in the engine's own code, where nothing of that is half done, nor around it.

    Code that calls one task after another is seldom found anywhere else, so the signal would be sent again in vain.
    """
    if current_thread() is not main_thread():
        return
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # there is no other name for it
    while frame is not None and _is_engines(frame):
        frame = frame.f_back
    if not _may_raise(frame):
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        ours = getattr(_BARE.getsignal(number), "__self__", None)
        if isinstance(ours, InBodies):
            ours.raise_pending()


def error_of(number: int) -> BaseException:
    """The exception that a signal becomes."""
    return KeyboardInterrupt() if number == signal.SIGINT else TerminationSignal(number)


def _is_replaced(number: int) -> bool:
    """Whether the handler of a signal gives way to ours."""
    former = _BARE.getsignal(number)
    if number == signal.SIGINT:
        return former is signal.default_int_handler
    ours = isinstance(getattr(former, "__self__", None), Handled)
    return not ours and (former is _BY_DEFAULT or callable(former))


def _may_raise(frame: FrameType | None) -> bool:
    """Whether an exception that is raised where the main thread is leaves nothing of the engine's half done.

    It does so in a wait; and in the user's code, and in what that has called, where a body or a hook has led to it.
    """
    while frame is not None and _is_nobodys(frame):
        frame = frame.f_back
    if frame is not None and _is_engines(frame):
        return frame.f_code is ThreadWaiter.wait.__code__
    while frame is not None and not _is_engines(frame):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename in _CALL_BODIES


def _is_engines(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(ENGINE_FOLDERS)


def _is_nobodys(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(_NOBODYS) and not file.startswith(_INSTALLED)
