"""What users install: the archives that are built, and the package as it works without the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[2]
SHIPPED_FROM = ("pyproject.toml", "README.md", "LICENSE", "src", "actors", "runtime", "tests")
FLOORS = ("actors", "runtime")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
INFO = f"millrace-{VERSION}.dist-info"

# Modules of the standard library that take long to import and are not needed before something is done with millrace.
LATE = {
    "copy",
    "datetime",
    "importlib.metadata",
    "multiprocessing",
    "pickle",
    "platform",
    "sqlite3",
    "tempfile",
    "uuid",
    "zlib",
}

FLOW = """
from millrace import flow, run, task

@task
def double(number: int) -> int:
    return 2 * number

@flow
def total(number: int) -> int:
    return double(number) + double.submit(number).result()

print(run(total, 3))
"""

# Async and sync tasks, a map over a map, and the cancellation of a task and of a flow; on uvloop and on asyncio.
FLOWS = """
import asyncio
from millrace import Engine, flow, run, task

@task
async def fetch(number):
    await asyncio.sleep(0)
    return number

@task
def double(number):
    return 2 * number

@task
async def forever():
    await asyncio.Event().wait()

@flow
async def body(size: int):
    stopped = forever.submit()
    while not stopped.state.is_running():
        await asyncio.sleep(0)
    stopped.cancel()
    ended = await stopped.wait_async()
    return sum(await double.map(fetch.map(range(size)))), ended.name

@flow
async def never():
    await forever()

async def main():
    async with Engine() as engine:
        future = engine.start(never)
        while not future.state.is_running():
            await asyncio.sleep(0)
        future.cancel()
        return await body(10), (await future.wait_async()).name

print(run(body, 10), asyncio.run(main()))
"""


class Archives(NamedTuple):
    """The names of the files in each archive, where the wheel lies, and what was said on the way."""

    sdist: set[str]
    wheel_of_sdist: set[str]
    wheel_of_tree: set[str]
    wheel: Path
    told: str


def call(command: Sequence[str | Path], cwd: Path) -> str:
    """Run a command away from the tree and return what it printed, warnings too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def build(tree: Path, out: Path, *options: str) -> str:
    """Build into a folder, with a build environment of its own as users' tools make it; what was said meanwhile."""
    return call([sys.executable, "-m", "build", *options, "--outdir", out, tree], cwd=tree.parent)


def environment(folder: Path, *requirements: str | Path) -> Path:
    """Make an environment that holds these, and return its interpreter."""
    venv.create(folder)
    python = folder / "bin" / "python"
    call([sys.executable, "-m", "pip", "--quiet", "--python", python, "install", *requirements], cwd=folder)
    return python


