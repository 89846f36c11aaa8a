"""One state: what it holds, how it is read and shown, and what it gives when asked for its result.

This module alone decides what a state's id and time are, when two states are the same, and what
`result` gives or raises. It does not know which exception a state stands for (`state_exceptions`),
which state may follow which (`transitions`, `rules`), what several states amount to (`outcomes`), nor
how a value gets into a storage and back (`stored_result`). Users import all of it from `states`.

A run makes at least three states, and most are never looked at. So a state keeps integers, and
makes its id, its datetime and its details of them when somebody asks.
"""

# ruff: noqa: SLF001 - the functions here that make states fill in what is private to a state

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    TypeVar,
    cast,
    overload,
)

from millrace.actors import ambient
from millrace.actors.errors import ConfigurationError, PausedRun, UnfinishedRun
from millrace.actors.explaining import explain
from millrace.actors.state_details import (
    DEFAULT_NAMES,
    TERMINAL,
    AnyState,
    Looked,
    StateDetails,
    StateType,
    as_kind,
)
from millrace.actors.state_exceptions import aget_state_exception, get_state_exception, states_in
from millrace.actors.stored_result import aloaded, kept, loaded
from millrace.actors.timestamps import as_aware, from_nanoseconds, to_nanoseconds
from millrace.actors.uuids import to_uuid
from millrace.actors.values import with_changes

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

R_co = TypeVar("R_co", covariant=True)

_COMPLETED: Final = StateType.COMPLETED  # looking up an enum's member costs more than comparing it
_NO_DETAILS: Final = StateDetails()
_NEVER_ADOPTED: Final = -1
_ADOPTED: Final = -2
UNSEEN: Final = -3
"""In place of the position: made for one run, which is to adopt it, and nobody else has it."""


