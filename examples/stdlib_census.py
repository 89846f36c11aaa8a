"""Counts what is in Python's standard library: every module is read, parsed, and counted.

Two maps and a reduction, with no barrier in between: a file is parsed as soon as it has been read. Among the
library's own tests are files that are wrong on purpose. Their runs fail, the others go on, and the table names them
at the end.

    python examples/stdlib_census.py --limit 200
    millrace run examples/stdlib_census.py:census -p limit=200 --json
"""

import argparse
import ast
import dataclasses
import json
import platform
import sysconfig
import time
import warnings
from pathlib import Path

from millrace import FlowRun, FlowRunContext, flow, run, task

LIBRARY = Path(sysconfig.get_path("stdlib"))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclasses.dataclass
class Counts:
    files: int = 0
    lines: int = 0
    functions: int = 0
    async_functions: int = 0
    classes: int = 0
    docstrings: int = 0

    def add(self, other: "Counts") -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclasses.dataclass
class Census:
    packages: dict[str, Counts]
    failed: dict[str, str]
    task_runs: dict[str, int] = dataclasses.field(default_factory=dict[str, int])


@task
def read(path: Path) -> bytes:
    return path.read_bytes()


@task
def count(source: bytes) -> Counts:
    counts = Counts(files=1, lines=len(source.splitlines()))
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        nodes += [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.expr)]
        counts.functions += isinstance(node, ast.FunctionDef)
        counts.async_functions += isinstance(node, ast.AsyncFunctionDef)
        counts.classes += isinstance(node, ast.ClassDef)
        counts.docstrings += isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None
    return counts


@task
def add_up(names: list[str], counted: list[Counts | BaseException]) -> Census:
    census = Census(packages={}, failed={})
    for name, counts in zip(names, counted, strict=True):
        if isinstance(counts, BaseException):
            reason = f"{counts.msg}, line {counts.lineno}" if isinstance(counts, SyntaxError) else str(counts)
            census.failed[name] = f"{type(counts).__name__}: {reason}"
        else:
            census.packages.setdefault(package_of(name), Counts()).add(counts)
    return census


@flow
async def census(limit: int | None = None) -> Census:
    paths = modules()[:limit]
    counted = count.map(read.map(paths))
    names = [path.relative_to(LIBRARY).as_posix() for path in paths]
    states = [await each.wait_async() for each in counted]  # takes the failed ones too, and raises nothing
    result = await add_up.submit(names, [each.result(raise_on_failure=False) for each in states])
    result.task_runs = this_run().counts()
    return result


def this_run() -> FlowRun:
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


def modules() -> list[Path]:
    """Every module of the standard library, without what has been installed beside it."""
    found = (path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))
    return [LIBRARY / path for path in sorted(found) if path.parts[0] not in {"site-packages", "dist-packages"}]


def package_of(name: str) -> str:
    return name.partition("/")[0] if "/" in name else "(single modules)"


def show(result: Census, seconds: float) -> None:
    total = Counts()
    for counts in result.packages.values():
        total.add(counts)
    largest = sorted(result.packages.items(), key=lambda each: each[1].lines, reverse=True)[:12]

    print(f"The standard library of Python {platform.python_version()}, in {LIBRARY}\n")
    print(f"{'package':<18}{'files':>7}{'lines':>10}{'functions':>11}{'async':>7}{'classes':>9}{'docstrings':>12}")
    for name, each in [*largest, ("together", total)]:
        print(
            f"{name:<18}{each.files:>7,}{each.lines:>10,}{each.functions:>11,}"
            f"{each.async_functions:>7,}{each.classes:>9,}{each.docstrings:>12,}"
        )

    if result.failed:
        print(f"\n{len(result.failed)} files could not be parsed; their runs failed, and the others went on:")
        for name, reason in result.failed.items():
            print(f"  {name:<40} {reason:.100}")
    else:
        print("\nEvery file could be parsed. (The files that are wrong on purpose are in Python's own tests.)")
    runs = sum(result.task_runs.values())
    most_first = sorted(result.task_runs.items(), key=lambda each: -each[1])
    told = ", ".join(f"{number:,} {state}" for state, number in most_first)
    print(f"\n{runs:,} task runs in {seconds:.1f} s ({told}): {runs / seconds:,.0f} a second")


def main() -> None:
    parser = argparse.ArgumentParser(description="Count what is in Python's standard library.")
    parser.add_argument("--limit", type=int, help="read only so many files")
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON document")
    options = parser.parse_args()

    warnings.simplefilter("ignore")  # of the files that are parsed
    start = time.perf_counter()
    result = run(census, limit=options.limit)
    seconds = time.perf_counter() - start
    if options.json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        show(result, seconds)


if __name__ == "__main__":
    main()