def files_in_tree() -> set[str]:
    """Return all files of the package, named as in a wheel."""
    door = {f"millrace/{path.name}" for path in (ROOT / "src" / "millrace").iterdir() if path.is_file()}
    floors = {
        f"millrace/{path.relative_to(ROOT).as_posix()}"
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return door | floors


def names_in_wheel(wheel: Path) -> set[str]:
    """Return the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def only(paths: Iterable[Path]) -> Path:
    """Return the one path there should be."""
    (path,) = paths
    return path


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Build from a copy of the tree, for builds leave files beside the sources."""
    tmp = tmp_path_factory.mktemp("distribution")
    tree = tmp / "tree"
    tree.mkdir()
    for name in SHIPPED_FROM:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, tree / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, tree / name)

    told = build(tree, tmp / "released")
    told += build(tree, tmp / "direct", "--wheel")

    sdist = only((tmp / "released").glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    wheel = only((tmp / "released").glob("*.whl"))
    return Archives(
        sdist=files,
        wheel_of_sdist=names_in_wheel(wheel),
        wheel_of_tree=names_in_wheel(only((tmp / "direct").glob("*.whl"))),
        wheel=wheel,
        told=told,
    )


@pytest.fixture(scope="module")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that holds the wheel and what it requires."""
    return environment(tmp_path_factory.mktemp("installed") / "env", archives.wheel)


@pytest.mark.timeout(300)
def test_the_wheel_holds_both_floors_and_nothing_else(archives: Archives) -> None:
    package = {name for name in archives.wheel_of_sdist if name.startswith("millrace/")}

    assert package == files_in_tree()
    assert "millrace/py.typed" in package
    assert {name.partition("/")[0] for name in archives.wheel_of_sdist} == {"millrace", INFO}
    assert f"{INFO}/licenses/LICENSE" in archives.wheel_of_sdist


@pytest.mark.timeout(300)
def test_the_wheel_runs_on_any_platform(archives: Archives) -> None:
    assert archives.wheel.name == f"millrace-{VERSION}-py3-none-any.whl"


@pytest.mark.timeout(300)
def test_a_wheel_is_the_same_from_the_sdist_and_from_the_tree(archives: Archives) -> None:
    assert archives.wheel_of_sdist == archives.wheel_of_tree


@pytest.mark.timeout(300)
def test_the_sdist_holds_what_a_build_needs(archives: Archives) -> None:
    needed = {"pyproject.toml", "README.md", "LICENSE"}

    assert needed <= archives.sdist
    assert {f"src/{name}" for name in files_in_tree()} <= archives.sdist


@pytest.mark.timeout(300)
def test_nothing_is_said_about_the_package_when_it_is_built(archives: Archives) -> None:
    assert "Successfully built" in archives.told
    assert "Warning" not in archives.told
    assert "is absent from" not in archives.told


@pytest.mark.timeout(300)
def test_the_core_requires_four_packages(archives: Archives) -> None:
    with zipfile.ZipFile(archives.wheel) as archive:
        metadata = archive.read(f"{INFO}/METADATA").decode()
    required = Parser().parsestr(metadata).get_all("Requires-Dist", [])

    core = sorted(line for line in required if "extra ==" not in line)

    assert [line.partition(">")[0] for line in core] == ["anyio", "attrs", "cattrs", "uvloop"]


@pytest.mark.timeout(300)
def test_an_installed_wheel_runs_a_flow(installed: Path, tmp_path: Path) -> None:
    script = tmp_path / "total.py"
    script.write_text(FLOW, encoding="utf-8")

    assert call([installed, script], cwd=tmp_path) == "12\n"


@pytest.mark.timeout(300)
def test_an_installed_wheel_knows_its_version(installed: Path, tmp_path: Path) -> None:
    assert call([installed, "-c", "import millrace; print(millrace.__version__)"], cwd=tmp_path) == f"{VERSION}\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["python -m millrace", "millrace"])
def test_an_installed_wheel_offers_the_command(command: str, installed: Path, tmp_path: Path) -> None:
    programme, *arguments = command.split()

    told = call([installed.with_name(programme), *arguments, "--help"], cwd=tmp_path)

    assert "usage: millrace" in told.lower()


def imported(program: str, tmp_path: Path) -> set[str]:
    """The modules that a program imports, beside those that each has and those of asyncio."""
    whole = f"""
import sys, asyncio
sys.path.insert(0, {str(ROOT / "src")!r})
before = set(sys.modules)
{program}
print(*sys.modules.keys() - before)
"""
    return set(call([sys.executable, "-c", whole], cwd=tmp_path).split())


def test_importing_millrace_leaves_out_what_is_needed_late(tmp_path: Path) -> None:
    """A short-lived programme pays for no package, codec, loop, database or extra that it does not use."""
    loaded = imported("from millrace import flow, run, task", tmp_path)
    own = {name for name in loaded if name.startswith("millrace")}

    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"millrace"}
    assert loaded & LATE == set()
    assert len(own) <= 120
    assert len(loaded - own) <= 8  # of the standard library


def test_the_door_alone_imports_next_to_nothing(tmp_path: Path) -> None:
    loaded = imported("import millrace", tmp_path)

    assert {name for name in loaded if name.startswith("millrace")} == {
        "millrace",
        "millrace.actors",
        "millrace.actors.ambient",
        "millrace.actors.errors",
        "millrace.actors.telling",
        "millrace.actors.uuids",
        "millrace.runtime",
        "millrace.runtime.ports",
    }


def test_a_flow_that_nobody_asks_for_ids_and_times_imports_neither(tmp_path: Path) -> None:
    program = """
from millrace import flow, task
one = task(lambda: 1)
assert flow(lambda: one() + one.submit().result())() == 2
"""
    loaded = imported(program, tmp_path)

    assert loaded & {"attr", "cattr", "datetime", "uuid", "zlib"} == set()


@pytest.mark.timeout(300)
def test_the_oldest_dependencies_that_are_allowed_will_do(archives: Archives, tmp_path: Path) -> None:
    oldest = [line.replace(">=", "==", 1) for line in PROJECT["dependencies"]]
    python = environment(tmp_path / "env", archives.wheel, *oldest)
    script = tmp_path / "flows.py"
    script.write_text(FLOWS, encoding="utf-8")

    assert all(re.match(r"\w+==[\d.]+(;|$)", line) for line in oldest)
    assert call([python, script], cwd=tmp_path) == "(90, 'Cancelled') ((90, 'Cancelled'), 'Cancelled')\n"
