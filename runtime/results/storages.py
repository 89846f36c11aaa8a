"""Storages: where the bytes of records lie, and which one an option names.

Decides what a storage has to be able to do, and what `result_storage=` may be. Does not know what the bytes mean.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from millrace.actors.errors import ConfigurationError, MissingResult
from millrace.runtime.results.fsspec_storage import FsspecStorage
from millrace.runtime.results.local_storage import LocalStorage
from millrace.runtime.settings import DEFAULT_RESULT_STORAGE, local_storage_path
from millrace.runtime.urls import masked


class Storage(Protocol):
    """Keeps bytes under keys. Its methods may be called from several threads at once.

    A key is any string but the empty one; what makes it safe to use as a name is the storage's business.
    """

    @property
    def blocking(self) -> bool:
        """Whether reading and writing may block, so that neither is done on an event loop."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes under a key.

        Raises:
            MissingResult: there are none.
            StorageError: it cannot be told.
        """
        ...

    def write(self, key: str, blob: bytes) -> None:
        """Put bytes under a key, whole or not at all, in place of what is there.

        Raises:
            StorageError: it could not be done.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        ...

    def delete(self, key: str) -> None:
        """Take away what is under a key, if there is anything."""
        ...

    def where(self, key: str) -> str:
        """The place of a key, for people. Shows no secret."""
        ...


class MemoryStorage:
    """Keeps bytes in this process, for as long as somebody holds the storage.

    A pickled one arrives empty: what lies in the memory of one process is nowhere else. The one that `"memory://"`
    names arrives as the one that it names there.
    """

    blocking: bool = False

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}  # each use is one operation of the dict, so threads need no lock

    def read(self, key: str) -> bytes:
        """The bytes under a key, the same object that was written.

        Raises:
            MissingResult: there are none.
        """
        try:
            return self._blobs[key]
        except KeyError:
            raise MissingResult(self.where(key)) from None

    def write(self, key: str, blob: bytes) -> None:
        """Put bytes under a key."""
        self._blobs[key] = blob

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        return key in self._blobs

    def delete(self, key: str) -> None:
        """Take away what is under a key, if there is anything."""
        self._blobs.pop(key, None)

    def where(self, key: str) -> str:  # noqa: ARG002  # every key has one place
        """The place of a key, for people."""
        return "memory"

    def __reduce__(self) -> tuple[Any, ...]:
        return (storage_of, ("memory://",)) if self is MEMORY else (MemoryStorage, ())


MEMORY: Final = MemoryStorage()
"""The one storage that `"memory://"` names in this process."""

_EXPECTED: Final = 'a folder, "memory://", the URL of a file system that fsspec knows, or a storage'


def storage_of(option: Storage | str | os.PathLike[str] | None) -> Storage:
    """The storage that an option names.

    Args:
        option: A storage; a folder, as a path or as `file:///folder`; `memory://`, which is the same one everywhere in
            the process; the URL of a file system of fsspec; None for what the settings say.

    Raises:
        ConfigurationError: it names none.
        MissingExtra: it is a URL for fsspec, which is not installed.
    """
    if option is None:
        setting = DEFAULT_RESULT_STORAGE.read()
        return LocalStorage(local_storage_path()) if setting is None else storage_of(setting)
    if isinstance(option, str):
        return _named(option)
    if isinstance(option, os.PathLike):
        return LocalStorage(option)
    methods = ("read", "write", "exists", "delete", "where")
    if isinstance(option, type) or not all(callable(getattr(option, name, None)) for name in methods):
        raise ConfigurationError("storage", option, _EXPECTED)
    return option


def _named(text: str) -> Storage:
    if text == "memory://":
        return MEMORY
    if text.startswith("file://"):
        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"} or not parts.path:
            raise ConfigurationError("storage", masked(text), "the URL of a folder of this machine, as file:///folder")
        return LocalStorage(Path(unquote(parts.path)))
    if "://" in text:
        return FsspecStorage(text)
    if not text:
        raise ConfigurationError("storage", text, _EXPECTED)
    return LocalStorage(text)
