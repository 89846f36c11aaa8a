"""Drawing: the plan of a seed.

Decides which faults a seed has, what bodies may do where, and how often.
"""

from __future__ import annotations

import random
from typing import Any, Final

import attrs

from tests.simulation.plans import Act, Death, FlowPlan, Op, Plan, StorePlan, TaskPlan, Top

ERRORS: Final = (
    "ValueError", "ValueError", "ValueError", "KeyError", "TimeoutError", "ExceptionGroup", "RecursionError",
    "MemoryError", "StopIteration", "CancelledError", "GeneratorExit", "SystemExit", "KeyboardInterrupt",
    "BaseException",
)  # fmt: skip
"""What bodies raise, by name."""

DELAYS: Final = (0.0, 0.0, 0.001, 0.5, 2.0)

ACTS: Final = (
    "cancel_flow", "cancel_flow", "cancel_future", "cancel_future", "cancel_awaiter", "cancel_scope", "resume_flow",
    "resume_flow", "suspend_flow", "set_wall_clock", "cancel_all", "pause_flow", "force_task",
)  # fmt: skip
"""What happens from outside."""


@attrs.frozen
class Kind:
    """What an op may be, and where.

    Args:
        name: Its kind.
        weight: How often it is drawn.
        fault: Only in seeds that have that.
        made: What it has inside: `task`, `async`, `generator`, `nothing`, `flow` or `ops`.
        only_async: Not in sync bodies.
        rare_in_flows: Seldom in the bodies of flows.
    """

    name: str
    weight: int = 1
    fault: str = ""
    made: str = ""
    only_async: bool = False
    rare_in_flows: bool = False

    @property
    def starts(self) -> bool:
        """Whether it starts something."""
        return bool(self.made) and self.made != "nothing"


KINDS: Final = (
    Kind("sleep", 2),
    Kind("call", 2, made="task"),
    Kind("submit", 4, made="task"),
    Kind("map", 4, made="task"),
    Kind("take", 4),
    Kind("as_completed", 1),
    Kind("subflow", 2, "subflows", made="flow"),
    Kind("background", 1, "subflows", made="flow"),
    Kind("gather", 2, "gathers", made="async", only_async=True),
    Kind("within", 2, "gathers", made="ops", only_async=True),
    Kind("transaction", 2, "transactions", made="ops"),
    Kind("iterate", 2, "generators", made="generator"),
    Kind("stream", 2, "streams", made="task"),
    Kind("occupy", 2, "limits", made="ops"),
    Kind("cancel", 1, "cancels"),
    Kind("cancel_self", 1, "cancels"),
    Kind("pause", 1, "pauses"),
    Kind("suspend", 1, "suspends", rare_in_flows=True),
    Kind("hang", 1, "hangs", rare_in_flows=True),
    Kind("swallow", 1, "swallows", rare_in_flows=True),
    Kind("leak", 1, "leaks", made="nothing", only_async=True),
)
"""What the bodies of a plan do."""

DEEPEST: Final = 3
"""Nothing is started deeper down than this."""


