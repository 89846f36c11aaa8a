"""What the parameters of tests are annotated with, and how a value is converted to it."""

from __future__ import annotations

import enum
from collections.abc import (
    Iterator,
)
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    NewType,
    NotRequired,
    Protocol,
    TypedDict,
    TypeVar,
    runtime_checkable,
)

import attrs
import pytest

from millrace.runtime.validation.converting import Converters
from millrace.runtime.validation.wrong import Wrong

T = TypeVar("T")
Bound = TypeVar("Bound", bound=int)
OneOf = TypeVar("OneOf", int, str)
UserId = NewType("UserId", int)
ID = "12345678-1234-5678-1234-567812345678"


class Colour(enum.Enum):
    RED = "red"
    GREEN = 2


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Index:
    def __index__(self) -> int:
        return 4


class Whole(int):
    pass


class Plain:
    pass


class Special(Plain):
    pass


@attrs.define
class Config:
    retries: int
    name: str = "x"
    tags: list[str] = attrs.Factory(list)


@dataclass
class Point:
    x: int
    y: float = 0.0


@dataclass
class Point3(Point):
    z: int = 0


@dataclass
class Positive:
    value: int

    def __post_init__(self) -> None:
        if self.value < 0:
            raise ValueError("negative")


@attrs.define
class Tree:
    value: int
    children: list[Tree] = attrs.Factory(list)


def length(text: Any) -> int:
    return len(str(text))


@attrs.define
class Hidden:
    _secret: int
    size: int = attrs.field(default=0, converter=length)
    made: int = attrs.field(default=7, init=False)


@attrs.define
class Box(Generic[T]):
    item: T


@attrs.define
class Lost:
    it: Nowhere  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Options(TypedDict):
    limit: int
    note: NotRequired[str]


class Page(TypedDict, Generic[T]):
    items: list[T]
    first: Annotated[NotRequired[T], 1]


class Unknown(TypedDict):
    it: Nowhere  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


class Closable(Protocol):
    def close(self) -> None: ...


@runtime_checkable
class Sized(Protocol):
    def __len__(self) -> int: ...


class Model:
    """Stands for the models of other libraries, which know themselves how they are made."""

    def __init__(self, x: int) -> None:
        self.x = x

    @classmethod
    def model_validate(cls, data: Any) -> Model:
        if not isinstance(data, dict):
            raise ValueError("no dict")  # noqa: TRY004  # as the models it stands for do
        if "x" not in data:
            raise ModelError
        return cls(int(data["x"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


class ModelError(ValueError):
    def errors(self) -> list[dict[str, Any]]:
        return [{"loc": ("parts", 0, "x"), "msg": "Field required", "input": {}}]


def numbers() -> Iterator[str]:
    yield "1"
    yield "2"


def convert(annotation: Any, value: Any) -> Any:
    return Converters().hook(annotation)(value)


def problems(annotation: Any, value: Any) -> dict[str, str]:
    with pytest.raises(Wrong) as caught:
        convert(annotation, value)
    return dict(caught.value.problems)


def names(rows: list[Any]) -> list[str]:
    """Ids for rows that start with an annotation."""
    return [f"{number}-{getattr(row[0], '__name__', row[0])}"[:40] for number, row in enumerate(rows)]
