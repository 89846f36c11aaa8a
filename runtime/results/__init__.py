"""Results: kept under keys in a storage, written by a serializer, locked while they are made."""

from millrace.runtime.results.file_locks import FileSystemLockManager
from millrace.runtime.results.fsspec_storage import FsspecStorage
from millrace.runtime.results.json_serializer import JSONSerializer
from millrace.runtime.results.local_storage import LocalStorage
from millrace.runtime.results.locking import LockManager, MemoryLockManager
from millrace.runtime.results.records import ResultMetadata, ResultRecord
from millrace.runtime.results.serializers import (
    CompressedSerializer,
    PickleSerializer,
    Serializer,
    register_serializer,
    serializer_of,
)
from millrace.runtime.results.storages import MemoryStorage, Storage, storage_of
from millrace.runtime.results.store import ResultStore
from millrace.runtime.results.stored_value import StoredValue

__all__ = (
    "CompressedSerializer",
    "FileSystemLockManager",
    "FsspecStorage",
    "JSONSerializer",
    "LocalStorage",
    "LockManager",
    "MemoryLockManager",
    "MemoryStorage",
    "PickleSerializer",
    "ResultMetadata",
    "ResultRecord",
    "ResultStore",
    "Serializer",
    "Storage",
    "StoredValue",
    "register_serializer",
    "serializer_of",
    "storage_of",
)