class State(AnyState, Generic[R_co]):
    """The state of a run, or one that a user made by hand to become that.

    Two states are equal when they have the same id.

    Args:
        type: What the run is.
        name: What to call it; the type in title case where it is not given.
        message: For people.
        data: The result, the exception, or what else there is to hand on.
        state_details: Further facts, also as a mapping. A scheduled state without a time in them is
            scheduled for now.
        timestamp: When the run entered the state; without a zone: UTC. Where it is not given, the
            time at which it becomes a run's state or somebody asks, whichever is first.
        id: The state's id; made when somebody asks where it is not given.

    Raises:
        ConfigurationError: one of these is something else.
    """

    __slots__ = (
        "_at",
        "_details",
        "_flow",
        "_id",
        "_seq",
        "_task",
        "data",
        "message",
        "name",
        "type",
    )

    type: StateType
    name: str
    message: str | None
    data: Any
    _at: int | None  # ns since the epoch; None until a run adopts it or somebody looks
    _flow: int | None  # 128 bits of the flow run's id; None when made by hand
    _task: int | None  # the same of the task run's
    _seq: int  # position in its run's history; negative when made by hand
    # None: nothing to say but the run ids; those in it may be stale. A number: nothing but these and, of a SCHEDULED
    # state, the scheduled time, in ns; of another one, how many attempts there were. `Looked`: nothing but these and
    # what it says.
    _details: StateDetails | Looked | int | None
    _id: UUID | None  # None until somebody looks, where it cannot be derived

    def __init__(
        self,
        *,
        type: StateType | str,  # noqa: A002 - the attribute's name, and Prefect's
        name: str | None = None,
        message: str | None = None,
        data: R_co | None = None,
        state_details: StateDetails | Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        id: UUID | None = None,  # noqa: A002 - as above
    ) -> None:
        kind = as_kind(type)
        for option, text in (("name", name), ("message", message)):
            if text is not None and not isinstance(text, str):
                raise ConfigurationError(option, text, "text")
        details = _as_details(state_details)
        if kind is StateType.SCHEDULED and (details is None or details.scheduled_time is None):
            now = from_nanoseconds(ambient.now_ns())
            details = with_changes(details or _NO_DETAILS, scheduled_time=now)
        self.type = kind
        self.name = DEFAULT_NAMES[kind] if name is None else name
        self.message = message
        self.data = data
        self._at = None if timestamp is None else to_nanoseconds(as_aware("timestamp", timestamp))
        self._flow = None if details is None else _as_int(details.flow_run_id)
        self._task = None if details is None else _as_int(details.task_run_id)
        self._seq = _NEVER_ADOPTED
        self._details = details
        self._id = id

    @property
    def id(self) -> UUID:
        """The state's id. For a state of a run it follows from the run and the position."""
        if self._id is None:
            run = self._flow if self._task is None else self._task
            if run is None or self._seq < 0:
                self._id = ambient.new_id()
            else:
                self._id = _derived_id(run, self._seq)
        return self._id

    @property
    def nanoseconds(self) -> int:
        """When the run entered the state, in nanoseconds since the epoch."""
        if self._at is None:
            self._at = ambient.now_ns()
        return self._at

    @property
    def timestamp(self) -> datetime:
        """When the run entered the state, in UTC."""
        return from_nanoseconds(self.nanoseconds)

    @property
    def state_details(self) -> StateDetails:
        """Further facts, with the ids of the run that the state belongs to."""
        details, flow, task = self._details, self._flow, self._task
        if not isinstance(details, StateDetails):
            # Not kept: it says nothing that the state does not hold in less room, and a state may live for long.
            return StateDetails(flow_run_id=_as_uuid(flow), task_run_id=_as_uuid(task), **self._said_beside_ids())
        if _as_int(details.flow_run_id) != flow or _as_int(details.task_run_id) != task:
            details = with_changes(details, flow_run_id=_as_uuid(flow), task_run_id=_as_uuid(task))
            self._details = details
        return details

    def _said_beside_ids(self) -> dict[str, Any]:
        details = self._details
        if isinstance(details, Looked):
            return details._asdict()
        if not isinstance(details, int):
            return {}
        if self.type is StateType.SCHEDULED:
            return {"scheduled_time": from_nanoseconds(details)}
        return {"attempts": details}

    @property
    def scheduled_ns(self) -> int | None:
        """For when it is scheduled, in nanoseconds since the epoch; None where that is said by no detail."""
        details = self._details
        if isinstance(details, int):
            return details if self.type is StateType.SCHEDULED else None
        if not isinstance(details, StateDetails) or details.scheduled_time is None:
            return None
        return to_nanoseconds(details.scheduled_time)

    @property
    def transition_id(self) -> UUID | None:
        """What its details say of that, without making them."""
        details = self._details
        return details.transition_id if isinstance(details, StateDetails) else None

    @property
    def has_details(self) -> bool:
        """Whether there is more in its details than the ids of its run."""
        return self._details is not None

    @property
    def hand_made(self) -> bool:
        """Whether it was made by hand: it has no run ids in its details."""
        return self._task is None and self._flow is None

    def adopt(self, at: int, flow: int | None, task: int | None, seq: int) -> State[R_co]:
        """This state as it becomes the state of a run: a copy, or itself if it was made for that and nobody has it yet.

        It has the same name, message, data and details, and the same id where this state was made
        by hand and is adopted for the first time. A state may be a constant that many runs propose;
        the second run that does gets a copy with an id of its own.

        Args:
            at: The time, in nanoseconds since the epoch; not used where this state has one already.
            flow: The id of the flow run, as an integer.
            task: The id of the task run, as an integer; None for a state of the flow run itself.
            seq: The state's position in its run's history.
        """
        time = at if self._at is None else self._at
        if self._seq == UNSEEN:
            self._at, self._flow, self._task, self._seq = time, flow, task, seq
            return self
        state = make_state(self.type, self.name, self.message, self.data, time, flow, task, seq)
        state._details = self._details
        if self._seq == _NEVER_ADOPTED and self.hand_made:
            self._seq = _ADOPTED
            if self._id is None:
                self._id = state.id  # nobody has seen an id yet, so it can be the derived one
            state._id = self._id
        return state

    def note_attempts(self, attempts: int) -> None:
        """Say in the details how many attempts the run has made. Before anybody has seen the state."""
        if self._details is None and self.type is not StateType.SCHEDULED:
            self._details = attempts
        else:
            self._details = with_changes(self.state_details, attempts=attempts)

    def is_scheduled(self) -> bool:
        """Whether the run is to start later."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run has not started yet."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the run's body is running."""
        return self.type is StateType.RUNNING

    def is_completed(self) -> bool:
        """Whether the run ended with a result."""
        return self.type is _COMPLETED

    def is_failed(self) -> bool:
        """Whether the run ended with an exception."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether something outside of the run's body ended it."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled and has ended."""
        return self.type is StateType.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether the run was cancelled and has not ended yet."""
        return self.type is StateType.CANCELLING

    def is_paused(self) -> bool:
        """Whether the run is paused or suspended."""
        return self.type is StateType.PAUSED

    def is_final(self) -> bool:
        """Whether the type is one that ends a run."""
        return self.type in TERMINAL

    @overload
    def result(self, raise_on_failure: Literal[True] = True) -> R_co: ...  # noqa: FBT002
    @overload
    def result(self, raise_on_failure: bool) -> R_co | BaseException: ...  # noqa: FBT001
    def result(self, raise_on_failure: bool = True) -> R_co | BaseException:  # noqa: FBT001, FBT002
        """The value that the run came to.

        Args:
            raise_on_failure: Raise the exception of a FAILED, CRASHED or CANCELLED state; where
                False, return it.

        Raises:
            MissingResult: The value is not there any more.
            PausedRun: The run is paused.
            UnfinishedRun: The run has not ended.
        """
        if self.type is _COMPLETED:
            return cast("R_co", kept(loaded(self.data)))
        self._must_be_final()
        error = get_state_exception(self)
        if not raise_on_failure:
            return error
        try:
            raise error
        finally:
            del self, error  # this frame, which the exception holds, is not to hold it

    @overload
    async def aresult(self, raise_on_failure: Literal[True] = True) -> R_co: ...  # noqa: FBT002
    @overload
    async def aresult(self, raise_on_failure: bool) -> R_co | BaseException: ...  # noqa: FBT001
    async def aresult(self, raise_on_failure: bool = True) -> R_co | BaseException:  # noqa: FBT001, FBT002
        """The value that the run came to; the loop is not blocked where it lies in a storage.

        Cancellation: only the reading ends; the state and the storage stay as they are.

        Args:
            raise_on_failure: As in `result`.

        Raises:
            MissingResult: The value is not there any more.
            PausedRun: The run is paused.
            UnfinishedRun: The run has not ended.
        """
        if self.type is _COMPLETED:
            return cast("R_co", kept(await aloaded(self.data)))
        self._must_be_final()
        error = await aget_state_exception(self)
        if raise_on_failure:
            raise error
        return error

    def explain(self) -> str:
        """Why the state is what it is, in one sentence: what failed, was cancelled, is waited for, or was found."""
        return explain(self, states_in)

    def _must_be_final(self) -> None:
        if self.type is StateType.PAUSED:
            raise PausedRun(self)
        if self.type not in TERMINAL:
            raise UnfinishedRun(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self.id == other.id if isinstance(other, State) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        shown = [repr(self.message)] if self.message else []
        if self.name.lower() != self.type.lower():
            shown.append(f"type={self.type}")
        return f"{self.name}({', '.join(shown)})"

    def __repr__(self) -> str:
        shown = f"message={self.message!r}, type={self.type}, result={self.data!r}"
        return f"{self.name}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process is the same state, so what would be settled when somebody looks
        # is settled now. The id of a run's state follows from the rest there as it does here.
        plain = (self.type, self.name, self.message, self.data, self.nanoseconds)
        identifier = self._id if self._seq >= 0 else self.id
        return _restored, (plain, self._flow, self._task, self._seq, self._details, identifier)


_blank: Callable[[type[State[Any]]], State[Any]] = object.__new__


def make_state(  # noqa: PLR0917 - positional, because keywords cost more than all the rest
    type: StateType,  # noqa: A002 - as in State
    name: str,
    message: str | None,
    data: Any,
    at: int | None,
    flow: int | None,
    task: int | None,
    seq: int,
) -> State[Any]:
    """Make a state from all that it needs, checking nothing: the fast way, for runs.

    Args:
        type: What the run is.
        name: What to call it.
        message: For people.
        data: The result, the exception, or what else there is to hand on.
        at: When the run entered it, in nanoseconds since the epoch; None: not settled yet.
        flow: The id of the flow run, as an integer.
        task: The id of the task run, as an integer.
        seq: Its position in the history of its run; -1 for one that is still to be adopted.
    """
    state = _blank(State)
    state.type = type
    state.name = name
    state.message = message
    state.data = data
    state._at = at
    state._flow = flow
    state._task = task
    state._seq = seq
    state._details = None
    state._id = None
    return state


def _restored(  # noqa: PLR0917 - called by pickle only
    plain: tuple[StateType, str, str | None, Any, int],
    flow: int | None,
    task: int | None,
    seq: int,
    details: StateDetails | Looked | int | None,
    identifier: UUID | None,
) -> State[Any]:
    state = make_state(*plain, flow, task, seq)
    state._details = details
    state._id = identifier
    return state


def _as_details(given: StateDetails | Mapping[str, Any] | None) -> StateDetails | None:
    return given if given is None or isinstance(given, StateDetails) else StateDetails(**given)


def _as_int(run: UUID | None) -> int | None:
    return None if run is None else run.int


def _as_uuid(run: int | None) -> UUID | None:
    return None if run is None else to_uuid(run)


def _derived_id(run: int, seq: int) -> UUID:
    # The run's id with version 8 ("made as the application sees fit") in place of its own, and the
    # position in the twelve bits after it. From position 4096 on, ids come round again.
    return to_uuid(run & ~(0xFFFF << 64) | 0x8 << 76 | (seq & 0xFFF) << 64)
