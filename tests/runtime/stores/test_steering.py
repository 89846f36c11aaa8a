"""Runs that are steered by id: by the process that has the store open, by another one, and where nobody has it open."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from millrace import (
    AmbiguousRunId,
    BlockingCallOnLoop,
    ConfigurationError,
    Engine,
    FlowFuture,
    MemoryStore,
    NotPausedError,
    OwnerUnreachable,
    ParameterTypeError,
    PauseRefused,
    PostgresStore,
    RunEnded,
    RunNotFound,
    RunNotRemovable,
    SqliteStore,
    StateType,
    acancel_flow_run,
    aresume_flow_run,
    cancel_flow_run,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
)
from millrace.runtime.stores.by_id import Steered
from millrace.runtime.stores.control import Request
from millrace.runtime.stores.opening import store_of
from millrace.runtime.stores.port import Owner, Store
from millrace.runtime.stores.reading import read_flow_run, read_flow_runs
from millrace.runtime.stores.records import Entry, FlowRunMade
from tests.e2e.programs import environment
from tests.loose import flow, task
from tests.postgres import Server
from tests.runtime.stores import recorded_flows
from tests.runtime.stores.places import FLOW, Writer, entered

PATIENCE = 20.0
Go = SimpleQueue[str]


ONE_OWNER = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""With a store that one process has open at a time."""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("MILLRACE_STORE", raising=False)
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        with server.store() as made:
            yield made
    else:
        tmp_path.chmod(0o700)
        yield f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The engine that has the store open, as if it were another process's: no call here belongs to it."""
    made = Engine(store=url)
    yield made
    made.close(cancel=True)


def store_at(url: str) -> SqliteStore | PostgresStore:
    store = store_of(url)
    assert isinstance(store, (SqliteStore, PostgresStore))
    return store


def recorded(url: str, run_id: UUID) -> StateType:
    with closing(store_at(url)) as store:
        return read_flow_run(run_id, store=store).state.type


def ids_in(url: str) -> set[UUID]:
    """The flow runs that are on record."""
    with closing(store_at(url)) as store:
        return {run.id for run in read_flow_runs(store=store)}


def end_ownership(store: Store) -> None:
    """Have others find that nobody owns a store, as after the end of the process."""
    if isinstance(store, PostgresStore):
        assert store._lease is not None
        store._own.run(store._lease.give_back())
    else:
        assert store.control is not None
        store.control.close()


class Told:
    """What a body has to say, and what it waits for."""

    def __init__(self) -> None:
        self.said: Go = SimpleQueue()
        self.heard: Go = SimpleQueue()

    def say(self, text: str) -> None:
        self.said.put(text)

    def hear(self) -> str:
        return self.heard.get(timeout=PATIENCE)

    def expect(self, text: str) -> None:
        assert self.said.get(timeout=PATIENCE) == text


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def waiting(engine: Engine, told: Told) -> FlowFuture[Any]:
    """A flow run that waits to be cancelled."""

    @flow
    async def forever() -> None:
        told.say("there")
        await asyncio.Event().wait()

    future = engine.start(forever)
    told.expect("there")
    return future


@pytest.fixture
def stepping(engine: Engine, told: Told) -> FlowFuture[Any]:
    """A flow run of three steps, each of which is told when to end."""

    @task
    def step(number: int) -> int:
        told.say(f"step {number}")
        told.hear()
        return number

    @flow
    def steps() -> int:
        return sum(step(number) for number in range(3))

    future = engine.start(steps)
    told.expect("step 0")
    return future


def paused(future: FlowFuture[Any]) -> None:
    """Wait until a run is paused by its own body."""
    while future.state.type is not StateType.PAUSED:
        assert not future.wait(0.001)


# Cancelling.


def test_a_run_of_another_process_is_cancelled_by_its_id(url: str, waiting: FlowFuture[Any]) -> None:
    state = cancel_flow_run(waiting.flow_run_id, store=url)

    assert state.is_cancelled()
    assert state.message == "It was cancelled by its id."
    assert waiting.state.is_cancelled()
    assert recorded(url, waiting.flow_run_id) is StateType.CANCELLED


@ONE_OWNER
def test_the_beginning_of_an_id_is_enough(url: str, waiting: FlowFuture[Any]) -> None:
    assert cancel_flow_run(str(waiting.flow_run_id)[:13], store=url).is_cancelled()


