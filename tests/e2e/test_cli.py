"""The command line, from outside: processes, their output, their exit codes, and what Ctrl-C does to them."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from millrace.runtime.cli import main
from tests.e2e.programs import Done, environment, python, started

FLOWS = """
import asyncio
import dataclasses
import enum
import logging
import pathlib
import subprocess
import sys
import time
from datetime import date

from millrace import Cancelled, Failed, flow, get_run_logger, task


@task
async def double(x: int) -> int:
    return 2 * x


@task
async def refuse(x: int) -> int:
    raise ValueError(f"no {x} here")


@task
def refuse_plainly(x: int) -> int:
    raise ValueError(f"no {x} here")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    at: date


@flow
async def doubles(n: int = 3, label: str = "") -> dict[str, object]:
    return {"label": label, "doubled": await double.map(range(n))}


@flow(name="by another name")
def echo(value: object = None) -> object:
    return value


@flow
def chatty(x: int) -> int:
    print("printed by the flow", flush=True)
    subprocess.run([sys.executable, "-c", "print('printed by a process it started')"], check=True)
    get_run_logger().info("logged by the flow")
    logging.getLogger("somewhere.else").info("logged by a library")
    return x


@flow
def rich() -> dict[object, object]:
    return {
        "point": Point(1, date(2026, 11, 20)), "colour": Colour.RED, "path": pathlib.PurePosixPath("a/b"),
        "set": {3, 1, 2}, "tuple": (1, 2), 7: "seven", (1, 2): "pair", "nan": float("nan"), "object": len,
    }


@flow
def endless() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


@flow
async def failing(x: int) -> int:
    return await refuse(x)


@flow
def failing_plainly(x: int) -> int:
    return refuse_plainly(x)


@flow
def careless() -> None:
    refuse.map(range(3)).wait()


@flow
def returns_failed() -> object:
    return Failed(message="that will not do")


@flow
def returns_cancelled() -> object:
    return Cancelled()


@flow
def leaving() -> None:
    sys.exit(3)
"""

INTERRUPTED = """
import asyncio
import signal
import sys
import threading

from millrace import flow, task


def say(text):
    sys.stderr.write(text + "\\n")  # in one piece: several threads have something to say


@task
async def wait_for_ever(x):
    if x == 2:
        say("ready")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        say(f"child {x} cancelled")
        raise


@flow
async def in_a_loop():
    try:
        await wait_for_ever.map(range(3))
    finally:
        say("the body ended")


@flow
def busy_in_its_body():
    # Blocks where no cancellation of the engine's reaches: in the main thread, in a call of its own.
    futures = wait_for_ever.map(range(3))
    try:
        threading.Event().wait()
    finally:
        say("the body ended")


@flow
def interrupted_while_nothing_wakes_it():
    # As where the signal comes just before the main thread waits: that is told of it, but not woken.
    main = threading.get_ident()

    def interrupt():
        while sys._current_frames()[main].f_code is not threading.Condition.wait.__code__:
            pass
        say("ready")
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    threading.Event().wait()


@flow
def waiting_for_children():
    wait_for_ever.map(range(3)).result()


@task
async def hold_on():
    say("ready")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("not now")


@flow
async def stubborn():
    await hold_on()


@flow
def stubborn_too():
    say("ready")
    while True:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("not now")


@task
def block():
    say("ready")
    threading.Event().wait()


