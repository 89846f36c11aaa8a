"""Parameters: what either engine makes of every value for every annotation.

Decides which annotations and values those are. Prefect is asked by `validate_parameters`, which needs no run; millrace
by a run of a flow.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from tests.differential.engines import Side
from tests.differential.showing import shown


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Size:
    """A size."""

    width: int
    unit: str = "cm"


class Address(TypedDict):
    """An address."""

    street: str
    number: int


ANNOTATIONS: dict[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "bytes": bytes,
    "list": list,
    "list[int]": list[int],
    "tuple[int, str]": tuple[int, str],
    "tuple[int, ...]": tuple[int, ...],
    "set[int]": set[int],
    "frozenset[str]": frozenset[str],
    "dict[str, int]": dict[str, int],
    "dict[str, list[int]]": dict[str, list[int]],
    "Sequence[int]": Sequence[int],
    "Mapping[str, int]": Mapping[str, int],
    "int | None": int | None,
    "int | str": int | str,
    "float | list[int]": float | list[int],
    "Literal['a', 1]": Literal["a", 1],
    "Colour": Colour,
    "list[Colour]": list[Colour],
    "Size": Size,
    "list[Size]": list[Size],
    "Address": Address,
    "datetime": datetime,
    "date": date,
    "time": time,
    "timedelta": timedelta,
    "UUID": UUID,
    "Decimal": Decimal,
    "Path": Path,
    "Any": Any,
}

VALUES: dict[str, Any] = {
    "0": 0,
    "1": 1,
    "-7": -7,
    "1.0": 1.0,
    "2.5": 2.5,
    "True": True,
    "None": None,
    "''": "",
    "'1'": "1",
    "' 3 '": " 3 ",
    "'2.5'": "2.5",
    "'a'": "a",
    "'yes'": "yes",
    "'red'": "red",
    "b'1'": b"1",
    "[]": [],
    "[1, 2]": [1, 2],
    "['1', 2.0]": ["1", 2.0],
    "[1, 'a']": [1, "a"],
    "(1, 'a')": (1, "a"),
    "{1, 2}": {1, 2},
    "{'k': 1}": {"k": 1},
    "{'k': '1'}": {"k": "1"},
    "{'k': [1, '2']}": {"k": [1, "2"]},
    "{'width': '3'}": {"width": "3"},
    "[{'width': 3}]": [{"width": 3}],
    "{'street': 's', 'number': 1}": {"street": "s", "number": 1},
    "Colour.RED": Colour.RED,
    "Size(1)": Size(1),
    "'2026-11-20'": "2026-11-20",
    "'2026-11-20T12:30:00Z'": "2026-11-20T12:30:00Z",
    "'12:30'": "12:30",
    "'PT1H'": "PT1H",
    "a datetime": datetime(2026, 11, 20, 12, tzinfo=UTC),
    "a date": date(2026, 11, 20),
    "an hour": timedelta(hours=1),
    "a UUID": UUID(int=7),
    "a UUID's text": str(UUID(int=7)),
    "Decimal('1.5')": Decimal("1.5"),
    "Path('a')": Path("a"),
}


_PLAIN = (bool, int, float, str, date, time, timedelta, UUID, Decimal, Path, enum.Enum)

PLACE = -1
"""Where what became of them stands among the answers to scripts, which are by seed."""

LISTED = {f"Colour.RED for {annotation}" for annotation in ("int", "int | None", "bytes", "Path")}
"""What differs by 10.5 of the list."""


def converted(side: Side) -> dict[str, Any]:
    """What becomes of each value for each annotation, by both of their names: the value and its type, or `refused`."""
    found: dict[str, Any] = {}
    for annotation, kind in ANNOTATIONS.items():

        def body(given: Any) -> Any:
            return given

        body.__annotations__ = {"given": kind}
        flow = side.flow(body)
        for name, value in VALUES.items():
            try:
                made = flow(value) if side.name == "millrace" else flow.validate_parameters({"given": value})["given"]
            except Exception:  # noqa: BLE001  # of whatever class
                told: Any = "refused"
            else:
                told = _told(made)
            if f"{name} for {annotation}" not in LISTED:
                found[f"{name} for {annotation}"] = told
    return found


def _told(made: Any) -> Any:
    if isinstance(made, bytes):
        return f"bytes {made.hex()}"
    return f"{type(made).__name__} {made}" if made is None or isinstance(made, _PLAIN) else shown(made)
