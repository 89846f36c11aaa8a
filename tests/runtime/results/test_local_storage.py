"""Local storage: nothing leaves the folder, nobody else reads it, and a write is there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, MissingResult, SerializationError
from millrace.actors.errors import StorageError
from millrace.runtime.results import LocalStorage, ResultStore
from millrace.runtime.results import folders as folders_module
from tests.runtime.results.sending import sent


@pytest.fixture(params=["by handle", "by path"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the system looks names up; by path where it has no handles of folders."""
    if request.param == "by path":
        monkeypatch.setattr(folders_module, "_BY_HANDLE", False)
    way: str = request.param
    return way


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything_under(path: Path) -> set[str]:
    return {str(each.relative_to(path)) for each in path.rglob("*")}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a path would open one more


def test_what_was_written_can_be_read(tmp_path: Path, way: str) -> None:
    storage = LocalStorage(tmp_path / "results")

    storage.write("a", b"old")
    storage.write("a", b"new")
    storage.write("b", b"")

    assert storage.read("a") == b"new"
    assert storage.read("b") == b""
    assert storage.exists("a")
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")
    with pytest.raises(MissingResult, match=str(storage.folder)):
        storage.read("a")


def test_a_large_blob_is_written_whole(tmp_path: Path) -> None:
    blob = os.urandom(3_000_000)
    storage = LocalStorage(tmp_path)

    storage.write("a", blob)

    assert storage.read("a") == blob


def test_a_blob_is_written_whole_where_the_system_takes_it_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))
    storage = LocalStorage(tmp_path)

    storage.write("a", bytes(range(100)))

    assert storage.read("a") == bytes(range(100))


def test_the_place_of_a_key_is_its_file(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"x")

    assert storage.where("a") == str(tmp_path / hashlib.sha256(b"a").hexdigest())
    assert Path(storage.where("a")).read_bytes() == b"x"
    assert everything_under(tmp_path) == {hashlib.sha256(b"a").hexdigest()}


def test_nothing_is_made_before_something_is_written(tmp_path: Path, way: str) -> None:
    storage = LocalStorage(tmp_path / "results" / "here")

    assert not storage.exists("a")
    with pytest.raises(MissingResult):
        storage.read("a")
    storage.delete("a")

    assert everything_under(tmp_path) == set()
    storage.write("a", b"x")
    assert storage.exists("a")


# Keys.


def keys() -> Iterator[str]:
    """300 keys of the kind that leads astray."""
    ups = ["../" * depth + "etc/passwd" for depth in range(1, 20)]
    absolute = [
        "/etc/passwd",
        "//etc/passwd",
        "/",
        "\\\\host\\share",
        "C:\\x",
        "c:x",
        "file:///etc/passwd",
        "~/x",
        "~root",
    ]
    dots = [".", "..", "...", "./a", "a/..", "a/../a", "a/", "a//a", "a/./a", " ", "\t", "\n", "-rf", "*", "?", "$HOME"]
    nul = ["\0", "a\0", "\0a", "a\0b", "../x\0.txt", "a\0/../b"]
    long = [letter * 4096 for letter in "aA/.é"] + ["a" * length for length in (254, 255, 256, 257)]
    case = ["key", "Key", "KEY", "kEY", "ß", "ẞ", "ss", "SS", "\u0131", "i", "I", "İ"]
    twins = [
        "\u00e9",
        "e\u0301",
        "\u212b",
        "\u00c5",
        "A\u030a",
        "\ufb01",
        "fi",
        "\u2024\u2024/x",
        "\uff0e\uff0e",
        "a\u200b",
        "a",
    ]
    odd = ["\ud800", "\udfff", "\ud83d\ude00", "\U0001f600", "\u202e", "CON", "nul", "aux.txt", "a.", "a ", ".a.tmp"]
    named = [*ups, *absolute, *dots, *nul, *long, *case, *twins, *odd]
    yield from dict.fromkeys(named)
    digests = (hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() for key in itertools.cycle(named))
    for at, digest in zip(range(300 - len(dict.fromkeys(named))), digests, strict=False):
        yield [digest, f"../{digest}", digest.upper(), f"{digest}/", f".{digest}.tmp"][at % 5] + (
            "" if at < 5 else str(at)
        )


KEYS = list(keys())


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "c" / "results"
    storage = LocalStorage(root)
    assert len(set(KEYS)) == 300

    for at, key in enumerate(KEYS):
        storage.write(key, str(at).encode())

    assert [storage.read(key) for key in KEYS] == [str(at).encode() for at in range(300)]
    names = everything_under(tmp_path) - {"a", "a/b", "a/b/c", "a/b/c/results"}
    assert len(names) == 300
    assert all(Path(name).parent == Path("a/b/c/results") and len(Path(name).name) == 64 for name in names)


