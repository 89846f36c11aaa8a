"""Writing: the rows of a group, as one statement.

Decides how a group is written: by a single statement, which is a transaction of its own, so that it costs one way to
the server and back, and is there as a whole or not at all. It begins by counting the group at its owner, and all rows
are joined to that: where the owner is over, or the group was counted before, there is nothing to join them to.

Rows come as an array of rows, where the schema has a type for that, and else as one array for each column: the driver
looks at each element of an array, and most rows are of task runs. The statement is made of what the group has; the
server keeps it prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

from millrace.runtime.stores.group_rows import CHANGED, COLUMNS, GroupRows
from millrace.runtime.stores.postgres.connecting import Connection

SETTINGS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""For the connection that writes: each row is found by its key, however much its table has grown since then."""

_IDS: Final = frozenset({"id", "parent", "parent_task_run", "flow_run", "run", "first"})
_NUMBERS: Final = frozenset({
    "owner", "created", "started", "ended", "attempts", "sequence", "key", "at", "attempt", "position", "place",
    "count",
})  # fmt: skip
_OTHERS: Final = {"suspended": "boolean", "blob": "bytea", "marks": "bytea"}

_KEYS: Final = {"results": ("run",), "answers": ("flow_run", "key")}
"""By table: the key of rows that take the place of what was there."""

_CHANGES: Final[Mapping[str, Sequence[str]]] = {"flow_runs": (*CHANGED, "suspended"), "task_runs": CHANGED}
_HOW: Final = {
    "name": "coalesce(new.name, old.name)",
    "started": "coalesce(old.started, new.started)",
    "attempts": "greatest(old.attempts, new.attempts)",
}  # of the others the new value counts

_COUNT: Final = "UPDATE owners SET groups = $2 WHERE token = $1 AND ended IS NULL AND groups = $2 - 1 RETURNING token"
_UNDO: Final = (
    "UPDATE task_runs SET undone = true FROM unnest($2::uuid[]) AS new (id) WHERE task_runs.id = new.id "
    "AND EXISTS (SELECT 1 FROM owners WHERE token = $1 AND ended IS NULL)"
)
_WRITTEN: Final = "SELECT groups >= $2 FROM owners WHERE token = $1 AND ended IS NULL"


def _type_of(part: str, column: str) -> str:
    if part == "made_answers" and column == "key":  # names a pause; that of a task run counts
        return "text"
    return "uuid" if column in _IDS else "bigint" if column in _NUMBERS else _OTHERS.get(column, "text")


def _insert(table: str) -> Callable[[str], str]:
    columns = COLUMNS[table]
    into, what = list(columns), [f"new.{each}" for each in columns]
    if table == "task_runs":
        into.append("owner")
        what.append("owner.token")
    elif table == "parameters":
        into.append("position")
        what.append("new.number")
    conflict = ""
    if table in _KEYS:
        others = [each for each in columns if each not in _KEYS[table]]
        changes = ", ".join(f"{each} = excluded.{each}" for each in others)
        conflict = f" ON CONFLICT ({', '.join(_KEYS[table])}) DO UPDATE SET {changes}"
    return lambda rows: (
        f"INSERT INTO {table} ({', '.join(into)}) SELECT {', '.join(what)} FROM owner, "  # noqa: S608  # names of ours
        f"{rows} WITH ORDINALITY AS new ({', '.join(columns)}, number){conflict}"
    )


def _update(table: str) -> Callable[[str], str]:
    columns = _CHANGES[table]
    changes = ", ".join(f"{each} = {_HOW.get(each, f'new.{each}')}" for each in columns[1:])
    return lambda rows: (
        f"UPDATE {table} AS old SET owner = owner.token, {changes} FROM owner, "  # noqa: S608  # names of ours
        f"{rows} AS new ({', '.join(columns)}) WHERE old.id = new.id"
    )


def _delete(rows: str) -> str:
    return f"DELETE FROM results AS old USING owner, {rows} AS new (run) WHERE old.run = new.run"  # noqa: S608  # fixed


def _rename(rows: str) -> str:
    return (
        f"UPDATE flow_runs AS old SET name = new.name FROM owner, {rows} AS new (id, name) "  # noqa: S608  # fixed
        "WHERE old.id = new.id"
    )


_PARTS: Final[Mapping[str, tuple[Sequence[str], Callable[[str], str]]]] = {
    **{f"made_{table}": (columns, _insert(table)) for table, columns in COLUMNS.items()},
    **{f"changed_{table}": (columns, _update(table)) for table, columns in _CHANGES.items()},
    "emptied": (("run",), _delete),
    "renamed": (("id", "name"), _rename),
}
"""By name: the columns of the rows of a part of the statement, and the part. No two parts touch the same row."""


_WHOLE: Final[Mapping[str, str]] = {f"made_{table}": f"sent_{table}" for table in ("task_runs", "states", "results")}
"""By part: the type of its rows, where they are sent as such."""


def _arrays(name: str, rows: Sequence[tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
    """The rows of a part as the statement takes them."""
    return (rows,) if name in _WHOLE else tuple(zip(*rows, strict=True))


@cache
def _statement(names: tuple[str, ...]) -> str:
    parts = [f"owner AS ({_COUNT})"]
    number = 3
    for name in names:
        columns, part = _PARTS[name]
        types = [_WHOLE[name]] if name in _WHOLE else [_type_of(name, column) for column in columns]
        arrays = ", ".join(f"${number + place}::{kind}[]" for place, kind in enumerate(types))
        number += len(types)
        parts.append(f"{name} AS ({part(f'unnest({arrays})')})")
    return f"WITH {', '.join(parts)} SELECT count(*) FROM owner"  # noqa: S608  # made of names of ours


def parts_of(rows: GroupRows) -> dict[str, Sequence[tuple[Any, ...]]]:
    """The rows of a group, by part of the statement; only parts that have any."""
    parts: dict[str, Sequence[tuple[Any, ...]]] = {f"made_{table}": made for table, made in rows.made().items()}
    parts |= {f"changed_{table}": changed for table, changed in rows.changed().items()}
    parts |= {"emptied": rows.emptied(), "renamed": rows.renamed()}
    return {name: some for name, some in parts.items() if some}


async def write(
    connection: Connection,
    token: int,
    number: int,
    parts: Mapping[str, Sequence[tuple[Any, ...]]],
    undone: Sequence[tuple[bytes]],
) -> bool:
    """Write a group; whether it is written now, or was before.

    Args:
        connection: The connection that writes.
        token: The owner's.
        number: The group's.
        parts: See `parts_of`.
        undone: Task runs that were rolled back.

    Returns:
        False where the owner is over. Then nothing was written.
    """
    values = (token, number, *chain.from_iterable(_arrays(name, rows) for name, rows in parts.items()))
    statement = _statement(tuple(parts))
    if undone:  # of runs that may be made by the statement, which another part of it would not see
        async with connection.transaction():
            counted = await connection.fetchval(statement, *values)
            await connection.execute(_UNDO, token, [run for (run,) in undone])
    else:
        counted = await connection.fetchval(statement, *values)
    return bool(counted) or bool(await connection.fetchval(_WRITTEN, token, number))


def harmless(parts: Mapping[str, Sequence[tuple[Any, ...]]]) -> dict[str, Sequence[tuple[Any, ...]]]:
    """The same rows, with texts that the server takes: without the null character, and without half of a pair."""
    return {name: [tuple(map(harmless_value, row)) for row in rows] for name, rows in parts.items()}


def harmless_value(value: Any) -> Any:
    """A value as the server takes it."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")
