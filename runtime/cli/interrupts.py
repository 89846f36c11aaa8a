"""Ctrl-C while a flow runs: the first cancels the run and waits for its end, the second ends the process at once.

Decides what a signal does. The handler itself only leaves a note: it may have stopped the main thread anywhere, even
while that holds a lock of the engine's, so the cancelling is done by a thread that waits for the note.

A sync flow's body runs on the main thread and may be busy with anything. Once the run is CANCELLING, and only then,
the body is interrupted with an exception that is both a `KeyboardInterrupt`, for the user's code, and a cancellation,
so that the run ends CANCELLED. An async flow's body is cancelled at its await.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

from millrace.runtime.flow_run import FlowRun

EXIT_CODE: Final = 130
"""128 and the number of SIGINT, as shells have it."""

OWN_SIGNAL: Final = signal.SIGUSR2
"""Interrupts the body of a sync flow; not SIGINT, so that a second Ctrl-C is never taken for it."""

AGAIN_SECONDS: Final = 0.25
"""How soon the body is interrupted again when it has not heard."""


class Interruption(KeyboardInterrupt, asyncio.CancelledError):
    """Ctrl-C, as the body of a sync flow sees it."""


class Interrupts:
    """Handles SIGINT for as long as its block lasts. See the module's docstring.

    Args:
        run: The flow run to cancel.
        announce: Told that the run is being cancelled; from another thread.
    """

    def __init__(self, run: FlowRun, announce: Callable[[], None]) -> None:
        self.happened = False
        self._run = run
        self._announce = announce
        self._notes: SimpleQueue[bool] = SimpleQueue()  # the one queue that a signal handler may put into
        self._stop_body = False  # our own signal is to interrupt the body
        self._heard = threading.Event()
        self._former: Any = None
        self._former_own: Any = None
        self._thread = threading.Thread(target=self._cancel_when_told, name="millrace-interrupts", daemon=True)

    def __enter__(self) -> Self:
        # Only the main thread may handle signals. A process that was started to ignore this one, in the background of a
        # script for instance, goes on ignoring it.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._former = signal.signal(signal.SIGINT, self._handle)
            self._former_own = signal.signal(OWN_SIGNAL, self._interrupt_body)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)
            self._stop_body = False
            self._heard.set()
            self._notes.put(False)
            self._thread.join(timeout=1.0)
            if (
                not self._thread.is_alive()
            ):  # else our own signal may still come, and without a handler it would be the end
                signal.signal(OWN_SIGNAL, self._former_own)

    def _interrupt_body(self, _number: int, _frame: object) -> None:
        if self._stop_body:
            self._stop_body = False
            self._heard.set()
            if not self._run.ended:
                raise Interruption

    def _handle(self, _number: int, _frame: object) -> None:
        if self.happened:
            os.write(2, b"\r\x1b[K" if os.isatty(2) else b"")
            os._exit(EXIT_CODE)
        else:
            self.happened = True
            self._notes.put(True)

    def _cancel_when_told(self) -> None:
        if not self._notes.get():
            return
        self._announce()
        self._run.cancel("It was interrupted with Ctrl-C.")
        if not self._run.blocks:
            return
        self._stop_body = True
        # Again until it is heard: a signal that comes between the interpreter's last look for one and the system call
        # that a body blocks in wakes nobody.
        while self._stop_body and not self._run.ended:
            signal.pthread_kill(threading.main_thread().ident or 0, OWN_SIGNAL)
            self._heard.wait(AGAIN_SECONDS)
