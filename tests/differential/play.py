"""Playing: a script on an engine, and what is seen of it.

Decides what each word of a script does, in the terms that both engines share, and what is written down: how the flow
ended, what every step came to, which states each run went through, and which hooks were called. Bodies of flows are
coroutines; a sync one is run to its end by a plain function, for it never suspends.
"""

from __future__ import annotations

import asyncio
import builtins
import inspect
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from tests.differential.engines import Side
from tests.differential.scripts import Expression, Script, Step
from tests.differential.showing import MARK, shown, shown_error, shown_state


class Refused(Exception):
    """An error of the user's own."""

    def __init__(self, what: str, why: int) -> None:
        super().__init__(what, why)
        self.why = why


@dataclass
class Box:
    """A dataclass that holds things."""

    first: Any
    second: Any = None


class Named(NamedTuple):
    """A named tuple that holds things."""

    first: Any
    second: Any = None


def raising(kind: str, label: str) -> BaseException:
    """An exception of a kind that scripts name. It is marked, for only such ones are compared by their arguments."""
    match kind:
        case "Refused":
            made: BaseException = Refused(label, 7)
        case "OSError":
            made = OSError(2, label)
        case "ExceptionGroup":
            made = ExceptionGroup(label, [ValueError(1), KeyError("k")])
        case _:
            made = getattr(builtins, kind)(label)
    made.__dict__[MARK] = True
    return made


