"""Errors: every exception that millrace raises, and nothing else.

This module alone decides what an error says; whoever raises one gives the facts, and finds them
again as attributes. It knows no state, no run and no engine: those come as text or as they are.

The tree says who has to act. A built-in in brackets is a second base, for code that expects it.

    MillraceError
    +-- UsageError                     the calling code is wrong
    |   +-- AmbiguousRunId             (LookupError)
    |   +-- BlockingCallOnLoop         (RuntimeError)
    |   +-- CacheKeyError              (ValueError)
    |   +-- ConfigurationError         (ValueError)
    |   +-- DeadlockError              (RuntimeError)
    |   +-- EngineClosed               (RuntimeError)
    |   +-- FlowDefinitionError        (TypeError)
    |   +-- FlowNotFound               (LookupError)
    |   +-- FlowArgumentsChanged       (RuntimeError)
    |   +-- FlowOrderChanged           (RuntimeError)
    |   +-- ForeignFuture              (ValueError)
    |   +-- InputResolutionError       (TypeError)
    |   +-- LimitNotFound              (LookupError)
    |   +-- MappingLengthMismatch      (ValueError)
    |   +-- MappingMissingIterable     (ValueError)
    |   +-- MissingContextError        (RuntimeError)
    |   +-- NoStateException           (ValueError)
    |   +-- NotPausedError             (RuntimeError)
    |   +-- ParameterBindError         (TypeError)
    |   +-- ParameterTypeError         (TypeError)
    |   +-- PauseRefused               (RuntimeError)
    |   +-- ReservedArgumentError      (TypeError)
    |   +-- RunEnded                   (RuntimeError)
    |   +-- RunNameError               (ValueError)
    |   +-- RunNotFound                (LookupError)
    |   +-- RunNotRemovable            (RuntimeError)
    |   +-- RunNotResumable            (RuntimeError)
    |   +-- SignatureMismatchError     (TypeError)
    |   +-- StateDataError             (TypeError)
    |   +-- StateDefinitionError       (ValueError)
    |   +-- StreamInUse                (RuntimeError)
    |   +-- TaskDefinitionError        (TypeError)
    |   +-- TaskNotFound               (LookupError)
    |   +-- TaskRunnerError            (RuntimeError)
    |   +-- TransactionError           (RuntimeError)
    |   +-- Unhashable                 (TypeError)
    +-- RunError                       a run did not come to the result that was asked for
    |   +-- AcquireConcurrencySlotTimeoutError (TimeoutError)
    |   +-- CancelledRun
    |   +-- CrashedRun
    |   +-- FailedRun
    |   +-- FlowPauseTimeout           (TimeoutError)
    |   +-- FlowRunTimeoutError        (TimeoutError)
    |   +-- MissingResult
    |   +-- PausedRun
    |   +-- RestartLimitExceeded
    |   +-- RollBack
    |   +-- TaskRunTimeoutError        (TimeoutError)
    |   +-- UnfinishedRun
    |   +-- UpstreamTaskError
    |   +-- WaitTimeout                (TimeoutError)
    +-- EngineError                    the engine or what surrounds it cannot do what it should
        +-- AmbientMissing             (RuntimeError)
        +-- MailboxFull                (RuntimeError)
        +-- MissingExtra               (ImportError)
        +-- SecretMissing              (LookupError)
        +-- OwnerUnreachable           (ConnectionError)
        +-- SerializationError         (ValueError)
        +-- StorageError               (OSError)
        +-- StoreError                 (OSError)
        +-- StoreFenced                (OSError)
        +-- StoreInUse                 (OSError)
        +-- StoreMissing               (OSError)
        +-- StoreRefused               (OSError)

    Signal                             a BaseException, so that `except Exception` lets it pass
    +-- Abort
    +-- Pause
    +-- TerminationSignal

Signals are no errors and do not derive from `MillraceError`: they end a run's body from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from millrace.actors.telling import shown

if TYPE_CHECKING:
    from uuid import UUID

E = TypeVar("E", bound=BaseException)


def _rebuild(kind: type[E], args: tuple[Any, ...]) -> E:
    error = kind.__new__(kind)
    error.args = args
    return error


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


class MillraceError(Exception):
    """The root of all errors of millrace."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A constructor takes facts, while `args` holds the message made of them, so the usual way
        # of pickling an exception, calling its class with `args`, would fail. This calls none.
        return _rebuild, (type(self), self.args), self.__dict__


