"""Foreign pipes: streams in a flow whose task runner is somebody else's.

Decides that such a runner is given each run when its item has come, by `submit`; all else is as in any pipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.actors.messages import Watch
from millrace.runtime.pipe import Pipe
from millrace.runtime.priorities import priority_on

if TYPE_CHECKING:
    from millrace.runtime.runners import TaskRunner


class _Arrival:
    """Tells a pipe of the end of a run that is somebody else's."""

    __slots__ = ("_number", "_pipe", "_source")

    def __init__(self, pipe: ForeignPipe, number: int, source: Any) -> None:
        self._pipe = pipe
        self._number = number
        self._source = source

    def notify(self, _run: Any) -> None:
        """It has ended."""
        self._pipe.arrived(self._number, self._source)


class ForeignPipe(Pipe):
    """A pipe whose runs a task runner of somebody else's makes: each is submitted when its item has come."""

    __slots__ = ("_runner",)

    def __init__(self, runner: TaskRunner, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._runner = runner

    def start(self, items: list[Any]) -> None:
        """See `feed`."""
        task, scope = self.site.task, self.scope
        entrust, priority = scope.engine.rationing.entrust, priority_on(self.lane)
        numbers = range(self.window.pulled, self.window.pulled + len(items))
        self.window.enter(numbers)
        for number, each in zip(numbers, items, strict=True):
            item = each
            for annotation in self._annotations:
                item = annotation.rewrap(item)
            parameters = task.shape.by_name((item,), self._constants)
            arguments = (scope, self._runner, task, parameters, self._wait_for, priority)
            future = self._context.copy().run(entrust, *arguments)  # with the tags of where the stream was made
            self._alive[number] = future.source
            future.source.tell(Watch(_Arrival(self, number, future.source)))

    def arrived(self, number: int, source: Any) -> None:
        """A run has ended. From any thread."""
        self._alive.pop(number, None)
        self.window.arrive(number, source)
        if self.closed is not None:
            self._drop()
        if self.waker.waiter is not None:
            self.waker.wake()