def test_no_two_keys_share_a_result(tmp_path: Path) -> None:
    """1,000 pairs of keys that look alike."""
    store = ResultStore(tmp_path)
    alike = list(itertools.combinations(KEYS[45:91], 2))
    assert len(alike) > 1000
    written: set[str] = set()
    for pair in alike:
        for key in pair:
            if key not in written:
                store.write(key, key)
                written.add(key)

    assert all(store.read(one).value == one and store.read(other).value == other for one, other in alike)


# Links and other things in the way.


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(b"secret")
    return path


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    made = LocalStorage(tmp_path / "results")
    made.write("a", b"mine")
    return made


def test_a_link_in_place_of_a_file_is_not_followed(storage: LocalStorage, outside: Path) -> None:
    place = Path(storage.where("a"))
    place.unlink()
    place.symlink_to(outside / "secret")

    assert not storage.exists("a")
    with pytest.raises(SerializationError, match="something else than a file is in its place"):
        storage.read("a")
    storage.write("a", b"mine")
    assert not place.is_symlink()
    assert storage.read("a") == b"mine"
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_link_is_deleted_itself(storage: LocalStorage, outside: Path) -> None:
    place = Path(storage.where("a"))
    place.unlink()
    place.symlink_to(outside / "secret")

    storage.delete("a")

    assert not place.is_symlink()
    assert (outside / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_something_else_in_place_of_a_file_is_refused_at_once(
    storage: LocalStorage, make: Callable[[str], None]
) -> None:
    """To open a pipe would take until somebody writes to it."""
    Path(storage.where("a")).unlink()
    make(storage.where("a"))

    assert not storage.exists("a")
    with pytest.raises(SerializationError, match="something else than a file is in its place"):
        storage.read("a")


def test_a_folder_that_became_a_link_is_not_followed(storage: LocalStorage, outside: Path) -> None:
    storage.folder.rename(storage.folder.with_name("moved"))
    storage.folder.symlink_to(outside)

    for call in (storage.read, storage.exists, storage.delete, lambda key: storage.write(key, b"x")):
        with pytest.raises(StorageError):
            call("a")
    assert everything_under(outside) == {"secret"}


def test_a_folder_may_be_named_by_a_link_that_is_there_before(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    outside.chmod(0o700)
    storage = LocalStorage(tmp_path / "link")

    storage.write("a", b"x")

    assert storage.folder == outside
    assert storage.read("a") == b"x"


RACES = 10_000


@contextmanager
def again_and_again(call: Callable[[], None]) -> Generator[Callable[[], int]]:
    """Call something in another thread, all the time; gives a function that says how often it was called."""
    stop = threading.Event()
    calls = 0

    def run() -> None:
        nonlocal calls
        while not stop.is_set():
            call()
            calls += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: calls
    finally:
        stop.set()
        thread.join()


def test_swapping_files_for_links_reaches_nothing_outside(storage: LocalStorage, outside: Path) -> None:
    """Somebody swaps the file for a link and back, all the time."""
    place = storage.where("a")
    link, good = f"{place}-link", f"{place}-good"
    os.link(place, good)  # as below

    def swap() -> None:
        os.symlink(outside / "secret", link)  # noqa: PTH211  # quicker, and there are many
        os.replace(link, place)  # noqa: PTH105  # likewise
        os.link(good, link)  # likewise
        os.replace(link, place)  # noqa: PTH105  # likewise

    found: set[bytes] = set()
    tried = refused = 0
    with again_and_again(swap) as swapped:
        while tried < RACES or swapped() < 500 or not refused or not found:
            storage.write("a", b"mine")
            for _ in range(100):
                tried += 1
                try:
                    found.add(storage.read("a"))
                except SerializationError:
                    refused += 1

    assert found == {b"mine"}
    assert (outside / "secret").read_bytes() == b"secret"
    assert everything_under(outside) == {"secret"}


def test_swapping_the_folder_for_a_link_reaches_nothing_outside(storage: LocalStorage, outside: Path) -> None:
    folder = str(storage.folder)

    def swap() -> None:
        os.rename(folder, f"{folder}-moved")  # noqa: PTH104  # quicker, and there are many
        os.symlink(outside, folder)  # noqa: PTH211  # likewise
        os.unlink(folder)  # noqa: PTH108  # likewise
        os.rename(f"{folder}-moved", folder)  # noqa: PTH104  # likewise

    # Only readings: a folder that is missing for a moment would be made anew by a writing, and be in the swap's way.
    outcomes: set[str] = set()
    tried = 0
    with again_and_again(swap) as swapped:
        while tried < RACES or swapped() < 500 or len(outcomes) < 2:
            tried += 1
            try:
                outcomes.add(storage.read("a").decode())
            except (MissingResult, StorageError) as error:
                outcomes.add(type(error).__name__)

    assert outcomes <= {"mine", "MissingResult", "StorageError"}
    assert everything_under(outside) == {"secret"}


# Folders that are held open.


def test_a_folder_that_another_one_has_replaced_is_not_used_any_more(storage: LocalStorage) -> None:
    moved = storage.folder.with_name("moved")
    storage.folder.rename(moved)
    storage.folder.mkdir()

    assert not storage.exists("a")
    storage.write("b", b"x")

    assert everything_under(moved) == {Path(storage.where("a")).name}
    assert everything_under(storage.folder) == {Path(storage.where("b")).name}


def test_a_folder_that_was_removed_is_made_anew(storage: LocalStorage) -> None:
    for each in storage.folder.iterdir():
        each.unlink()
    storage.folder.rmdir()

    with pytest.raises(MissingResult):
        storage.read("a")
    assert not storage.folder.exists()
    storage.write("a", b"x")

    assert storage.read("a") == b"x"


def test_a_folder_that_others_may_write_to_meanwhile_is_refused(storage: LocalStorage) -> None:
    storage.folder.chmod(0o770)

    for call in (storage.read, storage.exists, storage.delete, lambda key: storage.write(key, b"x")):
        with pytest.raises(ConfigurationError, match="nobody but its owner may write to"):
            call("a")
    storage.folder.chmod(0o700)
    assert storage.read("a") == b"mine"


def test_a_process_holds_few_folders_open_however_many_it_uses(tmp_path: Path) -> None:
    before = descriptors()
    storages = [LocalStorage(tmp_path / str(at)) for at in range(3 * folders_module.HELD)]

    for _ in range(2):
        for each in storages:
            each.write("a", each.folder.name.encode())

    assert descriptors() <= before + folders_module.HELD
    assert [each.read("a").decode() for each in storages] == [each.folder.name for each in storages]


def test_a_folder_in_use_stays_open_while_others_take_its_place(tmp_path: Path) -> None:
    used = folders_module.Folder(tmp_path / "used").opened(make=True)

    for at in range(folders_module.HELD + 1):
        LocalStorage(tmp_path / str(at)).write("a", b"x")

    descriptor = used.open("a", os.O_WRONLY | os.O_CREAT)
    os.close(descriptor)
    assert everything_under(tmp_path / "used") == {"a"}
    before = descriptors()
    del used
    assert descriptors() == before - 1


# Permissions.


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_no_umask")
def test_files_and_folders_are_their_owner_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "one" / "two" / "results")

    storage.write("a", b"x")

    assert mode(Path(storage.where("a"))) == 0o600
    assert [mode(tmp_path / each) for each in ("one", "one/two", "one/two/results")] == [0o700] * 3


@pytest.mark.parametrize("others", [0o770, 0o707, 0o777, 0o1777, 0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, others: int) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(others)
    storage = LocalStorage(folder)

    for call in (storage.read, storage.exists, storage.delete, lambda key: storage.write(key, b"x")):
        with pytest.raises(ConfigurationError, match=r"a folder that nobody but its owner may write to \(chmod go-w\)"):
            call("a")
    assert everything_under(folder) == set()


def test_a_folder_that_others_may_read_is_not_refused(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o755)
    storage = LocalStorage(folder)

    storage.write("a", b"x")

    assert mode(Path(storage.where("a"))) == 0o600


# Writes that are cut off. Each of these may fail, and the machine may stop there.

STEPS = ("open", "write", "fsync", "close", "replace", "fstat", "mkdir")


class Cut(BaseException):
    """The process ends here."""


class Failing:
    """Lets so many steps succeed; the next fails, and all after it if the process has ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passes: int, error: BaseException) -> None:
        self.steps: list[str] = []
        self._passes = passes
        self._error = error
        for name in (*STEPS, "unlink"):
            self._replace(monkeypatch, name)

    @property
    def failed(self) -> bool:
        return len(self.steps) > self._passes

    def _replace(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        original = getattr(os, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            ended = self.failed and isinstance(self._error, Cut)
            if name != "unlink" and not self.failed:
                self.steps.append(name)
            if ended or (name != "unlink" and self.failed and len(self.steps) == self._passes + 1 and not self._done):
                self._done = True
                if name == "close":
                    original(*args, **kwargs)  # so that the test does not run out of descriptors
                raise self._error
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, step)

    _done = False


@pytest.mark.parametrize("old", [None, b"old"], ids=["nothing there", "old one there"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Cut()], ids=["fails", "ends"])
def test_a_write_that_is_cut_off_leaves_the_old_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None, error: BaseException
) -> None:
    """At each step in turn. Only after the name was given can the new bytes be there although the write failed."""
    before = descriptors()
    outcomes: list[tuple[str, bytes | None]] = []
    for passes in itertools.count():
        storage = LocalStorage(tmp_path / str(passes))
        if old is not None:
            storage.write("a", old)
        with monkeypatch.context() as patch:
            failing = Failing(patch, passes, error)
            with suppress(StorageError, Cut):
                storage.write("a", b"new")
        if not failing.failed:
            break
        found = storage.read("a") if storage.exists("a") else None
        outcomes.append((failing.steps[-1], found))
        storage.write("a", b"after")
        assert storage.read("a") == b"after"

    steps = [step for step, _ in outcomes]
    named = steps.index("replace")
    assert all(found == old for _, found in outcomes[: named + 1])
    assert all(found == b"new" for _, found in outcomes[named + 1 :])
    assert steps[-6:] == ["open", "write", "fsync", "close", "replace", "fsync"]
    assert isinstance(error, Cut) or descriptors() <= before + folders_module.HELD


def test_a_write_that_failed_leaves_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(StorageError, match=r"^Could not write to the folder /.*: No space left on device\.$"):
                storage.write("a", b"x")

    assert everything_under(tmp_path) == set()


def test_an_error_of_the_system_that_has_no_words_is_called_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise BlockingIOError

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError, match=r"^Could not write to the folder /.*: BlockingIOError\.$"):
        LocalStorage(tmp_path).write("a", b"x")


def test_an_interrupt_in_the_middle_of_a_write_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalStorage(tmp_path).write("a", b"x")

    assert everything_under(tmp_path) == set()


def test_what_is_left_of_a_dead_process_is_in_nobody_s_way(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    left = tmp_path / f".{Path(storage.where('a')).name}.0123456789abcdef.tmp"
    left.write_bytes(b"half of it")

    assert not storage.exists("a")
    storage.write("a", b"x")
    assert storage.read("a") == b"x"


def test_threads_that_write_one_key_leave_one_whole_value(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    blobs = [bytes([letter]) * 10_000 for letter in b"ab"]
    storage.write("k", blobs[0])
    found: set[bytes] = set()
    begin = threading.Barrier(3)
    writing = 2

    def write(blob: bytes) -> None:
        nonlocal writing
        begin.wait()
        for _ in range(150):
            storage.write("k", blob)
        writing -= 1

    def read() -> None:
        begin.wait()
        while writing:
            found.add(storage.read("k"))

    threads = [threading.Thread(target=write, args=(blob,)) for blob in blobs] + [threading.Thread(target=read)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found <= set(blobs)
    assert storage.read("k") in blobs
    assert len(everything_under(tmp_path)) == 1


def test_a_thousand_uses_leave_no_descriptor_open(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"x")
    before = descriptors()

    for _ in range(250):
        storage.read("a")
        storage.exists("b")
        with pytest.raises(MissingResult):
            storage.read("b")
        storage.delete("b")

    assert descriptors() == before


# Values.


def test_storages_of_one_folder_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path / "results")
    monkeypatch.chdir(tmp_path)

    assert storage == LocalStorage("results") == LocalStorage(str(tmp_path / "x" / ".." / "results"))
    assert hash(storage) == hash(LocalStorage("results"))
    assert sent(storage) == storage
    assert storage != LocalStorage("other")
    assert repr(storage) == f"LocalStorage({str(tmp_path / 'results')!r})"
    assert storage.blocking


def test_a_folder_stays_where_it_is_when_the_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage("results")
    monkeypatch.chdir("/")

    storage.write("a", b"x")

    assert (tmp_path / "results").is_dir()


def test_a_tilde_is_the_user_s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert LocalStorage("~/results").folder == tmp_path / "results"


@pytest.mark.parametrize("folder", ["~nobody-of-that-name/x", "a\0b"])
def test_what_cannot_be_a_path_is_refused(folder: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LocalStorage(folder)

    assert caught.value.name == "folder"


def test_a_file_in_place_of_the_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "results").touch()

    with pytest.raises(StorageError, match=r"^Could not read the folder /.*/results: Not a directory\.$"):
        LocalStorage(tmp_path / "results").read("a")
