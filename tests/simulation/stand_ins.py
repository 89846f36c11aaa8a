"""Stand-ins for what `threading` and `queue` have: whoever would block passes the baton instead.

Decides where threads can be interrupted: where they take a lock or give it back, wake others, or look for work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Any

from tests.simulation.scheduler import Participant, scheduler

_RealThread = threading.Thread


class SimLock:
    """`threading.Lock`: taking and giving back is where threads are interrupted."""

    __slots__ = ("_held", "_scheduler")

    def __init__(self) -> None:
        self._held = False
        self._scheduler = scheduler()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT002  # as there
        """Take it."""
        sched = self._scheduler
        sched.maybe()
        if not self._held:
            self._held = True
            return True
        if not blocking:
            return False
        deadline = None if timeout < 0 else sched.now + round(timeout * 1e9)
        if not sched.block(self._is_free, deadline):
            return False
        self._held = True
        return True

    def _is_free(self) -> bool:
        return not self._held

    def release(self) -> None:
        """Give it back."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        self._scheduler.maybe()

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimRLock:
    """`threading.RLock`."""

    __slots__ = ("_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = SimLock()
        self._owner: Participant | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT002  # as there
        """Take it."""
        me = scheduler().current
        if self._owner is me:
            self._depth += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._depth = scheduler().current, 1
        return True

    def release(self) -> None:
        """Give it back."""
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimEvent:
    """`threading.Event`."""

    def __init__(self) -> None:
        self._set = False
        self._scheduler = scheduler()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._set

    def set(self) -> None:
        """Wake all."""
        self._set = True
        self._scheduler.maybe()

    def clear(self) -> None:
        """Nobody is woken from now on."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set."""
        sched = self._scheduler
        sched.maybe()
        if self._set:
            return True
        return sched.block(self.is_set, None if timeout is None else sched.now + round(timeout * 1e9))


class SimQueue:
    """`queue.SimpleQueue`."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._scheduler = scheduler()

    @classmethod
    def __class_getitem__(cls, _item: Any) -> type[SimQueue]:
        return cls

    def put(self, item: Any) -> None:
        """Bring something in."""
        self._items.append(item)
        self._scheduler.maybe()

    def get_nowait(self) -> Any:
        """Take something."""
        self._scheduler.maybe()
        if not self._items:
            raise Empty
        return self._items.popleft()

    def get(self, timeout: float | None = None) -> Any:
        """Wait for something, and take it."""
        sched = self._scheduler
        deadline = None if timeout is None else sched.now + round(timeout * 1e9)
        if not self._items and not sched.block(self._has_some, deadline):
            raise Empty
        return self._items.popleft()

    def _has_some(self) -> bool:
        return bool(self._items)

    def qsize(self) -> int:
        """How many."""
        return len(self._items)


class SimCondition:
    """`threading.Condition`, as far as it is used."""

    def __init__(self, lock: SimLock) -> None:
        self._lock = lock
        self._told = 0
        self._scheduler = scheduler()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait_for(self, predicate: Callable[[], bool]) -> bool:
        """Give the lock back, and have it again when something is so that others say has changed."""
        while not predicate():
            told = self._told
            self._lock.release()
            self._scheduler.block(lambda told=told: self._told != told)  # type: ignore[misc]
            self._lock.acquire()
        return True

    def notify_all(self) -> None:
        """Something has changed."""
        self._told += 1


class SimThread(_RealThread):
    """`threading.Thread`: runs when it is its turn."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        sched = scheduler()
        sched.threads_made += 1
        self._serial = sched.threads_made
        self._scheduler = sched
        self._participant: Participant | None = None
        super().__init__(group, target, f"{name}#{self._serial}", args, kwargs, daemon=True)

    def __hash__(self) -> int:
        return self._serial  # sets of threads keep one order in all processes

    def __eq__(self, other: object) -> bool:
        return self is other

    def start(self) -> None:
        """Have a turn some time."""
        if self._scheduler.over:  # what is left is being taken away, and begins nothing more
            return
        self._participant = self._scheduler.begin(self)
        super().start()
        self._scheduler.maybe()

    def run(self) -> None:
        """What the thread does."""
        participant = self._participant
        assert participant is not None
        participant.baton.acquire()
        try:
            if not participant.doomed:
                super().run()
        except BaseException:
            if not participant.doomed:  # else it was in the middle of something, and whatever it says means nothing
                raise
        finally:
            self._scheduler.end(participant)

    def join(self, timeout: float | None = None) -> None:
        """Block until it has ended."""
        participant, sched = self._participant, self._scheduler
        if participant is not None and not participant.finished:
            deadline = None if timeout is None else sched.now + round(timeout * 1e9)
            sched.block(lambda: participant.finished, deadline)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._participant is not None and not self._participant.finished
