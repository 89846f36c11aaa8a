"""What every peer script shares: the clock, the checks and the one document it prints.

A peer script runs its works inside `document(...)`, each in a `row(...)` of its own; at the end the
document goes to stdout as JSON. Three choices keep the figures comparable:

- A row times what stands in its block. Peers open it inside the body of a flow or workflow, so
  starting and finishing the flow itself is not charged to its tasks; that has rows of its own.
- Every task returns its argument, and `check` looks at all results inside the row: a peer that is
  fast because it did nothing fails instead of winning.
- Importing is timed in a fresh interpreter, so that neither this module nor what a script imports
  beside its peer makes the figure smaller.

Whatever a peer writes to stdout goes to stderr: stdout carries the document and nothing else.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

_TIME_IMPORT = """
import time
started = time.perf_counter()
{statement}
print(time.perf_counter() - started)
"""


# One peer runs in one process, so its rows have one place; peers that record the arguments of their
# flows need no way to hand it through.
_rows: list[dict[str, Any]] = []
_rss_mb: list[float] = []  # one sample after each row, since a cluster may end before the document


@contextmanager
def document(peer: str, *, distribution: str, importing: str) -> Iterator[None]:
    """Print the document of a peer when the block that runs its works has ended, in whatever way.

    Args:
        peer: The name the runner knows the peer by.
        distribution: The installed distribution whose version is reported.
        importing: The import statement its users write, which is timed.
    """
    stdout = os.dup(1)
    os.dup2(2, 1)
    found: dict[str, Any] = {
        "peer": peer,
        "version": importlib.metadata.version(distribution),
        "python": platform.python_version(),
        "rows": _rows,
        "rss_mb": None,
        "import_s": _seconds_to_import(importing),
    }
    try:
        yield
    except BaseException as error:
        found["error"] = describe(error)
        raise
    finally:
        found["rss_mb"] = max(_rss_mb, default=None)
        with os.fdopen(stdout, "w") as stream:
            json.dump(found, stream)
            stream.write("\n")


@contextmanager
def row(work: str, n: int) -> Iterator[None]:
    """Time the block as one work of n tasks.

    An exception becomes the row's error and goes no further, so that one work that fails leaves the
    others their figures.

    Args:
        work: The name of the work, one of those that `results.WORKS` describes.
        n: How many tasks the block runs.
    """
    started = time.perf_counter()
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
        traceback.print_exc()
        _rows.append({"work": work, "n": n, "error": describe(error)})
    else:
        seconds = time.perf_counter() - started
        _rows.append(
            {
                "work": work,
                "n": n,
                "seconds": round(seconds, 6),
                "us_per_task": round(seconds / n * 1e6, 3),
            }
        )
    _rss_mb.append(_resident_mb())


def check(results: Iterable[int], n: int) -> None:
    """Raise unless the results are those of n tasks that returned 0 to n - 1, in order."""
    found = list(results)
    if found != list(range(n)):
        raise RuntimeError(f"expected the results 0 to {n - 1} in order, got {found[:5]}…")


def describe(error: BaseException) -> str:
    """Give an exception as one line."""
    return " ".join("".join(traceback.format_exception_only(error)).split())


def _seconds_to_import(statement: str) -> float:
    timed = subprocess.run(
        [sys.executable, "-c", _TIME_IMPORT.format(statement=statement)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return round(float(timed.stdout), 4)


def _resident_mb() -> float:
    """Give the resident memory of this process and its children; shared pages count each time."""
    total = 0
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # ended since it was listed
            continue
    return round(total / 1e6, 1)
