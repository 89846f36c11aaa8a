"""millrace: a workflow engine that lives inside your program.

Flows, tasks, states, futures and maps in the vocabulary of Prefect, on asyncio and actors, without a server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote, unmapped
from millrace.actors.errors import (
    Abort,
    AcquireConcurrencySlotTimeoutError,
    AmbiguousRunId,
    BlockingCallOnLoop,
    CancelledRun,
    ConfigurationError,
    CrashedRun,
    DeadlockError,
    EngineClosed,
    FailedRun,
    FlowDefinitionError,
    FlowOrderChanged,
    FlowPauseTimeout,
    FlowRunTimeoutError,
    ForeignFuture,
    InputResolutionError,
    LimitNotFound,
    MailboxFull,
    MappingLengthMismatch,
    MappingMissingIterable,
    MillraceError,
    MissingContextError,
    MissingExtra,
    MissingResult,
    NotPausedError,
    OwnerUnreachable,
    ParameterBindError,
    ParameterTypeError,
    Pause,
    PausedRun,
    PauseRefused,
    ReservedArgumentError,
    RestartLimitExceeded,
    RollBack,
    RunEnded,
    RunNameError,
    RunNotFound,
    RunNotRemovable,
    RunNotResumable,
    SecretMissing,
    SerializationError,
    SignatureMismatchError,
    StorageError,
    StoreError,
    StoreFenced,
    StoreInUse,
    StoreRefused,
    StreamInUse,
    TaskDefinitionError,
    TaskRunTimeoutError,
    TerminationSignal,
    TransactionError,
    UnfinishedRun,
    UpstreamTaskError,
    WaitTimeout,
)
from millrace.actors.events import Event
from millrace.actors.isolation import IsolationLevel
from millrace.actors.outcomes import (
    StateGroup,
    exception_to_crashed_state,
    exception_to_failed_state,
    return_value_to_state,
)
from millrace.actors.policies import CrashPolicy, exponential_backoff
from millrace.actors.states import (
    AwaitingConcurrencySlot,
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Late,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    StateDetails,
    StateType,
    Suspended,
    get_state_exception,
    is_state,
    is_state_iterable,
    raise_state_exception,
)
from millrace.runtime import current
from millrace.runtime.context import FlowRunContext, TaskRunContext, get_run_context, tags
from millrace.runtime.cooperation import cancelled, check_cancelled
from millrace.runtime.engine import Engine
from millrace.runtime.engine_stats import EngineStats
from millrace.runtime.flow import AsyncFlow, Flow
from millrace.runtime.flow_decorator import flow, run
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import FlowFuture, Future
from millrace.runtime.gathering import as_completed, wait
from millrace.runtime.generator_flow import AsyncGeneratorFlow, GeneratorFlow
from millrace.runtime.generator_task import AsyncGeneratorTask, GeneratorTask
from millrace.runtime.logs import get_run_logger
from millrace.runtime.pausing import pause_flow_run, suspend_flow_run
from millrace.runtime.proposing import propose_state
from millrace.runtime.resolving import resolve_futures_to_results, resolve_futures_to_states
from millrace.runtime.runners import DefaultTaskRunner, SequentialTaskRunner, TaskRunner, ThreadPoolTaskRunner
from millrace.runtime.running_flows import run_flow
from millrace.runtime.running_tasks import run_task
from millrace.runtime.runs import TaskRun
from millrace.runtime.task import AsyncTask, Task
from millrace.runtime.task_decorator import task
from millrace.runtime.tracking import FlowRunResult, TaskRunResult
from millrace.runtime.unpausing import aresume_flow_run, resume_flow_run

if TYPE_CHECKING:
    from millrace.actors.transaction_state import (
        CommitMode,
        TransactionState,
    )
    from millrace.runtime import asgi, testing
    from millrace.runtime.caching import (
        DEFAULT,
        FLOW_PARAMETERS,
        INPUTS,
        NO_CACHE,
        NONE,
        RUN_ID,
        TASK_SOURCE,
        CacheKeyFnPolicy,
        CachePolicy,
        Explanation,
        task_input_hash,
    )
    from millrace.runtime.flow_process import run_flow_in_subprocess
    from millrace.runtime.limits import AdaptiveLimit, RateLimit, concurrency, rate_limit
    from millrace.runtime.results import (
        CompressedSerializer,
        FileSystemLockManager,
        FsspecStorage,
        JSONSerializer,
        LocalStorage,
        MemoryLockManager,
        MemoryStorage,
        PickleSerializer,
        ResultRecord,
        ResultStore,
        Serializer,
        Storage,
        register_serializer,
    )
    from millrace.runtime.secret import Secret
    from millrace.runtime.stores.by_id import (
        acancel_flow_run,
        cancel_flow_run,
    )
    from millrace.runtime.stores.memory import (
        MemoryStore,
    )
    from millrace.runtime.stores.port import (
        Store,
    )
    from millrace.runtime.stores.reading import (
        RecordedFlowRun,
        RecordedState,
        RecordedTaskRun,
        aread_flow_run,
        aread_flow_run_states,
        aread_flow_runs,
        aread_task_run,
        aread_task_run_states,
        aread_task_runs,
        read_flow_run,
        read_flow_run_states,
        read_flow_runs,
        read_task_run,
        read_task_run_states,
        read_task_runs,
    )
    from millrace.runtime.stores.resuming import (
        aresume_run,
        resume_run,
    )
    from millrace.runtime.stores.sqlite import (
        SqliteStore,
    )
    from millrace.runtime.stream import Stream, StreamCounts
    from millrace.runtime.transactions import (
        Transaction,
        atransaction,
        get_transaction,
        transaction,
    )

    __version__: str

_LATER = {
    "CommitMode": "millrace.actors.transaction_state",
    "TransactionState": "millrace.actors.transaction_state",
    "DEFAULT": "millrace.runtime.caching",
    "FLOW_PARAMETERS": "millrace.runtime.caching",
    "INPUTS": "millrace.runtime.caching",
    "NONE": "millrace.runtime.caching",
    "NO_CACHE": "millrace.runtime.caching",
    "RUN_ID": "millrace.runtime.caching",
    "TASK_SOURCE": "millrace.runtime.caching",
    "CacheKeyFnPolicy": "millrace.runtime.caching",
    "CachePolicy": "millrace.runtime.caching",
    "Explanation": "millrace.runtime.caching",
    "task_input_hash": "millrace.runtime.caching",
    "Stream": "millrace.runtime.stream",
    "StreamCounts": "millrace.runtime.stream",
    "run_flow_in_subprocess": "millrace.runtime.flow_process",
    "AdaptiveLimit": "millrace.actors.adaptive",
    "RateLimit": "millrace.actors.token_bucket",
    "concurrency": "millrace.runtime.limits",
    "rate_limit": "millrace.runtime.limits",
    "CompressedSerializer": "millrace.runtime.results",
    "FileSystemLockManager": "millrace.runtime.results",
    "FsspecStorage": "millrace.runtime.results",
    "JSONSerializer": "millrace.runtime.results",
    "LocalStorage": "millrace.runtime.results",
    "MemoryLockManager": "millrace.runtime.results",
    "MemoryStorage": "millrace.runtime.results",
    "PickleSerializer": "millrace.runtime.results",
    "ResultRecord": "millrace.runtime.results",
    "ResultStore": "millrace.runtime.results",
    "Serializer": "millrace.runtime.results",
    "Storage": "millrace.runtime.results",
    "register_serializer": "millrace.runtime.results",
    "Secret": "millrace.runtime.secret",
    "acancel_flow_run": "millrace.runtime.stores.by_id",
    "cancel_flow_run": "millrace.runtime.stores.by_id",
    "resume_run": "millrace.runtime.stores.resuming",
    "aresume_run": "millrace.runtime.stores.resuming",
    "read_flow_run": "millrace.runtime.stores.reading",
    "read_flow_runs": "millrace.runtime.stores.reading",
    "read_task_run": "millrace.runtime.stores.reading",
    "read_task_runs": "millrace.runtime.stores.reading",
    "read_flow_run_states": "millrace.runtime.stores.reading",
    "read_task_run_states": "millrace.runtime.stores.reading",
    "aread_flow_run": "millrace.runtime.stores.reading",
    "aread_flow_runs": "millrace.runtime.stores.reading",
    "aread_task_run": "millrace.runtime.stores.reading",
    "aread_task_runs": "millrace.runtime.stores.reading",
    "aread_flow_run_states": "millrace.runtime.stores.reading",
    "aread_task_run_states": "millrace.runtime.stores.reading",
    "RecordedFlowRun": "millrace.runtime.stores.reading",
    "RecordedTaskRun": "millrace.runtime.stores.reading",
    "RecordedState": "millrace.runtime.stores.reading",
    "MemoryStore": "millrace.runtime.stores.memory",
    "SqliteStore": "millrace.runtime.stores.sqlite",
    "Store": "millrace.runtime.stores.port",
    "Transaction": "millrace.runtime.transactions",
    "atransaction": "millrace.runtime.transactions",
    "get_transaction": "millrace.runtime.transactions",
    "transaction": "millrace.runtime.transactions",
}
"""Names that few programs use, and where they are: importing these modules takes a while."""

_MODULES = {"asgi": "millrace.runtime.asgi", "testing": "millrace.runtime.testing"}
"""Modules that few programs use."""

__all__ = (
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NONE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "Abort",
    "AcquireConcurrencySlotTimeoutError",
    "AdaptiveLimit",
    "AmbiguousRunId",
    "Annotation",
    "AsyncFlow",
    "AsyncGeneratorFlow",
    "AsyncGeneratorTask",
    "AsyncTask",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "BlockingCallOnLoop",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "Cancelled",
    "CancelledRun",
    "Cancelling",
    "CommitMode",
    "Completed",
    "CompressedSerializer",
    "ConfigurationError",
    "CrashPolicy",
    "Crashed",
    "CrashedRun",
    "DeadlockError",
    "DefaultTaskRunner",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "Event",
    "Explanation",
    "Failed",
    "FailedRun",
    "FileSystemLockManager",
    "Flow",
    "FlowDefinitionError",
    "FlowFuture",
    "FlowOrderChanged",
    "FlowPauseTimeout",
    "FlowRun",
    "FlowRunContext",
    "FlowRunResult",
    "FlowRunTimeoutError",
    "ForeignFuture",
    "FsspecStorage",
    "Future",
    "FutureList",
    "GeneratorFlow",
    "GeneratorTask",
    "InputResolutionError",
    "IsolationLevel",
    "JSONSerializer",
    "Late",
    "LimitNotFound",
    "LocalStorage",
    "MailboxFull",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MemoryLockManager",
    "MemoryStorage",
    "MemoryStore",
    "MillraceError",
    "MissingContextError",
    "MissingExtra",
    "MissingResult",
    "NotPausedError",
    "OwnerUnreachable",
    "ParameterBindError",
    "ParameterTypeError",
    "Pause",
    "PauseRefused",
    "Paused",
    "PausedRun",
    "Pending",
    "PickleSerializer",
    "RateLimit",
    "RecordedFlowRun",
    "RecordedState",
    "RecordedTaskRun",
    "ReservedArgumentError",
    "RestartLimitExceeded",
    "ResultRecord",
    "ResultStore",
    "Retrying",
    "RollBack",
    "RunEnded",
    "RunNameError",
    "RunNotFound",
    "RunNotRemovable",
    "RunNotResumable",
    "Running",
    "Scheduled",
    "Secret",
    "SecretMissing",
    "SequentialTaskRunner",
    "SerializationError",
    "Serializer",
    "SignatureMismatchError",
    "SqliteStore",
    "State",
    "StateDetails",
    "StateGroup",
    "StateType",
    "Storage",
    "StorageError",
    "Store",
    "StoreError",
    "StoreFenced",
    "StoreInUse",
    "StoreRefused",
    "Stream",
    "StreamCounts",
    "StreamInUse",
    "Suspended",
    "Task",
    "TaskDefinitionError",
    "TaskRun",
    "TaskRunContext",
    "TaskRunResult",
    "TaskRunTimeoutError",
    "TaskRunner",
    "TerminationSignal",
    "ThreadPoolTaskRunner",
    "Transaction",
    "TransactionError",
    "TransactionState",
    "UnfinishedRun",
    "UpstreamTaskError",
    "WaitTimeout",
    "__version__",
    "acancel_flow_run",
    "allow_failure",
    "aread_flow_run",
    "aread_flow_run_states",
    "aread_flow_runs",
    "aread_task_run",
    "aread_task_run_states",
    "aread_task_runs",
    "aresume_flow_run",
    "aresume_run",
    "as_completed",
    "asgi",
    "atransaction",
    "cancel_flow_run",
    "cancelled",
    "check_cancelled",
    "concurrency",
    "current",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "exponential_backoff",
    "flow",
    "get_run_context",
    "get_run_logger",
    "get_state_exception",
    "get_transaction",
    "is_state",
    "is_state_iterable",
    "opaque",
    "pause_flow_run",
    "propose_state",
    "quote",
    "raise_state_exception",
    "rate_limit",
    "read_flow_run",
    "read_flow_run_states",
    "read_flow_runs",
    "read_task_run",
    "read_task_run_states",
    "read_task_runs",
    "register_serializer",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "resume_flow_run",
    "resume_run",
    "return_value_to_state",
    "run",
    "run_flow",
    "run_flow_in_subprocess",
    "run_task",
    "suspend_flow_run",
    "tags",
    "task",
    "task_input_hash",
    "testing",
    "transaction",
    "unmapped",
    "wait",
)


def __getattr__(name: str) -> Any:
    """What is made when somebody asks: names of modules that few programs use, and the version."""
    if name in _LATER:
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
    if name in _MODULES:
        module = globals()[name] = import_module(_MODULES[name])
        return module
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # see above

        return version("millrace")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
