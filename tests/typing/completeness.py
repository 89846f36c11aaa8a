"""Every public name has a type that is written down: `python tests/typing/completeness.py`, a part of `make types`.

Public is what `millrace` exports, and what its classes have that begins with no underscore. pyright looks at all
modules (`pyright --verifytypes`); what of its report is about public names counts. That a class has internals of the
engine in it whose types are inferred does not count.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import millrace

UNTYPED = ("Type is missing type annotation", "Type is unknown", "Return type annotation is missing", "Type annotation")
FAMILIES = ("BaseTask", "BaseFlow")
"""Classes that are not exported, whose attributes those of tasks and flows are."""


def public() -> set[str]:
    """The full names of all that is exported."""
    found: set[str] = set()
    for name in millrace.__all__:
        value = getattr(millrace, name)
        kinds = value.__mro__ if isinstance(value, type) else (value,)
        for each in kinds:
            if each is value or each.__name__ in FAMILIES:
                found.add(f"{getattr(each, '__module__', 'millrace')}.{getattr(each, '__qualname__', name)}")
    return found


def report() -> list[dict[str, Any]]:
    """What pyright found out about every symbol of the package."""
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent)) or "pyright"
    command = [pyright, "--pythonpath", sys.executable, "--verifytypes", "millrace", "--ignoreexternal", "--outputjson"]
    # pyright looks where Python does; an installation that is editable may be found by a hook, which it does not run.
    variables = {**os.environ, "PYTHONPATH": str(Path(millrace.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    symbols: list[dict[str, Any]] = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    return symbols


def untyped(symbols: list[dict[str, Any]], exported: set[str]) -> Iterator[str]:
    """Public symbols without a type of their own, each with what pyright says."""
    for symbol in symbols:
        name: str = symbol["name"]
        owner, _, last = name.rpartition(".")
        if name not in exported and (owner not in exported or last.startswith("_")):
            continue
        for each in symbol["diagnostics"]:
            if each["message"].startswith(UNTYPED):
                yield f"{name}: {' '.join(each['message'].split())}"


def main() -> int:
    """Print what is untyped; 1 if there is anything."""
    symbols, exported = report(), public()
    looked_at = sum(symbol["name"] in exported or symbol["name"].rpartition(".")[0] in exported for symbol in symbols)
    found = list(untyped(symbols, exported))
    print("\n".join([*found, f"{looked_at} public symbols, {len(found)} without a type"]))
    return 1 if found or not looked_at else 0


if __name__ == "__main__":
    sys.exit(main())
