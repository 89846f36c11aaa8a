"""What a kill leaves behind, without one: a copy of the store as it is at a moment, while the process goes on."""

from __future__ import annotations

import asyncio
import copy
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from millrace import Engine, aresume_run, read_flow_runs, resume_run
from millrace.runtime.entering import ENTERED
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Owner, Store
from millrace.runtime.stores.postgres import PostgresStore
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.sqlite import SqliteStore
from tests.runtime.worlds import World

PATIENCE = 20.0


class Kill:
    """Stops a body at a place, until the store has been copied there.

    Args:
        store: The store of the engine that the body runs in.
        folder: Where copies go.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self._folder = folder
        self._there = Event()
        self._on = Event()
        self.armed = True
        self.copies = 0

    def here(self) -> None:
        """The process is killed here, the first time that a body comes here."""
        if self.armed:
            self.armed = False
            self._there.set()
            assert self._on.wait(PATIENCE)

    def left(self, engine: Engine) -> Store:
        """What is left of the store after the kill."""
        assert self._there.wait(PATIENCE), "Nobody came to the place."
        assert engine.chronicle is not None
        engine.chronicle.writer.flush()
        return self.copy()

    def copy(self) -> Store:
        """The store as it is now, as another one."""
        if isinstance(self.store, MemoryStore):
            made = MemoryStore()
            lock = made._lock
            made.__dict__.update(
                {name: copy.copy(value) for name, value in vars(self.store).items() if name != "_lock"}
            )
            made._lock = lock
            made._states = {run: list(states) for run, states in self.store._states.items()}
            made._calls = {run: dict(calls) for run, calls in self.store._calls.items()}
            made._answers = {run: list(answers) for run, answers in self.store._answers.items()}
            return made
        self.copies += 1
        if isinstance(self.store, PostgresStore):
            return copy_of(self.store, f"{self.store._address.schema}_{self.copies}")
        assert isinstance(self.store, SqliteStore)
        folder = self._folder / f"copy-{self.copies}"
        folder.mkdir(mode=0o700)
        for path in self.store.path.parent.glob("runs.db*"):
            if path.suffix not in {".lock", ".sock"} and not path.name.endswith("-shm"):
                shutil.copy(path, folder / path.name)
        return SqliteStore(folder / "runs.db")

    def go_on(self) -> None:
        """Let the body that was stopped go on: in another life."""
        self._on.set()


def copy_of(store: PostgresStore, schema: str) -> PostgresStore:
    """The store as it is now, in another schema."""
    made = PostgresStore(f"{store._address.dsn.get()}&schema={schema}", return_seconds=0)
    made.open(Owner("nobody", 0))
    made.close()

    async def copy_rows(connection: Connection) -> None:
        there = store._address.schema
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", there)
        for table in {table for (table,) in rows} - {"millrace_schema", "requests", "flow_run_tags"}:
            await connection.execute(f"DELETE FROM {schema}.{table}")
            await connection.execute(f"INSERT INTO {schema}.{table} OVERRIDING SYSTEM VALUE TABLE {there}.{table}")
        await connection.execute(f"SELECT setval('{schema}.owners_token_seq', max(token)) FROM {there}.owners")

    store._read(copy_rows)
    return made


@contextmanager
def engine_of(store: Store | str) -> Generator[Engine]:
    """An engine with a store, for the calls in the block."""
    engine = Engine(store=store)
    token = ENTERED.set(engine)
    try:
        yield engine
    finally:
        ENTERED.reset(token)
        engine.close()


def killed(world: World, kill: Kill, called: Any, *args: Any) -> Store:
    """Run a flow in an engine until it comes to where the process is killed; what is left of the store."""
    return killed_in(kill, lambda engine: world.run(called, *args, engine=engine))


def killed_in(kill: Kill, call: Callable[[Engine], Any]) -> Store:
    """Do something with an engine until it comes to where the process is killed; what is left of the store."""
    with engine_of(kill.store) as engine:
        context = copy_context()
        thread = Thread(target=context.run, args=(quietly, lambda: call(engine)), daemon=True)
        thread.start()
        left = kill.left(engine)
        kill.go_on()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return left


def quietly(call: Callable[[], Any]) -> Any:
    """What a call gives, or raises."""
    try:
        return call()
    except BaseException as error:  # noqa: BLE001
        return error


def resumed(world: World, engine: Engine, called: Any, **options: Any) -> Any:
    """Run the newest run of a flow again."""
    run_id = read_flow_runs(flows=[called.name], outermost=True)[0].id
    if world.async_flows:
        with asyncio.Runner(loop_factory=world.new_loop) as runner:
            return runner.run(aresume_run(run_id, called, **options))
    return resume_run(run_id, called, **options)


class Ran:
    """What has run, in its order."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.calls: list[Any] = []

    def __call__(self, what: Any) -> None:
        with self._lock:
            self.calls.append(what)

    def forget(self) -> None:
        self.calls.clear()
