"""Scripts: generated flows as plain data, which either engine can play.

Decides what is generated. A script says which tasks there are, what their bodies do, and which steps the body of each
flow takes; it is the same for the same seed on every Python. Knows no engine.

Left out is what would tell nothing about the engine: two runs of a script must come to the same, so a step waits for
what it starts where the order of runs shows (hooks of a transaction, a cache), and a flow waits for all of it at its
end. Left out as well is what docs/differences.md lists; `differences.py` has cases for that.
"""

from __future__ import annotations

import random
from typing import Any

Script = dict[str, Any]
"""A flow: what `play` needs to make and run it."""

Step = list[Any]
"""What the body of a flow does at one point: the word for it, then what it is done with."""

Expression = list[Any]
"""A value in a step: a literal, a variable, or something made of those."""

ERRORS = (
    "ValueError",
    "KeyError",
    "RuntimeError",
    "OSError",
    "TimeoutError",
    "AssertionError",
    "ZeroDivisionError",
    "RecursionError",
    "MemoryError",
    "Refused",
    "ExceptionGroup",
    "NotImplementedError",
)
"""What bodies raise. `raising` in play.py makes them."""

LITERALS: tuple[Any, ...] = (0, 1, -3, 2.5, "a", "", True, None, [1, 2], {"k": 1})


ANNOTATIONS = ("allow_failure", "quote", "opaque")
"""What stands around values, but for `unmapped`, which only maps know."""


