"""Storage behind fsspec: any of its file systems, and no secret in any text."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, MissingExtra, MissingResult, SerializationError
from millrace.actors.errors import StorageError
from millrace.runtime.results import FsspecStorage, ResultStore
from millrace.runtime.results.folders import file_name
from millrace.runtime.urls import masked
from tests.runtime.results.sending import sent

SECRETS = ["s3cret", "us3r"]


@pytest.fixture
def storage() -> Iterator[FsspecStorage]:
    made = FsspecStorage("memory://results/here")
    yield made
    made._files.store.clear()


def test_what_was_written_can_be_read(storage: FsspecStorage) -> None:
    storage.write("a", b"old")
    storage.write("a", b"new")

    assert storage.read("a") == b"new"
    assert storage.exists("a")
    assert storage.blocking
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")
    with pytest.raises(MissingResult) as caught:
        storage.read("a")
    assert caught.value.where == storage.where("a") == f"memory://results/here/{file_name('a')}"


def test_a_key_cannot_leave_the_folder(storage: FsspecStorage) -> None:
    for key in ("../../x", "/x", "a\0b", "x" * 4096, "é", "e\u0301"):
        storage.write(key, key.encode())

    assert storage.read("é") == "é".encode()
    assert {path.rpartition("/")[0] for path in storage._files.store} == {"/results/here"}
    assert len(storage._files.store) == 6


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    storage = FsspecStorage(f"local://{tmp_path}/a/b")

    storage.write("a", b"x")

    assert (tmp_path / "a" / "b" / file_name("a")).read_bytes() == b"x"


@pytest.mark.anyio
async def test_a_store_keeps_results_there(storage: FsspecStorage) -> None:
    store = ResultStore(storage)

    await store.awrite("a", [1])

    assert (await store.aread("a")).value == [1]
    storage.write("a", storage.read("a")[:-1])
    with pytest.raises(SerializationError, match="it was changed or cut off"):
        await store.aread("a")


def test_without_fsspec_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)

    with pytest.raises(
        MissingExtra, match=r"needs packages that are not installed: pip install 'millrace\[fsspec\]'"
    ) as caught:
        FsspecStorage("s3://us3r:s3cret@bucket")
    assert "s3cret" not in str(caught.value)


def test_a_file_system_that_fsspec_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="takes the URL of a file system that fsspec knows") as caught:
        FsspecStorage("nowhere://us3r:s3cret@host/x")
    assert not any(secret in str(caught.value) for secret in SECRETS)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def url_to_fs(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(importlib.import_module("fsspec.core"), "url_to_fs", url_to_fs)


def test_a_file_system_whose_packages_are_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ImportError("Install s3fs to access S3"))

    with pytest.raises(
        ConfigurationError, match=r"file system that is installed \(Install s3fs to access S3\), not 's3://b'"
    ):
        FsspecStorage("s3://b")


def test_a_file_system_that_cannot_be_reached_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("us3r:s3cret was refused"))

    with pytest.raises(StorageError, match=r"^Could not open sftp://\*\*\*@host/x: RuntimeError\.$") as caught:
        FsspecStorage("sftp://us3r:s3cret@host/x")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_whatever_a_file_system_raises_is_a_storage_error(
    storage: FsspecStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("s3cret")

    for name in ("cat_file", "pipe_file", "exists", "rm_file"):
        monkeypatch.setattr(storage, "_files", _Broken(storage._files, name, broken))
    for call in (storage.read, storage.exists, storage.delete, lambda key: storage.write(key, b"x")):
        with pytest.raises(StorageError, match=r"^Could not .+ memory://results/here/\w+: RuntimeError\.$") as caught:
            call("a")
        assert isinstance(caught.value.__cause__, RuntimeError)


class _Broken:
    """A file system with one method that does not work."""

    def __init__(self, files: Any, name: str, method: Any) -> None:
        self._files = files
        self._name = name
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return self._method if name == self._name else getattr(self._files, name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("s3://us3r:s3cret@bucket/x", "s3://***@bucket/x"),
        ("s3://us3r:s3/cr?et@bucket/x", "s3://***@bucket/x"),
        ("simplecache::ftp://us3r:s3cret@host/x", "simplecache::ftp://***@host/x"),
        ("abfs://x/y?sig=s3cret", "abfs://x/y?***"),
        ("ftp://us3r:s3cret@host/x?token=s3cret", "ftp://***@host/x?***"),
        ("a://us3r@x::b://us3r:s3cret@y", "a://***@y"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_no_text_shows_a_secret() -> None:
    storage = FsspecStorage("memory://us3r:s3cret@host/x", key="s3cret")

    for text in (repr(storage), storage.where("a"), repr(ResultStore(storage))):
        assert not any(secret in text for secret in SECRETS)


def test_storages_of_one_url_and_options_are_equal(storage: FsspecStorage) -> None:
    storage.write("a", b"x")

    copy = sent(storage)

    assert copy == storage == FsspecStorage("memory://results/here")
    assert hash(copy) == hash(storage)
    assert copy.read("a") == b"x"
    assert storage != FsspecStorage("memory://results")
    assert storage != FsspecStorage("memory://results/here", skip_instance_cache=True)