class UsageError(MillraceError):
    """The calling code asks for something that cannot be done as asked."""


class RunError(MillraceError):
    """A run has not come to the result that was asked for."""


class EngineError(MillraceError):
    """The engine, or what surrounds it, cannot do what it should."""


# Usage.


class BlockingCallOnLoop(UsageError, RuntimeError):
    """A blocking wait was called on the event loop's own thread, where it would never end.

    Args:
        call: The blocking call, as in `future.result()`.
        instead: What to write in its place, as in `await future`.
    """

    def __init__(self, call: str, instead: str) -> None:
        super().__init__(f"{call} would block the event loop on its own thread. Use `{instead}` instead.")
        self.call = call
        self.instead = instead


class CacheKeyError(UsageError, ValueError):
    """A part of a cache key could not be computed, so there is no key.

    Args:
        part: The part, as in "input 'page'".
        reason: Why not; a clause without a full stop.
        advice: What to do, as a sentence; nothing where the reason says it.
    """

    def __init__(self, part: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{part} cannot be part of a cache key: {reason}.{advice and ' '}{advice}")
        self.part = part
        self.reason = reason
        self.advice = advice


class ConfigurationError(UsageError, ValueError):
    """An option or a setting has a value that cannot be used.

    Args:
        name: The option.
        value: What it was given.
        expected: What it takes, as in "a whole number, 0 or more".
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"'{name}' takes {expected}, not {shown(value)}.")
        self.name = name
        self.value = value
        self.expected = expected


class DeadlockError(UsageError, RuntimeError):
    """Somebody waits for slots that are given back only after they were served.

    Args:
        waiter: Who waits, as in "task run 'load-1a2'".
        limits: The names of the limits that it waits for.
        holder: Who holds what would have to be given back, and waits for the end of the waiter.
    """

    def __init__(self, waiter: str, limits: Iterable[str], holder: str) -> None:
        self.waiter = waiter
        self.limits: tuple[str, ...] = tuple(limits)
        self.holder = holder
        held = "slots" if self.waiter == self.holder else "slots, waits for it,"
        super().__init__(
            f"{_capital(self.waiter)} would wait for ever for slots of {_names(self.limits)}: {self.holder} holds"
            f" {held} and goes on only after that. Take the slots in one of the two places only, or raise the limit."
        )


class EngineClosed(UsageError, RuntimeError):
    """Something was asked of an engine that is closed.

    Args:
        attempted: What was asked, as in "start flow 'crawl'".
    """

    def __init__(self, attempted: str) -> None:
        super().__init__(
            f"Cannot {attempted}: the engine is closed. Do it before the engine is closed, or use a new one."
        )
        self.attempted = attempted


class FlowDefinitionError(UsageError, TypeError):
    """`@flow` was put on something that cannot be a flow, or was given options that do not fit.

    Args:
        problem: The whole sentence, since every case is its own.
    """


class TaskDefinitionError(UsageError, TypeError):
    """`@task` was put on something that cannot be a task, or was given options that do not fit.

    Args:
        problem: The whole sentence, since every case is its own.
    """


class _NotFound(UsageError, LookupError):
    """What the words of a command name is not there. Kinds of things say what they are called."""

    thing: ClassVar[str]
    example: ClassVar[str]

    def __init__(
        self,
        name: str | None,
        source: str,
        available: Iterable[str],
        *,
        exists: bool = True,
        instead: str | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.available = tuple(available)
        self.exists = exists
        self.instead = instead
        thing, example = self.thing, self.example
        if not exists:
            super().__init__(
                f"There is no '{source}' to take a {thing} from. Name a file, as in {thing}s.py:{example}, or a module"
                f" that can be imported, as in package.{thing}s:{example}."
            )
            return
        there = f"{thing.capitalize()}s there: {_names(self.available)}."
        wanted = f"no {thing} '{name}'" if name is not None else f"not exactly one {thing}; name one"
        named = f": that is {instead}" if instead is not None else ""
        super().__init__(f"'{source}' has {wanted}{named}. {there}")


class FlowNotFound(_NotFound):
    """A file or module has no flow of that name.

    Args:
        name: The flow that was looked for; None where one had to be chosen and none was named.
        source: Where it was looked for.
        available: The names of the flows that are there.
        exists: Whether there is such a file or module at all.
        instead: What the name stands for there, where it is something else; as in "a task".
    """

    thing = "flow"
    example = "crawl"


class FlowOrderChanged(UsageError, RuntimeError):
    """A flow run that is run again made other calls than before, so that results would go to the wrong ones.

    Args:
        position: Which call, counted from 1.
        before: What was called there before.
        now: What is called there now.
    """

    def __init__(self, position: int, before: str, now: str) -> None:
        super().__init__(
            f"The flow calls '{now}' as its call {position}, where it called '{before}' before. A flow that is run"
            " again has to make the same calls in the same order, as long as they completed; or make retries=0 of it."
        )
        self.position = position
        self.before = before
        self.now = now


class FlowArgumentsChanged(UsageError, RuntimeError):
    """A flow run that is resumed calls something with other arguments than before, and its result is another's.

    Args:
        position: Which call, counted from 1.
        called: What is called.
        what: Which of its arguments, or of its items, is another one.
        recorded: The id of the run that has the recorded result.
    """

    def __init__(self, position: int, called: str, what: str, recorded: UUID) -> None:
        super().__init__(
            f"The flow calls '{called}' as its call {position}, with another {what} than before, so the recorded result"
            f" of run {recorded} is not its own. A flow that is resumed has to make the same calls with the same"
            " arguments, as long as they completed. Let a task give what is another one each time, as the time or a"
            " random number: then that is on record, too. Where the result does not depend on it, as on a token, leave"
            " it out of the task's cache policy, as in INPUTS - 'token'; or resume the run with any_arguments=True, or"
            " --any-arguments: then calls get their results whatever their arguments are. Or run the flow anew."
        )
        self.position = position
        self.called = called
        self.what = what
        self.recorded = recorded


class ForeignFuture(UsageError, ValueError):
    """A future of another engine, or of one that is closed, was used where it cannot be waited for.

    Args:
        future: The name of the future's run, or its description.
    """

    def __init__(self, future: str) -> None:
        super().__init__(
            f"Future '{future}' belongs to another engine or to one that is closed. Pass its result instead."
        )
        self.future = future


class InputResolutionError(UsageError, TypeError):
    """A parameter could not be searched for futures and states.

    Args:
        parameter: The parameter.
        reason: Why not; a clause without a full stop.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(
            f"Could not look inside parameter '{parameter}' for futures and states: {reason}."
            " Wrap it in quote(...) to pass it as it is."
        )
        self.parameter = parameter
        self.reason = reason


class LimitNotFound(UsageError, LookupError):
    """There is no limit of a name.

    Args:
        names: The names that were looked for and not found.
        available: The names of the limits that there are.
    """

    def __init__(self, names: Iterable[str], available: Iterable[str]) -> None:
        self.names: tuple[str, ...] = tuple(names)
        self.available: tuple[str, ...] = tuple(available)
        super().__init__(
            f"There is no limit {_names(self.names)}. Limits of this engine: {_names(self.available)}. Make it with"
            " Engine(limits=...) or engine.limits.create(...)."
        )


class MappingLengthMismatch(UsageError, ValueError):
    """Parameters of a map have different lengths.

    Args:
        lengths: From each spread parameter to its length.
    """

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self.lengths: dict[str, int] = dict(lengths)
        given = ", ".join(f"'{name}' has {length:,}" for name, length in self.lengths.items())
        super().__init__(
            f"The parameters of a map must have one length: {given}. Wrap what is to be passed whole in unmapped(...)."
        )


class MappingMissingIterable(UsageError, ValueError):
    """None of the parameters of a map can be spread.

    Args:
        parameters: The parameters that were given.
    """

    def __init__(self, parameters: Iterable[str]) -> None:
        self.parameters: tuple[str, ...] = tuple(parameters)
        super().__init__(
            "A map needs at least one iterable that is not wrapped in unmapped(...); a str, bytes"
            f" or open file is none. Parameters given: {_names(self.parameters)}."
        )


class MissingContextError(UsageError, RuntimeError):
    """Something that needs a run around it was called outside of any.

    Args:
        call: What was called, as in `get_run_context()`.
        wanted: What it needs around it.
    """

    def __init__(self, call: str, wanted: str = "a flow run or a task run") -> None:
        super().__init__(f"{call} needs {wanted} around it, and there is none here.")
        self.call = call
        self.wanted = wanted


class NoStateException(UsageError, ValueError):
    """The exception of a state was asked for that stands for none.

    Args:
        problem: The whole sentence, since every case is its own.
    """


class NotPausedError(UsageError, RuntimeError):
    """A run that is not paused was to be resumed.

    Args:
        run: The run's name or id.
        state: The state it is in.
    """

    def __init__(self, run: object, state: object) -> None:
        self.run: str = str(run)
        self.state: str = str(state)
        super().__init__(
            f"Cannot resume flow run '{self.run}': only a paused run can be resumed, and it is {self.state}."
        )


class ParameterBindError(UsageError, TypeError):
    """A flow or task was called with arguments that do not fit its signature.

    Args:
        function: The flow's or task's name.
        signature: Its signature, as in `(url, retries=3)`.
        reason: What does not fit; a clause without a full stop.
    """

    def __init__(self, function: str, signature: str, reason: str) -> None:
        super().__init__(
            f"Cannot bind the arguments of '{function}': {reason}. Its signature is {function}{signature}."
        )
        self.function = function
        self.signature = signature
        self.reason = reason


class ParameterTypeError(UsageError, TypeError):
    """Parameters of a flow run could not be converted to what their annotations ask for.

    Args:
        flow: The flow's name.
        problems: From the path of each wrong value, as in `config.retries`, to what is wrong.
    """

    def __init__(self, flow: str, problems: Mapping[str, str]) -> None:
        self.flow = flow
        self.problems: dict[str, str] = dict(problems)
        lines = "".join(f"\n  {path}: {text}" for path, text in self.problems.items())
        noun = "parameter" if len(self.problems) == 1 else "parameters"
        super().__init__(f"Flow '{flow}' was given {len(self.problems)} invalid {noun}:{lines}")


class PauseRefused(UsageError, RuntimeError):
    """A flow run cannot be paused or suspended now.

    Args:
        run: The run's name.
        reason: Why not; a clause without a full stop.
    """

    def __init__(self, run: object, reason: str) -> None:
        self.run: str = str(run)
        self.reason = reason
        super().__init__(f"Cannot pause flow run '{self.run}': {reason}.")


class ReservedArgumentError(UsageError, TypeError):
    """A flow's or task's function has a parameter with a name that the engine needs for itself.

    Args:
        function: The function's name.
        parameter: The parameter.
    """

    def __init__(self, function: str, parameter: str) -> None:
        super().__init__(
            f"'{function}' has a parameter named '{parameter}', which is an option of every call. Rename the parameter."
        )
        self.function = function
        self.parameter = parameter


class RunEnded(UsageError, RuntimeError):
    """Something was asked of a run that has ended already.

    Args:
        attempted: What was asked, as in "cancel".
        run: The run's name or id.
        state: The state that it has ended in.
    """

    def __init__(self, attempted: str, run: object, state: object) -> None:
        self.attempted = attempted
        self.run: str = str(run)
        self.state: str = str(state)
        super().__init__(f"Cannot {attempted} flow run '{self.run}': it has ended already, and is {self.state}.")


class RunNameError(UsageError, ValueError):
    """A run has no name, because what is to make one failed.

    Args:
        option: What is to make it, as in `task_run_name`.
        owner: The name of the task or flow.
        reason: What happened; a clause without a full stop.
    """

    def __init__(self, option: str, owner: str, reason: str) -> None:
        super().__init__(f"Could not name a run of '{owner}' with its '{option}': {reason}.")
        self.option = option
        self.owner = owner
        self.reason = reason


class RunNotFound(UsageError, LookupError):
    """No run with that id is known.

    Args:
        run_id: The id, or the beginning of one.
        kind: "flow run" or "task run".
        store: Where it was looked for.
    """

    def __init__(self, run_id: object, kind: str = "flow run", store: str = "this engine") -> None:
        self.run_id: str = str(run_id)
        self.kind = kind
        self.store = store
        super().__init__(
            f"There is no {kind} '{self.run_id}' in {store}. Check the id, and which store it was recorded in; "
            "without a store it may have ended."
        )


class AmbiguousRunId(RunNotFound):
    """Several runs have an id that begins like the one that was given.

    Args:
        beginning: What was given.
        found: The ids of some of them.
        store: Where they were found.
    """

    def __init__(self, beginning: str, found: Iterable[str], store: str) -> None:
        super().__init__(beginning, store=store)
        self.found: tuple[str, ...] = tuple(found)
        told = f"Several flow runs in {store} have an id that begins with '{beginning}'"
        self.args = (f"{told}, {_names(self.found)} for example. Give more of it.",)


class RunNotRemovable(UsageError, RuntimeError):
    """The record of a run cannot be removed now.

    Args:
        run: The run's name or id.
        reason: Why not; a clause without a full stop.
        advice: What to do; a sentence.
    """

    def __init__(self, run: object, reason: str, advice: str = "") -> None:
        super().__init__(f"Cannot remove flow run '{run}': {reason}.{advice and f' {advice}'}")
        self.run: str = str(run)
        self.reason = reason


class RunNotResumable(UsageError, RuntimeError):
    """A recorded run cannot be run again now, or not like that.

    Args:
        run: Its name, or its id.
        reason: Why; a clause without a full stop.
        advice: What to do; a sentence.
    """

    def __init__(self, run: object, reason: str, advice: str = "") -> None:
        super().__init__(f"Flow run '{run}' cannot be resumed: {reason}.{advice and f' {advice}'}")
        self.run = run
        self.reason = reason


class SignatureMismatchError(UsageError, TypeError):
    """Parameters were given that a flow or task does not have, or some that it needs were not.

    Args:
        function: The flow's or task's name.
        expected: The parameters it has.
        given: The parameters it was given.
        missing: Those of them that it cannot do without.
    """

    def __init__(
        self, function: str, expected: Iterable[str], given: Iterable[str], missing: Iterable[str] = ()
    ) -> None:
        self.function = function
        self.expected: tuple[str, ...] = tuple(expected)
        self.given: tuple[str, ...] = tuple(given)
        self.missing: tuple[str, ...] = tuple(missing)
        lacks = f" It needs {_names(self.missing)}." if self.missing else ""
        super().__init__(
            f"'{function}' takes the parameters {_names(self.expected)}, and was given {_names(self.given)}.{lacks}"
        )


class StateDataError(UsageError, TypeError):
    """The exception of a state was asked for, and what is in its data cannot be made one.

    Args:
        state: The state.
        data: What is in its data.
    """

    def __init__(self, state: object, data: object) -> None:
        super().__init__(
            f"The data of {state} cannot be made an exception: it is {shown(data)}, of type {type(data).__name__}."
            " Make the state of an exception, a message, or states that failed."
        )
        self.state: str = str(state)


class StateDefinitionError(UsageError, ValueError):
    """A state was to be made of things that do not go together.

    Args:
        problem: The whole sentence, since every case is its own.
    """


class StreamInUse(UsageError, RuntimeError):
    """A stream was asked for results by more than one, or a second time.

    Args:
        stream: What the stream is called, as in "the stream of task 'fetch'".
        reason: Why not; a clause without a full stop.
    """

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(f"Cannot iterate over {stream}: {reason}. Make another stream.")
        self.stream = stream
        self.reason = reason


class TaskNotFound(_NotFound):
    """A file or module has no task of that name.

    Args:
        name: The task that was looked for; None where one had to be chosen and none was named.
        source: Where it was looked for.
        available: The names of the tasks that are there.
        exists: Whether there is such a file or module at all.
        instead: What the name stands for there, where it is something else; as in "a flow".
    """

    thing = "task"
    example = "fetch"


class TaskRunnerError(UsageError, RuntimeError):
    """A task runner was started twice, or was given work while it was not started.

    Args:
        attempted: What was attempted, as in "submit task 'fetch'".
        runner: The runner.
        reason: Why not; a clause without a full stop.
        instead: What to do; a sentence.
    """

    def __init__(self, attempted: str, runner: object, reason: str, instead: str) -> None:
        super().__init__(f"Cannot {attempted} with {shown(runner)}: {reason}. {instead}")
        self.attempted = attempted
        self.reason = reason


class TransactionError(UsageError, RuntimeError):
    """A transaction was asked for something that it cannot do, or not in the state it is in.

    Args:
        attempted: What was asked of which, as in "commit transaction 'totals'".
        state: The state it is in.
        instead: What to do; a whole sentence.
    """

    def __init__(self, attempted: str, state: object, instead: str) -> None:
        super().__init__(f"Cannot {attempted}: it is {state}. {instead}")
        self.attempted = attempted
        self.state: str = str(state)
        self.instead = instead


class Unhashable(UsageError, TypeError):
    """A value has no hash that says what is in it.

    Args:
        reason: Why not; a clause without a full stop.
        culprit: The type that is to blame, which may stand deep inside the value.
    """

    def __init__(self, reason: str, culprit: str) -> None:
        super().__init__(f"Cannot hash a value by its content: {reason}.")
        self.reason = reason
        self.culprit = culprit


# Runs.


class AcquireConcurrencySlotTimeoutError(RunError, TimeoutError):
    """What was wanted of one or more limits was not there in time.

    Args:
        waiter: Who waited, as in "task run 'load-1a2'".
        limits: The names of the limits.
        seconds: How long it was to wait.
    """

    def __init__(self, waiter: str, limits: Iterable[str], seconds: float) -> None:
        self.waiter = waiter
        self.limits: tuple[str, ...] = tuple(limits)
        self.seconds = seconds
        super().__init__(f"{_capital(waiter)} was not served by {_names(self.limits)} within {_seconds(seconds)}.")


class CancelledRun(RunError):
    """The run was cancelled, and its state holds no exception that says more."""


class CrashedRun(RunError):
    """The run crashed, and its state holds no exception that says more."""


class FailedRun(RunError):
    """The run failed, and its state holds no exception that says more."""


class FlowPauseTimeout(RunError, TimeoutError):
    """A paused flow run was not resumed in time.

    Args:
        run: The run's name or id.
        seconds: How long it was to wait.
    """

    def __init__(self, run: object, seconds: float) -> None:
        self.run: str = str(run)
        self.seconds = seconds
        super().__init__(f"Flow run '{self.run}' was paused and not resumed within {_seconds(seconds)}.")


class _RunTimeoutError(RunError, TimeoutError):
    kind = "Run"

    def __init__(self, run: object, seconds: float) -> None:
        self.run: str = str(run)
        self.seconds = seconds
        super().__init__(f"{self.kind} '{self.run}' exceeded its timeout of {_seconds(seconds)}.")


class FlowRunTimeoutError(_RunTimeoutError):
    """A flow run exceeded the timeout its flow has.

    Args:
        run: The run's name or id.
        seconds: The timeout.
    """

    kind = "Flow run"


class TaskRunTimeoutError(_RunTimeoutError):
    """A task run exceeded the timeout its task has.

    Args:
        run: The run's name or id.
        seconds: The timeout.
    """

    kind = "Task run"


class MissingResult(RunError):
    """The run completed, but its result is not there any more.

    Args:
        where: Where it was looked for; None where it was never kept.
    """

    def __init__(self, where: str | None = None) -> None:
        self.where = where
        super().__init__(
            "The run completed, but its result was not kept. Set persist_result=True to keep results."
            if where is None
            else f"The run completed, but its result is not in {where} any more."
        )


class PausedRun(RunError):
    """The result of a run was asked for while the run is paused.

    Args:
        state: The state the run is in.
    """

    def __init__(self, state: object) -> None:
        super().__init__(f"The run has no result: it is {state}. Resume it first.")
        self.state = state


class RestartLimitExceeded(RunError):
    """More task runs of a flow run crashed than its crash policy restarts.

    Args:
        run: The name of the task run that crashed last.
        restarts: How many restarts the policy allows.
        seconds: Within how many seconds.
        crash: The last crash.
    """

    def __init__(self, run: object, restarts: int, seconds: float, crash: str) -> None:
        self.run: str = str(run)
        self.restarts = restarts
        self.seconds = seconds
        self.crash = crash
        super().__init__(
            f"Task run '{self.run}' crashed and was not restarted: its flow run allows {_count(restarts, 'restart')}"
            f" within {_seconds(seconds)}. The crash: {crash}"
        )


class UnfinishedRun(RunError):
    """The result of a run was asked for, and the run has not come to an end that has one.

    Args:
        state: The state the run is in.
    """

    def __init__(self, state: object) -> None:
        super().__init__(f"The run has no result: it is {state}.")
        self.state = state


class RollBack(RunError):
    """To be raised inside a transaction, in order to roll it back on purpose."""


class UpstreamTaskError(RunError):
    """A run needs the result of another one, which did not complete.

    Args:
        run: The upstream run's name.
        state: The state it is in.
    """

    def __init__(self, run: object, state: object) -> None:
        self.run: str = str(run)
        self.state: str = str(state)
        super().__init__(
            f"Upstream task run '{self.run}' did not complete: it is {self.state}. Wrap it in"
            " allow_failure(...) to get its exception instead."
        )


class WaitTimeout(RunError, TimeoutError):
    """A wait for one or several runs took longer than it was allowed to. The runs go on.

    Args:
        unfinished: How many had not finished.
        total: How many were waited for.
        seconds: How long it was to wait.
    """

    def __init__(self, unfinished: int, total: int, seconds: float) -> None:
        self.unfinished = unfinished
        self.total = total
        self.seconds = seconds
        super().__init__(f"{unfinished:,} of {_count(total, 'run')} did not finish within {_seconds(seconds)}.")


# The engine.


class AmbientMissing(EngineError, RuntimeError):
    """A state made by hand needs the time or an id, and nobody has said where to take it from.

    Args:
        what: The hook of `millrace.actors.ambient` that is missing.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Nothing is installed as '{what}'. Import `millrace`, or call millrace.actors.ambient.install({what}=...)."
        )
        self.what = what


class MailboxFull(EngineError, RuntimeError):
    """An actor's mailbox holds as many messages as it may, and did not take another.

    Args:
        actor: The kind of the actor.
        bound: How many may wait.
    """

    def __init__(self, actor: str, bound: int) -> None:
        super().__init__(
            f"The mailbox of a {actor} is full: {_count(bound, 'message')} wait already. Send again later."
        )
        self.actor = actor
        self.bound = bound


class MissingExtra(EngineError, ImportError):
    """An optional dependency is not installed.

    Args:
        feature: What needs it.
        extra: The extra of the package that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed: pip install 'millrace[{extra}]'.")
        self.feature = feature
        self.extra = extra


class SecretMissing(EngineError, LookupError):
    """A secret is to be read from a variable of the environment, which is not set in this process.

    Args:
        name: The variable's name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"The secret in the variable {name!r} could not be read: set {name!r} in this process.")
        self.name = name


class SerializationError(EngineError, ValueError):
    """A value could not be written to bytes, or not be read back.

    Args:
        attempted: What was attempted on what, as in "serialize the result of 'fetch-1a2'".
        reason: Why it failed; a clause without a full stop.
    """

    def __init__(self, attempted: str, reason: str) -> None:
        super().__init__(f"Could not {attempted}: {reason}.")
        self.attempted = attempted
        self.reason = reason


class StorageError(EngineError, OSError):
    """A storage could not be read or written; what was asked for is neither done nor known to be absent.

    Args:
        attempted: What was attempted on what, as in "write to /results/1a2".
        reason: Why it failed; a clause without a full stop.
    """

    def __init__(self, attempted: str, reason: str) -> None:
        super().__init__(f"Could not {attempted}: {reason}.")
        self.attempted = attempted
        self.reason = reason


class OwnerUnreachable(EngineError, ConnectionError):
    """The process that runs a flow run cannot be told what to do with it.

    Args:
        attempted: What it was to do, as in "cancel flow run 'misty-otter'".
        reason: Why it cannot be told; a clause without a full stop.
        advice: What to do; a sentence.
    """

    def __init__(self, attempted: str, reason: str, advice: str = "") -> None:
        super().__init__(f"Could not {attempted}: {reason}.{advice and f' {advice}'}")
        self.attempted = attempted
        self.reason = reason


class StoreError(EngineError, OSError):
    """A store of flow runs could not be read or written; what was not acknowledged does not count.

    Args:
        store: Says where it is.
        attempted: What was attempted, as in "write a group of records to".
        reason: Why it failed; a clause without a full stop.
        advice: What to do; a sentence.
    """

    def __init__(self, store: str, attempted: str, reason: str, advice: str = "") -> None:
        super().__init__(f"Could not {attempted} {store}: {reason}.{advice and f' {advice}'}")
        self.store = store
        self.attempted = attempted
        self.reason = reason


class StoreInUse(StoreError):
    """A store is to be opened to write that somebody else writes to.

    Args:
        store: Says where it is.
        owner: Says who that is.
    """

    def __init__(self, store: str, owner: str) -> None:
        super().__init__(
            store,
            "open the store",
            f"{owner} has it open",
            "End that process first, or open the store with ?mode=ro, which only reads.",
        )
        self.owner = owner


class StoreRefused(StoreError):
    """A store is not used, because what was acknowledged might be lost or changed there, or cannot be understood.

    Args:
        store: Says where it is.
        reason: Why; a clause without a full stop.
        advice: What to do; a sentence.
    """

    def __init__(self, store: str, reason: str, advice: str) -> None:
        super().__init__(store, "use the store", reason, advice)


class StoreMissing(StoreError):
    """There is nothing to read in a store as yet: nobody has ever opened it to write.

    Args:
        store: Says where it is.
        reason: What there is instead; a clause without a full stop.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, "read from", reason)


class StoreFenced(StoreError):
    """Something was to be written for an owner that is over, because another one has taken its place.

    Args:
        store: Says where it is.
        token: That of the owner.
    """

    def __init__(self, store: str, token: int) -> None:
        super().__init__(
            store,
            "write a group of records to",
            f"its owner, number {token}, is over, and another one has taken its place",
            "Nothing of the group was written.",
        )
        self.token = token


# Signals.


class Signal(BaseException):
    """Base of what ends a run's body from outside. No error, and not to be caught by a body."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args), self.__dict__


class Abort(Signal):
    """A proposed state was refused; whoever proposed it has to stop. The run keeps its state.

    Args:
        reason: Why; a clause without a full stop.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"The proposed state was refused: {reason}.")
        self.reason = reason


class Pause(Signal):
    """The run is paused or suspended, and its body has to end for now.

    Args:
        state: The state the run is in.
    """

    def __init__(self, state: object = None) -> None:
        super().__init__("The run is paused." if state is None else f"The run is paused: {state}.")
        self.state = state


class TerminationSignal(Signal):
    """The process was asked to terminate while a flow was running.

    Args:
        signal: The number of the operating system's signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"The process received signal {int(signal)}.")
        self.signal: int = int(signal)
