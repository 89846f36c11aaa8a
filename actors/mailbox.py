"""The mailbox: who may speak to an actor, in which order, and how many may wait.

Delivery runs to completion on the delivering thread. Whoever finds the actor idle takes its *turn* (a try-lock),
handles the message as a plain function call and goes on; whoever finds it busy leaves the message and goes on, and the
holder of the turn handles it before leaving. So a message costs a function call and not a trip through an event loop,
and actors belong to no thread.

What this module alone decides: one message at a time; first in, first out per sender; control ahead of data; how many
data messages may wait; what happens when they are too many. What it does not know: what any message means.

Handling is pure and short, and what follows from it is done outside the turn. So a thread that holds a turn never waits
for anything, and whoever has to wait for one (because the mailbox is full) waits for the end of a few function calls.

The turn is a slot that is there while nobody has it, and whoever deletes it has it. The interpreter does that in one
step, or raises, as it does for all others. A lock would cost every run a hundred bytes, and more time than the rest of
a delivery. Only who has to wait for a turn does so at one, which is all that the lower floor takes from `threading`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final

from millrace.actors.errors import MailboxFull

if TYPE_CHECKING:
    from millrace.actors.instructions import Order

BOUND: Final = 1024
"""Data messages that may wait for one actor; a sender that finds more helps to handle them before it goes on."""

PATIENCE_SECONDS: Final = 30.0
"""How long a sender waits for the turn of a full mailbox's actor. Only one that never comes back takes so long."""

_rarely = Lock()  # guards what is seldom done and not in any turn: giving an actor its first queue, counting a refusal


class Message:
    """Base of all messages. `control` messages are handled before any data message that waits."""

    __slots__ = ()
    control = False


class _Queue:
    """What waits for a busy actor, and what was lost. Most actors are never contended and never have one."""

    __slots__ = ("bells", "control", "data", "dead_letters", "refused")

    def __init__(self) -> None:
        self.bells: list[Lock] = []  # of those who wait for the turn, first to last; len <= the number of threads
        self.control: deque[Message] = deque()
        self.data: deque[Message] = deque()  # len <= BOUND + the number of threads
        self.refused = 0
        self.dead_letters = 0

    def __len__(self) -> int:
        return len(self.control) + len(self.data)

    def pop(self) -> Message | None:
        for lane in (self.control, self.data):
            try:
                return lane.popleft()
            except IndexError:
                continue
        return None

    def ring(self) -> None:
        """The turn has been given back: wake the first of those who wait for it."""
        try:
            bell = self.bells.pop(0)
        except IndexError:
            return
        bell.release()

    def unhang(self, bell: Lock) -> bool:
        """Take a bell away; whether it had not been rung."""
        try:
            self.bells.remove(bell)
        except ValueError:
            return False
        return True


# The actors are attrs classes all the way down, because attrs makes one flat __init__ of a whole line of ancestors,
# where a chain of super().__init__() calls would cost more than everything else about making a run.