@flow
def blocked_in_a_thread():
    block.submit().result()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flows")
    (folder / "flows.py").write_text(FLOWS, encoding="utf-8")
    (folder / "only.py").write_text(
        "from flows import doubles\nfrom millrace import flow\n\n@flow\ndef one() -> int:\n    return 1\n",
        encoding="utf-8",
    )
    (folder / "none.py").write_text("x = 1\n", encoding="utf-8")
    (folder / "broken.py").write_text("def outer():\n    return undefined\n\nouter()\n", encoding="utf-8")
    (folder / "unparsable.py").write_text("def outer(:\n", encoding="utf-8")
    (folder / "leaves.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    (folder / "lacks.py").write_text("import surely_not_installed\n", encoding="utf-8")
    (folder / "shadows").mkdir()
    (folder / "shadows" / "json.py").write_text(
        "from millrace import flow\n\n@flow\ndef shadow() -> str:\n    return __name__\n", encoding="utf-8"
    )
    (folder / "interrupted.py").write_text(INTERRUPTED, encoding="utf-8")
    return folder


@pytest.fixture
def millrace(folder: Path) -> Millrace:
    return Millrace(folder)


class Millrace(NamedTuple):
    """The command, in a folder with flows."""

    folder: Path

    def __call__(self, *arguments: str) -> Done:
        return python("-m", "millrace", *arguments, cwd=self.folder)


# Running.


def test_the_result_is_shown_on_stdout_and_all_else_on_stderr(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:chatty", "-p", "x=5")

    assert done.code == 0
    assert done.out.splitlines() == ["printed by the flow", "printed by a process it started", "5"]
    assert re.search(r"^\d\d:\d\d:\d\d INFO    [a-z]+-[a-z]+: logged by the flow$", done.err, re.MULTILINE)
    assert re.search(r"chatty/[a-z]+-[a-z]+ completed in [\d.]+ m?s$", done.err, re.MULTILINE)
    assert "logged by a library" not in done.err


def test_with_json_nothing_but_the_document_is_on_stdout(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:chatty", "-p", "x=5", "--json")

    assert (done.code, done.out) == (0, "5\n")
    assert "printed by the flow" in done.err
    assert "printed by a process it started" in done.err


def test_a_result_of_none_is_not_printed_but_is_null_in_json(millrace: Millrace) -> None:
    assert millrace("run", "flows.py:echo").out == ""
    assert millrace("run", "flows.py:echo", "--json").out == "null\n"


def test_json_takes_what_has_an_obvious_form_there_and_the_repr_of_all_else(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:rich", "--json")

    assert json.loads(done.out) == {
        "point": {"x": 1, "at": "2026-11-20"},
        "colour": "red",
        "path": "a/b",
        "set": [1, 2, 3],
        "tuple": [1, 2],
        "7": "seven",
        "(1, 2)": "pair",
        "nan": "nan",
        "object": "<built-in function len>",
    }


def test_a_result_that_contains_itself_has_no_json(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:endless", "--json")

    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("millrace: The result contains itself, or is nested too deeply for JSON.\n")


def test_quiet_shows_neither_progress_nor_summary(millrace: Millrace) -> None:
    assert millrace("run", "flows.py:doubles", "-q") == (0, "{'label': '', 'doubled': [0, 2, 4]}\n", "")


def test_verbose_tells_of_setbacks_and_more_verbose_of_every_transition(millrace: Millrace) -> None:
    setbacks = millrace("run", "flows.py:failing", "-p", "x=1", "-v").err
    everything = millrace("run", "flows.py:failing", "-p", "x=1", "-vv").err

    assert re.search(r"INFO    refuse-\w+: Failed\('ValueError: no 1 here'\)$", setbacks, re.MULTILINE)
    assert "Pending -> Running" not in setbacks
    assert re.search(r"DEBUG   refuse-\w+\[1\]: Pending -> Running \(admitted\)$", everything, re.MULTILINE)


# Parameters.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("[1, 2]", [1, 2]),
        ('"3"', "3"),
        ("true", True),
        ("null", None),
        ("plain text", "plain text"),
        ("a=b", "a=b"),
        ("", ""),
        ("NaN", "NaN"),
        ("{not json", "{not json"),
    ],
)
def test_a_value_is_json_where_it_is_json_and_a_string_otherwise(text: str, value: object, millrace: Millrace) -> None:
    assert json.loads(millrace("run", "flows.py:echo", "-p", f"value={text}", "--json").out) == value


def test_parameters_in_a_document_give_way_to_single_ones(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:doubles", "--params", '{"n": 1, "label": "both"}', "-p", "n=2")

    assert done.out == "{'label': 'both', 'doubled': [0, 2]}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-p", "n"], "millrace: '-p' takes name=value, not 'n'."),
        (["-p", "=3"], "millrace: '-p' takes name=value, not '=3'."),
        (["-p", "n=1", "-p", "n=2"], "millrace: '-p' takes each name once, and n was given before, not 'n=2'."),
        (["--params", "[1]"], "millrace: '--params' takes a JSON object, as in '{\"depth\": 3}', not '[1]'."),
        (
            ["-p", "m=1"],
            "millrace: 'doubles' takes the parameters 'n', 'label', and was given 'm'.",
        ),
    ],
)
def test_wrong_parameters_are_named(arguments: list[str], told: str, millrace: Millrace) -> None:
    assert millrace("run", "flows.py:doubles", *arguments) == (2, "", f"{told}\n")


