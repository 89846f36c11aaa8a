"""Storage behind fsspec: any file system that it has a URL for.

Decides how a record is named there and what an error of such a file system becomes. Whether a write is whole is up to
the file system; object stores do that, and a record that was torn is refused when it is read, by its digest.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from millrace.actors.errors import ConfigurationError, MissingExtra, MissingResult, StorageError
from millrace.runtime.results.folders import file_name
from millrace.runtime.urls import masked


class FsspecStorage:
    """Keeps bytes in a folder or bucket of a file system of fsspec.

    A pickled one carries its URL and its options along, with what is secret in them.

    Args:
        url: The folder, as in `s3://bucket/results`. Chained URLs work as fsspec has them.
        **options: For the file system, such as credentials; they are in no text that is shown.

    Raises:
        MissingExtra: fsspec is not installed.
        ConfigurationError: fsspec knows no such file system, or what it needs is not installed.
        StorageError: by every other method, where the file system cannot do what is asked.
    """

    blocking: bool = True

    def __init__(self, url: str, **options: Any) -> None:
        try:
            core = importlib.import_module("fsspec.core")
        except ImportError:
            raise MissingExtra(f"FsspecStorage({masked(url)!r})", "fsspec") from None
        self._url = url
        self._options = options
        try:
            self._files, self._folder = core.url_to_fs(url, **options)
        except ImportError as error:
            reason = f"the URL of a file system that is installed ({error})"
            raise ConfigurationError("storage", masked(url), reason) from None
        except ValueError:
            raise ConfigurationError("storage", masked(url), "the URL of a file system that fsspec knows") from None
        except Exception as error:  # each file system has errors of its own, and some connect at once
            raise StorageError(f"open {masked(url)}", type(error).__name__) from error

    def read(self, key: str) -> bytes:
        """The bytes under a key.

        Raises:
            MissingResult: there are none.
        """
        with self._reported("read", key):
            try:
                blob: bytes = self._files.cat_file(self._path(key))
            except FileNotFoundError:
                raise MissingResult(self.where(key)) from None
        return blob

    def write(self, key: str, blob: bytes) -> None:
        """Put bytes under a key. The folder is made where it is missing."""
        path = self._path(key)
        with self._reported("write to", key):
            try:
                self._files.pipe_file(path, blob)
            except FileNotFoundError:
                self._files.makedirs(self._folder, exist_ok=True)
                self._files.pipe_file(path, blob)

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        with self._reported("look for", key):
            return bool(self._files.exists(self._path(key)))

    def delete(self, key: str) -> None:
        """Take away what is under a key, if there is anything."""
        with self._reported("delete", key), suppress(FileNotFoundError):
            self._files.rm_file(self._path(key))

    def where(self, key: str) -> str:
        """The URL of a key, without the password that may stand in it."""
        return f"{masked(self._url).rstrip('/')}/{file_name(key)}"

    def _path(self, key: str) -> str:
        return f"{self._folder.rstrip('/')}/{file_name(key)}"

    @contextmanager
    def _reported(self, attempted: str, key: str) -> Generator[None]:
        try:
            yield
        except MissingResult:
            raise
        except Exception as error:  # each file system has errors of its own, of every kind
            # What it says may hold a URL with a password, or a request: the type is named, and the rest is its cause.
            raise StorageError(f"{attempted} {self.where(key)}", type(error).__name__) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FsspecStorage) and (other._url, other._options) == (self._url, self._options)

    def __hash__(self) -> int:
        return hash(self._url)

    def __repr__(self) -> str:
        return f"FsspecStorage({masked(self._url)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self._url, self._options)


def _remade(url: str, options: dict[str, Any]) -> FsspecStorage:
    return FsspecStorage(url, **options)
