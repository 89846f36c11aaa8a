"""Ending: what the end of a test is for its engine.

Decides what counts as left behind: a run that does not end by itself, and a thread whose body does not. What is left is
told, cancelled, and then given up, so that the next test begins with nothing of this one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from millrace.runtime.attempt import run_blocking
from millrace.runtime.waiting import block_until_done, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.testing.engine import VirtualEngine

PATIENCE_SECONDS: Final = 0.5
"""How long runs and threads may take to end by themselves, and then to end when they are told to. Real seconds."""

_REASON: Final = "The test has ended."


class Way(Protocol):
    """How is waited."""

    async def until_done(self, runs: list[TaskRun | FlowRun]) -> None:
        """Wait until runs have ended, so long at most."""
        ...

    async def close(self, engine: VirtualEngine) -> None:
        """Close an engine in which nothing runs any more."""
        ...


class _OnLoop:
    async def until_done(self, runs: list[TaskRun | FlowRun]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for run in runs:
                    await wait_until_done(run, run.waiting_lane())
        except TimeoutError:
            return

    async def close(self, engine: VirtualEngine) -> None:
        await engine.aclose()


class _Blocking:
    async def until_done(self, runs: list[TaskRun | FlowRun]) -> None:
        for run in runs:
            if not block_until_done(run, PATIENCE_SECONDS):
                return

    async def close(self, engine: VirtualEngine) -> None:
        engine.close()


async def end(engine: VirtualEngine) -> list[str]:
    """Close an engine at the end of a test, from async code.

    Returns:
        What was left behind, each as a sentence.

    Cancellation: what runs is left as it is.
    """
    return await _end(engine, _OnLoop())


def end_blocking(engine: VirtualEngine) -> list[str]:
    """The same from sync code."""
    return run_blocking(_end(engine, _Blocking()))


async def _end(engine: VirtualEngine, way: Way) -> list[str]:
    if engine.closed and not _living(engine):
        return []
    await way.until_done(_living(engine))
    left = _living(engine)
    told = [f"{_kind(run)} '{run.name}' of '{_of(run)}' is still {run.state.name}." for run in left]
    unmade = engine.root.live - len(engine.root.children)
    if unmade > 0:
        told.append(f"{unmade:,} runs of maps outside of any flow were never started.")
    if told:
        engine.cancel_all(_REASON)
        await way.until_done(left)
        for run in _living(engine):
            run.give_up(_REASON)
    await way.close(engine)
    threads = engine.offload.join(PATIENCE_SECONDS)
    if threads:
        told.append(f"{threads} of the engine's threads still run a body whose run was cancelled or timed out.")
    return told + _held(engine)


def _held(engine: VirtualEngine) -> list[str]:
    """The slots that nobody has given back."""
    return [
        f"A slot of '{name}' is still held by {holder.name or 'code outside of any run'}."
        for name in sorted(engine.rationing.tags)
        for holder in engine.limits[name].holders()
    ]


def _living(engine: VirtualEngine) -> list[TaskRun | FlowRun]:
    """The runs that have not ended, but those that have been started by others."""
    flows: list[Any] = [run for run in engine.flow_runs() if run.parent is None or run.parent.flow is None]
    return flows + [run for run in tuple(engine.root.children.values()) if not run.is_flow and not run.done]


def _kind(run: TaskRun | FlowRun) -> str:
    return "Flow run" if run.is_flow else "Task run"


def _of(run: Any) -> str:
    name: str = run.flow.name if run.is_flow else run.task.name
    return name
