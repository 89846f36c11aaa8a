"""Power cuts: what a disk has of a store when the power goes, as far as the store has asked for it.

A shim between SQLite and the files knows what was written and not yet brought to the disk. At a cut all of that is
undone, or a random part of it, in any order. It does not know of disks that lie, nor of names in folders that are lost.

With synchronous=FULL nothing that was acknowledged may be missing; with NORMAL only what came last; with OFF, which the
store does not offer, something must be missing, or the shim could find nothing.

    python -m tests.proofs.cuts --seeds 20
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import attrs

from millrace.runtime.stores.port import Group, Owner
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.sqlite import SqliteStore
from tests.proofs.verdicts import Row, tell
from tests.runtime.stores.places import FLOW, completed_task, running_flow

GROUPS = 30
CHECKPOINT_PAGES = 40
"""After so many pages in the log SQLite checkpoints, so that there are some."""


@attrs.define
class File:
    """A file, as the disk has it, and what was written since that was so.

    Args:
        durable: What the disk has.
        pending: What it may have or not: offset and bytes, or the new length.
    """

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = attrs.field(factory=list)

    def sync(self) -> None:
        """All that was written is on the disk."""
        self.durable = self.image(lambda: True)
        self.pending.clear()

    def image(self, survives: Callable[[], bool]) -> bytes:
        """What is there after a cut."""
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if not survives():
                continue
            if data is None:
                del content[offset:]
            else:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        return bytes(content)


class Disk(apsw.VFS):
    """The shim."""

    def __init__(self, name: str) -> None:
        super().__init__(name, base="")
        self.name = name
        self.files: dict[str, File] = {}
        self.at_sync: Callable[[], None] = lambda: None

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802  # as apsw names it
        path = name if isinstance(name, str) or name is None else name.filename()
        return _Open(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.files.pop(filename, None)

    def image(self, survives: Callable[[], bool]) -> dict[str, bytes]:
        """All files after a cut."""
        return {path: file.image(survives) for path, file in self.files.items()}


class _Open(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str | None, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._file = File() if path is None else disk.files.setdefault(path, File())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._file.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._file.pending.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.at_sync()  # the power goes before it is done
        super().xSync(flags)
        self._file.sync()
        self._disk.at_sync()  # or after


class _Answer:
    """The answer to a statement, as sqlite3 has it."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        self._rows = list(cursor)
        self.rowcount = connection.changes()
        self.lastrowid = connection.last_insert_rowid()

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


class Connection:
    """A connection of apsw's, as sqlite3 has it."""

    def __init__(self, path: str, disk: Disk, synchronous: str) -> None:
        self._made = apsw.Connection(path, vfs=disk.name)
        self._synchronous = synchronous
        self._made.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def execute(self, sql: str, parameters: Any = (), /) -> _Answer:
        if sql.startswith("PRAGMA synchronous"):
            sql = f"PRAGMA synchronous = {self._synchronous}"
        bindings = parameters if isinstance(parameters, Mapping) else tuple(parameters)
        try:
            return _Answer(self._made, self._made.execute(sql, bindings))
        except apsw.Error as error:
            raise sqlite3.OperationalError(str(error)) from error

    def close(self) -> None:
        self._made.close()


@attrs.define
class Found:
    """What the cuts of one mode have shown.

    Args:
        mode: Of SQLite's `synchronous`.
        cuts: How many there were.
        losses: How many of them have lost something that was acknowledged.
        gaps: How many have kept something that came after what was lost.
        broken: How many have left a file that is not whole.
    """

    mode: str
    cuts: int = 0
    losses: int = 0
    gaps: int = 0
    broken: int = 0

    def __str__(self) -> str:
        return (
            f"{self.cuts:,} cuts: {self.losses} lost something that was acknowledged, "
            f"{self.gaps} left gaps, {self.broken} left a file that is not whole"
        )


def cut(folder: Path, mode: str, seeds: int, seed: int = 0) -> Found:
    """Write groups in a mode, and cut the power at each moment that matters.

    Args:
        folder: Where files are.
        mode: Of SQLite's `synchronous`.
        seeds: At each moment: how many random parts of what was not brought to the disk are undone, beside all of it.
        seed: Of these.
    """
    found = Found(mode)
    draw = random.Random(seed)
    disk = Disk(f"cuts-{mode}-{seed}")
    path = folder / f"{mode}.db"
    acknowledged: list[int] = []

    def look() -> None:
        chances: list[Callable[[], bool]] = [lambda: False]
        chances += [lambda: draw.random() < 0.5] * seeds
        for survives in chances:
            _judge(found, folder / "image", path, disk.image(survives), set(acknowledged))

    store = SqliteStore(path, connect=lambda *_, **__: Connection(str(path), disk, mode))
    token = store.open(Owner("process 1 on mill", 1)).token
    disk.at_sync = look

    def told(number: int) -> Callable[[BaseException | None], None]:
        def done(error: BaseException | None) -> None:
            assert error is None, error
            acknowledged.append(number)

        return done

    for number in range(1, GROUPS + 1):
        records = running_flow() if number == 1 else []
        value = Value("json", draw.randbytes(draw.choice((10, 3_000))))
        group = [*records, *completed_task(FLOW + number, value, key=number)]
        store.append(Group(token, number, group, told(number)))
        look()
    disk.at_sync = lambda: None
    store.close()
    disk.unregister()
    return found


def _judge(found: Found, folder: Path, path: Path, image: dict[str, bytes], acknowledged: set[int]) -> None:
    """Look at what is left after a cut."""
    found.cuts += 1
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in image.items():
        if Path(name).name.startswith(path.name):
            (folder / Path(name).name).write_bytes(content)
    try:
        with closing(sqlite3.connect(folder / path.name)) as connection:
            (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
            ended = "SELECT id FROM task_runs WHERE ended IS NOT NULL"
            there = {int.from_bytes(run, "big") - FLOW for (run,) in connection.execute(ended)}
    except sqlite3.DatabaseError:
        found.broken += bool(acknowledged)
        found.losses += bool(acknowledged)
        return
    found.broken += integrity != "ok"
    found.losses += not acknowledged <= there
    found.gaps += there != set(range(1, len(there) + 1))


def main() -> int:
    """Prove it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        full, normal, off = (cut(Path(folder), mode, options.seeds) for mode in ("FULL", "NORMAL", "OFF"))
    return tell(
        [
            Row(
                "power cuts at every sync, synchronous=FULL",
                str(full),
                holds=not (full.losses or full.gaps or full.broken),
            ),
            Row("power cuts, synchronous=NORMAL", str(normal), holds=not (normal.gaps or normal.broken)),
            Row("power cuts, OFF, which must lose something", str(off), holds=off.losses > 0.9 * off.cuts),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