class Drawer:
    """Draws a plan.

    Args:
        rng: Decides.
        has: Faults that it has in any case.
    """

    def __init__(self, rng: random.Random, has: tuple[str, ...] = ()) -> None:
        self._rng = rng
        self._names = 0
        self._holding = 0  # what is being drawn is inside of so many that hold limits
        # A swarm: each seed has some of the faults, and others not at all.
        self._has = {
            each: rng.random() < 0.5
            for each in (
                "errors", "crashes", "hangs", "swallows", "timeouts", "retries", "pauses", "hooks", "nesting",
                "subflows", "sync", "acts", "cancels", "transactions", "generators", "leaks", "policies", "suspends",
                "gathers", "upstreams", "limits", "streams", "caches", "store",
            )
        }  # fmt: skip
        self._has.update(dict.fromkeys(has, True))
        self._budget = rng.choice((6, 12, 25, 40))

    def plan(self) -> Plan:
        """A plan."""
        rng = self._rng
        tops = tuple(self._top() for _ in range(rng.choice((1, 1, 2, 3))))
        acts = tuple(self._act() for _ in range(rng.randrange(8))) if self._has["acts"] else ()
        limits = (("narrow", 1), ("wide", rng.choice((2, 3)))) if self._has["limits"] else ()
        threads, ending = rng.choice((1, 2, 4)), rng.choice(("calm", "calm", "calm", "cancel"))
        store = self._store() if self._has["store"] else None
        return Plan(tops, acts, threads, limits, ending, store, rng.choice((0.0, 0.01, 0.15)))

    def _store(self) -> StorePlan:
        rng = self._rng
        kind = rng.choice(("memory", "memory", "memory", "sqlite"))
        deaths = tuple(self._death() for _ in range(rng.choice((0, 1, 1, 2, 3))))
        fails_at = rng.choice((0, 0, 0, rng.randrange(1, 12)))
        return StorePlan(kind, rng.choice((0.0, 0.1, 0.5)), fails_at, rng.choice(("before", "after")), deaths)

    def _death(self) -> Death:
        rng = self._rng
        at = rng.choice(("time", "begun", "synced", "written", "acknowledged"))
        when = rng.choice((0.001, 0.5, 2.0, 25.0)) if at == "time" else rng.randrange(1, 16)
        return Death(at, when, power=rng.random() < 0.5)

    def _top(self) -> Top:
        plan = self._flow(0)
        ways = ("start", "thread") if plan.kind == "sync" else ("await", "scope", "start", "start_elsewhere")
        return Top(plan, self._rng.choice(ways))

    def _act(self) -> Act:
        rng = self._rng
        return Act(rng.choice((0.0, 0.0, 0.001, 0.3, 1.0)), rng.choice(ACTS), rng.randrange(100), self._where())

    def _where(self) -> str:
        return self._rng.choice(("loop", "thread"))

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def _sync(self) -> bool:
        return self._has["sync"] and self._rng.random() < 0.5

    def _flow(self, depth: int) -> FlowPlan:
        """A flow."""
        rng = self._rng
        kind = "sync" if self._sync() else "async"
        options: dict[str, Any] = {}
        if self._has["retries"] and rng.random() < 0.3:
            options["retries"] = rng.randrange(1, 3)
            options["retry_delay_seconds"] = rng.choice(DELAYS)
        if self._has["timeouts"] and rng.random() < 0.3:
            options["timeout_seconds"] = rng.choice((0.001, 0.5, 3.0))
        if self._has["policies"] and rng.random() < 0.6:
            options["crash_policy"] = (
                rng.choice(("task", "never")), rng.randrange(4), rng.choice(("fail", "cancel_siblings")),
            )  # fmt: skip
        fails = rng.choice((0, 0, 0, 1, 2, 9)) if self._has["errors"] else 0
        name = self._name("f")
        ops = tuple(self._op(depth, kind, flow=True) for _ in range(rng.randrange(1, 6)))
        return FlowPlan(
            name,
            kind,
            ops,
            tuple(options.items()),
            rng.choice(("none", "data", "futures")),
            fails,
            self._error(),
            self._hooks(("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")),
        )

    def _error(self) -> str:
        return self._rng.choice(ERRORS if self._has["crashes"] else ERRORS[:6])

    def _hooks(self, points: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        rng = self._rng
        if not self._has["hooks"] or rng.random() < 0.5:
            return ()
        chosen = rng.sample(points, rng.randrange(1, len(points) + 1))
        return tuple((point, rng.choice(("sync", "async", "raises", "sleeps", "cancels", "exits"))) for point in chosen)

    def _task(self, depth: int) -> TaskPlan:
        """A task."""
        rng = self._rng
        kind = "sync" if self._sync() else "async"
        options: dict[str, Any] = {}
        if self._has["retries"] and rng.random() < 0.5:
            options["retries"] = rng.randrange(1, 4)
            options["retry_delay_seconds"] = rng.choice(DELAYS)
        if self._has["timeouts"] and rng.random() < 0.4:
            options["timeout_seconds"] = rng.choice((0.001, 0.5, 1.5))
        holds = self._has["limits"] and rng.random() < 0.5
        if holds:
            options["tags"] = rng.choice((("narrow",), ("wide",), ("narrow", "wide")))
        self._holding += holds
        if self._has["caches"] and rng.random() < 0.4:
            options["cached"] = "shared"  # serial ones, nested, may wait for each other for ever, as locks do
        name = self._name("t")
        ops = tuple(self._op(depth + 1, kind, flow=False) for _ in range(rng.choice((0, 1, 1, 2, 3))))
        self._holding -= holds
        fails = rng.choice((0, 0, 0, 1, 2, 9)) if self._has["errors"] else 0
        hooks = self._hooks(("on_running", "on_completion", "on_failure"))
        return TaskPlan(name, kind, ops, tuple(options.items()), fails, self._error(), hooks)

    def _op(self, depth: int, kind: str, *, flow: bool) -> Op:
        self._budget -= 1
        leaf = self._budget <= 0 or depth > DEEPEST or not (flow or self._has["nesting"])
        able = [each for each in KINDS if self._fits(each, kind, leaf=leaf, flow=flow)]
        chosen = self._rng.choices(able, [each.weight for each in able])[0]
        return self._op_of(chosen, depth, kind)

    def _fits(self, each: Kind, kind: str, *, leaf: bool, flow: bool) -> bool:
        if each.starts and leaf:
            return False
        if each.name == "gather" and self._holding:
            return False  # the engine does not know for what such a body waits, and may not see that it waits in vain
        if each.only_async and kind == "sync":
            return False
        if each.rare_in_flows and flow and self._rng.random() < 0.7:
            return False
        return not each.fault or self._has[each.fault]

    def _op_of(self, chosen: Kind, depth: int, kind: str) -> Op:
        rng, what = self._rng, chosen.name
        op = Op(what, seconds=rng.choice(DELAYS), how=rng.choice(("raise", "swallow", "state")))
        if self._has["upstreams"] or not chosen.starts:
            op = attrs.evolve(op, on=tuple(rng.randrange(4) for _ in range(rng.choice((0, 1, 1, 2)))))
        if what == "map":
            op = attrs.evolve(op, count=rng.choice((2, 5, 20) if depth < 1 else (1, 2)))
        else:
            op = attrs.evolve(op, count=rng.choice((1, 2, 4)))
        if chosen.made == "flow":
            return attrs.evolve(op, flow=self._flow(depth + 1))
        if chosen.made == "ops":
            self._holding += what == "occupy"
            inside = tuple(self._op(depth + 1, kind, flow=True) for _ in range(rng.randrange(1, 3)))
            self._holding -= what == "occupy"
            return attrs.evolve(op, how=rng.choice(("asyncio", "anyio")), ops=inside)
        if chosen.made:
            return attrs.evolve(op, task=self._task_for(chosen, depth, kind))
        return op

    def _task_for(self, chosen: Kind, depth: int, kind: str) -> TaskPlan:
        made = chosen.made
        if made == "nothing":
            return TaskPlan(self._name("t"))
        task = self._task(depth)
        if made == "generator":
            return attrs.evolve(task, kind=f"{kind}-generator")
        return attrs.evolve(task, kind="async") if made == "async" else task


def draw(rng: random.Random, has: tuple[str, ...] = ()) -> Plan:
    """A plan as a seed has it, with some faults in any case."""
    return Drawer(rng, has).plan()
