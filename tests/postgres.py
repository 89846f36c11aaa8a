"""A server of PostgreSQL's for tests: made for the session, on loopback, and gone with it.

It never runs as root: where the tests do, it runs as the user `nobody`. A keeper, which is this module run as a
programme, starts it and waits for the end of its own input; so the server and its files go with whoever started it,
however that ends. Where there is no PostgreSQL, Debian's package is installed; where that cannot be, the tests fail.

    python tests/postgres.py FOLDER PORT      # prints the port, and serves until its input ends
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg  # type: ignore[import-untyped]

USER = "millrace"
PATIENCE = 60
INSTALL = (
    ["apt-get", "update", "-qq"],
    ["apt-get", "install", "-y", "-qq", "-o", "DPkg::Lock::Timeout=300", "postgresql"],
)
READY = "database system is ready to accept connections"

DURABLE: Sequence[str] = ("fsync=on", "full_page_writes=on", "synchronous_commit=on")
HASTY: Sequence[str] = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""What a commit waits for; a process that is killed loses nothing with the second one."""


def programme(name: str) -> str:
    """Where a programme of PostgreSQL's is; installs it where it is nowhere."""
    path = _find(name)
    if path is None:
        for command in INSTALL:
            subprocess.run(command, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, timeout=600)
        path = _find(name)
    assert path is not None, f"There is no {name}, and Debian's package brings none."
    return path


def found(name: str) -> bool:
    """Whether a programme of PostgreSQL's is there, so that nothing has to be installed."""
    return _find(name) is not None


def _find(name: str) -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/local/bin"])
    return shutil.which(name, path=path)


def _as_user() -> dict[str, Any]:
    """How a programme is started that refuses to run as root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def make_folder() -> Path:
    """An empty folder that the server's user can use, whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-postgres-", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(folder, _as_user()["user"], _as_user()["group"])
    return folder


def make_cluster(folder: Path) -> None:
    """Make the files of a server in a folder. Everybody on this machine may connect; `guarded` needs a password."""
    options = ["--auth=trust", "--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "-U", USER]
    command = [programme("initdb"), "-D", str(folder / "data"), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=PATIENCE, **_as_user())
    access = folder / "data" / "pg_hba.conf"
    access.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{access.read_text()}")


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def serve(folder: Path, port: int, settings: Sequence[str]) -> None:
    """Run a server until the input of this process ends; its files go too, unless the input says `keep`."""
    options = [
        f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "max_connections=200",
        "shared_buffers=32MB", "max_wal_size=256MB", "autovacuum=off", *settings,
    ]  # fmt: skip
    command = [programme("postgres"), "-D", str(folder / "data"), *(word for each in options for word in ("-c", each))]
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
        start_new_session=True, **_as_user(),
    )  # fmt: skip
    assert server.stdout is not None

    def drain() -> None:
        assert server.stdout is not None
        for _ in server.stdout:
            pass

    said: list[str] = []
    for line in server.stdout:
        said.append(line)
        if READY in line:
            break
    Thread(target=drain, daemon=True).start()
    if server.poll() is not None or READY not in said[-1]:
        sys.exit("".join(said))
    print(port, flush=True)  # noqa: T201  # whoever started this reads it
    said_last = ""
    try:
        said_last = sys.stdin.read()
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(PATIENCE)
        if said_last.strip() != "keep":
            shutil.rmtree(folder)


class Server:
    """A server, which can be stopped and started again.

    Args:
        settings: How it is set, as `fsync=off`.
    """

    def __init__(self, settings: Sequence[str] = HASTY) -> None:
        self.folder = make_folder()
        self._settings = settings
        self._keeper: subprocess.Popen[str] | None = None
        self._schemas = count(1)
        self._left: list[str] = []  # schemas that are not used any more
        make_cluster(self.folder)
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Let it serve, at the port that it had; at another one where somebody has taken that before it ever did."""
        said = ""
        for _ in range(5):
            keeper = subprocess.Popen(
                [sys.executable, __file__, str(self.folder), str(self.port), *self._settings],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert keeper.stdout is not None
            if keeper.stdout.readline():
                self._keeper = keeper
                return
            _, said = keeper.communicate()
            self.port = free_port()
        raise AssertionError(f"PostgreSQL does not start: {said}")

    def stop(self) -> None:
        """Have it end at once, as if the machine had failed."""
        self._end("keep")

    def remove(self) -> None:
        """Stop it, and remove its files."""
        self._end("")
        shutil.rmtree(self.folder, ignore_errors=True)  # where it was stopped before

    def _end(self, word: str) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.communicate(word)

    @contextmanager
    def store(self, name: str = "store") -> Generator[str]:
        """The URL of a store with nothing in it, for the time of a block.

        What was used before is emptied, which takes less than to make a schema.
        """
        if self._left:
            schema = self._left.pop()
            asyncio.run(self._empty(schema))
        else:
            schema = f"{name}_{next(self._schemas)}"
        yield self.url(schema)
        self._left.append(schema)

    async def _empty(self, schema: str) -> None:
        connection = await asyncpg.connect(self.url(schema).partition("?")[0] + "?sslmode=disable")
        try:
            chosen = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)"
            tables = [tuple(each) for each in await connection.fetch(chosen, [schema, f"{schema}_queue"])]
            emptied = [f"DELETE FROM {where}.{table}" for where, table in tables if table != "millrace_schema"]
            again = [f"SELECT setval('{schema}.owners_token_seq', 1, false)"] if (schema, "owners") in tables else []
            await connection.execute("; ".join([*emptied, *again]))
        finally:
            await connection.close()

    def make_database(self, name: str) -> None:
        """Make an empty database."""
        command = [programme("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name]
        subprocess.run(command, check=True, timeout=PATIENCE)

    def url(self, schema: str = "millrace", *, user: str = USER, more: str = "") -> str:
        """The URL of a store.

        Without encryption: a process that has forked may find a lock of its library's taken for ever.
        """
        return f"postgresql://{user}@127.0.0.1:{self.port}/postgres?sslmode=disable&schema={schema}{more}"


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
