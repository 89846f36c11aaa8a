"""millrace: a workflow engine that lives inside your program.

Flows, tasks, states, futures and maps in the vocabulary of Prefect, on asyncio and actors, without a server.

The door: every public name, and where it is. It is imported when somebody asks for it, so that a program pays for what
it uses, and `millrace --help` for next to nothing. Each name stands here twice, as checkers of types read no tables.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from millrace.actors.adaptive import AdaptiveLimit as AdaptiveLimit
    from millrace.actors.annotations import (
        Annotation as Annotation,
        allow_failure as allow_failure,
        opaque as opaque,
        quote as quote,
        unmapped as unmapped,
    )
    from millrace.actors.errors import (
        Abort as Abort,
        AcquireConcurrencySlotTimeoutError as AcquireConcurrencySlotTimeoutError,
        AmbiguousRunId as AmbiguousRunId,
        BlockingCallOnLoop as BlockingCallOnLoop,
        CancelledRun as CancelledRun,
        ConfigurationError as ConfigurationError,
        CrashedRun as CrashedRun,
        DeadlockError as DeadlockError,
        EngineClosed as EngineClosed,
        FailedRun as FailedRun,
        FlowArgumentsChanged as FlowArgumentsChanged,
        FlowDefinitionError as FlowDefinitionError,
        FlowOrderChanged as FlowOrderChanged,
        FlowPauseTimeout as FlowPauseTimeout,
        FlowRunTimeoutError as FlowRunTimeoutError,
        ForeignFuture as ForeignFuture,
        InputResolutionError as InputResolutionError,
        LimitNotFound as LimitNotFound,
        MailboxFull as MailboxFull,
        MappingLengthMismatch as MappingLengthMismatch,
        MappingMissingIterable as MappingMissingIterable,
        MillraceError as MillraceError,
        MissingContextError as MissingContextError,
        MissingExtra as MissingExtra,
        MissingResult as MissingResult,
        NoStateException as NoStateException,
        NotPausedError as NotPausedError,
        OwnerUnreachable as OwnerUnreachable,
        ParameterBindError as ParameterBindError,
        ParameterTypeError as ParameterTypeError,
        Pause as Pause,
        PausedRun as PausedRun,
        PauseRefused as PauseRefused,
        ReservedArgumentError as ReservedArgumentError,
        RestartLimitExceeded as RestartLimitExceeded,
        RollBack as RollBack,
        RunEnded as RunEnded,
        RunNameError as RunNameError,
        RunNotFound as RunNotFound,
        RunNotRemovable as RunNotRemovable,
        RunNotResumable as RunNotResumable,
        SecretMissing as SecretMissing,
        SerializationError as SerializationError,
        SignatureMismatchError as SignatureMismatchError,
        StateDataError as StateDataError,
        StateDefinitionError as StateDefinitionError,
        StorageError as StorageError,
        StoreError as StoreError,
        StoreFenced as StoreFenced,
        StoreInUse as StoreInUse,
        StoreMissing as StoreMissing,
        StoreRefused as StoreRefused,
        StreamInUse as StreamInUse,
        TaskDefinitionError as TaskDefinitionError,
        TaskRunnerError as TaskRunnerError,
        TaskRunTimeoutError as TaskRunTimeoutError,
        TerminationSignal as TerminationSignal,
        TransactionError as TransactionError,
        UnfinishedRun as UnfinishedRun,
        UpstreamTaskError as UpstreamTaskError,
        WaitTimeout as WaitTimeout,
    )
    from millrace.actors.events import Event as Event
    from millrace.actors.isolation import IsolationLevel as IsolationLevel
    from millrace.actors.outcomes import (
        StateGroup as StateGroup,
        exception_to_crashed_state as exception_to_crashed_state,
        exception_to_failed_state as exception_to_failed_state,
        return_value_to_state as return_value_to_state,
    )
    from millrace.actors.policies import (
        CrashPolicy as CrashPolicy,
        exponential_backoff as exponential_backoff,
    )
    from millrace.actors.states import (
        AwaitingConcurrencySlot as AwaitingConcurrencySlot,
        AwaitingRetry as AwaitingRetry,
        Cancelled as Cancelled,
        Cancelling as Cancelling,
        Completed as Completed,
        Crashed as Crashed,
        Failed as Failed,
        Late as Late,
        Paused as Paused,
        Pending as Pending,
        Retrying as Retrying,
        Running as Running,
        Scheduled as Scheduled,
        State as State,
        StateDetails as StateDetails,
        StateType as StateType,
        Suspended as Suspended,
        get_state_exception as get_state_exception,
        is_state as is_state,
        is_state_iterable as is_state_iterable,
        raise_state_exception as raise_state_exception,
    )
    from millrace.actors.token_bucket import RateLimit as RateLimit
    from millrace.actors.transaction_state import (
        CommitMode as CommitMode,
        TransactionState as TransactionState,
    )
    from millrace.runtime import asgi as asgi, current as current, testing as testing
    from millrace.runtime.caching import (
        DEFAULT as DEFAULT,
        FLOW_PARAMETERS as FLOW_PARAMETERS,
        INPUTS as INPUTS,
        NO_CACHE as NO_CACHE,
        NONE as NONE,
        RUN_ID as RUN_ID,
        TASK_SOURCE as TASK_SOURCE,
        CacheKeyFnPolicy as CacheKeyFnPolicy,
        CachePolicy as CachePolicy,
        Explanation as Explanation,
        task_input_hash as task_input_hash,
    )
    from millrace.runtime.context import tags as tags
    from millrace.runtime.cooperation import (
        cancelled as cancelled,
        check_cancelled as check_cancelled,
    )
    from millrace.runtime.deferred.futures import DistributedFuture as DistributedFuture
    from millrace.runtime.deferred.runner import WorkerTaskRunner as WorkerTaskRunner
    from millrace.runtime.deferred.serving import (
        TaskWorker as TaskWorker,
        aserve as aserve,
        serve as serve,
    )
    from millrace.runtime.engine import Engine as Engine
    from millrace.runtime.engine_stats import EngineStats as EngineStats
    from millrace.runtime.flow import (
        AsyncFlow as AsyncFlow,
        Flow as Flow,
    )
    from millrace.runtime.flow_decorator import (
        flow as flow,
        run as run,
    )
    from millrace.runtime.flow_process import run_flow_in_subprocess as run_flow_in_subprocess
    from millrace.runtime.flow_run import FlowRun as FlowRun
    from millrace.runtime.future_list import FutureList as FutureList
    from millrace.runtime.futures import (
        FlowFuture as FlowFuture,
        Future as Future,
    )
    from millrace.runtime.gathering import (
        as_completed as as_completed,
        wait as wait,
    )
    from millrace.runtime.generator_flow import (
        AsyncGeneratorFlow as AsyncGeneratorFlow,
        GeneratorFlow as GeneratorFlow,
    )
    from millrace.runtime.generator_task import (
        AsyncGeneratorTask as AsyncGeneratorTask,
        GeneratorTask as GeneratorTask,
    )
    from millrace.runtime.limits import (
        concurrency as concurrency,
        rate_limit as rate_limit,
    )
    from millrace.runtime.logs import get_run_logger as get_run_logger
    from millrace.runtime.made_ahead import (
        acreate_flow_run as acreate_flow_run,
        create_flow_run as create_flow_run,
    )
    from millrace.runtime.pausing import (
        pause_flow_run as pause_flow_run,
        suspend_flow_run as suspend_flow_run,
    )
    from millrace.runtime.proposing import propose_state as propose_state
    from millrace.runtime.resolving import (
        resolve_futures_to_results as resolve_futures_to_results,
        resolve_futures_to_states as resolve_futures_to_states,
    )
    from millrace.runtime.results import (
        CompressedSerializer as CompressedSerializer,
        FileSystemLockManager as FileSystemLockManager,
        FsspecStorage as FsspecStorage,
        JSONSerializer as JSONSerializer,
        LocalStorage as LocalStorage,
        MemoryLockManager as MemoryLockManager,
        MemoryStorage as MemoryStorage,
        PickleSerializer as PickleSerializer,
        ResultRecord as ResultRecord,
        ResultStore as ResultStore,
        Serializer as Serializer,
        Storage as Storage,
        register_serializer as register_serializer,
    )
    from millrace.runtime.run_contexts import (
        FlowRunContext as FlowRunContext,
        TaskRunContext as TaskRunContext,
        get_run_context as get_run_context,
    )
    from millrace.runtime.runners import (
        DefaultTaskRunner as DefaultTaskRunner,
        SequentialTaskRunner as SequentialTaskRunner,
        TaskRunner as TaskRunner,
        ThreadPoolTaskRunner as ThreadPoolTaskRunner,
    )
    from millrace.runtime.running_flows import run_flow as run_flow
    from millrace.runtime.running_tasks import run_task as run_task
    from millrace.runtime.runs import TaskRun as TaskRun
    from millrace.runtime.secret import Secret as Secret
    from millrace.runtime.stores.by_id import (
        acancel_flow_run as acancel_flow_run,
        cancel_flow_run as cancel_flow_run,
    )
    from millrace.runtime.stores.memory import MemoryStore as MemoryStore
    from millrace.runtime.stores.port import Store as Store
    from millrace.runtime.stores.postgres import PostgresStore as PostgresStore
    from millrace.runtime.stores.reading import (
        RecordedFlowRun as RecordedFlowRun,
        RecordedState as RecordedState,
        RecordedTaskRun as RecordedTaskRun,
        aread_flow_run as aread_flow_run,
        aread_flow_run_states as aread_flow_run_states,
        aread_flow_runs as aread_flow_runs,
        aread_task_run as aread_task_run,
        aread_task_run_states as aread_task_run_states,
        aread_task_runs as aread_task_runs,
        read_flow_run as read_flow_run,
        read_flow_run_states as read_flow_run_states,
        read_flow_runs as read_flow_runs,
        read_task_run as read_task_run,
        read_task_run_states as read_task_run_states,
        read_task_runs as read_task_runs,
    )
    from millrace.runtime.stores.resuming import (
        aresume_run as aresume_run,
        resume_run as resume_run,
    )
    from millrace.runtime.stores.sqlite import SqliteStore as SqliteStore
    from millrace.runtime.stream import (
        Stream as Stream,
        StreamCounts as StreamCounts,
    )
    from millrace.runtime.task import (
        AsyncTask as AsyncTask,
        Task as Task,
    )
    from millrace.runtime.task_decorator import task as task
    from millrace.runtime.tracking import (
        FlowRunResult as FlowRunResult,
        TaskRunResult as TaskRunResult,
    )
    from millrace.runtime.transactions import (
        Transaction as Transaction,
        atransaction as atransaction,
        get_transaction as get_transaction,
        transaction as transaction,
    )
    from millrace.runtime.unpausing import (
        aresume_flow_run as aresume_flow_run,
        resume_flow_run as resume_flow_run,
    )

    __all__: list[str]
    __version__: str

_NAMES: Final = {
    "actors.adaptive": "AdaptiveLimit",
    "actors.annotations": "Annotation allow_failure opaque quote unmapped",
    "actors.errors": """
        Abort AcquireConcurrencySlotTimeoutError AmbiguousRunId BlockingCallOnLoop CancelledRun ConfigurationError
        CrashedRun DeadlockError EngineClosed FailedRun FlowArgumentsChanged FlowDefinitionError FlowOrderChanged
        FlowPauseTimeout FlowRunTimeoutError ForeignFuture InputResolutionError LimitNotFound MailboxFull
        MappingLengthMismatch MappingMissingIterable MillraceError MissingContextError MissingExtra MissingResult
        NoStateException NotPausedError OwnerUnreachable ParameterBindError ParameterTypeError Pause PauseRefused
        PausedRun ReservedArgumentError RestartLimitExceeded RollBack RunEnded RunNameError RunNotFound
        RunNotRemovable RunNotResumable SecretMissing SerializationError SignatureMismatchError StateDataError
        StateDefinitionError StorageError StoreError StoreFenced StoreInUse StoreMissing StoreRefused StreamInUse
        TaskDefinitionError TaskRunTimeoutError TaskRunnerError TerminationSignal TransactionError UnfinishedRun
        UpstreamTaskError WaitTimeout
    """,
    "actors.events": "Event",
    "actors.isolation": "IsolationLevel",
    "actors.outcomes": "StateGroup exception_to_crashed_state exception_to_failed_state return_value_to_state",
    "actors.policies": "CrashPolicy exponential_backoff",
    "actors.states": """
        AwaitingConcurrencySlot AwaitingRetry Cancelled Cancelling Completed Crashed Failed Late Paused Pending
        Retrying Running Scheduled State StateDetails StateType Suspended get_state_exception is_state
        is_state_iterable raise_state_exception
    """,
    "actors.token_bucket": "RateLimit",
    "actors.transaction_state": "CommitMode TransactionState",
    "runtime.caching": """
        CacheKeyFnPolicy CachePolicy DEFAULT Explanation FLOW_PARAMETERS INPUTS NONE NO_CACHE RUN_ID TASK_SOURCE
        task_input_hash
    """,
    "runtime.context": "tags",
    "runtime.cooperation": "cancelled check_cancelled",
    "runtime.deferred.futures": "DistributedFuture",
    "runtime.deferred.runner": "WorkerTaskRunner",
    "runtime.deferred.serving": "TaskWorker aserve serve",
    "runtime.engine": "Engine",
    "runtime.engine_stats": "EngineStats",
    "runtime.flow": "AsyncFlow Flow",
    "runtime.flow_decorator": "flow run",
    "runtime.flow_process": "run_flow_in_subprocess",
    "runtime.flow_run": "FlowRun",
    "runtime.future_list": "FutureList",
    "runtime.futures": "FlowFuture Future",
    "runtime.gathering": "as_completed wait",
    "runtime.generator_flow": "AsyncGeneratorFlow GeneratorFlow",
    "runtime.generator_task": "AsyncGeneratorTask GeneratorTask",
    "runtime.limits": "concurrency rate_limit",
    "runtime.logs": "get_run_logger",
    "runtime.made_ahead": "acreate_flow_run create_flow_run",
    "runtime.pausing": "pause_flow_run suspend_flow_run",
    "runtime.proposing": "propose_state",
    "runtime.resolving": "resolve_futures_to_results resolve_futures_to_states",
    "runtime.results": """
        CompressedSerializer FileSystemLockManager FsspecStorage JSONSerializer LocalStorage MemoryLockManager
        MemoryStorage PickleSerializer ResultRecord ResultStore Serializer Storage register_serializer
    """,
    "runtime.run_contexts": "FlowRunContext TaskRunContext get_run_context",
    "runtime.runners": "DefaultTaskRunner SequentialTaskRunner TaskRunner ThreadPoolTaskRunner",
    "runtime.running_flows": "run_flow",
    "runtime.running_tasks": "run_task",
    "runtime.runs": "TaskRun",
    "runtime.secret": "Secret",
    "runtime.stores.by_id": "acancel_flow_run cancel_flow_run",
    "runtime.stores.memory": "MemoryStore",
    "runtime.stores.port": "Store",
    "runtime.stores.postgres": "PostgresStore",
    "runtime.stores.reading": """
        RecordedFlowRun RecordedState RecordedTaskRun aread_flow_run aread_flow_run_states aread_flow_runs
        aread_task_run aread_task_run_states aread_task_runs read_flow_run read_flow_run_states read_flow_runs
        read_task_run read_task_run_states read_task_runs
    """,
    "runtime.stores.resuming": "aresume_run resume_run",
    "runtime.stores.sqlite": "SqliteStore",
    "runtime.stream": "Stream StreamCounts",
    "runtime.task": "AsyncTask Task",
    "runtime.task_decorator": "task",
    "runtime.tracking": "FlowRunResult TaskRunResult",
    "runtime.transactions": "Transaction atransaction get_transaction transaction",
    "runtime.unpausing": "aresume_flow_run resume_flow_run",
}
"""The names in each module."""

_MODULES: Final = ("asgi", "current", "testing")
"""Modules of `millrace.runtime` that are public themselves."""

_HOME: Final = {name: f"millrace.{module}" for module, names in _NAMES.items() for name in names.split()}
"""By name: the module it is in."""

if not TYPE_CHECKING:  # who checks types has the imports above, and would take any name for one that there is
    __all__ = sorted((*_HOME, *_MODULES, "__version__"))  # noqa: PLE0605

    def __getattr__(name: str) -> Any:
        """What is asked for the first time."""
        if name in _HOME:
            value = getattr(import_module(_HOME[name]), name)
        elif name in _MODULES:
            value = import_module(f"millrace.runtime.{name}")
        elif name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415  # takes a while

            value = version("millrace")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """All names that there are, asked for or not."""
        return sorted({*globals(), *__all__})


import_module("millrace.runtime.ports")  # gives states their clock and their ids, also those that come out of a pickle
