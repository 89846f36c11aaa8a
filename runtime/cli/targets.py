"""Targets: what `FILE.py:FLOW` and `package.module:FLOW` name.

Decides how the words are taken apart, how a file becomes a module, and which flow is meant. A module that raises when
it is imported is its author's affair: the exception goes up as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

import attrs

from millrace.actors.errors import FlowNotFound
from millrace.runtime.flow import BaseFlow


@attrs.frozen
class Target:
    """Where a flow is to be taken from.

    Args:
        source: A file's path, or a module's dotted name.
        flow: The flow; None for the only one.
    """

    source: str
    flow: str | None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Take `source:flow` apart."""
        source, colon, flow = text.rpartition(":")
        if not colon or "/" in flow or "\\" in flow:  # no flow named; the colon, if any, is that of a drive
            return cls(text, None)
        return cls(source, flow or None)

    @property
    def is_file(self) -> bool:
        """Whether the source is a file and not a module."""
        return self.source.endswith(".py") or "/" in self.source or "\\" in self.source

    def load(self) -> ModuleType:
        """Import the file or module.

        Raises:
            FlowNotFound: there is none.
            BaseException: what its code raises.
        """
        return self._load_file() if self.is_file else self._load_module()

    def _load_module(self) -> ModuleType:
        if not all(part.isidentifier() for part in self.source.split(".")):
            raise FlowNotFound(self.flow, self.source, (), exists=False)
        _put_first(Path.cwd())
        try:
            return importlib.import_module(self.source)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if f"{self.source}.".startswith(f"{missing}."):
                raise FlowNotFound(self.flow, self.source, (), exists=False) from None
            raise

    def _load_file(self) -> ModuleType:
        path = Path(self.source)
        if not path.is_file():
            raise FlowNotFound(self.flow, self.source, (), exists=False)
        path = path.resolve()
        _put_first(path.parent)  # its neighbours can be imported, as when Python runs it
        # A module is found again by its name when its objects are pickled, and by dataclasses; so it has a fitting one,
        # unless something else has that already.
        name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"millrace_file_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise FlowNotFound(self.flow, self.source, (), exists=False)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def pick(self, module: ModuleType) -> BaseFlow[Any, Any]:
        """The flow that is meant: by its variable, else by its name, else the only one.

        Raises:
            FlowNotFound: there is none, or none is named and there are several.
        """
        flows = _flows_of(module)
        if self.flow is None:
            if len(flows) == 1:
                return next(iter(flows.values()))
            raise FlowNotFound(None, self.source, flows)
        meant: object = getattr(module, self.flow, None)
        if _is_flow(meant):
            return meant
        for each in flows.values():
            if each.name == self.flow:
                return each
        raise FlowNotFound(self.flow, self.source, flows)


def _flows_of(module: ModuleType) -> dict[str, BaseFlow[Any, Any]]:
    """The flows of a module by variable, each once; those it imported count only where it has none of its own."""
    found: dict[str, BaseFlow[Any, Any]] = {}
    for name, value in vars(module).items():
        if _is_flow(value) and not any(value is other for other in found.values()):
            found[name] = value
    own = {name: each for name, each in found.items() if getattr(each.fn, "__module__", None) == module.__name__}
    return own or found


def _is_flow(value: object) -> TypeGuard[BaseFlow[Any, Any]]:
    return isinstance(value, BaseFlow)


def _put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
