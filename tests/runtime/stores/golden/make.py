"""Makes the golden store of this version: a run that completed, one that failed, one suspended, one that was killed.

    python -m tests.runtime.stores.golden.make

A store of a released version is never made anew: later versions have to read it.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from millrace import Engine, SqliteStore
from millrace.runtime.stores.sqlite.migrating import steps
from tests.runtime.stores import recorded_flows
from tests.runtime.stores.killing import engine_of

FOLDER = Path(__file__).parent


def make(path: Path) -> None:
    """Write a store."""
    with engine_of(SqliteStore(path)):
        recorded_flows.sums()
        with suppress(OSError):
            recorded_flows.doubled(4, wrong=True)
        recorded_flows.approved(return_state=True)
    subprocess.run([sys.executable, "-m", __spec__.name, str(path)], check=False)


def main() -> None:
    """Write the store of the present schema, or die while writing to one."""
    if len(sys.argv) > 1:
        recorded_flows.dies.append(True)
        with engine_of(SqliteStore(sys.argv[1])):
            recorded_flows.sums(first=5)
    else:
        path = FOLDER / f"schema-{len(steps())}.db"
        path.unlink(missing_ok=True)
        make(path)
        Engine(store=SqliteStore(path)).close()  # so that the log is in the file
        path.with_name(path.name + ".lock").unlink()
        forget_the_place(path)


def forget_the_place(path: Path) -> None:
    """Name no file of the machine that the store was made on: it might be there when the store is read."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE flow_runs SET file = '/elsewhere/recorded_flows.py'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    main()
