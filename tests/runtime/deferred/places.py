"""Places for queues: each kind of queue, as two processes would see it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Semaphore
from typing import Any

import attrs

from millrace.actors.states import StateType
from millrace.runtime.deferred.memory import MemoryQueue
from millrace.runtime.deferred.port import Job, Queue, Step, Taken, Told
from millrace.runtime.deferred.postgres import PostgresQueue
from millrace.runtime.deferred.sqlite import SqliteQueue
from millrace.runtime.stores.postgres.address import Address
from millrace.runtime.stores.postgres.connecting import Connector
from millrace.runtime.stores.records import Value

PATIENCE_SECONDS = 20.0
"""After so long a test that waits for another thread gives up."""

SEVEN = Value("json", b"7")
CALL = Value("json", b"[[], {}]")
KEY = "load-1a2b"


@attrs.frozen
class Place:
    """Where a queue is.

    Args:
        kind: Which queue.
        here: The queue as one process sees it.
        there: As another one does.
    """

    kind: str
    here: Queue
    there: Queue


@contextmanager
def in_memory(_folder: Path) -> Generator[Place]:
    queue = MemoryQueue()
    yield Place("memory", queue, queue)


@contextmanager
def in_sqlite(folder: Path) -> Generator[Place]:
    here, there = SqliteQueue(folder / "runs.db"), SqliteQueue(folder / "runs.db")
    yield Place("sqlite", here, there)
    here.close()
    there.close()


@contextmanager
def in_postgres(url: str) -> Generator[Place]:
    here, there = postgres_queue(url), postgres_queue(url)
    yield Place("postgres", here, there)
    here.close()
    there.close()


def postgres_queue(url: str) -> PostgresQueue:
    """The queue of a store, as a process of its own sees it."""
    return PostgresQueue(Connector(Address(url), None), return_seconds=0.01)


EMBEDDED: Mapping[str, Callable[[Path], AbstractContextManager[Place]]] = {"memory": in_memory, "sqlite": in_sqlite}
KINDS: Sequence[str] = (*EMBEDDED, "postgres")


class Rung:
    """A bell that can be waited for."""

    def __init__(self) -> None:
        self._rung = Semaphore(0)

    def __call__(self) -> None:
        self._rung.release()

    def wait(self) -> bool:
        """Wait until it has been rung, once more than before; whether it has."""
        return self._rung.acquire(timeout=PATIENCE_SECONDS)

    def clear(self) -> None:
        """Forget that it was rung."""
        while self._rung.acquire(blocking=False):
            pass


class Hand:
    """A worker of a queue.

    Args:
        queue: The queue.
        name: What the worker is called.
        keys: Which tasks it can run.
    """

    def __init__(self, queue: Queue, name: str = "process 7 on mill", keys: Sequence[str] = (KEY,)) -> None:
        self.queue = queue
        self.rung = Rung()
        self.number = queue.enlist(name, keys, self.rung, 200)

    def take(self, most: int | None = None, at: int = 210) -> list[int]:
        """Take runs; their ids."""
        return [job.id for job in self.exchange(most=most, at=at).jobs]

    def take_when_there(self, most: int | None = None) -> list[int]:
        """Take runs as soon as there are any: a server notices a death a moment later; their ids."""
        while not (taken := self.take(most)):
            assert self.rung.wait()
        return taken

    def exchange(self, *told: Told, most: int | None = 0, at: int = 220) -> Taken:
        """Tell something, and take runs."""
        return self.queue.exchange(self.number, told, most, at)

    def leave(self, at: int = 300) -> None:
        """Be a worker no more."""
        self.queue.leave(self.number, at)

    def die(self) -> None:
        """End as a process does that is killed: what others see of it is gone, and nothing was told."""
        queue = self.queue
        if isinstance(queue, PostgresQueue):
            die_of_postgres(queue)
            return
        assert isinstance(queue, SqliteQueue)
        session = queue._sessions.pop(self.number)
        session.bell.close()
        os.close(session.handle)


def die_of_postgres(queue: PostgresQueue) -> None:
    """End a process: its connections break off, and do not come back."""
    line = queue._line
    assert line is not None

    async def break_off() -> None:
        line._over = True
        for watch in line._watches.values():
            watch.cancel()
        assert line.connection is not None
        line.connection.terminate()

    queue._own.run(break_off())
    line.sessions.clear()


def job(number: int = 1, key: str = KEY, **more: Any) -> Job:
    return Job(number, key.partition("-")[0], key, 100 + number, CALL, **more)


def completed(number: int = 1, at: int = 230) -> Told:
    running = Step(StateType.RUNNING, "Running", None, at - 1, "told")
    return Told(number, [running, Step(StateType.COMPLETED, "Completed", None, at, "told")], ended=True, data=SEVEN)


def running(number: int = 1, at: int = 225) -> Told:
    return Told(number, [Step(StateType.RUNNING, "Running", None, at, "told")])
