"""Sources: what a future stands in front of, and stand-ins for a promise that somebody else keeps and for a state.

Decides nothing about runs of the engine's. For a promise it decides how its value becomes a state.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from millrace.actors.errors import ConfigurationError
from millrace.actors.messages import Unwatch, Watch
from millrace.actors.outcomes import exception_to_crashed_state, exception_to_failed_state, return_value_to_state
from millrace.actors.states import Cancelled, Pending, State, StateType, is_state
from millrace.runtime.lending import lend
from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.ports import system_clock
from millrace.runtime.running import running_loop
from millrace.runtime.tracking import FlowRunResult, TaskRunInput, TaskRunResult

if TYPE_CHECKING:
    from uuid import UUID


class Source(Protocol):
    """What a future stands in front of."""

    @property
    def uuid(self) -> UUID:
        """The run's id."""
        ...

    @property
    def name(self) -> str:
        """The run's name."""
        ...

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def state(self) -> State[Any]:
        """Its present state."""
        ...

    @property
    def told_state(self) -> State[Any]:
        """The state that may be told: while its end is withheld, the one before."""
        ...

    @property
    def reference(self) -> TaskRunInput | None:
        """What a dependency on it is recorded as."""
        ...

    @property
    def engine(self) -> Any:
        """The engine it belongs to; None where it belongs to none."""
        ...

    def tell(self, message: Any) -> None:
        """Takes `Watch` and `Unwatch`."""
        ...

    def cancel(self, reason: str, /) -> None:
        """Ask for its end."""
        ...

    def see(self) -> None:
        """Its outcome is being taken."""
        ...

    @property
    def ended(self) -> int:
        """Whether it has ended, as a number: not 0."""
        ...

    @property
    def type(self) -> StateType:
        """The type of its present state."""
        ...

    @property
    def stores(self) -> bool:
        """Whether its result may lie in a storage."""
        ...

    def take(self, *, raise_on_failure: bool) -> Any:
        """The outcome of a run that has ended: its result, or where that lies, or what it raised. It is looked at."""
        ...

    def remember(self, value: Any) -> None:
        """A value that is its result goes to the user."""
        ...

    def remember_all(self, sources: Sequence[Any], values: list[Any]) -> None:
        """Results of this and other sources go to the user, in one list."""
        ...

    def waiting_lane(self) -> LoopLane:
        """The lane of the running loop, for a task that waits there."""
        ...

    def blocks_here(self) -> bool:
        """Whether blocking the calling thread could keep the run from ending, or holds up a loop for no reason."""
        ...

    def lend(self) -> Any:
        """A context manager to block in."""
        ...


class GivenState:
    """A state among the arguments, as something that has ended already."""

    __slots__ = ("state",)

    done = True
    engine = None

    def __init__(self, state: State[Any]) -> None:
        self.state = state

    @property
    def name(self) -> str:
        """What an error calls it."""
        details = self.state.state_details
        return str(details.task_run_id or details.flow_run_id or "a state made by hand")

    def tell(self, message: Any) -> None:
        """Answers who watches at once."""
        if isinstance(message, Watch):
            message.watcher.notify(self)

    def see(self) -> None:
        """A state among the arguments has been taken already."""

    @property
    def reference(self) -> TaskRunInput | None:
        """What a dependency on it is recorded as."""
        details = self.state.state_details
        if details.task_run_id is not None:
            return TaskRunResult(details.task_run_id)
        return None if details.flow_run_id is None else FlowRunResult(details.flow_run_id)


class PromiseSource:
    """A promise of somebody else's, as a source: what a task runner of one's own returns from `submit`."""

    __slots__ = ("_lock", "_promise", "_state", "_watchers", "uuid")

    engine = None
    watchers = None  # its end is never withheld

    def __init__(self, promise: concurrent.futures.Future[Any] | asyncio.Future[Any], run_id: UUID) -> None:
        if not isinstance(promise, concurrent.futures.Future) and not asyncio.isfuture(promise):
            raise ConfigurationError("promise", promise, "a future of concurrent.futures or asyncio")
        self.uuid = run_id
        self._promise = promise
        self._state: State[Any] | None = None
        self._watchers: list[Any] = []
        self._lock = Lock()
        promise.add_done_callback(self._kept)

    @property
    def name(self) -> str:
        """The run's name; the promise knows none, so it is made of the id."""
        return f"task-run-{self.uuid.hex[-3:]}"

    @property
    def done(self) -> bool:
        """Whether the promise was kept or broken."""
        return self._promise.done()

    @property
    def state(self) -> State[Any]:
        """PENDING until the promise is done; then the state it came to, or one made of its value or exception."""
        if not self._promise.done():
            return Pending()
        if self._state is None:
            # As a state of the run, with its id: so it is known for one, and what uses it can say on what it depends.
            made = _state_of(self._promise)
            self._state = made.adopt(system_clock(), None, self.uuid.int, 1) if made.hand_made else made
        return self._state

    @property
    def told_state(self) -> State[Any]:
        """The same."""
        return self.state

    @property
    def reference(self) -> TaskRunInput:
        """What a dependency on it is recorded as."""
        return TaskRunResult(self.uuid)

    def tell(self, message: Any) -> None:
        """Takes `Watch` and `Unwatch`."""
        watcher = message.watcher
        with self._lock:
            if isinstance(message, Unwatch):
                self._watchers = [each for each in self._watchers if each is not watcher]
                return
            if not self._promise.done():
                self._watchers.append(watcher)
                return
        watcher.notify(self)

    def _kept(self, _promise: Any) -> None:
        with self._lock:
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.notify(self)

    def cancel(self, _reason: str) -> None:
        """Cancel the promise."""
        self._promise.cancel()

    def see(self) -> None:
        """Whoever keeps the promise keeps account of its failures."""

    @property
    def ended(self) -> int:
        """Whether the promise was kept or broken."""
        return int(self._promise.done())

    @property
    def type(self) -> StateType:
        """The type of the state it came to."""
        return self.state.type

    @property
    def stores(self) -> bool:
        """Whether the state it came to may have its result in a storage: it may be anything."""
        return True

    def take(self, *, raise_on_failure: bool) -> Any:
        """The outcome."""
        return self.state.result(raise_on_failure=raise_on_failure)

    def remember_all(self, sources: Sequence[Any], values: list[Any]) -> None:
        """See `remember`."""

    def remember(self, value: Any) -> None:
        """Results of promises are not tracked by identity: their runs are recorded elsewhere."""

    def waiting_lane(self) -> LoopLane:
        """A lane of the running loop, to be woken through."""
        return LoopLane(asyncio.get_running_loop())

    def blocks_here(self) -> bool:
        """Whether the calling thread is a loop's: the promise may need that loop to be kept."""
        return running_loop() is not None  # what get_running_loop() asks, without raising

    def lend(self) -> AbstractContextManager[None]:
        """Waiting holds no worker."""
        return lend()


def _state_of(promise: Any) -> State[Any]:
    try:
        value = promise.result()
    except (asyncio.CancelledError, concurrent.futures.CancelledError):
        return Cancelled(message="Its promise was cancelled.")
    except Exception as error:  # noqa: BLE001  # whatever it was, it is the outcome
        return exception_to_failed_state(error)
    except BaseException as error:  # noqa: BLE001
        return exception_to_crashed_state(error)
    return value if is_state(value) else return_value_to_state(value)
