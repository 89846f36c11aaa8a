"""Makes the golden store of this version: a run that completed, one that failed, one suspended, one that was killed.

    python -m tests.runtime.stores.golden.make sqlite        # or postgres

That in PostgreSQL is kept as SQL, in the schema `golden`. A store of a released version is never made anew: later
versions have to read it.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from millrace import Engine, PostgresStore
from millrace.runtime.stores.opening import store_of
from millrace.runtime.stores.postgres import migrating as on_server
from millrace.runtime.stores.sqlite.migrating import steps
from tests.postgres import Server, programme
from tests.runtime.stores import recorded_flows
from tests.runtime.stores.killing import engine_of

FOLDER = Path(__file__).parent
SCHEMA = "golden"


def make(url: str) -> None:
    """Write a store."""
    with engine_of(url):
        recorded_flows.sums()
        with suppress(OSError):
            recorded_flows.doubled(4, wrong=True)
        recorded_flows.approved(return_state=True)
    subprocess.run([sys.executable, "-m", __spec__.name, url], check=False)
    Engine(store=url).close()  # so that what was under way is marked, and the log is in the file


def make_file() -> None:
    """Make that of SQLite's."""
    path = FOLDER / f"schema-{len(steps())}.db"
    path.unlink(missing_ok=True)
    make(f"sqlite:///{path}")
    path.with_name(path.name + ".lock").unlink()
    forget_the_place(path)


def forget_the_place(path: Path) -> None:
    """Name no file of the machine that the store was made on: it might be there when the store is read."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE flow_runs SET file = '/elsewhere/recorded_flows.py'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def make_script() -> None:
    """Make that of PostgreSQL's."""
    server = Server()
    try:
        url = server.url(SCHEMA)
        make(url)
        store = PostgresStore(url)
        store._read(lambda connection: connection.execute("UPDATE flow_runs SET file = '/elsewhere/recorded_flows.py'"))
        store.close()
        command = [programme("pg_dump"), "--schema", SCHEMA, "--inserts", "--no-owner", url.partition("?")[0]]
        dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finally:
        server.remove()
    said = [line for line in dumped.splitlines() if line and not line.startswith(("--", "\\"))]
    (FOLDER / f"postgres-{len(on_server.steps())}.sql").write_text("\n".join(said) + "\n")


def main() -> None:
    """Write the store of the present schema, or die while writing to one."""
    kinds = {"sqlite": make_file, "postgres": make_script}
    if sys.argv[1] in kinds:
        kinds[sys.argv[1]]()
    else:
        recorded_flows.dies.append(True)
        with engine_of(store_of(sys.argv[1])):
            recorded_flows.sums(first=5)


if __name__ == "__main__":
    main()