async def cancelled_on_a_loop(url: str, run_id: UUID) -> Any:
    with pytest.raises(BlockingCallOnLoop, match="await acancel_flow_run"):
        cancel_flow_run(run_id, store=url)
    return await acancel_flow_run(run_id, store=url)


def test_async_code_awaits_it(url: str, waiting: FlowFuture[Any]) -> None:
    assert asyncio.run(cancelled_on_a_loop(url, waiting.flow_run_id)).is_cancelled()


@ONE_OWNER
def test_a_run_that_has_ended_cannot_be_cancelled(url: str, waiting: FlowFuture[Any]) -> None:
    cancel_flow_run(waiting.flow_run_id, store=url)

    with pytest.raises(RunEnded, match=r"^Cannot cancel flow run '.*': it has ended already, and is Cancelled\.$"):
        cancel_flow_run(waiting.flow_run_id, store=url)


@ONE_OWNER
@pytest.mark.parametrize("act", [cancel_flow_run, resume_flow_run], ids=["cancel", "resume"])
@pytest.mark.parametrize("word", [uuid4(), "ffff", "no id", "", "x" * 40, "'; DROP TABLE flow_runs; --"], ids=range(6))
def test_a_run_that_is_not_there(url: str, waiting: FlowFuture[Any], act: Callable[..., Any], word: UUID | str) -> None:
    with pytest.raises(RunNotFound, match=r"There is no flow run '.*' in .*runs\.db"):
        act(word, store=url)


@ONE_OWNER
def test_a_beginning_that_several_runs_have(url: str, waiting: FlowFuture[Any], engine: Engine, told: Told) -> None:
    @flow
    def quick() -> None:
        pass

    engine.start(quick).wait()

    with pytest.raises(
        AmbiguousRunId, match=r"^Several flow runs in .*runs\.db.* have an id that begins with '0'"
    ) as told_:
        cancel_flow_run("0", store=url)
    assert isinstance(told_.value, RunNotFound)


def test_a_run_that_was_started_a_moment_ago_is_found(url: str, engine: Engine, told: Told) -> None:
    @flow
    async def forever() -> None:
        await asyncio.Event().wait()

    for _ in range(5):
        future = engine.start(forever)
        assert cancel_flow_run(future.flow_run_id, store=url).is_cancelled()


@ONE_OWNER
def test_no_store_is_an_error_that_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, url: str, waiting: FlowFuture[Any]
) -> None:
    monkeypatch.delenv("MILLRACE_STORE", raising=False)

    with pytest.raises(ConfigurationError, match="or set MILLRACE_STORE"):
        cancel_flow_run(waiting.flow_run_id)


@ONE_OWNER
def test_the_store_may_be_that_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, url: str, waiting: FlowFuture[Any]
) -> None:
    monkeypatch.setenv("MILLRACE_STORE", url)

    assert cancel_flow_run(waiting.flow_run_id).is_cancelled()


@ONE_OWNER
def test_an_engine_cancels_what_it_runs_and_says_what_has_ended(waiting: FlowFuture[Any], engine: Engine) -> None:
    async def main() -> None:
        assert (await engine.cancel(waiting.flow_run_id)).is_cancelled()
        with pytest.raises(RunEnded):
            await engine.cancel(waiting.flow_run_id)
        with pytest.raises(RunNotFound):
            await engine.cancel(uuid4())

    asyncio.run(main())


# Pausing and resuming.


def test_a_paused_run_starts_nothing_until_it_is_resumed(url: str, stepping: FlowFuture[Any], told: Told) -> None:
    pause_flow_run(flow_run_id=stepping.flow_run_id, store=url)
    assert recorded(url, stepping.flow_run_id) is StateType.PAUSED
    told.heard.put("go on")
    while stepping.flow_run.counts().get("completed", 0) < 1:
        assert not stepping.wait(0.001)
    assert told.said.empty()

    future = resume_flow_run(stepping.flow_run_id, store=url)

    for number in (1, 2):
        told.expect(f"step {number}")
        told.heard.put("go on")
    assert future.result(PATIENCE) == 3
    assert future.state.is_completed()
    assert future.flow_run_id == stepping.flow_run_id


def test_a_run_that_pauses_itself_is_given_what_it_waits_for(url: str, engine: Engine) -> None:
    @attrs.frozen
    class Approval:
        by: str
        at: int = 3

    @flow
    def approved() -> str:
        approval = pause_flow_run(wait_for_input=Approval)
        return f"{approval.by} at {approval.at}"

    future = engine.start(approved)
    paused(future)
    with pytest.raises(ParameterTypeError, match=r"run_input\.at"):
        _ = resume_flow_run(future.flow_run_id, {"by": "Ada", "at": "noon"}, store=url)
    assert future.state.type is StateType.PAUSED

    remote = resume_flow_run(future.flow_run_id, Approval("Ada", 4), store=url)

    assert remote.result(PATIENCE) == future.result(PATIENCE) == "Ada at 4"


