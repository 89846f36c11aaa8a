"""The mailbox: who may speak to an actor, in which order, and how many may wait.

Delivery runs to completion on the delivering thread. Whoever finds the actor idle takes its *turn* (a try-lock), handles
the message as a plain function call and goes on; whoever finds it busy leaves the message and goes on, and the holder of
the turn handles it before leaving. So a message costs a function call and not a trip through an event loop, and actors
belong to no thread.

What this module alone decides: one message at a time; first in, first out per sender; control ahead of data; how many data
messages may wait; what happens when they are too many. What it does not know: what any message means.

Handling is pure and short, and what follows from it is done outside the turn. So a thread that holds a turn never waits for
anything, and whoever has to wait for one (because the mailbox is full) waits for the end of a few function calls.

The turn is the one thing the lower floor takes from `threading`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from threading import Lock
from typing import Any, Final

from millrace.actors.errors import MailboxFull

BOUND: Final = 1024
"""Data messages that may wait for one actor; a sender that finds more helps to handle them before it goes on."""

PATIENCE_SECONDS: Final = 30.0
"""How long a sender waits for the turn of an actor whose mailbox is full. Only an actor that never comes back takes so long."""

_making_queues = Lock()  # guards the one moment in which two threads could each give an actor its first queue


class Message:
    """Base of all messages. `control` messages are handled before any data message that waits."""

    __slots__ = ()
    control = False


class _Queue:
    """What waits for a busy actor. Most actors are never contended and never have one."""

    __slots__ = ("control", "data", "refused")

    def __init__(self) -> None:
        self.control: deque[Message] = deque()
        self.data: deque[Message] = deque()  # len <= BOUND + the number of threads
        self.refused = 0

    def __len__(self) -> int:
        return len(self.control) + len(self.data)

    def pop(self) -> Message | None:
        for lane in (self.control, self.data):
            try:
                return lane.popleft()
            except IndexError:
                continue
        return None


class Mailbox(ABC):
    """An actor's mailbox; actors derive from it.

    Invariant, at any instant: told = handled + waiting + refused + dead letters + (1 while a message is in hand).
    """

    __slots__ = ("_queue", "_turn", "dead_letters", "handled")

    def __init__(self) -> None:
        self._turn = Lock()
        self._queue: _Queue | None = None  # made by the first contention, kept from then on
        self.handled = 0  # changed by the holder of the turn only
        self.dead_letters = 0  # messages that came after the actor had no more use for them

    @abstractmethod
    def receive(self, message: Any) -> Any:
        """Handle one message, in the actor's turn, and return the instruction for the upper floor, or None."""

    @abstractmethod
    def perform(self, instruction: Any) -> None:
        """Carry out an instruction; given by the upper floor."""

    @property
    def waiting(self) -> int:
        """Messages that wait for the actor's turn."""
        return 0 if self._queue is None else len(self._queue)

    @property
    def refused(self) -> int:
        """Messages that were refused because the mailbox was full."""
        return 0 if self._queue is None else self._queue.refused

    def ask(self, message: Message) -> Any:
        """Deliver a message; hand the teller the instruction it leads to, if it was handled at once.

        Returns:
            The instruction, which the caller then owes to `perform`; None when there is none, or when the actor is busy:
            then the thread that has the turn handles the message and performs its instruction.

        Raises:
            MailboxFull: too many data messages wait, and the actor does not come back. The message was not taken.
        """
        if self._queue is None and self._turn.acquire(blocking=False):
            try:
                instruction = self.receive(message)
                self.handled += 1
            finally:
                self._turn.release()
            # Looked at after the release: a message left between the handling and the release has nobody else to see it.
            if self._queue is not None:
                self._drain()
            return instruction
        self._leave(message)
        return None

    def tell(self, message: Message) -> None:
        """Deliver a message and see to what follows from it.

        Raises:
            MailboxFull: too many data messages wait, and the actor does not come back. The message was not taken.
        """
        instruction = self.ask(message)
        if instruction is not None:
            self.perform(instruction)

    def _leave(self, message: Message) -> None:
        queue = self._queue
        if queue is None:
            with _making_queues:
                queue = self._queue
                if queue is None:
                    queue = self._queue = _Queue()
        if message.control:
            queue.control.append(message)
        else:
            if len(queue.data) >= BOUND:
                self._help(queue)
            queue.data.append(message)
        self._drain()

    def _help(self, queue: _Queue) -> None:
        """Wait for the turn, and empty the full mailbox: backpressure for a sender that is faster than the actor."""
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            queue.refused += 1
            raise MailboxFull(type(self).__name__, BOUND)
        self._handle_waiting(queue)

    def _drain(self) -> None:
        queue = self._queue
        # Append before acquire here, release before the look at the queue there: one of the two sees the message.
        while queue and self._turn.acquire(blocking=False):
            self._handle_waiting(queue)

    def _handle_waiting(self, queue: _Queue) -> None:
        """Handle what waits, in the turn, which is given back; then see to what follows."""
        instructions: list[Any] = []
        try:
            while (message := queue.pop()) is not None:
                instruction = self.receive(message)
                self.handled += 1
                if instruction is not None:
                    instructions.append(instruction)
        finally:
            self._turn.release()
        for instruction in instructions:
            self.perform(instruction)
