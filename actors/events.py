"""Events: every accepted transition is one, and the events of a run form a chain.

Decides what an event holds and when one is made: only when somebody listens. Does not know who listens, nor what keeps
a record of transitions; that needs no events, and is told of the run itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millrace.actors.states import State
from millrace.actors.values import Value, put

if TYPE_CHECKING:
    from uuid import UUID


class Event(Value):
    """One accepted transition of one run.

    Args:
        state: The state that the run entered. Its id is the event's id.
        previous: The state it left; None for the first event of a run.
        sequence: The event's position in the chain of its run, from 0, without gaps.
        cause: What led to it: `created`, `scheduled`, `admitted`, `returned`, `raised`, `upstream`, `cancel`,
            `proposed`, `forced`.
        run_name: The run's display name.
    """

    __slots__ = ("state", "previous", "sequence", "cause", "run_name")  # noqa: RUF023  # as they are given

    state: State[Any]
    previous: State[Any] | None
    sequence: int
    cause: str
    run_name: str

    def __init__(
        self, state: State[Any], previous: State[Any] | None, sequence: int, cause: str, run_name: str
    ) -> None:
        put(self, "state", state)
        put(self, "previous", previous)
        put(self, "sequence", sequence)
        put(self, "cause", cause)
        put(self, "run_name", run_name)

    def __eq__(self, other: object) -> bool:
        return self is other  # each happens once

    def __hash__(self) -> int:
        return id(self)

    @property
    def id(self) -> UUID:
        """The event's id."""
        return self.state.id

    @property
    def follows(self) -> UUID | None:
        """The id of the event before it in the chain; None for the first."""
        return None if self.previous is None else self.previous.id

    @property
    def flow_run_id(self) -> UUID | None:
        """The flow run it belongs to; None for a task run outside of any flow."""
        return self.state.state_details.flow_run_id

    @property
    def task_run_id(self) -> UUID | None:
        """The task run it is about; None when it is about the flow run itself."""
        return self.state.state_details.task_run_id

    def __str__(self) -> str:
        before = "-" if self.previous is None else self.previous.name
        return f"{self.run_name}[{self.sequence}]: {before} -> {self.state.name} ({self.cause})"


class Journal:
    """Where accepted transitions are told. With nobody to tell, none makes an event.

    Who is told is called in the turn of the run's actor, so the transitions of a run arrive in their order.

    Args:
        sink: Takes events.
        keeper: Takes the run and the cause, and keeps a record that is committed later. With one, the end of a run is
            withheld from everybody who waits for it until its record is committed.
    """

    __slots__ = ("_sink", "keeper", "listening")

    def __init__(
        self, sink: Callable[[Event], None] | None = None, keeper: Callable[[Any, str], None] | None = None
    ) -> None:
        self.keeper = keeper
        self.sink = sink

    @property
    def sink(self) -> Callable[[Event], None] | None:
        """Takes events; None: none are made."""
        return self._sink

    @sink.setter
    def sink(self, sink: Callable[[Event], None] | None) -> None:
        self._sink = sink
        self.listening = sink is not None or self.keeper is not None  # asked for every transition