class Mailbox(ABC):
    """An actor's mailbox; actors derive from it.

    Invariant, at any instant: told = handled + waiting + refused + (1 while a message is in hand). Dead letters are
    messages that were handled and found no use any more.
    """

    handlers: ClassVar[Mapping[type, Callable[[Any, Any], Order | None]]]
    """By class of the message: handles it in the actor's turn, and returns the instruction that follows, or None."""

    __slots__ = ("_queue", "_turn", "handled")

    def __init__(self) -> None:
        self._turn = None  # there, whatever it is: nobody has the turn. Deleted: somebody does
        self._queue: _Queue | None = None  # made by the first contention or loss, kept from then on
        self.handled = 0  # changed by the holder of the turn only

    @abstractmethod
    def perform(self, instruction: Order) -> None:
        """Carry out an instruction; given by the upper floor."""

    @property
    def waiting(self) -> int:
        """Messages that wait for the actor's turn."""
        return 0 if self._queue is None else len(self._queue)

    @property
    def refused(self) -> int:
        """Messages that were refused because the mailbox was full."""
        return 0 if self._queue is None else self._queue.refused

    @property
    def dead_letters(self) -> int:
        """Messages that were handled and found no use any more. Changed in the actor's turn only."""
        return 0 if self._queue is None else self._queue.dead_letters

    @dead_letters.setter
    def dead_letters(self, count: int) -> None:
        self._queue_or_new().dead_letters = count

    def _queue_or_new(self) -> _Queue:
        queue = self._queue
        if queue is None:
            with _rarely:
                queue = self._queue
                if queue is None:
                    queue = self._queue = _Queue()
        return queue

    def ask(self, message: Message) -> Order | None:
        """Deliver a message; hand the teller the instruction it leads to, if it was handled at once.

        Returns:
            The instruction, which the caller then owes to `perform`; None when there is none, or when the actor is
            busy: then the thread that has the turn handles the message and performs its instruction.

        Raises:
            MailboxFull: too many data messages wait, and the actor does not come back. The message was not taken.
        """
        queue = self._queue
        if queue is None or not (queue.data or queue.control):  # nobody waits
            try:
                del self._turn
            except AttributeError:
                pass  # somebody has it
            else:
                try:
                    return self.handlers[message.__class__](self, message)
                finally:
                    self.handled += 1
                    self._turn = None
                    # Looked at after that: a message left between the handling and that has nobody else to see it.
                    if self._queue is not None:
                        self._queue.ring()
                        self._drain(self._queue)
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
        queue = self._queue_or_new()
        if message.control:
            queue.control.append(message)
        else:
            if len(queue.data) >= BOUND:
                errors = self._help(queue)
                queue.data.append(message)
                self._drain(queue, errors)
                return
            queue.data.append(message)
        self._drain(queue)

    def _help(self, queue: _Queue) -> list[BaseException]:
        """Wait for the turn, and empty the full mailbox: backpressure for a sender that is faster than the actor."""
        while not self._take_turn():
            if not self._wait_for_the_turn(queue):
                with _rarely:
                    queue.refused += 1
                raise MailboxFull(type(self).__name__, BOUND)
        return self._handle_waiting(queue)

    def _take_turn(self) -> bool:
        """Take the turn; whether it was free."""
        try:
            del self._turn
        except AttributeError:
            return False
        return True

    def _wait_for_the_turn(self, queue: _Queue) -> bool:
        """Wait until it is given back; whether it is, in time. It has to be taken then, and may be gone again."""
        bell = Lock()
        bell.acquire()
        queue.bells.append(bell)
        rung = False
        try:
            # Looked at after the bell was hung: a turn that was given back between the two rings for nobody.
            rung = hasattr(self, "_turn") or bell.acquire(timeout=PATIENCE_SECONDS)
        finally:
            if not queue.unhang(bell) and not rung:
                queue.ring()  # too late for this one, and there may be others
        return rung

    def _drain(self, queue: _Queue, errors: list[BaseException] | None = None) -> None:
        """Handle what waits, until nothing does or another thread sees to it."""
        # Append before acquire here, release before the look at the queue there: one of the two sees the message.
        while queue and self._take_turn():
            errors = (errors or []) + self._handle_waiting(queue)
        if errors:
            raise errors[0]

    def _handle_waiting(self, queue: _Queue) -> list[BaseException]:
        """Handle what waits, in the turn, which is given back; then see to what follows.

        Returns:
            What was raised. An error is to be raised when nothing waits any more: it belongs to one message or
            instruction, and the others must not be lost with it.
        """
        instructions: list[Order] = []
        errors: list[BaseException] = []
        try:
            while (message := queue.pop()) is not None:
                self.handled += 1
                try:
                    instruction = self.handlers[message.__class__](self, message)
                except BaseException as error:  # noqa: BLE001  # raised by `_drain`
                    errors.append(error)
                    continue
                if instruction is not None:
                    instructions.append(instruction)
        finally:
            self._turn = None
            queue.ring()
        for instruction in instructions:
            try:
                self.perform(instruction)
            except BaseException as error:  # noqa: BLE001  # raised by `_drain`
                errors.append(error)
        return errors