def test_parameters_that_cannot_be_converted_are_shown_line_by_line(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:doubles", "-p", "n=many", "-p", "label=[1]", "-q")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        "ParameterTypeError: Flow 'doubles' was given 2 invalid parameters:\n"
        "  n: 'many' is not a whole number\n"
        "  label: [1] is not text\n"
        "doubles/"
    )


def test_a_document_that_is_no_json_is_an_error(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:doubles", "--params", '{"n": NaN}')

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("millrace: '--params' takes a JSON object (NaN is no JSON), not ")


def test_a_required_parameter_that_is_missing_is_named(millrace: Millrace) -> None:
    assert millrace("run", "flows.py:failing") == (
        2,
        "",
        "millrace: 'failing' takes the parameters 'x', and was given none. It needs 'x'.\n",
    )


# Targets.


@pytest.mark.parametrize("target", ["only.py", "only.py:one", "./only.py:one", "only:one", "only"])
def test_a_flow_is_found_in_a_file_or_a_module_by_name_or_as_the_only_one(target: str, millrace: Millrace) -> None:
    assert millrace("run", target, "-q") == (0, "1\n", "")


def test_a_flow_is_found_by_its_own_name_too(millrace: Millrace) -> None:
    assert millrace("run", "flows.py:by another name", "-p", "value=1").out == "1\n"


def test_an_imported_flow_can_be_named(millrace: Millrace) -> None:
    assert millrace("run", "only.py:doubles", "-p", "n=1").out == "{'label': '', 'doubled': [0]}\n"


@pytest.mark.parametrize("name", ["nightly", "my flows.txt"])
def test_a_file_may_be_called_anything(name: str, millrace: Millrace, folder: Path) -> None:
    """Found by hand: a file that did not end in .py was said not to be there."""
    (folder / name).write_text((folder / "only.py").read_text(encoding="utf-8"), encoding="utf-8")

    assert millrace("run", f"{name}:one", "-q") == (0, "1\n", "")


@pytest.mark.parametrize("name", ["here.py", "here"])
def test_a_file_knows_where_it_is(name: str, millrace: Millrace, folder: Path) -> None:
    text = "from millrace import flow\n\n@flow\ndef where() -> str:\n    return __file__\n"
    (folder / name).write_text(text, encoding="utf-8")

    assert json.loads(millrace("run", f"{name}:where", "-q", "--json").out) == str((folder / name).resolve())


def test_a_file_may_have_the_name_of_another_module(millrace: Millrace) -> None:
    assert millrace("run", "shadows/json.py", "--json").out == '"millrace_file_json"\n'


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("none.py", "'none.py' has not exactly one flow; name one. Flows there: none."),
        ("only.py:two", "'only.py' has no flow 'two'. Flows there: 'one'."),
        ("only:two", "'only' has no flow 'two'. Flows there: 'one'."),
    ],
)
def test_a_flow_that_is_not_there(target: str, told: str, millrace: Millrace) -> None:
    assert millrace("run", target) == (2, "", f"millrace: {told}\n")


@pytest.mark.parametrize("source", ["nowhere.py", "nowhere/", "nowhere.module", "no-where", ""])
def test_a_file_or_module_that_is_not_there(source: str, millrace: Millrace) -> None:
    done = millrace("run", f"{source}:crawl")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"millrace: There is no '{source}' to take a flow from. ")