class Writer:
    """Writes one script.

    Args:
        seed: What is drawn.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.flows: dict[str, dict[str, Any]] = {}

    def script(self) -> Script:
        """A whole script."""
        main = self.flow(depth=0)
        return {"seed": self.seed, "main": main, "tasks": self.tasks, "flows": self.flows}

    # Flows.

    def flow(self, depth: int) -> str:
        """Write a flow, and give its name."""
        label = f"f{len(self.flows)}"
        is_async = self.chance(0.5)
        made: dict[str, Any] = {"async": is_async, "options": {}}
        self.flows[label] = made
        scope = Scope(self, depth, is_async=is_async)
        steps = [scope.step() for _ in range(self.random.randint(2, 5))]
        if self.chance(0.1):  # what fails is the beginning, before there are runs that would not be run again
            made["options"]["retries"] = self.random.randint(1, 2)
            steps = [["stumble", self.random.randint(1, 3), self.random.choice(ERRORS)], *map(guarded, steps)]
        elif self.chance(0.12):
            steps.append(["raise", self.random.choice(ERRORS)])
        if self.chance(0.1):
            made["options"]["flow_run_name"] = self.random.choice([f"{label}:named", f"{label}:{{p}}-named"])
        if self.chance(0.3):
            made["options"]["hooks"] = True
        made["steps"] = steps
        made["returns"] = ["literal", 1] if "retries" in made["options"] else scope.returned()
        return label

    # Tasks.

    def task(self, *, is_async: bool, kinds: tuple[str, ...]) -> str:
        """Write a task, and give its name."""
        label = f"t{len(self.tasks)}"
        kind = self.random.choice(kinds)
        options: dict[str, Any] = {}
        made: dict[str, Any] = {"async": is_async, "kind": kind, "options": options}
        self.tasks[label] = made
        match kind:
            case "fail":
                made["error"] = self.random.choice(ERRORS)
            case "flaky":
                made["error"] = self.random.choice(ERRORS)
                made["times"] = self.random.randint(1, 3)
                options["retries"] = self.random.randint(0, 3)
                if self.chance(0.3):
                    options["retry_condition"] = self.random.choice([True, False, "raises"])
            case "state":
                made["state"] = self.random.choice(
                    ["Completed", "Failed", "Cancelled", "Crashed", "Named", "Fail-Named"]
                )
                if self.chance(0.4):
                    options["retries"] = 1
            case "slow":
                options["timeout_seconds"] = 0.05
            case "listing" | "yielding":
                made["count"] = self.random.randint(0, 3)
                if kind == "yielding" and self.chance(0.3):
                    made["error"] = self.random.choice(ERRORS)
                    if self.chance(0.5):
                        options["retries"] = 1
            case "nested":
                made["inner"] = self.task(is_async=False, kinds=("echo", "fail", "flaky"))
                made["how"] = self.random.choice(["call", "state"] if is_async else ["call", "state", "submit"])
            case _:
                pass
        if self.chance(0.2):
            options["task_run_name"] = self.random.choice([f"{label}:named", f"{label}:{{y}}"])
        if self.chance(0.2):
            options["tags"] = self.random.sample(["red", "green", "blue"], self.random.randint(1, 2))
        if self.chance(0.35):
            options["hooks"] = self.random.choice(["plain", "raising"])
        return label

    def chance(self, share: float) -> bool:
        """Whether this time it happens."""
        return self.random.random() < share


def guarded(step: Step) -> Step:
    """The same step, with whatever it raises caught."""
    if step[0] == "tags":
        return [*step[:2], [guarded(each) for each in step[2]]]
    return [*step[:-1], {**step[-1], "guarded": True}]


KINDS = ("echo", "echo", "echo", "fail", "flaky", "state", "listing", "nested", "context")


class Scope:
    """Writes the body of one flow.

    Args:
        writer: Writes the tasks and subflows that are needed.
        depth: In how many flows this one is.
        is_async: Its body is a coroutine.
    """

    def __init__(self, writer: Writer, depth: int, *, is_async: bool) -> None:
        self.writer = writer
        self.random = writer.random
        self.depth = depth
        self.is_async = is_async
        self.variables: dict[str, list[str]] = {
            "plain": [],
            "value": [],
            "sound": [],
            "kept": [],
            "future": [],
            "futures": [],
            "state": [],
        }
        self.count = 0

    def step(self) -> Step:
        """One step that starts something, mostly, or looks at what was started."""
        writers: list[tuple[int, Any]] = [
            (5, self.call),
            (5, self.submit),
            (4, self.map),
            (3 if self.variables["future"] else 0, self.look),
            (2 if self.variables["futures"] else 0, self.look_at_all),
            (2 if self.depth < 2 else 0, self.subflow),
            (1, self.tagged),
            (1, self.sound),
            (1, self.transaction),
            (1, self.iterate),
            (1, self.cached),
            (1, self.slow),
        ]
        step: Step = self.random.choices([each for _, each in writers], [weight for weight, _ in writers])[0]()
        return step

    def name(self, kind: str) -> str:
        """A new variable of some kind."""
        self.count += 1
        made = f"v{self.depth}_{self.count}"
        self.variables[kind].append(made)
        return made

    def task(self, *kinds: str, called: bool = False) -> str:
        """A task that may be used here: a sync flow calls no async one."""
        is_async = self.writer.chance(0.5) and not (called and not self.is_async)
        if called and self.is_async and not is_async:
            kinds = tuple(each for each in kinds or KINDS if each != "nested")
        return self.writer.task(is_async=is_async, kinds=kinds or KINDS)

    # Steps.

    def call(self) -> Step:
        if self.writer.chance(0.4):
            task = self.task(called=True)
            if self.is_async and not self.writer.tasks[task]["async"]:  # a loop's own thread is not to be blocked
                arguments, extras = self.ended_arguments(), {"state": True}
            else:
                arguments, extras = self.arguments(), self.extras(with_state=True)
            return ["call", self.name("state"), task, arguments, extras]
        return self.call_of(*(each for each in KINDS if each != "state"))

    def sound(self) -> Step:
        """A run that does not fail, so that a subflow may depend on it."""
        task = self.task("echo", "listing", "context")
        return ["submit", self.name("sound"), task, self.ended_arguments(), {}]

    def submit(self) -> Step:
        task, arguments, extras = self.task(), self.arguments(), self.extras()
        return ["submit", self.name("future"), task, arguments, extras]

    def map(self) -> Step:
        task, extras = self.task(), self.extras()
        first = self.iterable()
        arguments: list[Expression] = [first]
        if self.writer.chance(0.4):
            arguments.append(
                self.random.choice(
                    [self.iterable(), ["unmapped", self.expression()], ["literal", 5], ["literal", "text"]]
                )
            )
        return ["map", self.name("futures"), task, arguments, extras]

    def look(self) -> Step:
        future = self.random.choice(self.variables["future"])
        how = self.random.choice(["result", "result", "outcome", "wait"])
        return ["look", self.name("value"), how, future, {"guarded": self.writer.chance(0.7)}]

    def look_at_all(self) -> Step:
        futures = self.random.choice(self.variables["futures"])
        how = self.random.choice(["results", "results", "wait all", "first done"])
        return ["look", self.name("value"), how, futures, {"guarded": self.writer.chance(0.7)}]

    def subflow(self) -> Step:
        flow = self.writer.flow(self.depth + 1)
        if self.writer.flows[flow]["async"] and not self.is_async:
            self.writer.flows[flow]["async"] = False
            self.make_sync(self.writer.flows[flow]["steps"])
        made = self.writer.flows[flow]
        given = self.expression(ended=True)
        if self.variables["sound"] and (made["async"] or not self.is_async):
            given = [self.random.choice(["list", "tuple"]), [["variable", each] for each in self.variables["sound"]]]
        if self.writer.chance(0.5):
            kind = "state" if str(made["returns"][0]) in {"literal", "states"} else "kept"
            return ["flow", self.name(kind), flow, [given], {"state": True}]
        if made["returns"][0] != "literal":
            made["returns"] = ["literal", "done"]
        return ["flow", self.name("plain"), flow, [given], {"guarded": self.writer.chance(0.8)}]

    def make_sync(self, steps: list[Step]) -> None:
        """A flow that has become sync calls sync tasks and flows."""
        for step in steps:
            match step[0]:
                case "call" | "cached" | "iterate":
                    self.writer.tasks[step[2]]["async"] = False
                case "flow":
                    self.writer.flows[step[2]]["async"] = False
                    self.make_sync(self.writer.flows[step[2]]["steps"])
                case "tags" | "transaction":
                    self.make_sync(step[2])
                case _:
                    pass

    def tagged(self) -> Step:
        return ["tags", self.random.sample(["x", "y", "z"], 2), [self.call_of("context"), self.submit_of("context")]]

    def transaction(self) -> Step:
        steps: list[Step] = [self.call_of("echo") for _ in range(self.random.randint(1, 3))]
        if self.writer.chance(0.4):  # only the last: what follows it is a listed difference
            steps.append(self.call_of("flaky"))
        elif self.writer.chance(0.5):
            steps.append(["raise", self.random.choice(ERRORS)])
        for step in steps:
            if step[0] == "call":
                self.writer.tasks[step[2]]["options"]["transactional"] = True
                self.writer.tasks[step[2]]["options"].pop("retries", None)
                self.writer.tasks[step[2]]["async"] = self.is_async
        return ["transaction", self.name("value"), steps, {"guarded": True}]

    def iterate(self) -> Step:
        task = self.task("yielding", called=True)
        return ["iterate", self.name("value"), task, self.ended_arguments(), {"guarded": True}]

    def cached(self) -> Step:
        task = self.task("echo", called=True)
        self.writer.tasks[task]["options"]["cached"] = self.random.choice(["inputs", "function"])
        given = [self.random.choice([1, 1, 2, "a"]) for _ in range(3)]
        return ["cached", self.name("value"), task, given, {}]

    def slow(self) -> Step:
        if self.writer.chance(0.5):
            return ["submit", self.name("future"), self.task("slow"), [], {}]
        return ["call", self.name("state"), self.task("slow", called=True), [], {"state": True}]

    def call_of(self, *kinds: str) -> Step:
        """A call that gives a result, and so depends on nothing that may have failed."""
        task, extras = self.task(*kinds, called=True), {"guarded": self.writer.chance(0.8)}
        return ["call", self.name("plain"), task, self.ended_arguments(), extras]

    def submit_of(self, *kinds: str) -> Step:
        return ["submit", self.name("future"), self.task(*kinds), self.arguments(), {}]

    def extras(self, *, with_state: bool = False) -> dict[str, Any]:
        """What else a call is given, and whether what it raises is caught."""
        extras: dict[str, Any] = {"guarded": self.writer.chance(0.8)}
        if with_state:
            extras["state"] = True
        upstream = self.variables["future"] + self.variables["state"]
        if upstream and self.writer.chance(0.2):
            extras["wait_for"] = [["variable", self.random.choice(upstream)]]
        return extras

    # Expressions.

    def arguments(self) -> list[Expression]:
        return [self.expression() for _ in range(self.random.choice([1, 1, 2]))]

    def ended_arguments(self) -> list[Expression]:
        return [self.expression(ended=True) for _ in range(self.random.choice([1, 1, 2]))]

    def expression(self, depth: int = 0, *, ended: bool = False) -> Expression:
        drawn = self.random.random()
        known = self.variables["plain"] if ended else self.known(without="kept")
        if depth < 2 and drawn < 0.2:
            inner = [self.expression(depth + 1, ended=ended) for _ in range(self.random.randint(0, 2))]
            return [self.random.choice(["list", "tuple", "dict", "box", "named"]), inner]
        if drawn < 0.3:
            inner = self.expression(2, ended=ended)
            while str(inner[0]) in ANNOTATIONS:
                inner = inner[1]
            return [self.random.choice(ANNOTATIONS), inner]
        if known and drawn < 0.75:
            return ["variable", self.random.choice(known)]
        return ["literal", self.random.choice(LITERALS)]

    def iterable(self) -> Expression:
        drawn = self.random.random()
        if self.variables["futures"] and drawn < 0.3:
            chosen: Expression = ["variable", self.random.choice(self.variables["futures"])]
            return ["allow_failure", chosen] if self.writer.chance(0.3) else chosen
        if drawn < 0.45:
            return ["list", [self.expression(1) for _ in range(self.random.randint(1, 3))]]
        if drawn < 0.6:
            return [self.random.choice(["keys", "range", "tuple of", "iterator"]), self.random.randint(0, 3)]
        return ["literal", [self.random.randint(0, 9) for _ in range(self.random.choice([0, 1, 2, 2, 2, 3]))]]

    def known(self, without: str = "") -> list[str]:
        """The variables there are, but for one kind."""
        return [each for kind, names in self.variables.items() if kind != without for each in names]

    def returned(self) -> Expression:
        """What the flow returns."""
        drawn = self.random.random()
        known = self.known()
        if drawn < 0.15 or not known:
            return ["literal", self.random.choice(LITERALS)]
        if drawn < 0.25:
            return ["states", self.random.choice(["Completed", "Failed", "Named", "Fail-Named", "Cancelled"])]
        if drawn < 0.6:
            return ["variable", self.random.choice(known)]
        return ["list", [["variable", each] for each in self.random.sample(known, min(len(known), 2))]]


def script(seed: int) -> Script:
    """The script of a seed."""
    return Writer(seed).script()