@ONE_OWNER
def test_what_json_does_not_have_cannot_be_handed_over(url: str, engine: Engine) -> None:
    @flow
    def approved() -> Any:
        return pause_flow_run()

    future = engine.start(approved)
    paused(future)

    with pytest.raises(ConfigurationError, match="run_input"):
        _ = resume_flow_run(future.flow_run_id, float("nan"), store=url)
    with pytest.raises(ConfigurationError, match="run_input"):
        _ = resume_flow_run(future.flow_run_id, object(), store=url)
    assert resume_flow_run(future.flow_run_id, {"a": [1, None]}, store=url).result(PATIENCE) == {"a": [1, None]}


@ONE_OWNER
def test_a_run_that_is_not_paused_cannot_be_resumed(url: str, waiting: FlowFuture[Any]) -> None:
    with pytest.raises(NotPausedError, match=r"only a paused run can be resumed, and it is Running\(\)"):
        _ = resume_flow_run(waiting.flow_run_id, store=url)


@ONE_OWNER
def test_a_run_that_is_paused_cannot_be_paused(url: str, stepping: FlowFuture[Any], told: Told) -> None:
    pause_flow_run(flow_run_id=stepping.flow_run_id, store=url)

    with pytest.raises(PauseRefused, match="it is paused already"):
        pause_flow_run(flow_run_id=stepping.flow_run_id, store=url)
    remote = resume_flow_run(stepping.flow_run_id, store=url)
    assert remote.cancel()
    while stepping.state.type is not StateType.CANCELLING:
        assert not stepping.wait(0.001)
    told.heard.put("go on")

    assert remote.wait(PATIENCE)
    assert remote.state.is_cancelled()
    assert remote.cancel() is False


@ONE_OWNER
@pytest.mark.parametrize("act", [pause_flow_run, suspend_flow_run], ids=["pause", "suspend"])
def test_a_run_that_has_ended_is_not_paused(url: str, waiting: FlowFuture[Any], act: Callable[..., Any]) -> None:
    cancel_flow_run(waiting.flow_run_id, store=url)

    with pytest.raises(RunEnded):
        act(flow_run_id=waiting.flow_run_id, store=url)
    with pytest.raises(RunEnded):
        _ = resume_flow_run(waiting.flow_run_id, store=url)


@ONE_OWNER
def test_a_pause_from_outside_may_have_an_end(url: str, stepping: FlowFuture[Any], told: Told) -> None:
    pause_flow_run(flow_run_id=stepping.flow_run_id, store=url, timeout=0.01)
    told.heard.put("go on")

    assert stepping.wait(PATIENCE)
    assert stepping.state.is_failed()


@ONE_OWNER
def test_a_body_that_pauses_while_it_is_paused_from_outside_pauses_after_that(
    url: str, engine: Engine, told: Told
) -> None:
    @flow
    def asks() -> Any:
        told.say("there")
        told.hear()
        told.say("asks")
        return pause_flow_run()

    future = engine.start(asks)
    told.expect("there")
    pause_flow_run(flow_run_id=future.flow_run_id, store=url)
    told.heard.put("go on")
    told.expect("asks")
    _ = resume_flow_run(future.flow_run_id, "not this", store=url).done()
    while True:
        try:
            remote = resume_flow_run(future.flow_run_id, "this", store=url)
        except NotPausedError:  # it has gone on, and not paused yet
            assert not future.wait(0.001)
        else:
            break

    assert remote.result(PATIENCE) == "this"


def test_a_suspended_run_is_resumed_by_whoever_has_the_store(url: str, engine: Engine) -> None:
    future = engine.start(recorded_flows.approved)
    while not future.flow_run.let_go:
        assert not future.wait(0.001)

    remote = resume_flow_run(future.flow_run_id, {"by": "Ada", "at": 9}, store=url)

    assert remote.result(PATIENCE) == "Ada at 9"


