"""Storages: which one an option names, and the one in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, MissingResult
from millrace.runtime.results import FsspecStorage, LocalStorage, MemoryStorage, storage_of
from millrace.runtime.results.storages import MEMORY
from tests.runtime.results.sending import sent


def test_a_memory_keeps_the_very_bytes() -> None:
    storage = MemoryStorage()
    blob = bytes(100)

    storage.write("a", blob)

    assert storage.read("a") is blob
    assert storage.exists("a")
    assert not storage.blocking
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")
    with pytest.raises(MissingResult, match="its result is not in memory any more"):
        storage.read("a")


def test_two_memories_share_nothing() -> None:
    one, other = MemoryStorage(), MemoryStorage()
    one.write("a", b"x")

    assert not other.exists("a")
    assert one != other


def test_the_memory_that_the_url_names_is_one_in_the_process() -> None:
    assert storage_of("memory://") is storage_of("memory://") is MEMORY
    assert sent(MEMORY) is MEMORY


def test_a_memory_that_was_sent_arrives_empty() -> None:
    storage = MemoryStorage()
    storage.write("a", b"x")

    assert not sent(storage).exists("a")


def test_a_folder_is_named_in_any_way(tmp_path: Path) -> None:
    folder = tmp_path / "a b"

    for option in (folder, str(folder), folder.as_uri(), f"file://localhost{tmp_path}/a%20b"):
        assert storage_of(option) == LocalStorage(folder)


@pytest.mark.parametrize("option", ["", 3, object(), MemoryStorage, b"/tmp", "file://elsewhere/results", "file://"])
def test_what_names_no_storage_is_refused(option: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        storage_of(option)

    assert caught.value.name == "storage"


def test_a_storage_of_ones_own_is_taken_as_it_is() -> None:
    class Own(MemoryStorage):
        pass

    own = Own()

    assert storage_of(own) is own


def test_any_other_url_is_fsspec_s() -> None:
    assert storage_of("memory://results") == FsspecStorage("memory://results")


def test_without_an_option_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_LOCAL_STORAGE_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage_of(None) == LocalStorage(tmp_path / ".millrace" / "storage")

    monkeypatch.setenv("MILLRACE_LOCAL_STORAGE_PATH", str(tmp_path / "here"))
    assert storage_of(None) == LocalStorage(tmp_path / "here")

    monkeypatch.setenv("MILLRACE_DEFAULT_RESULT_STORAGE", "memory://")
    assert storage_of(None) is MEMORY
