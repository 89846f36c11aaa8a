"""The two floors stay what they are: the lower one decides, the upper one acts.

Nothing is imported here. The sources are read, so that a broken rule is named by file and line.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]

EFFECTS = {
    "anyio",
    "asyncio",
    "concurrent",
    "millrace.runtime",
    "multiprocessing",
    "os",
    "queue",
    "random",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
    "uvloop",
}
ALLOWED = {("millrace.actors.mailbox", "threading")}  # the mailbox's lock, and nothing else


def sources() -> dict[str, Path]:
    """Return every module of the package, by the name it is imported under."""
    door = ROOT / "src" / "millrace"
    found = {"millrace": door / "__init__.py", "millrace.__main__": door / "__main__.py"}
    # The floors are read where they stand: before 3.13, rglob does not follow the links in src.
    for floor in ("actors", "runtime"):
        for path in (ROOT / floor).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("millrace", *parts)).removesuffix(".__init__")] = path
    return found


def package_of(module: str, *, is_package: bool) -> str:
    """Return the package that relative imports in a module start from."""
    return module if is_package else module.rpartition(".")[0]


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """Yield the dotted names a statement asks for; `from a import b` asks for `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1] if node.level else []
    stem = ".".join((*base, node.module) if node.module else base)
    yield from (f"{stem}.{alias.name}" for alias in node.names)


def is_type_checking(test: ast.expr) -> bool:
    """Tell whether a condition holds for type checkers only."""
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def run_on_import(nodes: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run when the module is imported."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            yield from run_on_import(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from run_on_import(ast.iter_child_nodes(node))


def effects_in(module: str, text: str, *, is_package: bool = False) -> list[str]:
    """Return the forbidden imports in a source, wherever they stand, as `line: name`."""
    package = package_of(module, is_package=is_package)
    return [
        f"{node.lineno}: {name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(node, package)
        for effect in EFFECTS
        if f"{name}.".startswith(f"{effect}.") and (module, effect) not in ALLOWED
    ]


def import_graph(texts: dict[str, str], packages: set[str]) -> dict[str, set[str]]:
    """Return, for each module, the modules of the same set that it imports while it is imported.

    A package is imported before its modules in any case, and that is no edge. It becomes one when
    a module takes a name from the package itself, for this needs the package to be finished.
    """
    graph: dict[str, set[str]] = {}
    for module, text in texts.items():
        package = package_of(module, is_package=module in packages)
        names = [name for node in run_on_import(ast.parse(text).body) for name in imported(node, package)]
        # `from a import b` means the module a.b if there is one, and otherwise something in a.
        graph[module] = {name if name in texts else name.rpartition(".")[0] for name in names} & texts.keys() - {module}
    return graph


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one cycle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # The sorter tells a cycle from the imported module to the importing one.
        cycle: list[str] = error.args[1]
        return cycle[::-1]
    return []


def test_the_lower_floor_imports_no_effects() -> None:
    found = {
        str(path.relative_to(ROOT)): effects_in(
            module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py"
        )
        for module, path in sources().items()
        if module.startswith("millrace.actors")
    }

    assert found
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("floors", ["actors", "actors runtime door"])
def test_imports_run_downwards_without_a_cycle(floors: str) -> None:
    """The lower floor alone, then everything that runs when millrace is imported."""
    chosen = {
        module: path for module, path in sources().items() if floors != "actors" or module.startswith("millrace.actors")
    }
    texts = {module: path.read_text(encoding="utf-8") for module, path in chosen.items()}
    packages = {module for module, path in chosen.items() if path.name == "__init__.py"}

    assert texts
    assert cycle_in(import_graph(texts, packages)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import time", ["1: time"]),
        ("import asyncio.events as loop", ["1: asyncio.events"]),
        ("from concurrent.futures import Future", ["1: concurrent.futures.Future"]),
        ("def f() -> None:\n    from random import random", ["2: random.random"]),
        ("from ..runtime import clock", ["1: millrace.runtime.clock"]),
        ("from millrace import runtime", ["1: millrace.runtime"]),
        ("import threading", ["1: threading"]),
        ("import timeit, osmosis\nfrom . import time", []),
    ],
)
def test_an_effect_is_found_in_any_spelling(text: str, expected: list[str]) -> None:
    assert effects_in("millrace.actors.rules", text) == expected


def test_the_mailbox_alone_may_take_a_lock() -> None:
    text = "from threading import Lock"

    assert effects_in("millrace.actors.mailbox", text) == []
    assert effects_in("millrace.actors.rules", text) == ["1: threading.Lock"]


def test_a_cycle_is_found_and_told_in_order() -> None:
    texts = {
        "m": "",
        "m.a": "from m.b import x",
        "m.b": "if True:\n    from . import c",
        "m.c": "import m.a",
    }

    cycle = cycle_in(import_graph(texts, {"m"}))

    assert set(cycle) == {"m.a", "m.b", "m.c"}
    assert cycle[0] == cycle[-1]
    assert "m.b" in cycle[cycle.index("m.a") + 1 :]


def test_taking_a_name_from_ones_own_package_is_a_cycle() -> None:
    texts = {"m": "from m.a import x", "m.a": "from m import y"}

    assert set(cycle_in(import_graph(texts, {"m"}))) == {"m", "m.a"}


def test_imports_for_type_checkers_and_inside_functions_make_no_cycle() -> None:
    texts = {
        "m": "from m.a import x",
        "m.a": "if TYPE_CHECKING:\n    from m.b import x\nelse:\n    x = None",
        "m.b": "from m.a import x\ndef f() -> None:\n    import m",
    }

    assert cycle_in(import_graph(texts, {"m"})) == []
