"""Locks in files: between processes, and given back by the kernel when one ends."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from millrace import ConfigurationError
from millrace.actors.errors import StorageError
from millrace.runtime.results import FileSystemLockManager
from millrace.runtime.results import file_locks as module
from millrace.runtime.results.folders import file_name
from tests.checkpoints import until
from tests.runtime.results.patience import PATIENCE, await_true
from tests.runtime.results.sending import sent

SOURCES = Path(__file__).parents[3] / "src"

TAKES = """
import sys
from millrace.runtime.results import FileSystemLockManager

manager = FileSystemLockManager(sys.argv[1])
holder = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
manager.acquire_lock("k", holder)
print("locked", flush=True)
sys.stdin.readline()
manager.release_lock("k", holder)
print("released", flush=True)
"""

FORKS = """
import os, sys
from millrace.runtime.results import FileSystemLockManager

manager = FileSystemLockManager(sys.argv[1])
manager.acquire_lock("k", "parent")
if os.fork() == 0:
    sees, takes = manager.is_lock_holder("k", "parent"), manager.acquire_lock("k", "child", 0)
    print("child", os.getpid(), sees, takes, flush=True)
    os.read(0, 1)
    os._exit(0)
os.read(0, 1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "locks"


@pytest.fixture
def manager(folder: Path) -> FileSystemLockManager:
    return FileSystemLockManager(folder)


class Other:
    """Another process."""

    def __init__(self, program: str, folder: Path, holder: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), holder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=SOURCES,
        )

    def told(self) -> str:
        output: IO[str] | None = self.process.stdout
        assert output is not None
        return output.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        for each in (self.process.stdin, self.process.stdout):
            assert each is not None
            each.close()


@contextmanager
def other(folder: Path, holder: str = "other", program: str = TAKES) -> Generator[Other]:
    made = Other(program, folder, holder)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def other_that_has_it(folder: Path) -> Generator[Other]:
    with other(folder) as made:
        assert made.told() == "ready"
        made.go_on()
        assert made.told() == "locked"
        yield made


def await_waiting(manager: FileSystemLockManager, count: int) -> None:
    await_true(lambda: "k" in manager._entries and len(manager._entries["k"].queue) == count)


def helpers() -> int:
    return sum(each.name == module._THREAD_NAME for each in threading.enumerate())


@contextmanager
def elsewhere(folder: Path, *, key: str = "k") -> Generator[Callable[[], None]]:
    """Have a key locked as by another process: by a file that is open apart. Gives what gives it back."""
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / file_name(key), os.O_RDWR | os.O_CREAT, 0o600)
    assert module._lock(descriptor, wait=False)
    released = False

    def release() -> None:
        nonlocal released
        if not released:
            released = True
            os.close(descriptor)

    yield release
    release()


def test_a_process_that_is_killed_gives_its_lock_to_those_who_wait(
    folder: Path, manager: FileSystemLockManager
) -> None:
    """A thread here and another process wait; each of them gets it, one after the other."""
    got = threading.Event()

    def wait_here() -> None:
        assert manager.acquire_lock("k", "here")
        got.set()

    with other(folder, "second") as second, other_that_has_it(folder) as first:
        assert second.told() == "ready"
        second.go_on()
        thread = threading.Thread(target=wait_here)
        thread.start()
        await_waiting(manager, 1)
        assert manager.is_locked("k")
        assert not got.is_set()

        first.kill()

        await_true(lambda: got.is_set() or manager.is_lock_holder("k", "second"))
        if got.wait(0):
            assert not manager.acquire_lock("k", "somebody", 0)
            manager.release_lock("k", "here")
            assert second.told() == "locked"
            second.go_on()
        else:
            assert second.told() == "locked"
            second.go_on()
            assert got.wait(PATIENCE)
            manager.release_lock("k", "here")
        assert second.told() == "released"
        thread.join(PATIENCE)
    assert not manager.is_locked("k")
    assert list(folder.iterdir()) == []


def test_a_lock_of_another_process_is_seen_and_waited_for(folder: Path, manager: FileSystemLockManager) -> None:
    with other_that_has_it(folder) as process:
        assert manager.is_locked("k")
        assert manager.is_lock_holder("k", "other")
        assert not manager.is_lock_holder("k", "me")
        assert not manager.acquire_lock("k", "me", 0)
        assert not manager.acquire_lock("k", "other", 0), "a holder of another process is another holder"
        assert not manager.wait_for_lock("k", 0)
        with pytest.raises(ConfigurationError):
            manager.release_lock("k", "other")

        process.go_on()

        assert manager.wait_for_lock("k", PATIENCE)
        assert process.told() == "released"
    assert not manager.is_locked("k")
    assert not manager.is_lock_holder("k", "other")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_of_the_holder_does_not_keep_the_lock(folder: Path, manager: FileSystemLockManager) -> None:
    with other(folder, program=FORKS) as process:
        word, child, holds, takes = process.told().split()
        assert (word, holds, takes) == ("child", "True", "False"), (
            "the child sees the parent's lock, as that of another"
        )
        assert manager.is_locked("k")

        process.kill()

        os.kill(int(child), 0)  # the child is alive
        assert manager.acquire_lock("k", "me", PATIENCE)
        manager.release_lock("k", "me")
        process.go_on()