def finish(body: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        body.send(None)
    except StopIteration as stop:
        return stop.value
    body.close()
    raise AssertionError("A sync body suspended.")


class Player:
    """Plays one script.

    Args:
        side: On which engine.
        script: What.
    """

    def __init__(self, side: Side, script: Script) -> None:
        self.side = side
        self.script = script
        self.tasks: dict[str, Any] = {}
        self.steps: list[Any] = []  # what each step came to, in order
        self.calls: dict[str, int] = defaultdict(int)
        self.hooks: dict[str, dict[Any, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.lock = Lock()

    def play(self) -> dict[str, Any]:
        """Play it, and give what was seen."""
        self.side.tasks.taken()
        self.side.flows.taken()
        main = self.flow(self.script["main"])
        plain = self.script["flows"][self.script["main"]]["returns"][0] == "literal"
        given = {} if plain else {"return_state": True}
        try:
            called = main(0, **given)
            ended = asyncio.run(called) if inspect.iscoroutine(called) else called
            outcome = shown(ended)
        except BaseException as error:  # noqa: BLE001
            outcome = {"raised": shown_error(error)}
        hooks = {name: sorted(runs.values()) for name, runs in sorted(self.hooks.items())}
        tasks = {
            name: each for name, each in self.side.tasks.taken().items() if name.split(":")[0] in self.script["tasks"]
        }
        return {
            "outcome": outcome,
            "steps": self.steps,
            "flows": self._named_flows(),
            "tasks": tasks,
            "hooks": hooks,
            "calls": dict(sorted(self.calls.items())),
        }

    def _named_flows(self) -> list[list[str]]:
        found = self.side.flows.taken()
        return sorted(sequence for sequences in found.values() for sequence in sequences)

    # Tasks.

    def task(self, label: str) -> Any:
        """The task of a name."""
        if label not in self.tasks:
            self.tasks[label] = self._made_task(label, self.script["tasks"][label])
        return self.tasks[label]

    def _made_task(self, label: str, told: dict[str, Any]) -> Any:
        options = dict(told["options"])
        given: dict[str, Any] = {"name": label}
        given |= {
            name: options[name] for name in ("retries", "timeout_seconds", "task_run_name", "tags") if name in options
        }
        if "retry_condition" in options:
            given["retry_condition_fn"] = self._condition(options["retry_condition"])
        match options.get("cached"):
            case "inputs":
                given |= {"cache_policy": self.side.inputs, **self.side.keeping()}
            case "function":
                given |= {
                    "cache_key_fn": lambda _context, parameters: f"{self.script['seed']}-{label}-{parameters['y']}",
                    **self.side.keeping(),
                }
            case _:
                pass
        if "hooks" in options:
            hooks = [self._hook(label, "first"), self._hook(label, "second", raises=options["hooks"] == "raising")]
            hooks.append(self._hook(label, "third"))
            given |= {"on_running": hooks, "on_completion": hooks, "on_failure": hooks}
        made = self.side.task(**given)(self._body(label, told))
        if options.get("transactional"):
            made.on_rollback(lambda txn: self._note(label, "txn", "rolled back"))
            made.on_commit(lambda txn: self._note(label, "txn", "committed"))
        return made

    def _condition(self, told: Any) -> Callable[..., bool]:
        def condition(task: Any, run: Any, state: Any) -> bool:
            if told == "raises":
                raise RuntimeError("the condition")
            return bool(told)

        return condition

    def _hook(self, label: str, which: str, *, raises: bool = False) -> Callable[..., None]:
        def hook(called: Any, run: Any, state: Any) -> None:
            self._note(label, run.id, f"{which} {state.type.value}:{state.name}")
            if raises:
                raise RuntimeError("a hook")

        hook.__name__ = which
        return hook

    def _note(self, label: str, run: Any, what: str) -> None:
        with self.lock:
            self.hooks[label][run].append(what)

    def _body(self, label: str, told: dict[str, Any]) -> Callable[..., Any]:
        if told["kind"] == "yielding":
            return self._generator(label, told)
        if told["async"]:

            async def body(x: Any = None, y: Any = 7) -> Any:
                if told["kind"] == "slow":
                    await asyncio.sleep(20)
                return self._act(label, told, x, y)

            return body

        def plain(x: Any = None, y: Any = 7) -> Any:
            if told["kind"] == "slow":
                for _ in range(2000):
                    time.sleep(0.01)
            return self._act(label, told, x, y)

        return plain

    def _generator(self, label: str, told: dict[str, Any]) -> Callable[..., Any]:
        def items(x: Any, y: Any) -> Generator[Any]:
            for number in range(told["count"]):
                yield [label, number, shown(x)]
            if "error" in told:
                raise raising(told["error"], label)

        if told["async"]:

            async def later(x: Any = None, y: Any = 7) -> AsyncGenerator[Any]:
                for each in items(x, y):
                    yield each

            return later

        def now(x: Any = None, y: Any = 7) -> Generator[Any]:
            yield from items(x, y)

        return now

    def _act(self, label: str, told: dict[str, Any], x: Any, y: Any) -> Any:
        with self.lock:
            self.calls[label] += 1
        match told["kind"]:
            case "echo":
                return [label, shown(x), shown(y)]
            case "fail":
                raise raising(told["error"], label)
            case "flaky":
                if self.side.attempt() <= told["times"]:
                    raise raising(told["error"], label)
                return [label, self.side.attempt()]
            case "state":
                return self.state(told["state"])
            case "listing":
                return [[label, each] for each in range(told["count"])]
            case "context":
                return [label, self.side.tags_here()]
            case "nested":
                return self._nested(told)
            case _:
                return label

    def _nested(self, told: dict[str, Any]) -> Any:
        inner = self.task(told["inner"])
        match told["how"]:
            case "call":
                return inner(1)
            case "state":
                return shown_state(inner(1, return_state=True))
            case _:
                future = inner.submit(1)
                future.wait()
                return shown(future.state)

    def state(self, told: str) -> Any:
        """A state that a body makes by hand."""
        match told:
            case "Completed":
                return self.side.Completed(data=[1, 2])
            case "Named":
                return self.side.Completed(name="Skipped", message="nothing to do", data=3)
            case "Fail-Named":
                return self.side.Failed(name="Refused", message="by hand")
            case _:
                return getattr(self.side, told)(message="by hand")

    # Flows.

    def flow(self, label: str) -> Any:
        """The flow of a name, made anew."""
        told = self.script["flows"][label]
        options = dict(told["options"])
        given: dict[str, Any] = {"name": label, "validate_parameters": False}
        given |= {name: options[name] for name in ("retries", "flow_run_name") if name in options}
        if options.get("hooks"):
            hooks = [self._hook(label, "first"), self._hook(label, "second", raises=True), self._hook(label, "third")]
            names = ("on_running", "on_completion", "on_failure", "on_crashed", "on_cancellation")
            given |= dict.fromkeys(names, hooks)
        body = Body(self, told)
        if told["async"]:

            async def awaiting(p: Any) -> Any:
                return await body.run(p)

            return self.side.flow(**given)(awaiting)

        def blocking(p: Any) -> Any:
            return finish(body.run(p))

        return self.side.flow(**given)(blocking)


class Body:
    """The body of one flow.

    Args:
        player: Who plays the script.
        told: What the script says about the flow.
    """

    def __init__(self, player: Player, told: dict[str, Any]) -> None:
        self.player = player
        self.side = player.side
        self.told = told
        self.blocks = not told["async"]
        self.variables: dict[str, Any] = {}
        self.futures: list[Any] = []

    async def run(self, p: Any) -> Any:
        """Take all steps, wait for all that was started, and return what is to be returned."""
        self.variables, self.futures = {"p": p}, []
        try:
            await self.take(self.told["steps"])
        finally:
            await self.side.ended(self.futures, blocks=self.blocks)
        return self.value(self.told["returns"])

    async def take(self, steps: list[Step]) -> None:
        """Take steps, one after the other."""
        for step in steps:
            await self.step(step)

    async def step(self, step: Step) -> None:
        """Take one step, and write down what it came to."""
        match step:
            case ["raise", kind]:
                raise raising(kind, "flow")
            case ["stumble", times, kind]:
                if self.side.flow_attempt() <= times:
                    raise raising(kind, "stumble")
            case ["tags", names, steps]:
                with self.side.tags(*names):
                    await self.take(steps)
            case [word, name, *rest]:
                try:
                    came = await getattr(self, f"do_{word}")(*rest)
                except Exception as error:
                    self.player.steps.append([name, shown_error(error)])
                    self.variables[name] = f"{name} raised {type(error).__name__}"
                    if not rest[-1].get("guarded"):
                        raise
                else:
                    self.player.steps.append([name, shown(came)])
                    self.variables[name] = came
            case _:
                raise AssertionError(step)

    async def do_call(self, task: str, arguments: list[Expression], extras: dict[str, Any]) -> Any:
        return await self.side.call(self.player.task(task), *map(self.value, arguments), **self.extras(extras))

    async def do_submit(self, task: str, arguments: list[Expression], extras: dict[str, Any]) -> Any:
        future = self.player.task(task).submit(*map(self.value, arguments), **self.extras(extras))
        self.futures.append(future)
        return future

    async def do_map(self, task: str, arguments: list[Expression], extras: dict[str, Any]) -> Any:
        futures = self.player.task(task).map(*map(self.value, arguments), **self.extras(extras))
        self.futures.extend(futures)
        return futures

    async def do_flow(self, label: str, arguments: list[Expression], extras: dict[str, Any]) -> Any:
        return await self.side.call(self.player.flow(label), *map(self.value, arguments), **self.extras(extras))

    async def do_look(self, how: str, name: str, extras: dict[str, Any]) -> Any:
        looked = self.variables.get(name)
        if isinstance(looked, str) or looked is None:
            return looked  # what was to be looked at was never started
        match how:
            case "result":
                return await self.side.result(looked, blocks=self.blocks)
            case "outcome":
                return await self.side.outcome(looked, blocks=self.blocks)
            case "wait":
                [state] = await self.side.ended([looked], blocks=self.blocks)
                return state
            case "results":
                return await self.side.result(looked, blocks=self.blocks)
            case "wait all":
                return await self.side.ended(looked, blocks=self.blocks)
            case _:
                return await self.side.outcome(looked[0], blocks=self.blocks) if len(looked) else None

    async def do_transaction(self, steps: list[Step], extras: dict[str, Any]) -> Any:
        if self.blocks:
            with self.side.transaction():
                await self.take(steps)
        else:
            async with self.side.atransaction():
                await self.take(steps)

    async def do_iterate(self, task: str, arguments: list[Expression], extras: dict[str, Any]) -> Any:
        found: list[Any] = []
        values = self.player.task(task)(*map(self.value, arguments))
        try:
            if hasattr(values, "__anext__"):
                async for each in values:
                    found.append(each)  # noqa: PERF401  # what came before an error counts
            else:
                for each in values:
                    found.append(each)  # noqa: PERF402  # likewise
        except Exception as error:  # noqa: BLE001
            found.append(error)
        return found

    async def do_cached(self, task: str, given: list[Any], extras: dict[str, Any]) -> Any:
        salt = f"{self.player.script['seed']}-{task}"
        return [await self.side.call(self.player.task(task), salt, each, return_state=True) for each in given]

    def extras(self, told: dict[str, Any]) -> dict[str, Any]:
        """What a call is given beside its arguments."""
        given: dict[str, Any] = {}
        if told.get("state"):
            given["return_state"] = True
        if "wait_for" in told:
            given["wait_for"] = [self.value(each) for each in told["wait_for"]]
        return given

    def value(self, expression: Expression) -> Any:
        """What an expression stands for."""
        match expression:
            case ["literal", value]:
                return value
            case ["variable", name]:
                return self.variables.get(name, "never set")
            case ["list", items]:
                return [self.value(each) for each in items]
            case ["tuple", items]:
                return tuple(self.value(each) for each in items)
            case ["dict", items]:
                return {f"k{number}": self.value(each) for number, each in enumerate(items)}
            case ["box", items]:
                return Box(*(self.value(each) for each in items)) if items else Box(None)
            case ["named", items]:
                return Named(*(self.value(each) for each in items)) if items else Named(None)
            case ["keys", count]:
                return {f"k{number}": number for number in range(count)}
            case ["range", count]:
                return range(count)
            case ["tuple of", count]:
                return tuple(range(count))
            case ["iterator", count]:
                return iter(range(count))
            case ["states", told]:
                return self.player.state(told)
            case [annotation, inner]:
                return getattr(self.side, annotation)(self.value(inner))
            case _:
                raise AssertionError(expression)


def play(side: Side, script: Script) -> dict[str, Any]:
    """Play a script on an engine.

    Returns:
        What was seen, as plain data.
    """
    return Player(side, script).play()
