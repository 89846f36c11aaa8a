"""Ctrl-C while a flow runs: the first cancels the run and waits for its end, the second ends the process at once.

Decides what a signal does. The cancelling is done by a thread: a handler may have stopped the main thread anywhere,
even while that holds a lock of the engine's. The thread hears of a signal by a pipe, which the interpreter writes to
before it calls any handler: one that comes between the interpreter's last look for signals and the system call that a
sync body blocks in has its handler called when that call returns, which may be never.

A sync flow's body runs on the main thread and may be busy with anything. Once the run is CANCELLING, and only then,
the body is interrupted with an exception that is both a `KeyboardInterrupt`, for the user's code, and a cancellation,
so that the run ends CANCELLED. An async flow's body is cancelled at its await.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from millrace.runtime.flow_run import FlowRun

EXIT_CODE: Final = 130
"""128 and the number of SIGINT, as shells have it."""

OWN_SIGNAL: Final = signal.SIGUSR2
"""Interrupts the body of a sync flow; not SIGINT, so that a second Ctrl-C is never taken for it."""

AGAIN_SECONDS: Final = 0.25
"""How soon the body is interrupted again when it has not heard."""

_OVER: Final = 0
"""In the pipe, beside the numbers of signals: the block has been left."""


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
        self._stop_body = False  # our own signal is to interrupt the body
        self._former: Any = None
        self._former_own: Any = None
        self._former_wakeup = -1
        self._told, self._tells = -1, -1  # the ends of the pipe
        self._thread = threading.Thread(target=self._listen, name="millrace-interrupts", daemon=True)

    def __enter__(self) -> Self:
        # Only the main thread may handle signals. A process that was started to ignore this one, in the background of a
        # script for instance, goes on ignoring it.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._told, self._tells = os.pipe()
            os.set_blocking(self._tells, False)
            if self._run.blocks:  # else the main thread runs a loop, which wakes for signals by itself
                self._former_wakeup = signal.set_wakeup_fd(self._tells, warn_on_full_buffer=False)
            self._former = signal.signal(signal.SIGINT, self._handle)
            self._former_own = signal.signal(OWN_SIGNAL, self._interrupt_body)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._former is None:
            return
        signal.signal(signal.SIGINT, self._former)
        self._stop_body = False
        if self._run.blocks:
            signal.set_wakeup_fd(self._former_wakeup)
        os.write(self._tells, bytes([_OVER]))
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():  # else our own signal may still come, and without a handler it would be the end
            signal.signal(OWN_SIGNAL, self._former_own)
            os.close(self._told)
            os.close(self._tells)

    # In the main thread, whenever it gets to it.

    def _handle(self, number: int, _frame: object) -> None:
        if not self._run.blocks:
            os.write(self._tells, bytes([number]))

    def _interrupt_body(self, _number: int, _frame: object) -> None:
        if self._stop_body:
            self._stop_body = False
            if not self._run.ended:
                raise Interruption

    # In the thread that listens.

    def _listen(self) -> None:
        while True:
            again = self._stop_body and not self._run.ended
            if again:
                # Again until it is heard, for the reason that the module's docstring gives.
                signal.pthread_kill(threading.main_thread().ident or 0, OWN_SIGNAL)
            for number in self._heard(AGAIN_SECONDS if again else None):
                if number == _OVER:
                    return
                if number == signal.SIGINT:
                    self._interrupt()

    def _heard(self, seconds: float | None) -> bytes:
        """What has come, after so long at the latest; without the echoes of our own signal, which are no news."""
        while select.select([self._told], [], [], seconds)[0]:
            if news := os.read(self._told, 64).replace(bytes([OWN_SIGNAL]), b""):
                return news
        return b""

    def _interrupt(self) -> None:
        if self.happened:
            os.write(2, b"\r\x1b[K" if os.isatty(2) else b"")
            os._exit(EXIT_CODE)
        self.happened = True
        self._announce()
        self._run.cancel("It was interrupted with Ctrl-C.")
        self._stop_body = self._run.blocks