@ONE_OWNER
def test_async_code_pauses_and_resumes_too(url: str, waiting: FlowFuture[Any]) -> None:
    async def main() -> Any:
        await pause_flow_run(flow_run_id=waiting.flow_run_id, store=url)
        with pytest.raises(BlockingCallOnLoop, match="await aresume_flow_run"):
            _ = resume_flow_run(waiting.flow_run_id, store=url)
        future = await aresume_flow_run(waiting.flow_run_id, store=url)
        await acancel_flow_run(waiting.flow_run_id, store=url)
        return await future.wait_async()

    assert asyncio.run(main()).is_cancelled()


@ONE_OWNER
def test_a_type_to_wait_for_cannot_be_told_to_another_process(url: str, waiting: FlowFuture[Any]) -> None:
    with pytest.raises(ConfigurationError, match="wait_for_input"):
        pause_flow_run(int, flow_run_id=waiting.flow_run_id, store=url)


# Where nobody has the store open.


@pytest.fixture
def suspended(url: str) -> UUID:
    """A run that is suspended, and that nobody runs."""
    store = store_at(url)
    writer = Writer(store, store.open(Owner("process 1 on mill", 1_000)))
    entry = Entry(str(recorded_flows.__file__), recorded_flows.__name__, "approved")
    writer.write(
        FlowRunMade(FLOW, 100, "misty-otter", "approved", None, None, None, entry, {}, frozenset()),
        entered(FLOW, 1, StateType.RUNNING, is_flow=True, attempts=1),
        entered(FLOW, 2, StateType.PAUSED, is_flow=True, details='{"pause_reschedule": true, "pause_key": "1"}'),
    )
    store.close()
    return UUID(int=FLOW)


def test_a_suspended_run_that_nobody_runs_is_cancelled(url: str, suspended: UUID) -> None:
    state = cancel_flow_run(suspended, store=url)

    assert state.is_cancelled()
    assert recorded(url, suspended) is StateType.CANCELLED
    with pytest.raises(RunEnded):
        cancel_flow_run(suspended, store=url)


def test_a_suspended_run_is_cancelled_by_whoever_has_the_store_open_now(url: str, suspended: UUID) -> None:
    with_it = Engine(store=url)

    assert cancel_flow_run(suspended, store=url).is_cancelled()

    with_it.close()


def test_a_suspended_run_needs_somebody_who_runs_it(url: str, suspended: UUID) -> None:
    with pytest.raises(OwnerUnreachable, match=r"it is suspended, and no process has .* open that could run it"):
        _ = resume_flow_run(suspended, store=url)


@ONE_OWNER
def test_a_suspended_run_cannot_be_paused(url: str, suspended: UUID) -> None:
    with pytest.raises(PauseRefused, match="it is suspended already"):
        pause_flow_run(flow_run_id=suspended, store=url)


