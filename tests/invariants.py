"""What must be true of every engine at rest; checked at the teardown of every test that runs one."""

from __future__ import annotations

import gc
import threading
from typing import Any
from weakref import WeakSet

from millrace import Engine
from millrace.runtime import engines as engines_module


class Watched:
    """Remembers every engine that is made, so that none escapes the checks."""

    def __init__(self, monkeypatch: Any) -> None:
        self.engines: WeakSet[Engine] = WeakSet()
        self.threads = set(threading.enumerate())
        made = self.engines
        original = Engine.__init__

        def noted(engine: Engine, *args: Any, **kwargs: Any) -> None:
            original(engine, *args, **kwargs)
            made.add(engine)

        monkeypatch.setattr(Engine, "__init__", noted)

    def check(self) -> None:
        """Nothing is alive any more: no run, no worker, no place that was lent, no thread of an engine's."""
        for engine in list(self.engines):
            await_rest(engine)
            check_at_rest(engine)
            engine.close()
        engines_module._default.clear()
        left = {each for each in threading.enumerate() if each.name.startswith("millrace")} - self.threads
        for thread in left:
            thread.join(timeout=5)
        alive = [each.name for each in left if each.is_alive()]
        assert not alive, f"threads left behind: {alive}"
        gc.collect()
        gc.freeze()  # what is still there belongs to pytest: later collections need not look at it again


def await_rest(engine: Engine) -> None:
    """Give another thread the moment it takes from telling who waits for a run to counting the run as ended."""
    pause = threading.Event()
    for _ in range(2_000):
        stats = engine.stats()
        if not (stats.flow_runs or stats.task_runs or stats.threads.lent):
            return
        pause.wait(0.001)


def check_at_rest(engine: Engine) -> None:
    """Every run has ended, every mailbox is empty, every worker is free."""
    patience = threading.Event()
    for _ in range(200):  # a run has ended a moment before its supervisor knows, if another thread ended it
        stats = engine.stats()
        busy = stats.threads.busy != stats.threads.abandoned  # a thread tells of a run's end before it is free again
        if not (stats.flow_runs or stats.task_runs or stats.threads.lent or engine.root.waiting or busy):
            break
        patience.wait(0.01)
    stats = engine.stats()
    assert stats.flow_runs == 0, f"flow runs left: {[run.name for run in engine.flow_runs()]}"
    assert stats.task_runs == 0, f"task runs left: {[run.name for run in engine.root.children.values()]}"
    assert engine.root.waiting == 0
    assert stats.threads.lent == 0
    assert stats.threads.busy == stats.threads.abandoned
    check_limits(engine)


def check_limits(engine: Engine) -> None:
    """Nobody holds a slot or waits for one, unless an abandoned thread does."""
    if engine.stats().threads.abandoned:
        return
    pause = threading.Event()
    for limit in engine.limits.values() if engine.rationing.tags else ():
        for _ in range(200):  # a run is told of a moment before it gives its slots back, if another thread ended it
            if not (limit.holders() or limit.waiters()):
                break
            pause.wait(0.01)
        assert limit.holders() == []
        assert limit.held == 0
        assert limit.waiters() == []
