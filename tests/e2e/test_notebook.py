"""The example notebook, run cell by cell in a real kernel: each gives what is written below it."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from typing import Any, NamedTuple

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.e2e.programs import ROOT, environment

NOTEBOOK = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
PATIENCE = 60


class Shown(NamedTuple):
    """What a cell shows."""

    printed: str
    result: str | None


class Kernel:
    """Runs cells."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> Shown:
        """Run a cell to its end."""
        printed: list[str] = []
        results: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "execute_result":
                results.append(content["data"]["text/plain"])
            elif message["msg_type"] == "error":
                printed.append(f"{content['ename']}: {content['evalue']}\n")

        self._client.execute_interactive(code, timeout=PATIENCE, output_hook=hear, allow_stdin=False)
        return Shown("".join(printed), results[0] if results else None)


@pytest.fixture(scope="module")
def kernel() -> Generator[Kernel]:
    """A kernel of this interpreter, with this tree's package."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(ROOT / "examples"), env=environment({"PYDEVD_DISABLE_FILE_VALIDATION": "1"}))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def shown_in(cell: dict[str, Any]) -> Shown:
    """What is written below a cell."""
    outputs = cell["outputs"]
    printed = "".join("".join(each["text"]) for each in outputs if each["output_type"] == "stream")
    results = ["".join(each["data"]["text/plain"]) for each in outputs if each["output_type"] == "execute_result"]
    return Shown(printed, results[0] if results else None)


def test_every_cell_gives_what_is_written_below_it(kernel: Kernel) -> None:
    assert kernel.run("import sys; sys.executable") == ("", repr(sys.executable))

    assert [kernel.run("".join(cell["source"])) for cell in CELLS] == [shown_in(cell) for cell in CELLS]


DEFINITIONS = """
from millrace import flow, run, run_flow_in_subprocess, task

@flow
async def twice(x: int) -> int:
    return 2 * x

@flow
def thrice(x: int) -> int:
    return 3 * x

@task
async def one() -> int:
    return 1

@flow
def leaving(x: int) -> None:
    raise SystemExit(x + one())
"""


@pytest.fixture(scope="module")
def defined(kernel: Kernel) -> Kernel:
    """A kernel with flows."""
    assert kernel.run(DEFINITIONS) == ("", None)
    return kernel


def test_an_async_flow_can_be_awaited_and_a_sync_one_called(defined: Kernel) -> None:
    assert defined.run("await twice(2)").result == "4"
    assert defined.run("thrice(2)").result == "6"
    assert defined.run("run(thrice, 2)").result == "6"


def test_what_would_block_the_kernel_says_what_to_do(defined: Kernel) -> None:
    assert defined.run("run(twice, 2)").printed.endswith("Use `await twice(...)` instead.\n")
    assert defined.run("one.submit().result()").printed.endswith("Use `await future` instead.\n")


def test_a_flow_of_a_cell_runs_in_a_process_of_its_own(defined: Kernel) -> None:
    defined.run("process = run_flow_in_subprocess(leaving, {'x': 2})")

    assert defined.run("process.join(); process.exitcode").result == "3"
