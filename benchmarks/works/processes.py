"""How long a process takes that starts, imports what it needs of millrace, and does little or nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
from time import perf_counter

BARE = ("-c", "pass")
TIMED = "from time import perf_counter as now; started = now(); {}; print((now() - started) * 1e3)"
ASYNCIO = ("-c", TIMED.format("import asyncio"))
MILLRACE = ("-c", TIMED.format("from millrace import flow, run, task"))  # what nobody asks for is not imported
HELP = ("-m", "millrace", "--help")


def imports(repeats: int) -> dict[str, float]:
    """Milliseconds of processes from start to exit, and of the import statement alone, as the processes tell them.

    Returns:
        `bare`, `asyncio` and `millrace` for whole processes; `net_of_…`: what millrace's takes more than the others;
        `…_statement` for the imports.
    """
    took: dict[tuple[str, str], list[float]] = {BARE: [], ASYNCIO: [], MILLRACE: []}
    statements: dict[tuple[str, str], list[float]] = {BARE: [], ASYNCIO: [], MILLRACE: []}
    for command in took:
        _run([sys.executable, *command])  # writes the byte code, where there is none
    for number in range(repeats):
        for command in reversed(took) if number % 2 else took:
            started = perf_counter()
            told = _run([sys.executable, *command])
            took[command].append((perf_counter() - started) * 1e3)
            statements[command].append(float(told or 0))
    bare, asyncio, millrace = took.values()
    return {
        "bare": statistics.median(bare),
        "asyncio": statistics.median(asyncio),
        "millrace": statistics.median(millrace),
        "net_of_bare": _median_difference(millrace, bare),
        "net_of_asyncio": _median_difference(millrace, asyncio),
        "asyncio_statement": statistics.median(statements[ASYNCIO]),
        "millrace_statement": statistics.median(statements[MILLRACE]),
    }


def command_line_help(repeats: int) -> dict[str, float]:
    """Milliseconds of `python -m millrace --help`."""
    _milliseconds(HELP)
    return {"ms": statistics.median([_milliseconds(HELP) for _ in range(repeats)])}


def first_flow(repeats: int, kind: str) -> dict[str, float]:
    """Milliseconds from the end of the import to the end of the first flow, told by the process itself."""
    command = [sys.executable, "-m", "benchmarks.works.first_flow", kind]
    return {"ms": statistics.median([float(_run(command)) for _ in range(repeats + 1)][1:])}


def _milliseconds(arguments: tuple[str, ...]) -> float:
    started = perf_counter()
    _run([sys.executable, *arguments])
    return (perf_counter() - started) * 1e3


def _run(command: list[str]) -> str:
    called = subprocess.run(command, capture_output=True, text=True, check=False)
    if called.returncode != 0:
        lines = called.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {called.returncode}")
    return called.stdout


def _median_difference(ones: list[float], others: list[float]) -> float:
    return statistics.median([one - other for one, other in zip(ones, others, strict=True)])