@ONE_OWNER
def test_the_default_engine_runs_what_is_suspended_in_its_store(
    url: str, suspended: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millrace.runtime import engines  # noqa: PLC0415  # what a program has that uses no other

    monkeypatch.setenv("MILLRACE_STORE", url)
    monkeypatch.setattr(engines, "_default", [])
    try:
        assert resume_flow_run(suspended, {"by": "Ada", "at": 9}).result(PATIENCE) == "Ada at 9"
    finally:
        engines._default[0].close()


@pytest.mark.parametrize(
    "act",
    [
        cancel_flow_run,
        resume_flow_run,
        lambda run, store: pause_flow_run(flow_run_id=run, store=store),
    ],
    ids=["cancel", "resume", "pause"],
)
def test_a_run_whose_process_is_over_cannot_be_told_anything(
    url: str, engine: Engine, waiting: FlowFuture[Any], act: Callable[..., Any]
) -> None:
    assert engine.chronicle is not None
    engine.chronicle.writer.flush()
    end_ownership(engine.chronicle.writer.store)

    with pytest.raises(OwnerUnreachable, match="the one that ran it is over") as told:
        act(waiting.flow_run_id, store=url)
    assert f"millrace resume {waiting.flow_run_id}" in str(told.value)


# Engines and stores of this process.


def test_a_run_in_the_memory_store_of_the_engine_at_hand_is_steered_too() -> None:
    @flow
    def asks() -> Any:
        return pause_flow_run()

    async def main() -> None:
        async with Engine(store=MemoryStore()) as engine:
            future = engine.start(asks)
            await asyncio.get_running_loop().run_in_executor(None, paused, future)
            assert (await acancel_flow_run(future.flow_run_id)).is_cancelled()

    asyncio.run(main())


def test_a_run_of_the_engine_at_hand_is_paused_by_its_id(told: Told) -> None:
    async def main() -> None:
        async with Engine() as engine:

            @task
            async def step() -> None:
                pass

            @flow
            async def steps() -> str:
                told.say("there")
                await asyncio.get_running_loop().run_in_executor(None, told.hear)
                await step()
                return "done"

            future = engine.start(steps)
            await asyncio.get_running_loop().run_in_executor(None, told.expect, "there")
            await pause_flow_run(flow_run_id=future.flow_run_id)
            assert future.state.type is StateType.PAUSED
            told.heard.put("go on")
            assert await resume_flow_run(future.flow_run_id) == "done"

    asyncio.run(main())


FORKS = """
import asyncio
import os
import sys
from millrace import Engine, flow

@flow
async def forever():
    await asyncio.Event().wait()

engine = Engine(store=sys.argv[1])
future = engine.start(forever)
child = os.fork()
if not child:
    sys.stdin.readline()
    os._exit(0)
print(future.flow_run_id, flush=True)
future.wait()
engine.close()
print(future.state.name, flush=True)
os.waitpid(child, 0)
"""


def test_the_child_of_a_fork_does_not_listen(url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKS, url],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as programme:  # fmt: skip
        assert programme.stdout is not None
        run_id = programme.stdout.readline().strip()

        assert cancel_flow_run(run_id, store=url).is_cancelled()

        assert programme.stdout.readline() == "Cancelled\n"
        assert not Path(f"{url.removeprefix('sqlite:///')}.sock").exists()
        assert Steered.of(url).has_owner is False  # the child is still there
        programme.communicate("\n")


# Removing.


def test_a_run_is_removed_while_others_go_on(url: str, engine: Engine, waiting: FlowFuture[Any]) -> None:
    @task
    def load(number: int) -> int:
        return number

    @flow
    def quick() -> int:
        return sum(load.map(range(5)).result())

    gone = engine.start(quick)
    gone.wait()
    steered = Steered.of(url)
    with pytest.raises(RunNotRemovable, match="it is RUNNING"), steered:
        steered.ask(Request("remove", waiting.flow_run_id.int))

    steered.ask(Request("remove", gone.flow_run_id.int))

    assert ids_in(url) == {waiting.flow_run_id}
    with steered:
        assert steered.store.read_facts().task_runs == 0
    assert cancel_flow_run(waiting.flow_run_id, store=url).is_cancelled()


def test_pruning_keeps_what_goes_on_and_what_waits(url: str, suspended: UUID) -> None:
    @flow
    def quick() -> int:
        return 1

    said = threading.Event()

    @flow
    async def forever() -> None:
        said.set()
        await asyncio.Event().wait()

    engine = Engine(store=url)
    for _ in range(3):
        engine.start(quick).wait()
    live = engine.start(forever)
    assert said.wait(PATIENCE)
    before = engine.now() + 1_000_000_000

    with Steered.of(url) as steered:
        reply = steered.ask_or_do(Request("prune", None, {"before": before}))

    assert reply == {"flow_runs": 3, "task_runs": 0}
    assert ids_in(url) == {live.flow_run_id, suspended}
    engine.close(cancel=True)


@ONE_OWNER
@pytest.mark.parametrize(
    "request_",
    [
        Request("explode"),
        Request("cancel"),
        Request("prune", None, {"before": "yesterday"}),
        Request("pause", 7 << 96, {"timeout": "long"}),
        Request("resume", 7 << 96, {"input": [[[]]]}),
        Request("remove", 7 << 96),
        Request("await", 7 << 96),
    ],
    ids=lambda request: request.verb,
)
def test_a_request_that_cannot_be_done_is_answered_with_an_error(
    url: str, engine: Engine, waiting: FlowFuture[Any], request_: Request
) -> None:
    with pytest.raises((RunNotFound, ConfigurationError, OSError)):
        Steered.of(url).ask(request_)

    assert cancel_flow_run(waiting.flow_run_id, store=url).is_cancelled()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": 3}, "'key' takes text, not 3."),
        ({"timeout": "long"}, "'timeout' takes a number of seconds above 0, not 'long'."),
    ],
    ids=["key", "timeout"],
)
def test_a_pause_that_makes_no_sense_names_what_is_wrong(
    url: str, waiting: FlowFuture[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Steered.of(url).ask(Request("pause", waiting.flow_run_id.int, options))

    assert str(raised.value) == message
    assert cancel_flow_run(waiting.flow_run_id, store=url).is_cancelled()