def test_of_a_file_that_raises_on_import_the_users_frames_are_shown(millrace: Millrace, folder: Path) -> None:
    done = millrace("run", "broken.py:crawl")

    assert (done.code, done.out) == (1, "")
    assert re.findall(r'File "(.*)", line (\d+)', done.err) == [
        (str(folder / "broken.py"), "4"),
        (str(folder / "broken.py"), "2"),
    ]
    assert done.err.endswith(
        "millrace: 'broken.py' raised on import: NameError: name 'undefined' is not defined\n",
    )


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("unparsable.py", "SyntaxError: "),
        ("leaves.py", "SystemExit: 0"),
        ("lacks", "ModuleNotFoundError: No module named 'surely_not_installed'"),
    ],
)
def test_whatever_a_file_raises_on_import_is_told(target: str, last: str, millrace: Millrace) -> None:
    done = millrace("run", target)

    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(f"millrace: '{target}' raised on import: {last}")
    assert "millrace/runtime" not in done.err


# Flows that do not complete.


@pytest.mark.parametrize("flow", ["failing", "failing_plainly"])
def test_a_failure_shows_the_users_frames_and_the_state(flow: str, millrace: Millrace) -> None:
    done = millrace("run", f"flows.py:{flow}", "-p", "x=7", "-q", "--json")

    assert (done.code, done.out) == (1, "")
    assert re.findall(r'File ".*flows.py", line \d+, in (\w+)', done.err) == [flow, flow.replace("failing", "refuse")]
    assert "millrace/runtime" not in done.err
    assert "millrace/actors" not in done.err
    assert re.search(rf"ValueError: no 7 here\n{flow}/[a-z]+-[a-z]+: Failed\('ValueError: no 7 here'\)\n$", done.err)


def test_a_failed_child_that_nobody_looked_at_is_shown(millrace: Millrace) -> None:
    done = millrace("run", "flows.py:careless", "-q")

    assert done.code == 1
    assert "ValueError: no 0 here\n" in done.err
    assert "3 of 3 runs failed and nobody looked at them; the first: refuse-" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flow", "state"),
    [
        ("returns_failed", "Failed('that will not do')"),
        ("returns_cancelled", "Cancelled()"),
        ("leaving", "Crashed("),
    ],
)
def test_whatever_is_not_completed_ends_with_exit_code_1(flow: str, state: str, millrace: Millrace) -> None:
    done = millrace("run", f"flows.py:{flow}", "-q")

    assert (done.code, done.out) == (1, "")
    assert f": {state}" in done.err.splitlines()[-1]


# Ctrl-C.


class Interrupted(NamedTuple):
    """A programme that was sent SIGINT, and what it said from then on."""

    code: int
    said: list[str]


def interrupt(folder: Path, flow: str, *, again_after: str | None = None) -> Interrupted:
    """Send SIGINT once the flow is ready; and again after a line."""
    with started("-m", "millrace", "run", f"interrupted.py:{flow}", cwd=folder) as programme:
        assert programme.stderr is not None
        before = list(itertools.takewhile(lambda line: line != "ready\n", programme.stderr))
        programme.send_signal(signal.SIGINT)
        said: list[str] = []
        for line in programme.stderr:
            said.append(line.strip())
            if again_after is not None and again_after in line:
                programme.send_signal(signal.SIGINT)
                again_after = None
        programme.wait()
    assert said, before
    return Interrupted(programme.returncode, said)


@pytest.mark.parametrize("flow", ["in_a_loop", "busy_in_its_body"])
def test_an_interrupt_cancels_children_and_body_and_waits_for_both(flow: str, folder: Path) -> None:
    done = interrupt(folder, flow)

    assert done.code == 130
    assert {"child 0 cancelled", "child 1 cancelled", "child 2 cancelled", "the body ended"} <= set(done.said)
    assert any(
        re.search(rf"Cancelling {flow}/[a-z-]+; press Ctrl-C again to stop at once\.$", line) for line in done.said
    )
    assert re.search(r" cancelled in .*: 3 runs \(3 cancelled\)$", done.said[-1])


