"""Differences: for each one that docs/differences.md lists, a case that shows it on both engines.

Decides what a listed difference comes to: what a case gives on millrace, and what it gives on Prefect. A case stands
under the number of its section and of the bullet in it, 0 for what stands above the bullets. `rewritten` does to
Prefect's answers what three of these differences do to millrace's, so that generated flows can be compared where they
come upon one.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import importlib
import importlib.metadata
import inspect
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import attrs

from tests.differential.engines import Side
from tests.differential.showing import shown

Case = Callable[[Side], Any]


@dataclass(frozen=True)
class Difference:
    """One case of a listed difference.

    Args:
        section: Its section's number.
        bullet: The bullet in it, from 1; 0 for what stands above.
        case: Plays it.
        millrace: What that gives on millrace.
        prefect: What it gives on Prefect.
    """

    section: int
    bullet: int
    case: Case
    millrace: Any
    prefect: Any


DIFFERENCES: list[Difference] = []


def difference(section: int, bullet: int, *, millrace: Any, prefect: Any) -> Callable[[Case], Case]:
    """Enter a case; see `Difference`."""

    def enter(case: Case) -> Case:
        DIFFERENCES.append(Difference(section, bullet, case, millrace, prefect))
        return case

    return enter


def came_of(called: Callable[[], Any]) -> Any:
    """What a call gives, or the class of what it raises."""
    try:
        value = called()
        if asyncio.iscoroutine(value):
            value = asyncio.run(value)
    except BaseException as error:  # noqa: BLE001
        return f"raises {type(error).__name__}"
    return shown(value)


def refuse() -> None:
    """The body of a task that fails."""
    raise ValueError("no")


# 1 to 5: what runs, and what a call gives.


@difference(1, 0, millrace=0, prefect=1)
def servers(side: Side) -> Any:
    """Processes that were started to run a flow."""
    side.flow(lambda: None, name="f")()
    children = Path("/proc/self/task").glob("*/children")
    return sum(len(each.read_text().split()) for each in children)


@difference(2, 0, millrace="COMPLETED", prefect="PENDING")
def forgotten(side: Side) -> Any:
    futures: list[Any] = []

    @side.flow(task_runner=side.module("task_runners").ThreadPoolTaskRunner(max_workers=1))
    def forgetful() -> int:
        task = side.task(lambda _: time.sleep(0.1), name="t")
        futures.extend(task.submit(number) for number in range(3))
        return 1

    forgetful()
    return futures[-1].state.type.value


@difference(2, 1, millrace="FAILED:Failed", prefect="PENDING:NotReady")
def subflow_without_upstream(side: Side) -> Any:
    @side.flow
    def outer() -> Any:
        inner = side.flow(lambda given: given, name="inner", validate_parameters=False)
        state = inner(side.task(refuse).submit(), return_state=True)
        return f"{state.type.value}:{state.name}"

    return came_of(outer)


@difference(2, 2, millrace="FAILED:Failed", prefect="PENDING:NotReady")
def failure_inside_a_result(side: Side) -> Any:
    @side.flow
    def outer() -> Any:
        inner = side.flow(lambda: [side.task(refuse)(return_state=True), 1], name="inner")
        state = side.task(lambda given: 1, name="t")(inner(return_state=True), return_state=True)
        return f"{state.type.value}:{state.name}"

    return came_of(outer)


@difference(3, 0, millrace="FAILED", prefect="COMPLETED")
def careless(side: Side) -> Any:
    @side.flow
    def flow() -> None:
        side.task(refuse).submit().wait()

    return flow(return_state=True).type.value


@difference(4, 0, millrace="raises ValueError", prefect=["FAILED"])
def failed_by_states(side: Side) -> Any:
    @side.flow
    def flow() -> Any:
        return [side.task(refuse)(return_state=True)]

    return came_of(lambda: [each.type.value for each in flow()])


@difference(4, 1, millrace="FailedRun", prefect="NoneType")
def result_of_a_failure(side: Side) -> Any:
    flow = side.flow(lambda: side.Failed(message="by hand"), name="f")
    return type(flow(return_state=True).result(raise_on_failure=False)).__name__


@difference(
    4,
    2,
    millrace=[3, "raises FailedRun"],
    prefect=[
        {"state": "COMPLETED", "name": "Skipped", "result": 3},
        {"state": "FAILED", "name": "Failed", "raises": {"error": "FailedRun"}},
    ],
)
def returned_states(side: Side) -> Any:
    skip = side.task(lambda: side.Completed(name="Skipped", data=3), name="skip")
    fail = side.task(lambda: side.Failed(message="by hand"), name="fail")
    return [came_of(skip), came_of(fail)]


@difference(4, 3, millrace=["raises UnfinishedRun", "raises UnfinishedRun"], prefect=[None, []])
def call_that_is_not_ready(side: Side) -> Any:
    @side.task
    def items(given: Any) -> Generator[int]:
        yield 1

    @side.flow
    def flow() -> Any:
        failed = side.task(refuse)(return_state=True)
        task = side.task(lambda given: 1, name="t")
        return [came_of(lambda: task(failed)), came_of(lambda: list(items(failed)))]

    return flow()


class Unreadable(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@difference(4, 4, millrace=["PENDING", "RUNNING", "FAILED"], prefect=["PENDING", "RUNNING"])
def error_without_a_text(side: Side) -> Any:
    @side.task
    def task() -> None:
        raise Unreadable

    side.tasks.taken()
    came_of(task)
    [[sequence]] = side.tasks.taken().values()
    return [each.split(":")[0] for each in sequence]


@difference(5, 0, millrace=True, prefect=False)
def async_task_on_the_loop_of_its_flow(side: Side) -> Any:
    @side.task
    async def thread() -> int:
        return threading.get_ident()

    @side.flow
    async def flow() -> bool:
        ident = await side.result(thread.submit(), blocks=False)
        return bool(ident == threading.get_ident())

    return asyncio.run(flow())


@difference(6, 0, millrace="raises BlockingCallOnLoop", prefect=1)
def blocking_wait_on_a_loop(side: Side) -> Any:
    @side.task
    async def one() -> int:
        return 1

    @side.flow
    async def flow() -> Any:
        future = one.submit()
        return came_of(future.result)

    return asyncio.run(flow())


@difference(7, 0, millrace="int", prefect="coroutine")
def async_task_in_a_sync_flow(side: Side) -> Any:
    @side.task
    async def one() -> int:
        return 1

    @side.flow
    def flow() -> str:
        given = one()
        if asyncio.iscoroutine(given):
            given.close()
        return type(given).__name__

    return flow()


# 8 to 10: threads, maps and parameters.


@difference(8, 0, millrace="the run", prefect="the body")
def what_ends_first_at_a_deadline(side: Side) -> Any:
    ended: list[str] = []

    @side.task(timeout_seconds=0.1)
    def deaf() -> None:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                time.sleep(0.05)
            except BaseException:  # noqa: BLE001, S112  # it does not listen
                continue
        ended.append("the body")

    @side.flow
    def flow() -> str:
        future = deaf.submit()
        future.wait()
        ended.append("the run")
        return ended[0]

    return came_of(flow)


@difference(8, 1, millrace=False, prefect=True)
def where_a_task_with_a_timeout_runs(side: Side) -> Any:
    here = side.task(lambda: threading.get_ident(), name="t", timeout_seconds=60)()
    return here == threading.get_ident()


@difference(8, 2, millrace=True, prefect=False)
def functions_that_ask_whether_to_stop(side: Side) -> Any:
    return hasattr(side.module(), "check_cancelled")


@difference(8, 3, millrace="raises ConfigurationError", prefect=1)
def timeout_of_zero(side: Side) -> Any:
    return came_of(lambda: side.task(lambda: 1, name="t", timeout_seconds=0)())


@difference(9, 0, millrace=False, prefect=True)
def futures_of_a_map(side: Side) -> Any:
    """Whether they are there before anybody looks at them."""

    def there() -> int:
        kinds = [type(each) for each in gc.get_objects() if str(type(each).__module__).startswith(f"{side.name}.")]
        return sum("Future" in each.__name__ and not issubclass(each, list) for each in kinds)

    @side.flow
    def flow() -> bool:
        gc.collect()  # what others have left is there, too, until it is found
        before = there()
        futures = side.task(lambda _: 1, name="mapped").map(range(50))
        made = there() - before
        futures.wait()
        return made >= 50

    return flow()


def bound(side: Side, annotation: Any, value: Any, *, see: Callable[[Any], Any] = shown) -> Any:
    """What becomes of a value that is given for a parameter with an annotation."""

    def flow(given: Any) -> Any:
        return see(given)

    flow.__annotations__ = {"given": annotation}
    return came_of(lambda: side.flow(flow)(value))


@difference(10, 0, millrace=["cattrs"], prefect=["pydantic"])
def what_converts_parameters(side: Side) -> Any:
    needed = {re.split(r"[^\w-]", each)[0] for each in importlib.metadata.requires(side.name) or ()}
    return sorted(needed & {"cattrs", "pydantic"})


@attrs.define
class Point:
    """A class of attrs."""

    x: int


@difference(10, 1, millrace=["Point", -1], prefect=["raises ParameterTypeError", "raises ParameterTypeError"])
def attrs_and_pydantic(side: Side) -> Any:
    annotated = importlib.import_module("annotated_types")
    made = bound(side, Point, {"x": 1}, see=lambda given: type(given).__name__)
    return [made, bound(side, Annotated[int, annotated.Gt(0)], -1)]


class Level(enum.IntEnum):
    """A number with a name."""

    LOW = 1


class Pair(NamedTuple):
    """Two numbers."""

    first: int
    second: int


@difference(10, 2, millrace=[True, "Level"], prefect=[False, "int"])
def what_conforms_is_not_copied(side: Side) -> Any:
    numbers = [1, 2]
    same = bound(side, list[int], numbers, see=lambda given: given is numbers)
    return [same, bound(side, int, Level.LOW, see=lambda given: type(given).__name__)]


@difference(10, 3, millrace=[1, 2], prefect=["1", 2])
def converted_variadics(side: Side) -> Any:
    def flow(*given: int) -> list[Any]:
        return list(given)

    return came_of(lambda: side.flow(flow)("1", 2))


@difference(
    10, 4, millrace=["raises ParameterTypeError", -3600.0], prefect=[{"dict": [["dict", [[1, "b"]]]]}, -169200.0]
)
def numbers_and_keys(side: Side) -> Any:
    keys = bound(side, dict[int, str], {"1": "a", 1: "b"})
    return [keys, bound(side, timedelta, "-1 day, 23:00:00", see=lambda given: given.total_seconds())]


@difference(10, 5, millrace=["raises ParameterTypeError", "PosixPath"], prefect=["str", "raises ParameterTypeError"])
def members_of_enums(side: Side) -> Any:
    colour = enum.Enum("colour", {"RED": "red"})
    return [bound(side, kind, colour.RED, see=lambda given: type(given).__name__) for kind in (int, Path)]


@difference(10, 6, millrace="x", prefect="raises PydanticUserError")
def annotations_that_cannot_be_read(side: Side) -> Any:
    return bound(side, "NotThere", "x")


# 11 to 14: names, options, retries and crashes.


@difference(11, 0, millrace=[True, True, True], prefect=[False, False, False])
def names_that_are_millrace_s_own(side: Side) -> Any:
    module = side.module()
    return [hasattr(module, name) for name in ("run", "Engine", "FlowFuture")]


@difference(11, 1, millrace=["t"], prefect=["t:7"])
def name_of_a_run_that_never_starts(side: Side) -> Any:
    @side.flow
    def flow() -> int:
        task = side.task(lambda given, other=7: 1, name="t", task_run_name="t:{other}")
        task.submit(1, wait_for=[side.task(refuse, name="refuse").submit()]).wait()
        return 1

    side.tasks.taken()
    flow()
    return [name for name in side.tasks.taken() if name != "refuse"]


@difference(12, 0, millrace="raises ConfigurationError", prefect=1)
def options_are_checked(side: Side) -> Any:
    return came_of(lambda: side.task(lambda: 1, name="t", retries=-1)())


@difference(12, 1, millrace="raises ConfigurationError", prefect=1)
def contradictions(side: Side) -> Any:
    return came_of(lambda: side.task(lambda: 1, name="t", cache_policy=side.inputs, persist_result=False)())


@difference(12, 2, millrace="raises ConfigurationError", prefect="t:3")
def fields_of_a_name(side: Side) -> Any:
    def make() -> Any:
        task = side.task(lambda given: side.name_here(), name="t", task_run_name="t:{given.real}")
        return task(3)

    return came_of(make)


@difference(12, 3, millrace="refuse", prefect="named")
def options_set_to_none(side: Side) -> Any:
    return side.task(refuse, name="named").with_options(name=None).name


@difference(12, 4, millrace=True, prefect=False)
def hooks_of_transactions_as_options(side: Side) -> Any:
    return came_of(lambda: side.task(lambda: 1, name="t", on_rollback=[lambda _: None])()) == 1


@difference(13, 1, millrace=["load", "save", "save"], prefect=["load", "save", "load", "save"])
def flows_that_are_run_again(side: Side) -> Any:
    done: list[str] = []

    @side.task
    def load() -> None:
        done.append("load")

    @side.task
    def save() -> None:
        done.append("save")
        if done.count("save") == 1:
            raise OSError("disk full")

    @side.flow(retries=1)
    def backup() -> None:
        load()
        save()

    backup()
    return done


@difference(13, 2, millrace=True, prefect=False)
def spread_of_delays(side: Side) -> Any:
    """Whether as many delays are shorter than the mean as are longer, and all evenly far from it."""
    count = 1000
    if side.name == "millrace":
        policy = importlib.import_module("millrace.actors.policies").RetryPolicy(1, (1.0,), 0.9)
        delays = [policy.delay_before(1, number / count) for number in range(count)]
    else:
        drawn = importlib.import_module("prefect.utilities.math").clamped_poisson_interval
        delays = [drawn(1.0, clamping_factor=0.9) for _ in range(count)]
    quarters = sorted(delays)[count // 4 :: count // 4]
    return all(abs(each - even) < 0.05 for each, even in zip(quarters, (0.55, 1.0, 1.45), strict=False))


@difference(13, 3, millrace=60, prefect="raises ValueError")
def many_delays(side: Side) -> Any:
    return came_of(
        lambda: len(side.task(lambda: 1, name="t", retries=60, retry_delay_seconds=[0] * 60).retry_delay_seconds)
    )


@difference(
    13, 4, millrace=["Running", "Retrying", "Completed"], prefect=["Running", "AwaitingRetry", "Running", "Completed"]
)
def states_of_a_flow_that_is_tried_again(side: Side) -> Any:
    attempts: list[int] = []

    @side.flow(retries=1)
    def flow() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("no")
        return 1

    side.flows.taken()
    flow()
    [[sequence]] = side.flows.taken().values()
    return [each.split(":")[1] for each in sequence if not each.startswith("PENDING")]


@difference(14, 0, millrace=["CRASHED", True], prefect=["raises SystemExit", False])
def system_exit_in_a_task(side: Side) -> Any:
    @side.task
    def leave() -> None:
        raise SystemExit(3)

    @side.flow
    def flow() -> str:
        future = leave.submit()
        future.wait()
        return str(future.state.type.value)

    return [came_of(flow), hasattr(side.module(), "CrashPolicy")]


# 15 to 20: results, caching, transactions, and the rest.


@difference(15, 1, millrace="stored", prefect="raises ValueError")
def storage_by_its_folder(side: Side) -> Any:
    folder = side.scratch / "stored"
    return came_of(lambda: side.task(lambda: "stored", name="t", result_storage=str(folder), persist_result=True)())


@difference(15, 2, millrace="SerializationError", prefect="kept")
def what_can_be_pickled(side: Side) -> Any:
    """Whether a lambda is kept."""
    if side.name == "millrace":
        serializer = side.module().PickleSerializer()
    else:
        serializer = importlib.import_module("prefect.serializers").PickleSerializer()
    try:
        serializer.loads(serializer.dumps(lambda: 1))
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    return "kept"


@difference(15, 3, millrace={"tuple": [1, 2]}, prefect=[1, 2])
def tuples_in_json(side: Side) -> Any:
    if side.name == "millrace":
        serializer = side.module().JSONSerializer()
    else:
        serializer = importlib.import_module("prefect.serializers").JSONSerializer()
    return shown(serializer.loads(serializer.dumps((1, 2))))


@difference(15, 4, millrace="raises ConfigurationError", prefect=1)
def folders_that_others_may_write_to(side: Side) -> Any:
    folder = side.scratch / "open"
    folder.mkdir()
    folder.chmod(0o777)
    if side.name == "millrace":
        storage = side.module().LocalStorage(folder)
        return came_of(lambda: storage.write("key", b"blob") or 1)
    storage = importlib.import_module("prefect.filesystems").LocalFileSystem(basepath=str(folder))
    return came_of(lambda: storage.write_path("key", b"blob", _sync=True) and 1)


@difference(15, 5, millrace=[], prefect=["rolled back"])
def result_that_cannot_be_written(side: Side) -> Any:
    called: list[str] = []
    task = side.task(lambda: threading.Lock(), name="t", **side.keeping())
    task.on_rollback(lambda _: called.append("rolled back"))
    side.flow(lambda: [task(), 1][1], name="f")(return_state=True)
    return called


@difference(15, 6, millrace=False, prefect=True)
def time_limits_of_locks(side: Side) -> Any:
    if side.name == "millrace":
        manager = side.module().MemoryLockManager()
    else:
        manager = importlib.import_module("prefect.locking.memory").MemoryLockManager()
    return "hold_timeout" in manager.acquire_lock.__code__.co_varnames


@difference(16, 1, millrace=2, prefect=1)
def lists_and_tuples_in_keys(side: Side) -> Any:
    called: list[Any] = []
    task = side.task(lambda given: called.append(given), name="t", cache_policy=side.inputs, **side.keeping())
    side.flow(lambda: [task([1, 5150]), task((1, 5150))], name="f")()
    return len(called)


@difference(16, 2, millrace=2, prefect=1)
def sums_with_nothing_in_them(side: Side) -> Any:
    called: list[Any] = []
    module = side.module("cache_policies")
    policy = module.CacheKeyFnPolicy(cache_key_fn=lambda context, arguments: None) + side.inputs
    task = side.task(lambda given: called.append(given), name="t", cache_policy=policy, **side.keeping())
    side.flow(lambda: [task(5151), task(5151)], name="f")()
    return len(called)


@difference(16, 3, millrace=1, prefect="raises ConfigurationError")
def serializable_without_a_manager(side: Side) -> Any:
    level = side.module("transactions").IsolationLevel.SERIALIZABLE
    policy = side.inputs.configure(isolation_level=level)
    return came_of(lambda: side.task(lambda given: 1, name="t", cache_policy=policy, **side.keeping())(5152))


@difference(16, 4, millrace=True, prefect=False)
def explanations(side: Side) -> Any:
    return hasattr(side.task(refuse), "cache_explain")


@difference(16, 5, millrace=[["Pending", "Cached"], []], prefect=[["Pending", "Running", "Cached"], ["Running"]])
def states_of_a_hit(side: Side) -> Any:
    told: list[str] = []
    options = {"cache_policy": side.inputs, "on_running": [lambda task, run, state: told.append(state.name)]}
    task = side.task(lambda given: given, name="t", **options, **side.keeping())
    task(5153)
    side.tasks.taken()
    told.clear()
    task(5153)
    [[sequence]] = side.tasks.taken().values()
    return [[each.split(":")[1] for each in sequence], told]


@difference(17, 1, millrace=[], prefect=["undone"])
def retries_in_a_block(side: Side) -> Any:
    attempts: list[int] = []
    undone: list[str] = []
    first = side.task(lambda: 1, name="first")
    first.on_rollback(lambda _: undone.append("undone"))

    @side.task(retries=1)
    def second() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("refused")

    @side.flow
    def flow() -> int:
        with side.transaction():
            first()
            second()
        return 1

    flow()
    return undone


@difference(17, 2, millrace=["committed"], prefect=[])
def runs_that_end_after_their_block(side: Side) -> Any:
    told: list[str] = []
    left = threading.Event()
    task = side.task(lambda: left.wait(10), name="t")
    task.on_commit(lambda _: told.append("committed"))

    @side.flow
    def flow() -> int:
        with side.transaction():
            future = task.submit()
        left.set()
        future.wait()
        return 1

    flow()
    return told


@difference(17, 3, millrace="RolledBack", prefect="Completed")
def states_of_what_was_rolled_back(side: Side) -> Any:
    futures: list[Any] = []

    @side.flow
    def flow() -> None:
        with side.transaction():
            futures.append(side.task(lambda: 1, name="t").submit())
            futures[0].wait()
            raise ValueError("no")

    flow(return_state=True)
    return futures[0].state.name


@difference(17, 4, millrace=["undone"], prefect=[])
def what_runs_in_a_block_that_was_rolled_back(side: Side) -> Any:
    undone: list[str] = []
    later = side.task(lambda: 1, name="later")
    later.on_rollback(lambda _: undone.append("undone"))

    @side.flow
    def flow() -> int:
        with side.transaction():
            side.task(refuse)(return_state=True)
            later()
        return 1

    flow()
    return undone


@difference(17, 5, millrace=False, prefect=True)
def transaction_of_a_run_that_keeps_nothing(side: Side) -> Any:
    get = side.module("transactions").get_transaction
    return side.task(lambda: get() is not None, name="t")()


@difference(18, 0, millrace="hello\n", prefect="")
def prints_that_nobody_listens_to(side: Side) -> Any:
    printed = io.StringIO()
    task = side.task(lambda: print("hello"), name="t", log_prints=True)
    with contextlib.redirect_stdout(printed):
        side.flow(lambda: [task(), 1][1], name="f")()
    return printed.getvalue()


@difference(
    19,
    0,
    millrace=["raises ConfigurationError", ["PENDING", "RUNNING", "COMPLETED"]],
    prefect=["raises ValueError", ["PENDING", "RUNNING", "COMPLETED", "COMPLETED"]],
)
def generators(side: Side) -> Any:
    @side.task(name="items")
    def items() -> Generator[int]:
        yield 1
        yield 2

    called = came_of(lambda: items(return_state=True))
    side.tasks.taken()
    values = items()
    next(values)
    values.close()
    [[sequence]] = side.tasks.taken().values()
    return [called, [each.split(":")[0] for each in sequence]]


@difference(20, 0, millrace="MILLRACE_", prefect="PREFECT_")
def settings(side: Side) -> Any:
    """What settings begin with."""
    if side.name == "millrace":
        return importlib.import_module("millrace.runtime.settings").RESULTS_DEFAULT_SERIALIZER.name[:9]
    return importlib.import_module("prefect.settings").PREFECT_API_URL.name[:8]


@difference(21, 0, millrace=["int", "int"], prefect=["allow_failure", "quote"])
def annotations_in_annotations(side: Side) -> Any:
    task = side.task(lambda given: type(given).__name__, name="t")
    return [task(side.opaque(side.allow_failure(1))), task(side.opaque(side.quote(1)))]


@difference(22, 0, millrace=None, prefect="COMPLETED")
def runs_that_nobody_asked_to_record(side: Side) -> Any:
    """The state of a run that has ended, as it can be read afterwards."""
    state = side.flow(lambda: 1, name="f")(return_state=True)
    return _recorded(side, state.state_details.flow_run_id)


KILLED = """
import os, signal
from {engine} import flow, task
from {current} import flow_run

