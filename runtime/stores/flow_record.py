"""Flow records: what one flow run puts on record of its calls, and takes from there when its body runs again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import SerializationError
from millrace.actors.stored_result import MISSING
from millrace.runtime.history import Name, OnRecord
from millrace.runtime.one_line import engine_logger
from millrace.runtime.settings import STORE_RESULT_LIMIT
from millrace.runtime.stores.encoding import encode, recall, serializer_for
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.sealing import result_of
from millrace.runtime.yields import Yielded, Yields

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.stores.chronicle import Chronicle

_logger = engine_logger("store")


class FlowRecord:
    """The record of one flow run. See `history.Record`.

    Args:
        chronicle: Puts on record.
        run: The flow run.
    """

    __slots__ = ("_chronicle", "_run")

    def __init__(self, chronicle: Chronicle, run: FlowRun) -> None:
        self._chronicle = chronicle
        self._run = run

    def called(  # noqa: PLR0917  # what a call is made of
        self, attempt: int, order: int, path: tuple[int, ...], name: str, place: int, ids: range, marks: bytes
    ) -> None:
        """The body has called something."""
        self._chronicle.called(self._run, attempt, order, path, name, place, ids, marks)

    def undone(self, run_id: int) -> None:
        """A task run was rolled back."""
        self._chronicle.undone(run_id)

    def yields(self, serializer: Any, recalled: Yielded | None) -> Yields:
        """What takes down what a generator task yields."""
        serializer = serializer_for(serializer, self._run.result_serializer)
        return Yields(serializer, STORE_RESULT_LIMIT.read(), recalled)

    def kept(self, run_id: int, yields: Yields) -> OnRecord | None:
        """What a generator task has yielded, for an attempt of the flow in this process; None where it is not kept."""
        value = encode(yields, yields.serializer, where=result_of(run_id))
        return None if value.blob is None else OnRecord(value)

    def results(self) -> Mapping[int, OnRecord]:
        """By id: what is on record of the results of runs that have completed."""
        return on_record(self._chronicle.writer.store.read_results(self._run.id))

    def names(self) -> Mapping[int, Name]:
        """By id: what the last states of those runs say, where that is not the usual."""
        return self._chronicle.writer.store.read_names(self._run.id)

    def read(self, run_id: int, recorded: OnRecord, serializer: Any) -> Any:
        """A result; MISSING where it cannot be read, so that its run runs anew."""
        try:
            reader = serializer_for(serializer, self._run.result_serializer)
            return recall(recorded.value, reader, where=result_of(run_id))
        except SerializationError as error:
            _logger.warning(
                "The result of run %032x cannot be taken from the record, so it runs again. %s", run_id, error
            )
            return MISSING


def on_record(results: Mapping[int, Value | None]) -> dict[int, OnRecord]:
    """Results as a replay takes them. Those that were not kept are left out: their runs run anew."""
    return {run: OnRecord(value) for run, value in results.items() if value is None or value.blob is not None}