def test_an_interrupt_is_heard_where_the_body_waits_and_nothing_wakes_it(folder: Path) -> None:
    done = python("-m", "millrace", "run", "interrupted.py:interrupted_while_nothing_wakes_it", cwd=folder)

    assert done.code == 130
    assert "Cancelling interrupted_while_nothing_wakes_it/" in done.err


def test_an_interrupt_ends_a_sync_flow_that_waits_for_its_children(folder: Path) -> None:
    done = interrupt(folder, "waiting_for_children")

    assert done.code == 130
    assert {"child 0 cancelled", "child 1 cancelled", "child 2 cancelled"} <= set(done.said)


def test_an_interrupt_does_not_wait_for_a_thread_that_cannot_be_stopped(folder: Path) -> None:
    done = interrupt(folder, "blocked_in_a_thread")

    assert done.code == 130
    assert re.search(r" cancelled in .*: 1 run \(1 c\w+\)$", done.said[-1])


@pytest.mark.parametrize("flow", ["stubborn", "stubborn_too"])
def test_a_second_interrupt_ends_the_process_at_once(flow: str, folder: Path) -> None:
    done = interrupt(folder, flow, again_after="not now")

    assert done.code == 130
    assert done.said[-1] == "not now"


def test_an_interrupt_before_the_flow_begins_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        # Short waits: a signal that comes right before a long one would wake nobody.
        "import threading\nprint('ready', flush=True)\nwhile True:\n    threading.Event().wait(0.02)\n",
        encoding="utf-8",
    )
    with started("-m", "millrace", "run", "slow.py", cwd=tmp_path) as programme:
        assert programme.stdout is not None
        assert programme.stdout.readline() == "ready\n"
        programme.send_signal(signal.SIGINT)
        _, err = programme.communicate()

    assert (programme.returncode, err) == (130, "")


# The terminal.

LINE = r"\r[^\r\n]*runs/s\x1b\[K"

ON_A_TERMINAL = """
import asyncio
import sys
from pathlib import Path

from millrace import flow, task

go_on = asyncio.Event()


@task
async def fetch(x):
    if x == 7:
        raise ValueError(x)
    if x >= 1500:
        await go_on.wait()
    return x


@task
async def wait_for_the_line():
    # Ends when the reader of the terminal has seen enough, and says so on stdin.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print("in between")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    go_on.set()


@flow
async def crawl():
    fetched = fetch.map(range(2000))
    await wait_for_the_line()
    return sum([state.is_completed() for state in [await each.wait_async() for each in fetched]])
"""


# A terminal sends its signals to the session that it controls.
CONTROLLED = """
import fcntl, sys, termios
from millrace.runtime.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.exit(main(["run", "crawl.py"]))
"""