@task
def one() -> int:
    return 1

@flow
def killed() -> None:
    one()  # what has an end is on record with all before it
    print(flow_run.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

{call}
"""


@difference(22, 1, millrace="CRASHED", prefect="RUNNING")
def runs_of_a_dead_process(side: Side) -> Any:
    store = f"sqlite:///{side.scratch / 'runs.db'}"
    if side.name == "millrace":
        told = {
            "current": "millrace.runtime.current",
            "call": f"from millrace import Engine\nwith Engine(store={store!r}): killed()",
        }
        variables = {}
    else:
        told = {"current": "prefect.runtime", "call": "killed()"}
        variables = {"PREFECT_API_URL": side.module("settings").PREFECT_API_URL.value()}
    command = [sys.executable, "-c", KILLED.format(engine=side.name, **told)]
    died = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    run_id = UUID(died.stdout.split()[-1])
    if side.name == "prefect":
        return _recorded(side, run_id)
    with side.module().Engine(store=store):
        return _recorded(side, run_id)


@difference(22, 2, millrace=True, prefect=False)
def runs_that_are_resumed(side: Side) -> Any:
    return hasattr(side.module(), "resume_run")


@difference(22, 3, millrace=True, prefect=False)
def runs_that_make_other_calls_than_before(side: Side) -> Any:
    """Whether there is an error for that."""
    return hasattr(side.module(), "FlowOrderChanged")


@difference(22, 4, millrace=True, prefect=False)
def reading_runs(side: Side) -> Any:
    return hasattr(side.module(), "read_flow_run")


@difference(22, 5, millrace=True, prefect=False)
def runs_made_ahead(side: Side) -> Any:
    """Whether there is a function for that, which needs no client."""
    return hasattr(side.module(), "create_flow_run")


@difference(22, 6, millrace=True, prefect=False)
def steering_runs_by_their_ids(side: Side) -> Any:
    """Whether there is a function for that, which needs no client."""
    return hasattr(side.module(), "cancel_flow_run")


@difference(23, 0, millrace=[True, False, "raises ConfigurationError"], prefect=[False, True, 0])
def limits(side: Side) -> Any:
    """Whether one name serves sync and async code, whether taking slots may be retried, and a limit of 0."""
    concurrency = side.module("concurrency.sync").concurrency
    one_name = hasattr(concurrency("nothing"), "__aenter__")

    def none_at_all() -> Any:
        if side.name == "millrace":
            return side.module().Engine(limits={"none": 0})
        schemas = importlib.import_module("prefect.client.schemas.actions")
        return schemas.GlobalConcurrencyLimitCreate(name="none", limit=0).limit

    return [one_name, "max_retries" in inspect.signature(concurrency).parameters, came_of(none_at_all)]


@difference(24, 0, millrace="raises ConfigurationError", prefect="PrefectDistributedFuture")
def put_off_without_a_store(side: Side) -> Any:
    return came_of(lambda: type(side.task(lambda: 1, name="t").delay()).__name__)


def _recorded(side: Side, run_id: Any) -> Any:
    """The type of the state that a flow run is on record with; None for one that is not."""
    if side.name == "prefect":

        async def read() -> Any:
            async with side.module().get_client() as client:
                return (await client.read_flow_run(run_id)).state.type.value

        return asyncio.run(read())
    try:
        return side.module().read_flow_run(run_id).state.type.value
    except side.module().MillraceError:
        return None


def rewritten(seen: dict[str, Any]) -> dict[str, Any]:
    """What Prefect would have answered but for the listed differences that generated flows come upon.

    These are 11.1 (the name of a run that never starts), 13.4 (a flow run is tried again) and 16.5 (a hit).
    """
    tasks: dict[str, list[list[str]]] = {}
    for name, sequences in seen["tasks"].items():
        for sequence in sequences:
            kept = name.split(":")[0] if sequence[-1] == "PENDING:NotReady" else name
            tasks.setdefault(kept, []).append(_without_running(sequence))
    flows = [_retrying(sequence) for sequence in seen["flows"]]
    hooks = {name: [_hooks(told) for told in runs] for name, runs in seen["hooks"].items()}
    return {
        **seen,
        "tasks": {name: sorted(tasks[name]) for name in sorted(tasks)},
        "flows": sorted(flows),
        "hooks": {name: sorted(runs) for name, runs in hooks.items()},
    }


def _without_running(sequence: list[str]) -> list[str]:
    if sequence[-1] != "COMPLETED:Cached":
        return sequence
    return [each for each in sequence if each != "RUNNING:Running"]


def _retrying(sequence: list[str]) -> list[str]:
    found: list[str] = []
    for each in sequence:
        if each == "SCHEDULED:AwaitingRetry":
            continue
        found.append("RUNNING:Retrying" if each == "RUNNING:Running" and each in found else each)
    return found


def _hooks(told: list[str]) -> list[str]:
    if told[-1].endswith("COMPLETED:Cached"):
        return [each for each in told if not each.endswith("RUNNING:Running")]
    found: list[str] = []
    for each in told:
        found.append(each.replace("RUNNING:Running", "RUNNING:Retrying") if each in found else each)
    return found
