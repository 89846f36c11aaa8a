"""Control: how one process tells another what to do with the runs of a store.

The port decides what may be asked and in which words; how a request travels is the store's affair: beside a file of
SQLite's lies a socket. Whoever has opened the store to write *listens*; whoever wants something *asks*. A request is
one JSON object, and so is the answer: nothing in either is looked up as a name of a module or a class, but for errors
of millrace's own, so that the asker raises what the other process would have raised.

A request that is not answered may have been obeyed or not. All that can be asked may be asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import attrs

from millrace.actors import errors
from millrace.actors.errors import MillraceError, StoreError
from millrace.actors.telling import told_of

MOST_BYTES: Final = 1024 * 1024
"""How long a request or an answer may be. What a run is resumed with is the only thing that could be long."""

PATIENCE_SECONDS: Final = 10.0
"""How long an asker waits for an answer that should come at once."""

_LONGEST_TEXT: Final = 4_000
_ID: Final = re.compile(r"[0-9a-f]{32}")


@attrs.frozen
class Request:
    """What is asked of the process that has a store open.

    Args:
        verb: What to do; `steering` knows the verbs.
        run: The id of the run to do it with; None where it is no run.
        options: What else there is to say, as JSON has it.
    """

    verb: str
    run: int | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def to_line(self) -> bytes:
        """The request as one line of text.

        Raises:
            TypeError: an option is nothing that JSON has.
            ValueError: likewise.
        """
        run = None if self.run is None else f"{self.run:032x}"
        return _line({"verb": self.verb, "run": run, "options": self.options})

    @classmethod
    def of_line(cls, line: bytes) -> Request:
        """The request that stands in a line.

        Raises:
            ValueError: none does.
        """
        match _read(line):
            case {"verb": str(verb), "run": None, "options": dict(options)}:
                return cls(verb, None, options)
            case {"verb": str(verb), "run": str(run), "options": dict(options)} if _ID.fullmatch(run):
                return cls(verb, int(run, 16), options)
            case _:
                raise ValueError("no request")


Reply = Mapping[str, Any]
"""An answer: what was asked for by name, or `error`."""

Answer = Callable[[Reply], None]
"""Takes an answer. Called once for each request, from any thread."""

Hear = Callable[[Request, Answer], None]
"""Takes a request. May block, and raises nothing."""


class NobodyListens(Exception):  # no error: whoever asks knows what else to do
    """No process listens: nobody has the store open to write."""


class Control(Protocol):
    """The way to the process that has a store open, for one store."""

    is_shared: bool
    """Several processes may have it open at once, each with runs of its own: the owner of a run is asked about it."""

    def listen(self, hear: Hear) -> None:
        """Take requests from now on. By the owner of the store, after it has opened it.

        Where the system does not let it, that is logged, and the store goes on without.
        """
        ...

    def ask(self, request: Request, patience: float | None = PATIENCE_SECONDS) -> Reply:
        """Ask something of the owner, and wait for the answer.

        Args:
            request: What is asked.
            patience: Seconds to wait for the answer; None for no limit.

        Returns:
            The answer, which is no error.

        Raises:
            NobodyListens: nobody has the store open, or nobody else who could do it.
            OwnerUnreachable: it did not answer in time, or ended before it did.
            MillraceError: what the owner answered that with.
        """
        ...

    def close(self) -> None:
        """Take no requests any more. Those that have not been answered are told nothing."""
        ...

    def abandon(self) -> None:
        """In the child of a fork: leave everything to the parent."""
        ...


def reply_to_line(reply: Reply) -> bytes:
    """An answer as one line of text."""
    return _line(reply)


def reply_of_line(line: bytes) -> Reply:
    """The answer that stands in a line.

    Raises:
        ValueError: none does.
    """
    reply = _read(line)
    if not isinstance(reply, dict):
        raise ValueError("no answer")  # noqa: TRY004  # as for text that is no JSON
    return reply


def error_of(reply: Reply) -> MillraceError | None:
    """The error that an answer is; None where it is none.

    Raises:
        ValueError: it should be one, and is not.
    """
    told = reply.get("error")
    return None if told is None else _error_of(told)


def error_reply(error: BaseException, store: str) -> Reply:
    """The answer for something that went wrong.

    Args:
        error: What.
        store: Where.
    """
    if not isinstance(error, MillraceError):
        error = StoreError(store, "have the owner do something with", told_of(error))
    facts = {name: _plain(value) for name, value in vars(error).items() if not name.startswith("_")}
    return {"error": {"kind": type(error).__name__, "text": str(error)[:_LONGEST_TEXT], "facts": facts}}


def _error_of(told: Any) -> MillraceError:
    match told:
        case {"kind": str(name), "text": str(text), "facts": dict(facts)}:
            kind = getattr(errors, name, None)
            if isinstance(kind, type) and issubclass(kind, MillraceError):
                error: MillraceError = kind.__new__(kind)
                error.args = (text,)
                vars(error).update(facts)
                return error
            return MillraceError(text)
        case _:
            raise ValueError("no error")


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else str(value)


def _line(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _read(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        raise ValueError("no whole line")
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
