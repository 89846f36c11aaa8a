"""Finding: which run the word of a command means, and how a run is called in what is shown.

Decides that a word is the beginning of an id first, and a name else; and how much of an id is shown: as much as no
other run has, so that it can be given back to a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from millrace.actors.errors import AmbiguousRunId, RunNotFound, StoreMissing
from millrace.runtime.stores import put_off
from millrace.runtime.stores.by_id import Steered
from millrace.runtime.stores.port import Store
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, TaskRunRow

_DIGITS: Final = 32
_FEWEST: Final = 8
_STEP: Final = 4


def find_flow_run(steered: Steered, word: str) -> FlowRunRow:
    """The flow run that a word means.

    Raises:
        RunNotFound: none; as `AmbiguousRunId`, several.
    """
    try:
        return steered.find(word)
    except AmbiguousRunId:
        raise
    except RunNotFound:
        found = steered.store.read_flow_runs(RunFilter(names=[word], limit=2))
        if not found:
            raise
    if len(found) > 1:
        raise AmbiguousRunId(word, [str(UUID(int=each.id)) for each in found], steered.store.name)
    whole = steered.store.read_flow_run(found[0].id)
    if whole is None:
        raise RunNotFound(word, store=steered.store.name)
    return whole


def find_run(steered: Steered, word: str) -> FlowRunRow | TaskRunRow:
    """The flow run that a word means, or the task run that has that id.

    Raises:
        RunNotFound: none.
    """
    try:
        return find_flow_run(steered, word)
    except (RunNotFound, StoreMissing):
        digits = word.replace("-", "").lower()
        if len(digits) != _DIGITS or any(each not in "0123456789abcdef" for each in digits):
            raise
        found = put_off.read_task_run(steered.store, int(digits, 16))
        if found is None:
            raise
        return found


def short_ids(store: Store, runs: Sequence[int]) -> list[str]:
    """The beginnings of ids, all of one length, that no other flow run has.

    Args:
        store: Where the runs are.
        runs: Their ids.
    """
    digits = [f"{run:032x}" for run in runs]
    length = _FEWEST
    for each in digits:
        while length < _DIGITS and _is_shared(store, each[:length]):
            length += _STEP
    return [each[:length] for each in digits]


def _is_shared(store: Store, beginning: str) -> bool:
    first = int(beginning.ljust(_DIGITS, "0"), 16)
    last = int(beginning.ljust(_DIGITS, "f"), 16)
    return len(store.read_flow_runs(RunFilter(first=first, last=last, limit=2))) > 1
