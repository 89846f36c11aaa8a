"""millrace: a workflow engine that lives inside your program.

Flows, tasks, states, futures and maps in the vocabulary of Prefect, on asyncio and actors, without a server.
"""

from typing import TYPE_CHECKING

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote, unmapped
from millrace.actors.errors import (
    Abort,
    BlockingCallOnLoop,
    CancelledRun,
    ConfigurationError,
    CrashedRun,
    EngineClosed,
    FailedRun,
    FlowDefinitionError,
    FlowPauseTimeout,
    FlowRunTimeoutError,
    ForeignFuture,
    InputResolutionError,
    MailboxFull,
    MappingLengthMismatch,
    MappingMissingIterable,
    MillraceError,
    MissingContextError,
    MissingExtra,
    MissingResult,
    NotPausedError,
    ParameterBindError,
    ParameterTypeError,
    Pause,
    PausedRun,
    ReservedArgumentError,
    RollBack,
    RunNotFound,
    SerializationError,
    SignatureMismatchError,
    TaskDefinitionError,
    TaskRunTimeoutError,
    TerminationSignal,
    UnfinishedRun,
    UpstreamTaskError,
    WaitTimeout,
)
from millrace.actors.events import Event
from millrace.actors.outcomes import (
    StateGroup,
    exception_to_crashed_state,
    exception_to_failed_state,
    return_value_to_state,
)
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
from millrace.runtime.context import FlowRunContext, TaskRunContext, get_run_context, tags
from millrace.runtime.engine import Engine, EngineStats
from millrace.runtime.flow import AsyncFlow, Flow, flow, run
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import FlowFuture, Future
from millrace.runtime.gathering import as_completed, wait
from millrace.runtime.logs import get_run_logger
from millrace.runtime.proposing import propose_state
from millrace.runtime.resolving import resolve_futures_to_results, resolve_futures_to_states
from millrace.runtime.runners import DefaultTaskRunner, SequentialTaskRunner, TaskRunner, ThreadPoolTaskRunner
from millrace.runtime.runs import TaskRun
from millrace.runtime.task import AsyncTask, Task, task
from millrace.runtime.tracking import FlowRunResult, TaskRunResult

__all__ = (
    "Abort",
    "Annotation",
    "AsyncFlow",
    "AsyncTask",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "BlockingCallOnLoop",
    "Cancelled",
    "CancelledRun",
    "Cancelling",
    "Completed",
    "ConfigurationError",
    "Crashed",
    "CrashedRun",
    "DefaultTaskRunner",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "Event",
    "Failed",
    "FailedRun",
    "Flow",
    "FlowDefinitionError",
    "FlowFuture",
    "FlowPauseTimeout",
    "FlowRun",
    "FlowRunContext",
    "FlowRunResult",
    "FlowRunTimeoutError",
    "ForeignFuture",
    "Future",
    "FutureList",
    "InputResolutionError",
    "Late",
    "MailboxFull",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MillraceError",
    "MissingContextError",
    "MissingExtra",
    "MissingResult",
    "NotPausedError",
    "ParameterBindError",
    "ParameterTypeError",
    "Pause",
    "Paused",
    "PausedRun",
    "Pending",
    "ReservedArgumentError",
    "Retrying",
    "RollBack",
    "RunNotFound",
    "Running",
    "Scheduled",
    "SequentialTaskRunner",
    "SerializationError",
    "SignatureMismatchError",
    "State",
    "StateDetails",
    "StateGroup",
    "StateType",
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
    "UnfinishedRun",
    "UpstreamTaskError",
    "WaitTimeout",
    "__version__",
    "allow_failure",
    "as_completed",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "flow",
    "get_run_context",
    "get_run_logger",
    "get_state_exception",
    "is_state",
    "is_state_iterable",
    "opaque",
    "propose_state",
    "quote",
    "raise_state_exception",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "return_value_to_state",
    "run",
    "tags",
    "task",
    "unmapped",
    "wait",
)


if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """`__version__`, read from the metadata when somebody asks: that takes longer than the rest of the import."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # see above

        return version("millrace")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
