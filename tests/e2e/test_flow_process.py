"""Flows of a programme's own script, and of one that has no script, in processes of their own."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.programs import python

SCRIPT = """
import dataclasses
import sys

from millrace import flow, run_flow_in_subprocess, task


@dataclasses.dataclass
class Person:
    name: str


@task
def greet(person):
    return f"hello {{person.name}}"


@flow
def greeting(person: Person):
    print(greet(person), flush=True)


if __name__ == "__main__":
    {first}
    process = run_flow_in_subprocess(greeting, {{"person": Person("there")}})
    process.join()
    sys.exit(process.exitcode)
"""

BY_NAME = SCRIPT.format(first='sys.modules["cloudpickle"] = None')
BY_VALUE = SCRIPT.format(first="")


def test_a_flow_of_the_script_is_sent_by_name(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(BY_NAME, encoding="utf-8")

    assert python(script, cwd=tmp_path) == (0, "hello there\n", "")


def test_where_there_is_no_script_it_is_sent_by_value(tmp_path: Path) -> None:
    assert python("-c", BY_VALUE, cwd=tmp_path) == (0, "hello there\n", "")


def test_and_without_the_means_for_that_it_is_told(tmp_path: Path) -> None:
    done = python("-c", BY_NAME, cwd=tmp_path)

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == (
        "millrace.actors.errors.SerializationError: Could not send flow 'greeting' and its parameters to another"
        " process: 'greeting' is defined where no other process can import it. Put what is sent into a module that can"
        " be imported, or pip install 'millrace[cloudpickle]'."
    )