def test_one_thread_waits_for_all_who_want_one_key(folder: Path, manager: FileSystemLockManager) -> None:
    order: list[int] = []

    def work(at: int) -> None:
        manager.acquire_lock("k", str(at))
        order.append(at)
        manager.release_lock("k", str(at))

    with elsewhere(folder) as release:
        threads = [threading.Thread(target=work, args=(at,)) for at in range(5)]
        for at, each in enumerate(threads):
            each.start()
            await_waiting(manager, at + 1)
        assert helpers() == 1
        release()
        for each in threads:
            each.join(PATIENCE)

    assert order == list(range(5))
    await_true(lambda: helpers() == 0)
    assert not manager.is_locked("k")


def test_a_wait_that_was_given_up_keeps_nothing(folder: Path, manager: FileSystemLockManager) -> None:
    """The thread in the kernel cannot be called back; when it gets the lock it gives it back at once."""
    with elsewhere(folder) as release:
        for _ in range(3):
            assert not manager.acquire_lock("k", "me", 0.001)
        assert helpers() == 1
        release()
        await_true(lambda: helpers() == 0)

    assert not manager.is_locked("k")
    assert manager.acquire_lock("k", "you", 0)
    manager.release_lock("k", "you")


def test_a_wait_that_was_given_up_is_taken_over_by_the_next(folder: Path, manager: FileSystemLockManager) -> None:
    with elsewhere(folder) as release:
        assert not manager.acquire_lock("k", "me", 0.001)
        thread = threading.Thread(target=manager.acquire_lock, args=("k", "you"))
        thread.start()
        await_waiting(manager, 1)
        assert helpers() == 1
        release()
        thread.join(PATIENCE)

    assert manager.is_lock_holder("k", "you")
    manager.release_lock("k", "you")


@pytest.mark.anyio
async def test_a_cancelled_wait_for_another_process_keeps_nothing(folder: Path, manager: FileSystemLockManager) -> None:
    with elsewhere(folder) as release:
        waits = asyncio.create_task(manager.aacquire_lock("k", "me"))
        await until(lambda: "k" in manager._entries and len(manager._entries["k"].queue) == 1)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        release()
        await until(lambda: helpers() == 0)

    assert not manager.is_locked("k")