class Terminal:
    """The flow on a terminal of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, str], columns: int = 140) -> None:
        self.seen = ""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self._programme = subprocess.Popen(
            [sys.executable, "-c", CONTROLLED],
            cwd=folder,
            env=environment({"TERM": "xterm", **settings}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        self._programme.kill()
        self._programme.wait()

    def read_until(self, pattern: str) -> str:
        """Read on until the pattern is found in what has been written from here on; return the match."""
        start = len(self.seen)
        while not (found := re.search(pattern, self.seen[start:])):
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:  # the other end was closed
                chunk = b""
            assert chunk, f"{pattern} is not in {self.seen[start:]!r}"
            self.seen += chunk.decode()
        return found.group()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        try:
            while chunk := os.read(self._ours, 65536):
                self.seen += chunk.decode()
        except OSError:
            pass
        return self._programme.wait()


@pytest.fixture
def terminal_folder(tmp_path: Path) -> Path:
    (tmp_path / "crawl.py").write_text(ON_A_TERMINAL, encoding="utf-8")
    return tmp_path


def test_on_a_terminal_a_line_of_counts_is_redrawn_and_cleared_at_the_end(terminal_folder: Path) -> None:
    with Terminal(terminal_folder, {"NO_COLOR": "1"}) as terminal:
        line = terminal.read_until(LINE)
        terminal.type("\n")
        terminal.read_until(r"\r\x1b\[Kin between\r\n")
        terminal.read_until(LINE)
        terminal.type("\n")
        assert terminal.end() == 0

    assert re.fullmatch(
        r"\rcrawl/[a-z]+-[a-z]+  running   fetch 1,500/2,000 · 500 running · 1 failed"
        r"   wait_for_the_line 0/1 · 1 running +[\d,.]+ runs/s\x1b\[K",
        line,
    )
    assert len(line) - len("\r\x1b[K") == 139
    assert re.search(r"\r\x1b\[K\S+ INFO    crawl/.* 2,001 runs \(2,000 completed, 1 failed\)", terminal.seen)
    assert terminal.seen.endswith("\r\n1999\r\n")


def test_colours_are_used_where_they_are_wanted(terminal_folder: Path) -> None:
    with Terminal(terminal_folder, {}) as terminal:
        line = terminal.read_until(LINE)
        terminal.type("\n\n")
        assert terminal.end() == 0

    assert "\x1b[31m1 failed\x1b[0m" in line


def test_a_narrow_terminal_gets_what_fits(terminal_folder: Path) -> None:
    with Terminal(terminal_folder, {"NO_COLOR": "1"}, columns=80) as terminal:
        line = terminal.read_until(LINE)
        terminal.type("\n\n")
        assert terminal.end() == 0

    assert len(line) - len("\r\x1b[K") == 79
    assert "fetch 1,500/2,000 · 1 failed   " in line


@pytest.mark.parametrize("settings", [{"TERM": "dumb"}, {"TERM": ""}])
def test_nothing_is_redrawn_on_a_dumb_terminal(settings: dict[str, str], terminal_folder: Path) -> None:
    with Terminal(terminal_folder, settings) as terminal:
        terminal.type("\n\n")
        assert terminal.end() == 0

    assert "\x1b" not in terminal.seen


def test_ctrl_c_on_a_terminal_cancels_the_flow(terminal_folder: Path) -> None:
    with Terminal(terminal_folder, {"NO_COLOR": "1"}) as terminal:
        terminal.read_until(LINE)
        terminal.type("\x03")
        terminal.read_until("WARNING Cancelling crawl/")
        terminal.type("\n\n")  # asyncio waits for the thread that reads the terminal
        assert terminal.end() == 130


# The rest.


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_shown(arguments: list[str], millrace: Millrace) -> None:
    done = millrace(*arguments)

    assert done.code == 0
    assert done.out.startswith("millrace ")


def test_help_is_shown(millrace: Millrace) -> None:
    assert millrace("--help").out.startswith("usage: millrace")
    assert "NAME=VALUE" in millrace("run", "--help").out


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run"], ["run", "a.py:b", "--jsn"]])
def test_a_wrong_command_is_told_on_stderr(arguments: list[str], millrace: Millrace) -> None:
    done = millrace(*arguments)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: millrace")


def test_help_loads_nothing_that_only_a_run_needs(folder: Path) -> None:
    program = (
        "import sys\nfrom millrace.runtime.cli import main\nmain(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    )

    loaded = set(python("-c", program, cwd=folder).err.split())

    assert "millrace.runtime.cli" in loaded
    assert loaded & {"millrace.runtime.cli.running", "importlib.metadata", "uvloop", "json"} == set()
    assert loaded & {"asyncio", "attr", "millrace.runtime.engine", "millrace.runtime.flow"} == set()


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    programme = subprocess.Popen(
        [sys.executable, "-m", "millrace", "run", "only.py", "-q"],
        cwd=folder,
        env=environment(),
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)

    _, err = programme.communicate()

    assert (programme.returncode, err) == (0, "")


def test_the_command_can_be_called_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("millrace ")
