"""The door: the public names, all of which are importable from `millrace` itself."""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import millrace

OF_STATES = """
State StateType StateDetails StateGroup Scheduled Completed Running Failed Crashed Cancelling Cancelled Pending Paused
Suspended AwaitingRetry AwaitingConcurrencySlot Late Retrying get_state_exception raise_state_exception
exception_to_failed_state exception_to_crashed_state return_value_to_state is_state is_state_iterable propose_state
"""
OF_RUNS = """
flow task run run_flow run_task Flow Task Engine Future FutureList FlowFuture wait as_completed
resolve_futures_to_results allow_failure quote opaque unmapped exponential_backoff CrashPolicy
TaskRunner DefaultTaskRunner SequentialTaskRunner ThreadPoolTaskRunner
FlowRunContext TaskRunContext get_run_context tags current get_run_logger
"""
OF_ERRORS = """
MillraceError UpstreamTaskError MissingContextError MissingResult CrashedRun FailedRun CancelledRun PausedRun
UnfinishedRun MappingLengthMismatch MappingMissingIterable ParameterTypeError ParameterBindError SignatureMismatchError
ReservedArgumentError NotPausedError FlowPauseTimeout Abort Pause TerminationSignal SerializationError
ConfigurationError RollBack TaskRunTimeoutError FlowRunTimeoutError
"""


@pytest.mark.parametrize("names", [OF_STATES, OF_RUNS, OF_ERRORS], ids=["states", "runs", "errors"])
def test_what_users_write_is_among_the_public_names(names: str) -> None:
    assert set(names.split()) - set(millrace.__all__) == set()


def test_every_public_name_stands_for_something_and_is_named_once() -> None:
    values: dict[str, Any] = {name: getattr(millrace, name) for name in millrace.__all__}

    assert None not in values.values()
    assert len(values) == len(millrace.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["__version__"])


def test_all_of_them_can_be_taken_at_once() -> None:
    taken: dict[str, Any] = {}
    exec("from millrace import *", taken)  # noqa: S102  # a star is allowed at the top of a module only

    assert set(millrace.__all__) <= taken.keys()


def test_what_checkers_of_types_read_is_what_there_is() -> None:
    """The door has each name twice: in the imports for checkers, and in a table."""
    tree = ast.parse(Path(millrace.__file__).read_text(encoding="utf-8"))
    (block,) = (part for part in tree.body if isinstance(part, ast.If) and ast.unparse(part.test) == "TYPE_CHECKING")
    imports = [part for part in block.body if isinstance(part, ast.ImportFrom)]
    read = {alias.name: each.module or "" for each in imports for alias in each.names}

    assert all(alias.asname == alias.name for each in imports for alias in each.names)  # else they are nobody else's
    assert sorted([*read, "__version__"]) == millrace.__all__
    for name, module in read.items():
        if name in {"asgi", "current", "testing"}:
            assert getattr(millrace, name) is import_module(f"{module}.{name}")
        else:
            assert getattr(millrace, name) is getattr(import_module(module), name)


def test_all_names_are_shown_before_anybody_has_asked_for_one() -> None:
    program = "import millrace; print(set(millrace.__all__) - set(dir(millrace)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_threads_that_ask_first_at_the_same_time_get_the_same() -> None:
    program = """
import threading, millrace
everybody = threading.Barrier(8)
got = []
def ask():
    everybody.wait()
    got.append([millrace.flow, millrace.Engine, millrace.task, millrace.SqliteStore])
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(got), all(each == got[0] for each in got))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "8 True\n"


def test_a_state_that_comes_out_of_a_pickle_has_its_clock_and_its_ids() -> None:
    """Reading it imports the module of states, and nothing that runs."""
    program = """
import pickle, sys
state = pickle.loads(bytes.fromhex(sys.argv[1]))
print(type(state)(type="FAILED").id != state.id, "millrace.runtime.engine" in sys.modules)
"""
    written = pickle.dumps(millrace.Completed()).hex()
    done = subprocess.run([sys.executable, "-c", program, written], capture_output=True, text=True, check=True)

    assert done.stdout == "True False\n"


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'millrace' has no attribute 'flows'$"):
        _ = millrace.flows  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["asgi", "current", "testing"])
def test_a_module_is_the_same_however_it_is_imported(name: str) -> None:
    """Found by trying: `from millrace.testing import ...` said that there is no such module."""
    program = (
        f"import millrace.{name} as by_its_name; from millrace.{name} import *; from millrace import {name};"
        f"import millrace.runtime.{name} as itself; import millrace;"
        f"print(by_its_name is {name} is itself is millrace.{name})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"
