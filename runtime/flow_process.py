"""Flow processes: a flow run in a process of its own.

Decides how a flow and its parameters get there, in which environment it runs, and what the process's exit code says.
The process is spawned: nothing of this one goes along but what is sent. The run there is no child of one here, so
nobody here waits for it, or hears of it but by its exit code; it has an engine of its own, as any programme has.

A flow is sent by name where another process can find it by name, which takes no pickling of code; else by value, with
cloudpickle, where that is installed.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
from collections.abc import Iterable, Mapping
from contextvars import Context
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import ConfigurationError, SerializationError, TerminationSignal, UpstreamTaskError
from millrace.runtime.binding import Bindable, name_in_module
from millrace.runtime.context import TAGS, tags
from millrace.runtime.engine import current_scope, not_a_flow
from millrace.runtime.flow import BaseFlow
from millrace.runtime.flow_decorator import run
from millrace.runtime.futures import refuse_to_block
from millrace.runtime.inputs import good_enough, scan
from millrace.runtime.waiting import block_until_done

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""

_MAIN: Final = "__main__"


def run_flow_in_subprocess(
    flow: BaseFlow[Any, Any],
    parameters: Mapping[str, Any] | None = None,
    wait_for: Iterable[Any] | None = None,
    context: Context | None = None,
    env: Mapping[str, str | None] | None = None,
) -> SpawnProcess:
    """Run a flow in a process of its own, and go on.

    The flow's module is imported there, and so is the script that is `__main__` here; what that does beside defining
    things stands below `if __name__ == "__main__":`, as always with spawned processes. The result stays there, unless
    the flow keeps it in a storage.

    Args:
        flow: The flow.
        parameters: Its arguments by name. Futures among them are waited for here, and their results are sent.
        wait_for: Futures or states to wait for without using their results.
        context: Whose tags the run gets; by default the current ones.
        env: Environment variables of the process, beside those of this one; None takes one away. They are set before
            the flow's module is imported, and so before any setting is read.

    Returns:
        The process, which has been started. Its exit code is 0 if the run is COMPLETED; 1 if it is not, with the
        traceback on stderr; 130 after Ctrl-C; that of `sys.exit()` in the body; and the signal's, negative, after one.

    Raises:
        FlowDefinitionError: it is not a flow.
        SignatureMismatchError: a name is not a parameter, or a required one is missing.
        SerializationError: the flow or an argument cannot be sent to another process.
        UpstreamTaskError: a run that is depended on did not complete.
        BlockingCallOnLoop: one has not ended, and this is the thread of a loop; await its future first.
        ConfigurationError: `env` has something else than text in it.
    """
    import multiprocessing  # noqa: PLC0415  # slow to import, and most programmes are one process

    if not isinstance(flow, BaseFlow):
        raise not_a_flow(flow, "run_flow_in_subprocess()")
    args, kwargs = _ready(flow, *flow.shape.call_of(dict(parameters or {})), wait_for)
    tags_there = TAGS.get() if context is None else context.get(TAGS, frozenset())
    sent = _sent(flow, (flow, args, kwargs, tags_there))
    process = multiprocessing.get_context("spawn").Process(
        target=run_here, args=(sent, _checked(env)), name=f"millrace-{flow.name}"
    )
    process.start()
    return process


def run_here(sent: bytes, env: Mapping[str, str | None]) -> None:
    """Run a flow that was sent to this process, which ends with it."""
    for name, value in env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    flow, args, kwargs, tags_here = pickle.loads(sent)  # noqa: S301  # written by the parent of this process
    try:
        with tags(*tags_here):
            run(flow, *args, **kwargs)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except TerminationSignal as received:
        signal.signal(received.signal, signal.SIG_DFL)
        os.kill(os.getpid(), received.signal)  # the run has seen to its end; whoever asked for that is to see why


def _ready(
    flow: BaseFlow[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Iterable[Any] | None
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments with futures replaced by their results."""
    inputs = scan(flow.shape.name_of, args, kwargs, wait_for, current_scope())
    if inputs is None:
        return args, kwargs
    for upstream, failure_allowed in inputs.upstreams:
        if not upstream.done:
            refuse_to_block(upstream, f"run_flow_in_subprocess({flow.name}, ...)", "await its futures first")
            with upstream.lend():
                block_until_done(upstream, None)
        if not good_enough(upstream.state, failure_allowed=failure_allowed):
            raise UpstreamTaskError(upstream.name, upstream.state)
    return inputs.resolve(args, kwargs)


def _checked(env: Mapping[str, str | None] | None) -> dict[str, str | None]:
    given = dict(env or {})
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str | None):
            raise ConfigurationError(f"env[{name!r}]", value, "text, or None to take the variable away")
    return given


def _sent(flow: BaseFlow[Any, Any], call: tuple[Any, ...]) -> bytes:
    """A call as bytes: by name as far as names lead there, else by value."""
    buffer = io.BytesIO()
    try:
        _ByName(buffer).dump(call)
    except Exception as by_name:  # noqa: BLE001  # pickling runs the code of what is pickled
        return _sent_by_value(flow, call, by_name)
    return buffer.getvalue()


def _sent_by_value(flow: BaseFlow[Any, Any], call: tuple[Any, ...], by_name: Exception) -> bytes:
    attempted = f"send flow '{flow.name}' and its parameters to another process"
    try:
        cloudpickle = import_module("cloudpickle")  # an extra
    except ImportError:
        advice = "Put what is sent into a module that can be imported, or pip install 'millrace[cloudpickle]'"
        raise SerializationError(attempted, f"{by_name}. {advice}") from by_name
    try:
        sent: bytes = cloudpickle.dumps(call)
    except Exception as error:
        raise SerializationError(attempted, str(error)) from error
    return sent


class _ByName(pickle.Pickler):
    """Pickles flows, tasks, functions and classes by name, if a spawned process can find them by that."""

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, (Bindable, FunctionType, type)) or getattr(thing, "__module__", "") != _MAIN:
            return NotImplemented
        if not _main_is_imported_there():
            name = getattr(thing, "__qualname__", type(thing).__name__)
            raise pickle.PicklingError(f"'{name}' is defined where no other process can import it")
        return (name_in_module(thing) if isinstance(thing, Bindable) else None) or NotImplemented


def _main_is_imported_there() -> bool:
    """Whether a spawned process imports what is `__main__` here: not an interactive session, nor a package that is run.

    Source: `multiprocessing.spawn.get_preparation_data` and `prepare`.
    """
    main = sys.modules[_MAIN]
    name: str | None = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return name.rpartition(".")[2] != _MAIN
    return getattr(main, "__file__", None) is not None
