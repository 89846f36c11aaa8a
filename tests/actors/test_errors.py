"""Every error: what it says, what it holds, what it can be caught as, and that it can be sent."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from millrace.actors import errors
from millrace.actors.errors import (
    Abort,
    AcquireConcurrencySlotTimeoutError,
    AmbientMissing,
    AmbiguousRunId,
    BlockingCallOnLoop,
    CacheKeyError,
    CancelledRun,
    ConfigurationError,
    CrashedRun,
    DeadlockError,
    EngineClosed,
    EngineError,
    FailedRun,
    FlowArgumentsChanged,
    FlowDefinitionError,
    FlowNotFound,
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
    NoStateException,
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
    RunError,
    RunNameError,
    RunNotFound,
    RunNotRemovable,
    RunNotResumable,
    SecretMissing,
    SerializationError,
    Signal,
    SignatureMismatchError,
    StateDataError,
    StateDefinitionError,
    StorageError,
    StoreError,
    StoreFenced,
    StoreInUse,
    StoreMissing,
    StoreRefused,
    StreamInUse,
    TaskDefinitionError,
    TaskNotFound,
    TaskRunnerError,
    TaskRunTimeoutError,
    TerminationSignal,
    TransactionError,
    UnfinishedRun,
    Unhashable,
    UpstreamTaskError,
    UsageError,
    WaitTimeout,
)

CASES: list[tuple[BaseException, type[BaseException], str]] = [
    (
        BlockingCallOnLoop("future.result()", "await future"),
        RuntimeError,
        "future.result() would block the event loop on its own thread. Use `await future` instead.",
    ),
    (
        CacheKeyError("input 'page'", "it holds a lock", "Leave it out."),
        ValueError,
        "input 'page' cannot be part of a cache key: it holds a lock. Leave it out.",
    ),
    (
        Unhashable("it holds a lock", "lock"),
        TypeError,
        "Cannot hash a value by its content: it holds a lock.",
    ),
    (
        ConfigurationError("retries", -1, "a whole number, 0 or more"),
        ValueError,
        "'retries' takes a whole number, 0 or more, not -1.",
    ),
    (
        DeadlockError("task run 'load-1a2'", ["db"], "flow run 'quiet-otter'"),
        RuntimeError,
        (
            "Task run 'load-1a2' would wait for ever for slots of 'db': flow run 'quiet-otter' holds slots, waits"
            " for it, and goes on only after that. Take the slots in one of the two places only, or raise"
            " the limit."
        ),
    ),
    (
        DeadlockError("task run 'load-1a2'", ["db"], "task run 'load-1a2'"),
        RuntimeError,
        (
            "Task run 'load-1a2' would wait for ever for slots of 'db': task run 'load-1a2' holds slots and goes on"
            " only after that. Take the slots in one of the two places only, or raise the limit."
        ),
    ),
    (
        LimitNotFound(["db", "api"], ["http"]),
        LookupError,
        (
            "There is no limit 'db', 'api'. Limits of this engine: 'http'. Make it with Engine(limits=...) or"
            " engine.limits.create(...)."
        ),
    ),
    (
        AcquireConcurrencySlotTimeoutError("task run 'load-1a2'", ["db"], 1),
        TimeoutError,
        "Task run 'load-1a2' was not served by 'db' within 1 second.",
    ),
    (
        EngineClosed("start flow 'crawl'"),
        RuntimeError,
        ("Cannot start flow 'crawl': the engine is closed. Do it before the engine is closed, or use a new one."),
    ),
    (
        FlowDefinitionError("@flow takes a function, not 3."),
        TypeError,
        "@flow takes a function, not 3.",
    ),
    (
        TaskDefinitionError("@task takes a function, not 3."),
        TypeError,
        "@task takes a function, not 3.",
    ),
    (
        FlowNotFound("crawl", "flows.py", ["index", "clean"]),
        LookupError,
        "'flows.py' has no flow 'crawl'. Flows there: 'index', 'clean'.",
    ),
    (
        FlowNotFound(None, "flows.py", []),
        LookupError,
        "'flows.py' has not exactly one flow; name one. Flows there: none.",
    ),
    (
        FlowNotFound("fetch", "flows.py", ["crawl"], instead="a task"),
        LookupError,
        "'flows.py' has no flow 'fetch': that is a task. Flows there: 'crawl'.",
    ),
    (
        TaskNotFound("fetch", "tasks.py", [], exists=False),
        LookupError,
        (
            "There is no 'tasks.py' to take a task from. Name a file, as in tasks.py:fetch, or a module that can be"
            " imported, as in package.tasks:fetch."
        ),
    ),
    (
        ForeignFuture("fetch-1a2"),
        ValueError,
        ("Future 'fetch-1a2' belongs to another engine or to one that is closed. Pass its result instead."),
    ),
    (
        InputResolutionError("pages", "its __iter__ raised KeyError: 3"),
        TypeError,
        (
            "Could not look inside parameter 'pages' for futures and states: its __iter__ raised"
            " KeyError: 3. Wrap it in quote(...) to pass it as it is."
        ),
    ),
    (
        MappingLengthMismatch({"url": 3, "depth": 2000}),
        ValueError,
        (
            "The parameters of a map must have one length: 'url' has 3, 'depth' has 2,000. Wrap"
            " what is to be passed whole in unmapped(...)."
        ),
    ),
    (
        MappingMissingIterable(["url", "depth"]),
        ValueError,
        (
            "A map needs at least one iterable that is not wrapped in unmapped(...); a str, bytes"
            " or open file is none. Parameters given: 'url', 'depth'."
        ),
    ),
    (
        MissingContextError("get_run_context()"),
        RuntimeError,
        "get_run_context() needs a flow run or a task run around it, and there is none here.",
    ),
    (
        MissingContextError("pause_flow_run()", "a flow run"),
        RuntimeError,
        "pause_flow_run() needs a flow run around it, and there is none here.",
    ),
    (
        NoStateException("Only a FAILED state has an exception, and Running() is RUNNING."),
        ValueError,
        "Only a FAILED state has an exception, and Running() is RUNNING.",
    ),
    (
        StateDataError("Failed()", 3),
        TypeError,
        (
            "The data of Failed() cannot be made an exception: it is 3, of type int. Make the state of an exception, a"
            " message, or states that failed."
        ),
    ),
    (
        StateDefinitionError("The end of a pause is given twice. Give one."),
        ValueError,
        "The end of a pause is given twice. Give one.",
    ),
    (
        TaskRunnerError("submit task 'fetch'", "Pool(3)", "it is not started", "Use it in a `with` block."),
        RuntimeError,
        "Cannot submit task 'fetch' with 'Pool(3)': it is not started. Use it in a `with` block.",
    ),
    (
        NotPausedError("quiet-otter", "Running()"),
        RuntimeError,
        ("Cannot resume flow run 'quiet-otter': only a paused run can be resumed, and it is Running()."),
    ),
    (
        ParameterBindError("fetch", "(url, retries=3)", "missing a required argument: 'url'"),
        TypeError,
        (
            "Cannot bind the arguments of 'fetch': missing a required argument: 'url'. Its"
            " signature is fetch(url, retries=3)."
        ),
    ),
    (
        ParameterTypeError("crawl", {"depth": "expected int, got 'x'"}),
        TypeError,
        "Flow 'crawl' was given 1 invalid parameter:\n  depth: expected int, got 'x'",
    ),
    (
        ParameterTypeError("crawl", {"depth": "not an int", "urls[2]": "not a str"}),
        TypeError,
        "Flow 'crawl' was given 2 invalid parameters:\n  depth: not an int\n  urls[2]: not a str",
    ),
    (
        ReservedArgumentError("fetch", "wait_for"),
        TypeError,
        ("'fetch' has a parameter named 'wait_for', which is an option of every call. Rename the parameter."),
    ),
    (
        RunNameError("task_run_name", "fetch", "it raised KeyError: 'url'"),
        ValueError,
        "Could not name a run of 'fetch' with its 'task_run_name': it raised KeyError: 'url'.",
    ),
    (
        RunNotFound("0199f3c2"),
        LookupError,
        (
            "There is no flow run '0199f3c2' in this engine. Check the id, and which store it was recorded in; "
            "without a store it may have ended."
        ),
    ),
    (
        SignatureMismatchError("fetch", ["url"], ["uri", "x"]),
        TypeError,
        "'fetch' takes the parameters 'url', and was given 'uri', 'x'.",
    ),
    (
        SignatureMismatchError("fetch", ["url", "depth"], [], ["url"]),
        TypeError,
        "'fetch' takes the parameters 'url', 'depth', and was given none. It needs 'url'.",
    ),
    (
        TransactionError(
            "commit transaction 'totals'", "ROLLED_BACK", "The end of its block commits what is not settled."
        ),
        RuntimeError,
        "Cannot commit transaction 'totals': it is ROLLED_BACK. The end of its block commits what is not settled.",
    ),
    (
        PauseRefused("quiet-otter", "it is COMPLETED already"),
        RuntimeError,
        "Cannot pause flow run 'quiet-otter': it is COMPLETED already.",
    ),
    (
        FlowArgumentsChanged(2, "fetch", "'url'", UUID(int=7)),
        RuntimeError,
        (
            "The flow calls 'fetch' as its call 2, with another 'url' than before, so the recorded result of run"
            " 00000000-0000-0000-0000-000000000007 is not its own. A flow that is resumed has to make the same calls"
            " with the same arguments, as long as they completed. Let a task give what is another one each time, as the"
            " time or a random number: then that is on record, too. Where the result does not depend on it, as on a"
            " token, leave it out of the task's cache policy, as in INPUTS - 'token'; or resume the run with"
            " any_arguments=True, or --any-arguments: then calls get their results whatever their"
            " arguments are. Or run the flow anew."
        ),
    ),
    (
        FlowOrderChanged(2, "fetch", "parse"),
        RuntimeError,
        (
            "The flow calls 'parse' as its call 2, where it called 'fetch' before. A flow that is run again has to make"
            " the same calls in the same order, as long as they completed; or make retries=0 of it."
        ),
    ),
    (
        StreamInUse("the stream of task 'fetch'", "it has been iterated over already"),
        RuntimeError,
        "Cannot iterate over the stream of task 'fetch': it has been iterated over already. Make another stream.",
    ),
    (CancelledRun("Run cancelled."), RunError, "Run cancelled."),
    (CrashedRun("Run crashed."), RunError, "Run crashed."),
    (FailedRun("Run failed."), RunError, "Run failed."),
    (RollBack("not enough in stock"), RunError, "not enough in stock"),
    (
        RestartLimitExceeded("fetch-1a2", 3, 60, "Crashed('The thread is gone.')"),
        RunError,
        (
            "Task run 'fetch-1a2' crashed and was not restarted: its flow run allows 3 restarts within 60 seconds. "
            "The crash: Crashed('The thread is gone.')"
        ),
    ),
    (
        FlowPauseTimeout("quiet-otter", 1),
        TimeoutError,
        "Flow run 'quiet-otter' was paused and not resumed within 1 second.",
    ),
    (
        FlowRunTimeoutError("quiet-otter", 1.5),
        TimeoutError,
        "Flow run 'quiet-otter' exceeded its timeout of 1.5 seconds.",
    ),
    (
        TaskRunTimeoutError("fetch-1a2", 1),
        TimeoutError,
        "Task run 'fetch-1a2' exceeded its timeout of 1 second.",
    ),
    (
        MissingResult(),
        RunError,
        "The run completed, but its result was not kept. Set persist_result=True to keep results.",
    ),
    (
        MissingResult("file:///results/1a2"),
        RunError,
        "The run completed, but its result is not in file:///results/1a2 any more.",
    ),
    (
        PausedRun("Paused()"),
        RunError,
        "The run has no result: it is Paused(). Resume it first.",
    ),
    (UnfinishedRun("Running()"), RunError, "The run has no result: it is Running()."),
    (
        UpstreamTaskError("fetch-1a2", "Failed('no')"),
        RunError,
        (
            "Upstream task run 'fetch-1a2' did not complete: it is Failed('no'). Wrap it in"
            " allow_failure(...) to get its exception instead."
        ),
    ),
    (
        WaitTimeout(2, 5000, 0.5),
        TimeoutError,
        "2 of 5,000 runs did not finish within 0.5 seconds.",
    ),
    (WaitTimeout(1, 1, 1), TimeoutError, "1 of 1 run did not finish within 1 second."),
    (
        AmbientMissing("now_ns"),
        RuntimeError,
        ("Nothing is installed as 'now_ns'. Import `millrace`, or call millrace.actors.ambient.install(now_ns=...)."),
    ),
    (
        MailboxFull("TaskRunActor", 1024),
        RuntimeError,
        "The mailbox of a TaskRunActor is full: 1,024 messages wait already. Send again later.",
    ),
    (
        MissingExtra("DaskTaskRunner", "dask"),
        ImportError,
        "DaskTaskRunner needs packages that are not installed: pip install 'millrace[dask]'.",
    ),
    (
        SecretMissing("API_TOKEN"),
        LookupError,
        "The secret in the variable 'API_TOKEN' could not be read: set 'API_TOKEN' in this process.",
    ),
    (
        SerializationError("serialize the result of 'fetch-1a2'", "cannot pickle a generator"),
        ValueError,
        "Could not serialize the result of 'fetch-1a2': cannot pickle a generator.",
    ),
    (
        StorageError("write to /results/1a2", "No space left on device"),
        OSError,
        "Could not write to /results/1a2: No space left on device.",
    ),
    (
        Abort("the flow run is over"),
        Signal,
        "The proposed state was refused: the flow run is over.",
    ),
    (
        RunNotResumable("misty-otter", "it is COMPLETED", "Run its flow anew."),
        RuntimeError,
        "Flow run 'misty-otter' cannot be resumed: it is COMPLETED. Run its flow anew.",
    ),
    (
        StoreError("runs.db", "write a group of records to", "the disk is full"),
        OSError,
        "Could not write a group of records to runs.db: the disk is full.",
    ),
    (
        StoreInUse("runs.db", "process 12 on mill"),
        OSError,
        (
            "Could not open the store runs.db: process 12 on mill has it open. "
            "End that process first, or open the store with ?mode=ro, which only reads."
        ),
    ),
    (
        StoreMissing("runs.db", "there is no such file"),
        OSError,
        "Could not read from runs.db: there is no such file.",
    ),
    (
        StoreRefused("runs.db", "others may write to it", "Take that right away."),
        OSError,
        "Could not use the store runs.db: others may write to it. Take that right away.",
    ),
    (
        StoreFenced("runs.db", 3),
        OSError,
        (
            "Could not write a group of records to runs.db: its owner, number 3, is over, and another one has taken "
            "its place. Nothing of the group was written."
        ),
    ),
    (
        RunEnded("cancel", "misty-otter", "Completed()"),
        RuntimeError,
        "Cannot cancel flow run 'misty-otter': it has ended already, and is Completed().",
    ),
    (
        AmbiguousRunId("0199f", ["0199f3", "0199f4"], "runs.db"),
        LookupError,
        (
            "Several flow runs in runs.db have an id that begins with '0199f', '0199f3', '0199f4' for example. "
            "Give more of it."
        ),
    ),
    (
        RunNotRemovable("misty-otter", "it is RUNNING", "Cancel it first."),
        RuntimeError,
        "Cannot remove flow run 'misty-otter': it is RUNNING. Cancel it first.",
    ),
    (
        OwnerUnreachable("cancel flow run 'misty-otter'", "no process has runs.db open", "Resume it."),
        ConnectionError,
        "Could not cancel flow run 'misty-otter': no process has runs.db open. Resume it.",
    ),
    (Pause(), Signal, "The run is paused."),
    (Pause("Suspended()"), Signal, "The run is paused: Suspended()."),
    (TerminationSignal(15), Signal, "The process received signal 15."),
]

each_error = pytest.mark.parametrize(
    ("error", "builtin", "text"),
    CASES,
    ids=[f"{type(error).__name__}-{at}" for at, (error, _, _) in enumerate(CASES)],
)


def sent(error: BaseException, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


def defined() -> Iterator[type[BaseException]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, MillraceError | Signal):
            yield value


@each_error
def test_an_error_says_what_happened(error: BaseException, builtin: type[BaseException], text: str) -> None:
    assert str(error) == text


@each_error
def test_an_error_can_be_caught_as_the_builtin_that_one_would_guess(
    error: BaseException, builtin: type[BaseException], text: str
) -> None:
    assert isinstance(error, builtin)


@each_error
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(
    error: BaseException, builtin: type[BaseException], text: str, protocol: int
) -> None:
    copy = sent(error, protocol)

    assert type(copy) is type(error)
    assert str(copy) == text
    assert copy.args == error.args
    assert vars(copy) == vars(error)


def test_every_error_is_among_the_cases() -> None:
    abstract = {MillraceError, UsageError, RunError, EngineError, Signal}
    public = {kind for kind in defined() if not kind.__name__.startswith("_")}

    assert {type(error) for error, _, _ in CASES} == public - abstract


def test_every_error_is_somebodys_to_act_on_and_has_one_root() -> None:
    for error, _, _ in CASES:
        sides = (UsageError, RunError, EngineError, Signal)
        assert sum(isinstance(error, side) for side in sides) == 1
        assert isinstance(error, MillraceError) is not isinstance(error, Signal)


def test_signals_pass_by_those_who_catch_errors() -> None:
    assert not issubclass(Signal, Exception)


def test_the_tree_in_the_module_s_docstring_is_the_real_one() -> None:
    tree = errors.__doc__ or ""
    drawn = {(len(m[1]), m[2]) for m in re.finditer(r"^    ([|+\- ]*)([A-Z]\w+)", tree, re.MULTILINE)}
    real: set[tuple[int, str]] = set()
    for kind in defined():
        mro = [base for base in kind.__mro__ if base in (MillraceError, Signal, UsageError)]
        mro += [base for base in kind.__mro__ if base in (RunError, EngineError)]
        depth = len({*mro, kind}) - 1
        if not kind.__name__.startswith("_"):
            real.add((4 * depth, kind.__name__))

    assert drawn == real


def test_facts_are_found_again_as_attributes() -> None:
    mismatch = MappingLengthMismatch({"a": 1, "b": 2})
    timeout = WaitTimeout(2, 5, 0.5)
    missing = FlowNotFound("crawl", "flows.py", iter(["index"]))

    assert mismatch.lengths == {"a": 1, "b": 2}
    assert (timeout.unfinished, timeout.total, timeout.seconds) == (2, 5, 0.5)
    assert missing.available == ("index",)
    assert TerminationSignal(15).signal == 15
    assert PausedRun("Paused()").state == "Paused()"


def test_a_value_that_cannot_be_shown_or_is_long_makes_no_trouble() -> None:
    class Hidden:
        def __repr__(self) -> str:
            raise LookupError

    hidden = str(ConfigurationError("retries", Hidden(), "a number"))
    long = str(ConfigurationError("retries", "x" * 10_000, "a number"))

    assert re.fullmatch(r"'retries' takes a number, not <.*Hidden object at 0x\w+>\.", hidden)
    assert re.fullmatch(r"'retries' takes a number, not 'x+\.\.\.x+'\.", long)
    assert len(long) < 250


def test_notes_survive_pickling() -> None:
    error = FailedRun("no")
    error.add_note("item 3")

    assert sent(error).__notes__ == ["item 3"]