@pytest.mark.anyio
async def test_no_file_is_touched_on_the_loop(
    folder: Path, manager: FileSystemLockManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    touched: list[str] = []
    for name in ("open", "close", "unlink", "mkdir", "ftruncate"):
        original = getattr(os, name)

        def noting(*args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            if threading.get_ident() == here:
                touched.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(os, name, noting)

    assert await manager.aacquire_lock("k", "a")
    waits = asyncio.create_task(manager.aacquire_lock("k", "b"))
    await until(lambda: "k" in manager._entries and len(manager._entries["k"].queue) == 1)
    releases = threading.Thread(target=manager.release_lock, args=("k", "a"))
    releases.start()
    releases.join(PATIENCE)
    waits.cancel()  # it has been given the lock, does not know it yet, and has to give it back
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert await manager.await_for_lock("k")

    assert touched == []


def test_a_process_has_one_manager_for_a_folder(folder: Path, manager: FileSystemLockManager) -> None:
    same = FileSystemLockManager(str(folder))

    assert same is manager
    assert sent(manager) is manager
    assert FileSystemLockManager(folder / "other") is not manager
    assert manager.acquire_lock("k", "a")
    assert same.acquire_lock("k", "a", 0)
    same.release_lock("k", "a")
    assert repr(manager) == f"FileSystemLockManager({str(folder)!r})"
    assert manager.folder == folder


def test_files_are_there_only_while_somebody_wants_the_lock(folder: Path, manager: FileSystemLockManager) -> None:
    assert not folder.exists()
    assert not manager.is_locked("k")
    assert not folder.exists()

    manager.acquire_lock("../../k", "run 7")

    (file,) = folder.iterdir()
    assert file.name == file_name("../../k")
    assert file.read_text() == "run 7"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    manager.release_lock("../../k", "run 7")
    assert list(folder.iterdir()) == []


def test_a_file_that_a_dead_process_left_behind_locks_nothing(folder: Path, manager: FileSystemLockManager) -> None:
    with elsewhere(folder) as release:
        release()
    assert (folder / file_name("k")).exists()

    assert not manager.is_locked("k")
    assert manager.acquire_lock("k", "a", 0)
    manager.release_lock("k", "a")


def test_a_lock_on_a_file_that_lost_its_name_does_not_count(folder: Path, manager: FileSystemLockManager) -> None:
    """Whoever has it removes the file when they give it up, and another process makes a new one meanwhile."""
    with elsewhere(folder) as release:
        thread = threading.Thread(target=manager.acquire_lock, args=("k", "me"))
        thread.start()
        await_waiting(manager, 1)
        (folder / file_name("k")).unlink()
        with elsewhere(folder) as release_the_new_one:
            release()
            before = helpers()
            assert not manager.is_lock_holder("k", "me")
            release_the_new_one()
        thread.join(PATIENCE)

    assert before == 1
    assert manager.is_lock_holder("k", "me")
    manager.release_lock("k", "me")


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    folder: Path, manager: FileSystemLockManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process gives the key up between the opening of its file and the lock."""
    lock = module._lock
    removed: list[Path] = []

    def remove_and_lock(descriptor: int, *, wait: bool) -> bool:
        if not removed:
            removed.append(folder / file_name("k"))
            removed[0].unlink()
        return lock(descriptor, wait=wait)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_lock", remove_and_lock)
        assert manager.acquire_lock("k", "a", 0)

    assert removed[0].read_text() == "a"
    manager.release_lock("k", "a")


def test_a_lock_is_given_back_although_somebody_else_has_its_file_open(
    folder: Path, manager: FileSystemLockManager
) -> None:
    """As the child of a fork that was not told to forget it."""
    manager.acquire_lock("k", "a")
    waits = os.open(folder / file_name("k"), os.O_RDWR)
    keeps = os.dup(manager._files["k"])

    manager.release_lock("k", "a")

    assert module._lock(waits, wait=False)
    os.close(waits)
    os.close(keeps)


def test_a_folder_that_was_removed_meanwhile_does_no_harm(folder: Path, manager: FileSystemLockManager) -> None:
    manager.acquire_lock("k", "a")
    for each in folder.iterdir():
        each.unlink()
    folder.rmdir()

    manager.release_lock("k", "a")

    assert not manager.is_locked("k")
    assert manager.acquire_lock("k", "b", 0)
    manager.release_lock("k", "b")


def test_a_link_in_place_of_a_lock_s_file_is_not_followed(
    folder: Path, manager: FileSystemLockManager, tmp_path: Path
) -> None:
    folder.mkdir(mode=0o700)
    (tmp_path / "precious").write_text("precious")
    (folder / file_name("k")).symlink_to(tmp_path / "precious")

    with pytest.raises(StorageError):
        manager.acquire_lock("k", "a")

    assert (tmp_path / "precious").read_text() == "precious"
    assert manager._entries == {}


def test_a_folder_that_others_may_write_to_is_refused(folder: Path, manager: FileSystemLockManager) -> None:
    folder.mkdir()
    folder.chmod(0o777)

    with pytest.raises(ConfigurationError, match="nobody but its owner may write to"):
        manager.acquire_lock("k", "a")
    assert manager._entries == {}


def test_an_error_while_a_thread_waits_is_raised_to_all_who_wait(folder: Path, manager: FileSystemLockManager) -> None:
    caught: list[BaseException] = []

    def wait_here() -> None:
        try:
            manager.acquire_lock("k", "me")
        except ConfigurationError as error:
            caught.append(error)

    with elsewhere(folder) as release:
        threads = [threading.Thread(target=wait_here) for _ in range(2)]
        for at, each in enumerate(threads):
            each.start()
            await_waiting(manager, at + 1)
        folder.chmod(0o777)
        release()
        for each in threads:
            each.join(PATIENCE)
        folder.chmod(0o700)

    assert len(caught) == 2
    assert manager._entries == {}
    assert manager._files == {}
    assert manager.acquire_lock("k", "me", 0)
    manager.release_lock("k", "me")


def test_a_thread_that_cannot_be_started_is_an_error_and_leaves_nothing(
    folder: Path, manager: FileSystemLockManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with elsewhere(folder), monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            manager.acquire_lock("k", "me")

    assert manager._entries == {}
    assert manager._files == {}
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_thousand_locks_leave_no_descriptor_open(manager: FileSystemLockManager) -> None:
    manager.acquire_lock("k", "a")
    manager.release_lock("k", "a")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for at in range(250):
        manager.acquire_lock(str(at), "a")
        manager.acquire_lock(str(at), "b", 0)
        manager.is_locked("other")
        manager.release_lock(str(at), "a")

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert manager._files == {}
