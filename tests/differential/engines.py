"""Engines: millrace and Prefect behind one set of names, and what each of them records of its runs.

Decides where the two are spelled differently. All that is the same in both has the same name here, so that `play` is
written once. An engine's module is imported when the engine is made: one process needs not have both.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Protocol, overload
from uuid import UUID

_SHARED = ("flow", "task", "unmapped", "quote", "opaque", "allow_failure", "tags", "transaction", "atransaction")
_STATES = ("Completed", "Failed", "Cancelled", "Crashed")


class Sequences:
    """What states each run went through: by the run's name, less the digits that are drawn."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: dict[UUID, list[str]] = {}
        self._names: dict[UUID, str] = {}

    def note(self, run: Any, name: str, state: Any) -> None:
        """A run has entered a state."""
        with self._lock:
            self._runs.setdefault(run, []).append(f"{state.type.value}:{state.name}")
            self._names[run] = name

    def taken(self) -> dict[str, list[list[str]]]:
        """All of them, by name; those of one name sorted, for their order is the scheduler's."""
        with self._lock:
            found: dict[str, list[list[str]]] = defaultdict(list)
            for run, sequence in self._runs.items():
                found[re.sub(r"-[0-9a-f]{3}$", "", self._names[run])].append(sequence)
            self._runs, self._names = {}, {}
        return {name: sorted(found[name]) for name in sorted(found)}


class Decorator(Protocol):
    """`task` or `flow`."""

    @overload
    def __call__(self, fn: Callable[..., Any], /, **options: Any) -> Any: ...
    @overload
    def __call__(self, **options: Any) -> Callable[[Callable[..., Any]], Any]: ...


class Side:
    """One engine. What is not said here is the engine's own, by its own name."""

    name: str
    task: Decorator
    flow: Decorator
    tasks: Sequences
    flows: Sequences

    def __init__(self, *modules: ModuleType) -> None:
        self.tasks, self.flows = Sequences(), Sequences()
        for name in (*_SHARED, *_STATES):
            setattr(self, name, next(getattr(module, name) for module in modules if hasattr(module, name)))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    @functools.cached_property
    def scratch(self) -> Path:
        """A folder for what a case writes."""
        return Path(tempfile.mkdtemp())

    def module(self, name: str = "") -> ModuleType:
        """The engine's package; Prefect has some of its names in modules."""
        return importlib.import_module("millrace")

    async def call(self, called: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a task or flow, and wait if that is a coroutine."""
        value = called(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value

    def tags_here(self) -> list[str]:
        """The tags of the task run at hand."""
        raise NotImplementedError

    def attempt(self) -> int:
        """Which attempt of the task run at hand this is, from 1."""
        raise NotImplementedError

    async def result(self, future: Any, *, blocks: bool) -> Any:
        """The result of a future in the body of a flow, which blocks or awaits."""
        raise NotImplementedError

    async def outcome(self, future: Any, *, blocks: bool) -> Any:
        """The same, but what it raises is given."""
        try:
            return await self.result(future, blocks=blocks)
        except Exception as error:  # noqa: BLE001
            return error

    async def ended(self, futures: Iterable[Any], *, blocks: bool) -> list[Any]:
        """Wait for futures, and give their states."""
        raise NotImplementedError


class Millrace(Side):
    """millrace, with an engine of its own."""

    name = "millrace"

    def __init__(self) -> None:
        millrace = importlib.import_module("millrace")
        super().__init__(millrace)
        self.current = millrace.current
        self.inputs = millrace.INPUTS
        self.context = millrace.TaskRunContext
        self.flow_context = millrace.FlowRunContext
        self.storage = millrace.MemoryStorage()
        self._engine = millrace.Engine.current()
        self._engine.subscribe(self._note)

    def _note(self, event: Any) -> None:
        if event.task_run_id is None:
            self.flows.note(event.flow_run_id, event.run_name, event.state)
        else:
            self.tasks.note(event.task_run_id, event.run_name, event.state)

    def keeping(self) -> dict[str, Any]:
        """Options of a task whose results are kept."""
        return {"result_storage": self.storage}

    def tags_here(self) -> list[str]:
        return sorted(self.current.task_run.tags)

    def name_here(self) -> str:
        return str(self.current.task_run.name)

    def attempt(self) -> int:
        return int(self.current.task_run.run_count)

    def flow_attempt(self) -> int:
        return int(self.current.flow_run.run_count)

    async def result(self, future: Any, *, blocks: bool) -> Any:
        return future.result() if blocks else await future

    async def ended(self, futures: Iterable[Any], *, blocks: bool) -> list[Any]:
        if blocks:
            return [each.state for each in futures if each.wait()]
        return [await each.wait_async() for each in futures]


class Prefect(Side):
    """Prefect, within `prefect_test_harness`. Its events are noted and go no further, which spares the server."""

    name = "prefect"

    def __init__(self) -> None:
        prefect = importlib.import_module("prefect")
        modules = [importlib.import_module(f"prefect.{name}") for name in ("states", "transactions")]
        super().__init__(prefect, *modules, importlib.import_module("prefect.utilities.annotations"))
        self.inputs = importlib.import_module("prefect.cache_policies").INPUTS
        contexts = importlib.import_module("prefect.context")
        self.context, self.flow_context = contexts.TaskRunContext, contexts.FlowRunContext
        setattr(importlib.import_module("prefect.task_engine"), "emit_task_run_state_change_event", self._note)  # noqa: B010
        engine = importlib.import_module("prefect.flow_engine")
        for kind in (engine.FlowRunEngine, engine.AsyncFlowRunEngine):
            kind.set_state = self._noting(kind.set_state)

    def _note(self, task_run: Any, initial_state: Any, validated_state: Any, follows: Any = None) -> None:
        self.tasks.note(task_run.id, task_run.name, validated_state)

    def _noting(self, set_state: Callable[..., Any]) -> Callable[..., Any]:
        def note(engine: Any, before: Any, after: Any) -> Any:
            run = engine.flow_run
            if run.id not in self.flows._runs:
                self.flows.note(run.id, run.name, before)
            self.flows.note(run.id, run.name, after)
            return after

        if inspect.iscoroutinefunction(set_state):

            @functools.wraps(set_state)
            async def awaiting(engine: Any, *args: Any, **kwargs: Any) -> Any:
                before = engine.flow_run.state
                return note(engine, before, await set_state(engine, *args, **kwargs))

            return awaiting

        @functools.wraps(set_state)
        def calling(engine: Any, *args: Any, **kwargs: Any) -> Any:
            before = engine.flow_run.state
            return note(engine, before, set_state(engine, *args, **kwargs))

        return calling

    def keeping(self) -> dict[str, Any]:
        return {"persist_result": True}

    def module(self, name: str = "") -> ModuleType:
        return importlib.import_module(f"prefect.{name}" if name else "prefect")

    def tags_here(self) -> list[str]:
        return sorted(self.context.get().task_run.tags)

    def name_here(self) -> str:
        return str(self.context.get().task_run.name)

    def attempt(self) -> int:
        return int(self.context.get().task_run.run_count)

    def flow_attempt(self) -> int:
        return int(self.flow_context.get().flow_run.run_count)

    async def result(self, future: Any, *, blocks: bool) -> Any:
        return future.result()

    async def ended(self, futures: Iterable[Any], *, blocks: bool) -> list[Any]:
        states: list[Any] = []
        for each in futures:
            each.wait()
            states.append(each.state)
        return states
