"""Targets: what `FILE.py:FLOW` and `package.module:FLOW` name; and the same with a task.

Decides how the words are taken apart, how a file becomes a module, and which flow or task is meant. A module that
raises when it is imported is its author's affair: the exception goes up as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Generic, TypeGuard, TypeVar

import attrs

from millrace.actors.errors import FlowNotFound, TaskNotFound
from millrace.runtime.base_task import BaseTask
from millrace.runtime.flow import BaseFlow

T = TypeVar("T", bound=BaseFlow[Any, Any] | BaseTask[Any, Any])


@attrs.frozen
class Sought(Generic[T]):
    """What a target is to be.

    Args:
        kind: Its class.
        missing: What is raised where there is none.
    """

    kind: type[T]
    missing: type[FlowNotFound | TaskNotFound]

    def fits(self, value: object) -> TypeGuard[T]:
        """Whether something is one."""
        return isinstance(value, self.kind)


A_FLOW: Final = Sought[BaseFlow[Any, Any]](BaseFlow, FlowNotFound)
A_TASK: Final = Sought[BaseTask[Any, Any]](BaseTask, TaskNotFound)


@attrs.frozen
class Target(Generic[T]):
    """Where a flow or a task is to be taken from.

    Args:
        source: A file's path, or a module's dotted name.
        name: What the flow or task is called; None for the only one.
        sought: Which of the two it is to be.
    """

    source: str
    name: str | None
    sought: Sought[T]

    @classmethod
    def parse(cls, text: str, sought: Sought[T]) -> Target[T]:
        """Take `source:name` apart."""
        source, colon, name = text.rpartition(":")
        if not colon or "/" in name or "\\" in name:  # nothing named; the colon, if any, is that of a drive
            return cls(text, None, sought)
        return cls(source, name or None, sought)

    @property
    def is_file(self) -> bool:
        """Whether the source is a file and not a module."""
        named_so = self.source.endswith(".py") or "/" in self.source or "\\" in self.source
        return named_so or Path(self.source).is_file()

    def load(self) -> ModuleType:
        """Import the file or module.

        Raises:
            FlowNotFound, TaskNotFound: there is none.
            BaseException: what its code raises.
        """
        return self._load_file() if self.is_file else self._load_module()

    def _load_module(self) -> ModuleType:
        if not all(part.isidentifier() for part in self.source.split(".")):
            raise self._absent()
        _put_first(Path.cwd())
        try:
            return importlib.import_module(self.source)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if f"{self.source}.".startswith(f"{missing}."):
                raise self._absent() from None
            raise

    def _load_file(self) -> ModuleType:
        path = Path(self.source)
        if not path.is_file():
            raise self._absent()
        path = path.resolve()
        _put_first(path.parent)  # its neighbours can be imported, as when Python runs it
        # A module is found again by its name when its objects are pickled, and by dataclasses; so it has a fitting one,
        # unless something else has that already.
        name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"millrace_file_{path.stem}"
        loader = SourceFileLoader(name, str(path))  # whatever the file is called
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        assert spec is not None  # there is a loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _absent(self) -> FlowNotFound | TaskNotFound:
        return self.sought.missing(self.name, self.source, (), exists=False)

    def pick(self, module: ModuleType) -> T:
        """The one that is meant: by its variable, else by its name, else the only one.

        Raises:
            FlowNotFound, TaskNotFound: there is none, or none is named and there are several.
        """
        found = _all_of(module, self.sought)
        if self.name is None:
            if len(found) == 1:
                return next(iter(found.values()))
            raise self.sought.missing(None, self.source, found)
        meant: object = getattr(module, self.name, None)
        if self.sought.fits(meant):
            return meant
        for each in found.values():
            if each.name == self.name:
                return each
        other = next((f"a {thing}" for kind, thing in _THINGS if isinstance(meant, kind)), None)
        raise self.sought.missing(self.name, self.source, found, instead=other)


_THINGS: Final = ((BaseFlow, "flow"), (BaseTask, "task"))


def _all_of(module: ModuleType, sought: Sought[T]) -> dict[str, T]:
    """All of a module by variable, each once; those it imported count only where it has none of its own."""
    found: dict[str, T] = {}
    for name, value in vars(module).items():
        if sought.fits(value) and not any(value is other for other in found.values()):
            found[name] = value
    own = {name: each for name, each in found.items() if getattr(each.fn, "__module__", None) == module.__name__}
    return own or found


def _put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
