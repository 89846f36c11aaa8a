"""The port: what every store does.

Decides the contract between an engine and a store; `tests/runtime/stores/contract` checks it, for each of them.

**Writing.** Everything is written in groups, by one thread at a time of the engine that has opened the store. A group
is written as a whole or not at all, and it is acknowledged, by a call, when it will survive the end of the process:
before the store returns, or later and from any thread. Groups of one owner are numbered. One that is written again,
because its acknowledgement was lost, changes nothing and is acknowledged again.

**Owners.** Whoever opens a store to write becomes an owner, with a *token* that is greater than that of every owner
before. A flow run belongs to the owner that has made or claimed it. Each group carries the token, and one of an owner
that is over is refused as a whole: so what a process writes that was believed dead never counts. An embedded store has
one owner at a time, and opening it ends the one before; a store for several processes decides by a lease who is dead.
When an owner is over its runs that had not ended are CRASHED, but for those that nobody runs: they are suspended, or
were made ahead and have not begun.

**Reading.** From any thread, while others write, and nothing that has not been acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs

from millrace.actors.states import StateType
from millrace.runtime.stores.control import Control
from millrace.runtime.stores.records import Answered, Called, Record, Value
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, StoreFacts, TaskRunRow

OWNER_DIED = "owner died"
"""The cause of the CRASHED state of a run whose owner is over."""


@attrs.frozen
class Owner:
    """Who opens a store.

    Args:
        name: Says where it is, for people: host and process.
        at: When, in nanoseconds since the epoch.
    """

    name: str
    at: int


@attrs.frozen
class Opened:
    """What opening a store has come to.

    Args:
        token: The owner's token.
        crashed: The ids of the flow runs whose owner was over.
    """

    token: int
    crashed: Sequence[int] = ()


@attrs.frozen
class Group:
    """Records that are written together.

    Args:
        token: The owner's token.
        number: Counts the groups of the owner, from 1.
        records: In the order in which they came about.
        done: Called once, with None when the group is written for good, else with what went wrong. From any thread.
            After an error the store is not used any more: whether the group was written is not known.
    """

    token: int
    number: int
    records: Sequence[Record]
    done: Callable[[BaseException | None], None]


class Store(Protocol):
    """Where flow runs are recorded. See the module's docstring."""

    @property
    def name(self) -> str:
        """Says where it is, without anything secret."""
        ...

    @property
    def control(self) -> Control | None:
        """The way to the process that has it open; None where other processes cannot have it open anyway."""
        ...

    @property
    def any_thread(self) -> bool:
        """Whether what writes may be called on one thread after another, never on two at a time; else on one alone."""
        ...

    # Writing: all of it on one thread, which is that of `open` unless the store takes any.

    def open(self, owner: Owner) -> Opened:
        """Become the owner; mark the runs of owners that are over.

        Raises:
            StoreInUse: somebody else owns it, and lives.
            StoreRefused: it is unsafe, or of another version.
            StoreError: it cannot be read or written.
        """
        ...

    def append(self, group: Group) -> None:
        """Write a group, and acknowledge it. Raises nothing: what goes wrong is told by `group.done`."""
        ...

    def claim(self, run_id: int, token: int, at: int) -> FlowRunRow:
        """Become the owner of a flow run that nobody runs, in order to run it.

        Returns:
            The run as it is now.

        Raises:
            RunNotFound: there is none with that id.
            RunNotResumable: somebody else runs it, or it is not over.
            StoreFenced: the owner is over.
        """
        ...

    def claim_task_run(self, run_id: int, token: int, sequence: int) -> bool:
        """Become the owner of a task run outside of any flow that has ended, in order to run it again.

        From then on it has not ended. An embedded store, which has one owner, has nothing to do.

        Args:
            run_id: The run.
            token: The owner's.
            sequence: Of the state that it has ended in.

        Returns:
            Whether it is still in that; else somebody else has come first.

        Raises:
            StoreFenced: the owner is over.
        """
        ...

    def end_dead_owner(self, run_id: int, token: int, at: int) -> bool:
        """End the owner of a flow run, with all of its runs, if it is over; where that was noticed by nobody yet.

        An embedded store, where opening it has done that, has nothing to do.

        Args:
            run_id: The run.
            token: Of who asks, who is not meant.
            at: The time, in nanoseconds since the epoch.

        Returns:
            Whether runs were ended.

        Raises:
            StoreError: that cannot be known.
        """
        ...

    # Removing: like writing.

    def remove(self, run_id: int, token: int) -> None:
        """Remove a flow run that has ended, and all inside of it.

        It is gone at once, and as a whole. What belonged to it, and can be much, is left to `sweep`.

        Raises:
            RunNotFound: there is none with that id.
            RunNotRemovable: it has not ended, or belongs to another run.
            StoreFenced: the owner is over.
        """
        ...

    def remove_task_runs(self, before: int, token: int, most: int) -> int:
        """Remove task runs outside of any flow that have ended before a time, in nanoseconds since the epoch.

        Returns:
            How many have been removed; `most` at a time.

        Raises:
            StoreFenced: the owner is over.
        """
        ...

    def sweep(self, token: int, most: int) -> int:
        """Remove what belonged to flow runs that are removed.

        Returns:
            How many rows have been removed, not more than about `most` at a time; 0 when nothing is left.

        Raises:
            StoreFenced: the owner is over.
        """
        ...

    def close(self) -> None:
        """Let go of the store. What belongs to the owner, and has not ended, is left to the next one."""
        ...

    # Reading: from any thread.

    def read_flow_run(self, run_id: int) -> FlowRunRow | None:
        """A flow run with its parameters and the data of its state; None where there is none with that id."""
        ...

    def read_flow_runs(self, wanted: RunFilter) -> list[FlowRunRow]:
        """Flow runs, newest first."""
        ...

    def read_task_run(self, run_id: int) -> TaskRunRow | None:
        """A task run with the data of its state; None where there is none with that id."""
        ...

    def read_task_runs(self, wanted: RunFilter) -> list[TaskRunRow]:
        """Task runs, newest first."""
        ...

    def read_states(self, run_id: int) -> list[StateRow]:
        """All states of a run, first to last; empty where there is none with that id."""
        ...

    def read_finished(self, before: int, parked: int, after: int, limit: int) -> list[int]:
        """Ids of flow runs in no other, which have ended before a time; the first ones first.

        Args:
            before: The time, in nanoseconds since the epoch.
            parked: One that is CRASHED, and has ended so many processes or more, is left out.
            after: Only larger ids.
            limit: How many, at most.
        """
        ...

    def count_task_runs(self, flow_run_id: int) -> Mapping[tuple[str, StateType], int]:
        """How many task runs a flow run has: by name of the task, and type of the present state."""
        ...

    def read_facts(self) -> StoreFacts:
        """What there is in the store, as a whole."""
        ...

    # For running again.

    def read_calls(self, flow_run_id: int) -> list[Called]:
        """What the body of a flow run has called: by attempt, and in each in its order."""
        ...

    def read_results(self, flow_run_id: int) -> Mapping[int, Value | None]:
        """By id: the results of the task runs and flow runs in a flow run that have completed; None for a None.

        Those that were rolled back are left out.
        """
        ...

    def read_names(self, flow_run_id: int) -> Mapping[int, tuple[str, str | None]]:
        """By id: name and message of the states of those of them that have another name than usual, or a message."""
        ...

    def read_answers(self, flow_run_id: int) -> list[Answered]:
        """What a flow run has been resumed with so far."""
        ...

    def last_id(self, flow_run_id: int) -> int:
        """The largest id that a flow run has given, by its calls and its task runs; its own where it has given none.

        Those of subflows, and those that were given from outside, do not count: they are not among its numbers.
        """
        ...
