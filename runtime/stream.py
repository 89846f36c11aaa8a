"""Streams: a task over items that come, with so many on their way at a time.

Decides what can be a source, where the runs are executed, and how results are iterated over: in threads and on loops
the same, but for how they wait. What is on its way, and what closing means, is the pipe's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

import attrs

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote, unmapped
from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, StreamInUse
from millrace.actors.stored_result import StoredResult
from millrace.actors.window import Window, window_of
from millrace.runtime import interrupting
from millrace.runtime.bounded import in_flight
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.engine import current_scope
from millrace.runtime.foreign_pipe import ForeignPipe
from millrace.runtime.holding import waits_for
from millrace.runtime.inflow import AsyncSource, IteratorSource, StreamSource
from millrace.runtime.inputs import dependencies
from millrace.runtime.lanes import innermost
from millrace.runtime.lending import lend
from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.offload import Offload
from millrace.runtime.pipe import Pipe
from millrace.runtime.priorities import USUAL, checked_priority, ranked
from millrace.runtime.rationing import checked_rate
from millrace.runtime.runners import LaneTaskRunner
from millrace.runtime.scope_starting import body_of
from millrace.runtime.strands import ORIGIN
from millrace.runtime.stream_parts import END, MORE, WAIT, Common
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter
from millrace.runtime.waking import Waker

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.lanes import Lane
    from millrace.runtime.streamed import StreamReplay

T_co = TypeVar("T_co", covariant=True)

IN_FLIGHT: Final = 100
"""How many items are on their way where nobody says."""

ON_ERROR: Final = ("raise", "state")

_THERE: Final = frozenset({list, tuple, range, set, frozenset, dict})
"""What has its items when a stream begins."""

_KEPT_AROUND_ITEMS: Final = (allow_failure, quote, opaque)


@attrs.frozen
class StreamCounts:
    """The items of a stream at one moment.

    Args:
        pulled: Taken from the source so far.
        in_flight: On their way: pulled, and the run has not ended.
        ready: Ended, and not given to the loop yet.
        given: Given to the loop.
    """

    pulled: int
    in_flight: int
    ready: int
    given: int


class Stream(Generic[T_co]):
    """The results of a task over items that come. Made by `task.stream(...)`.

    `for result in stream`, or `async for result in stream` on a loop. Nothing begins before that, and leaving the loop
    early cancels what is on its way. It can be iterated over once. In a `with` or `async with` block it is closed at
    the end of that.
    """

    __slots__ = ("__weakref__", "_common", "_pipe", "_scope", "_source", "_spec", "_task", "_used")

    def __init__(self, task: BaseTask[Any, Any], source: Any, spec: StreamSpec, constants: Mapping[str, Any]) -> None:
        current = CURRENT.get()
        self._task = task
        self._spec = spec
        self._source, annotations = _source_in(source)
        self._scope = current_scope()
        self._pipe: Pipe | None = None  # there once somebody has begun to iterate
        self._used = ""  # why nobody can begin to iterate any more
        self._common = Common(
            constants,
            annotations,
            copy_context(),
            task.tags | TAGS.get(),
            None if current is None or current.is_flow else current.id,
            None if spec.wait_for is None else dependencies(spec.wait_for),
        )

    @property
    def name(self) -> str:
        """The name of the task."""
        return self._task.name

    def counts(self) -> StreamCounts:
        """How many items there are where."""
        pipe = self._pipe
        if pipe is None:
            return StreamCounts(0, 0, 0, 0)
        window = pipe.window
        pulled, given, ready = window.pulled, window.given, window.come
        if pipe.closed is not None:
            return StreamCounts(pulled, pipe.left, 0, given)
        return StreamCounts(pulled, max(0, pulled - given - ready), ready, given)

    def close(self) -> None:
        """Cancel what is on its way, and close the source if it is a generator or a stream. Returns at once.

        One that nobody has begun to iterate over has asked its source for nothing, and leaves it as it is.
        """
        self._used = self._used or "it was closed"
        if self._pipe is not None:
            self._pipe.close()

    async def aclose(self) -> None:
        """The same, and wait until all that has ended. Cancellation: only the wait ends."""
        self.close()
        pipe = self._pipe
        while pipe is not None and not pipe.at_rest:
            waiter = LoopWaiter(pipe.scope.engine.lane_here())
            pipe.waker.expect(waiter, pipe.name)
            try:
                if not pipe.at_rest:
                    await waiter.wait()
            finally:
                pipe.waker.forget(waiter)

    def __iter__(self) -> Iterator[T_co]:
        """Results, in a thread.

        Raises:
            StreamInUse: it has been iterated over before.
            BlockingCallOnLoop: this is the thread of a loop; use `async for` there.
        """
        if self._scope.blocks_here():
            raise BlockingCallOnLoop("for ... in stream", "async for ... in stream")
        return _Results(self._begin(Waker(), on_loop=False))

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Results, on a loop.

        Raises:
            StreamInUse: it has been iterated over before.
        """
        return _AsyncResults(self._begin(Waker(), on_loop=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        counts = self.counts()
        return f"<Stream of {self._task.name!r}: {counts.given:,} given, {counts.in_flight:,} in flight>"

    # How it begins.

    def _begin(self, waker: Waker, *, on_loop: bool) -> Pipe:
        if self._used:
            raise StreamInUse(f"the stream of task '{self._task.name}'", self._used)
        scope = self._scope
        scope.check_open(f"begin the stream of task '{self._task.name}'")
        self._used = "it has been iterated over already"
        pipe = self._pipe = self._make_pipe(waker)
        scope.keep_going().add(pipe)
        try:
            self._connect(pipe, waker, on_loop=on_loop)
        except BaseException:
            pipe.close()
            raise
        return pipe

    def _connect(self, pipe: Pipe, waker: Waker, *, on_loop: bool) -> None:
        """Give a pipe its source, and somebody to call."""
        scope, source = self._scope, self._source
        place: Any = innermost(pipe.lane)
        if not isinstance(place, (LoopLane, Offload)):  # a runner's, which is nobody to call
            place = self._task.own_lane(scope)
        pipe.later = scope.engine.lane_here().post if on_loop else place.post
        if isinstance(source, Stream):
            pipe.source = StreamSource(pipe, source._begin(waker, on_loop=on_loop))  # noqa: SLF001  # its own class
        elif isinstance(source, AsyncIterable):
            lane = scope.engine.lane_here() if on_loop else scope.lane_that_turns()
            pipe.source = AsyncSource(pipe, source, lane, self._common.context.copy())
        else:
            pipe.source = IteratorSource(pipe, iter(source))

    def _make_pipe(self, waker: Waker) -> Pipe:
        task, scope, spec = self._task, self._scope, self._spec
        runner = scope.runner
        common, states = self._common, spec.states
        site, _ = common.context.run(scope.tagged, scope.site(task))  # where tags may have been added to the task's own
        if runner is not None and not isinstance(runner, LaneTaskRunner):
            lane: Lane = ranked(task.own_lane(scope), spec.priority)
            window = Window(spec.max_in_flight, ordered=spec.ordered)
            return ForeignPipe(runner, site, lane, window, waker, common, states=states)
        lane = task.own_lane(scope) if runner is None else runner.started_lane(task, scope, "stream")
        lane = ranked(lane, spec.priority)
        if spec.rate is not None:
            site = scope.rationed(site)
            lane = scope.engine.limits.in_front_of(lane, site, spec.rate, common.parent)
        replay = self._on_record()
        if replay is not None:
            replay.fixed = len(self._source) if type(self._source) in _THERE else 0
            common = attrs.evolve(common, replay=replay)
            if replay.on_record:
                common.context.run(ORIGIN.set, replay)
        script = () if replay is None else replay.script
        window = window_of(spec.max_in_flight, ordered=spec.ordered, script=script)
        return Pipe(site, lane, window, waker, common, states=states)

    def _on_record(self) -> StreamReplay | None:
        """The stream as it stands on record, from now on."""
        replay, current = self._scope.replay, CURRENT.get()
        if replay is None or current is None or current.scope is not self._scope:
            return None
        return replay.stream(self._task.name, body_of(current))


class StreamSpec:
    """What a stream is asked for; checked here.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    __slots__ = ("max_in_flight", "ordered", "priority", "rate", "states", "wait_for")

    def __init__(
        self,
        *,
        max_in_flight: Any = IN_FLIGHT,
        ordered: Any = False,
        on_error: Any = "raise",
        priority: Any = USUAL,
        rate_limit: Any = None,
        wait_for: Any = None,
    ) -> None:
        if not isinstance(ordered, bool):
            raise ConfigurationError("ordered", ordered, "True or False")
        if on_error not in ON_ERROR:
            raise ConfigurationError("on_error", on_error, "'raise' or 'state'")
        self.max_in_flight = in_flight(max_in_flight)
        self.ordered = ordered
        self.states = on_error == "state"
        self.priority = checked_priority(priority)
        self.rate = checked_rate(rate_limit)
        self.wait_for = wait_for


OPTIONS: Final = ("max_in_flight", "ordered", "on_error", "priority", "rate_limit", "wait_for")
"""What `stream` takes itself; `wait_for` is never a parameter of a task."""


def make_stream(task: BaseTask[Any, Any], inputs: Any, options: dict[str, Any]) -> Stream[Any]:
    """Make a stream of what `task.stream` was given.

    Raises:
        ConfigurationError: an option cannot be used, or the task has a parameter of its name; or the inputs cannot.
        ParameterBindError: an item and the other arguments do not fit.
    """
    for name in OPTIONS:
        if name in options and name in task.shape.names:
            expected = f"nothing, because a parameter of the task '{task.name}' has this name"
            raise ConfigurationError(name, options[name], expected)
    spec = StreamSpec(**{name: options.pop(name) for name in OPTIONS if name in options})
    runner = current_scope().runner
    if spec.rate is not None and not (runner is None or isinstance(runner, LaneTaskRunner)):
        raise ConfigurationError("rate_limit", spec.rate, f"nothing, for a stream with {runner!r}")
    constants = {name: each.unwrap() if isinstance(each, unmapped) else each for name, each in options.items()}
    task.shape.check((None,), constants)
    return Stream(task, inputs, spec, constants)


def _source_in(source: Any) -> tuple[Any, tuple[Annotation[Any], ...]]:
    """What is iterated over, and the annotations around it, the innermost first.

    Raises:
        ConfigurationError: nothing can be.
    """
    found = source
    annotations: list[Annotation[Any]] = []
    while isinstance(found, _KEPT_AROUND_ITEMS):
        annotations.insert(0, found)
        found = found.unwrap()
    text = isinstance(found, (str, bytes, bytearray))
    if text or not isinstance(found, (Iterable, AsyncIterable)):
        expected = "an iterable or async iterable of items, as a list, a generator or another stream"
        raise ConfigurationError("inputs", source, expected)
    return found, tuple(annotations)


class _Results(Iterator[T_co]):
    """Iterates over a pipe in a thread. When it is dropped the stream has been left, and is closed."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def __next__(self) -> T_co:
        pipe = self._pipe
        found: Any = MORE
        try:
            while found is MORE:
                found = pipe.advance()
                if found is WAIT:
                    found = _wait(pipe)
            if found is END:
                raise StopIteration
            value = pipe.outcome(found)
            if isinstance(value, StoredResult):
                value = value.load()
            if not pipe.states:
                found.remember(value)
            result: T_co = value
            return result
        finally:
            # The frame of an exception raised here must hold neither the run that holds it, nor what keeps the stream.
            del found, self

    def __del__(self) -> None:
        self._pipe.leave()


class _AsyncResults(AsyncIterator[T_co]):
    """The same on a loop."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def __anext__(self) -> T_co:
        """The next result. Cancellation: only the wait ends; leaving the loop then closes the stream."""
        pipe = self._pipe
        found: Any = MORE
        try:
            while found is MORE:
                found = pipe.advance()
                if found is WAIT:
                    found = await _wait_on_loop(pipe)
                elif found is MORE:
                    await asyncio.sleep(0)  # so that what has been put in line begins
            if found is END:
                raise StopAsyncIteration
            value = pipe.outcome(found)
            if isinstance(value, StoredResult):
                value = await value.aload()
            if not pipe.states:
                found.remember(value)
            result: T_co = value
            return result
        finally:
            del found, self  # see above

    def __del__(self) -> None:
        self._pipe.leave()


def _wait(pipe: Pipe) -> Any:
    """Block this thread until something may have come."""
    waiter = ThreadWaiter()
    pipe.waker.expect(waiter, pipe.name)
    try:
        found = pipe.advance()
        if found is not WAIT:
            return found
        if pipe.scope.blocks_here():
            raise BlockingCallOnLoop("for ... in stream", "async for ... in stream")
        with lend(), waits_for(pipe, blocks=True):
            waiter.wait()
        interrupting.check()
    finally:
        pipe.waker.forget(waiter)
    return MORE


async def _wait_on_loop(pipe: Pipe) -> Any:
    """The same on a loop."""
    waiter = LoopWaiter(pipe.scope.engine.lane_here())
    pipe.waker.expect(waiter, pipe.name)
    try:
        found = pipe.advance()
        if found is not WAIT:
            return found
        with lend(), waits_for(pipe):  # a body in a worker's own loop waits here for the worker too
            await waiter.wait()
    finally:
        pipe.waker.forget(waiter)
    return MORE
