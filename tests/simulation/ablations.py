"""Ablations: each takes one safeguard away, to see whether the simulation finds out.

They exist here only. Each is a context manager, entered around a simulation in which it is in force.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Final
from unittest.mock import patch

import attrs

from millrace.actors import mailbox, rules, run, supervisor, task_run
from millrace.actors.messages import Watch
from millrace.actors.policies import RestartWindow
from millrace.actors.rules import TASK_RULES, pick
from millrace.runtime import bells, flow_run, lending, replaying, runs
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Group, Opened, Owner
from millrace.runtime.stores.writer import StoreWriter
from tests.simulation.disk import SimStore
from tests.simulation.drawing import draw
from tests.simulation.scheduler import scheduler
from tests.simulation.simulate import simulate
from tests.simulation.world import Conditions, modules

_NOT_MISSED: Final = ("TypeError", "AttributeError", "NameError")
"""What a simulation comes to where it is the ablation that is wrong."""


@attrs.frozen
class Ablation:
    """A safeguard that can be taken away.

    Args:
        name: What it does when it is there.
        without: Takes it away for as long as it is entered.
        has: Faults that the plans have in which it is looked for.
        switching: How likely threads are interrupted in them; None: as the seed says.
    """

    name: str
    without: Callable[[], AbstractContextManager[Any]]
    has: tuple[str, ...] = ()
    switching: float | None = None

    def __str__(self) -> str:
        return self.name

    def find(self, seeds: Iterable[int]) -> tuple[int, str]:
        """Run simulations without the safeguard until one fails that does not with it.

        Returns:
            Its seed, and what was wrong; -1 and nothing where none did.
        """
        for seed in seeds:
            rng = random.Random(seed)
            conditions = Conditions.drawn(rng)
            if self.switching is not None:
                conditions = attrs.evolve(conditions, switching=self.switching)
            plan = draw(rng, self.has)
            problem = simulate(seed, plan=plan, conditions=conditions, without=self.without, least_steps=0).problem
            if problem.startswith(_NOT_MISSED):
                raise AssertionError(f"what takes away that {self.name} does not fit the engine any more: {problem}")
            if problem and not simulate(seed, plan=plan, conditions=conditions, least_steps=0).problem:
                return seed, problem
        return -1, ""


@contextmanager
def _without_rule(rule: Any) -> Generator[None]:
    left = [each for each in TASK_RULES if each.decide is not rule]
    actor = task_run.TaskRunActor
    with (
        patch.object(actor, "plain_rules", pick(left, detailed=False)),
        patch.object(actor, "detailed_rules", pick(left, detailed=True)),
    ):
        yield


def _handlers(actor: Any, message: type, handler: Any) -> AbstractContextManager[Any]:
    return patch.object(actor, "handlers", {**actor.handlers, message: handler})


def _pop_data_first(queue: Any) -> Any:
    for lane in (queue.data, queue.control):
        if lane:
            return lane.popleft()
    return None


async def _at_once(*_: Any) -> None:
    return None


@contextmanager
def _scopes_are_left_at_once() -> Generator[None]:
    with (
        patch.object(flow_run.FlowRun, "join", lambda _: None),
        patch.object(flow_run.FlowRun, "join_async", _at_once),
        patch("millrace.runtime.flow_attempt.leave_async", _leave_at_once),
        patch.object(supervisor.Supervisor, "_goes_on", property(lambda _: False)),
    ):
        yield


async def _leave_at_once(_run: Any, error: Any) -> Any:
    return error


@contextmanager
def _nobody_lends() -> Generator[None]:
    with ExitStack() as stack:
        for module in modules():
            if getattr(module, "lend", None) is lending.lend:
                stack.enter_context(patch.object(module, "lend", nullcontext))
        yield


def _ask_without_a_second_look(actor: Any, message: Any) -> Any:
    """`Mailbox.ask`, which does not look for what has come in since it handled its message.

    There is no lock in most of what is done in a turn, so a thread is interrupted here: anywhere, on a machine.
    """
    queue = actor._queue
    if (queue is None or not (queue.data or queue.control)) and actor._take_turn():
        try:
            return actor.handlers[message.__class__](actor, message)
        finally:
            actor.handled += 1
            scheduler().maybe()
            actor._turn = None
    actor._leave(message)
    return None


def _forget_what_is_rung(bell: Any) -> None:
    """`Bell.ring`, which is not heard by who comes later."""
    with bell._lock:
        waiter, bell._waiter = bell._waiter, None
    if waiter is not None:
        waiter.notify()


def _watch_only_before_the_end(actor: Any, message: Watch) -> Any:
    if not actor.ended:
        actor.watchers = [*(actor.watchers or ()), message.watcher]


@contextmanager
def _late_watchers_are_forgotten() -> Generator[None]:
    with (
        _handlers(task_run.TaskRunActor, Watch, _watch_only_before_the_end),
        _handlers(supervisor.Supervisor, Watch, _watch_only_before_the_end),
    ):
        yield


def _give_no_slots_back(*_: Any, **__: Any) -> None:
    """`give_back` of a limiter that forgets to."""


@contextmanager
def _slots_are_kept() -> Generator[None]:
    from millrace.runtime.limits.acting import ActingLimiter  # noqa: PLC0415  # few programs have limits

    with patch.object(ActingLimiter, "give_back", _give_no_slots_back):
        yield


def _as_it_comes(_actor: Any, at: int) -> int:
    return at


def _settle_without_the_supervisor(child: Any) -> None:
    """`TaskRun.settle_up`, which tells the watchers alone."""
    watchers, child.watchers = child.watchers, None
    for watcher in watchers or ():
        watcher.notify(child)


def _acknowledge_before_writing(store: SimStore, group: Group) -> None:
    """`SimStore.append` of a store that says that a group is written, and writes it with the next one."""
    held, _HELD[:] = list(_HELD), [(store, attrs.evolve(group, done=lambda _error: None))]
    for kept, each in held:
        if kept is store and not store.has_failed:
            store.append_for_good(each)
    group.done(None)


_HELD: list[tuple[SimStore, Group]] = []


def _forget_results(replay: Any, calls: Any, _results: Any, *left: Any, **options: Any) -> None:
    """`Replay.restore` that forgets what calls had come to."""
    _restore(replay, calls, {}, *left, **options)


_restore = replaying.Replay.restore


def _go_on_writing(_writer: Any, _error: BaseException) -> None:
    """`StoreWriter._fail`, which takes an error for none."""


def _open_as_if_nobody_had_died(store: Any, owner: Owner) -> Opened:
    """`MemoryStore.open`, which leaves runs as if somebody ran them."""
    store._tokens += 1
    store._token, store._groups = store._tokens, 0
    store._owners[store._token] = owner
    return Opened(store._token)


ABLATIONS: Final = (
    Ablation("FAILED is not recorded while retries are left", lambda: _without_rule(rules.retry_what_failed)),
    Ablation("a task runs only while its flow does", lambda: _without_rule(rules.run_only_in_a_running_flow)),
    Ablation(
        "what an earlier attempt comes to is a dead letter",
        lambda: patch.object(task_run.TaskRunActor, "_is_past", lambda *_: False),
        ("timeouts", "retries", "sync", "errors", "hangs"),
    ),
    Ablation("restarts are counted in a window", lambda: patch.object(RestartWindow, "admits", _admit_and_count)),
    Ablation(
        "control goes ahead of data",
        lambda: patch.object(mailbox._Queue, "pop", _pop_data_first),
        ("sync", "acts", "cancels"),
        0.3,
    ),
    Ablation("a scope is left by its last child", _scopes_are_left_at_once),
    Ablation("what is started as a flow ends is waited for", lambda: patch.object(
        supervisor.Supervisor, "_goes_on", property(lambda _: False)
    ), ("leaks", "nesting", "sync"), 0.3),
    Ablation("a worker that waits lends its place", _nobody_lends, ("sync", "nesting")),
    Ablation(
        "whoever had a turn looks again",
        lambda: patch.object(mailbox.Mailbox, "ask", _ask_without_a_second_look),
        ("sync", "nesting"),
        0.3,
    ),
    Ablation(
        "a bell is heard by who comes later",
        lambda: patch.object(bells.Bell, "ring", _forget_what_is_rung),
        ("retries", "errors", "acts", "cancels", "limits"),
        0.3,
    ),
    Ablation(
        "times within a run are put in order",
        lambda: patch.object(run.RunActor, "_in_order", _as_it_comes),
        ("sync", "cancels", "acts"),
        0.3,
    ),
    Ablation("who comes after the end is told at once", _late_watchers_are_forgotten),
    Ablation("a child's end is told to its supervisor", lambda: patch.object(
        runs.TaskRun, "settle_up", _settle_without_the_supervisor
    )),
    Ablation("slots are given back", _slots_are_kept, ("limits",)),
    Ablation(
        "a store acknowledges what it has written",
        lambda: patch.object(SimStore, "append", _acknowledge_before_writing),
        ("store",),
    ),
    Ablation(
        "an end is told when it is committed",
        lambda: patch.object(run.RunActor, "withhold", lambda _: None),
        ("store",),
    ),
    Ablation(
        "what had completed is not run again",
        lambda: patch.object(replaying.Replay, "restore", _forget_results),
        ("store",),
    ),
    Ablation(
        "a store that has failed is not written to",
        lambda: patch.object(StoreWriter, "_fail", _go_on_writing),
        ("store",),
    ),
    Ablation(
        "who opens a store ends what was left in it",
        lambda: patch.object(MemoryStore, "open", _open_as_if_nobody_had_died),
        ("store",),
    ),
)  # fmt: skip
"""In the order of the table in docs/reliability.md."""

QUICK: Final = (
    "retries are left",
    "while its flow does",
    "in a window",
    "by its last child",
    "told at once",
    "given back",
    "what was left in it",
)
"""Parts of the names of those that are found out within a few seeds: for the tests."""


def _admit_and_count(window: Any, at: int) -> bool:
    window._times.append(at)
    return True
