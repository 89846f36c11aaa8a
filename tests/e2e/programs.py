"""Running programmes as users do: in processes of their own, awaited by what they print and never by the clock."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """What became of a programme."""

    code: int
    out: str
    err: str


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a programme: this tree's package, and nothing that changes what is printed."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM", "COLUMNS"}}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), **(more or {})}


@contextmanager
def started(*arguments: str | Path, cwd: Path = ROOT) -> Generator[subprocess.Popen[str], None, None]:
    """Start Python with some arguments; what is left of it at the end of the block is killed."""
    programme = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with programme:
        try:
            yield programme
        finally:
            programme.kill()


def python(*arguments: str | Path, cwd: Path = ROOT) -> Done:
    """Run Python with some arguments to its end."""
    with started(*arguments, cwd=cwd) as programme:
        out, err = programme.communicate()
    return Done(programme.returncode, out, err)
