"""Leftovers: what another process has left of a flow run, by the places of the calls that may take it up.

Decides nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import attrs

from millrace.runtime.marks import Marks, part
from millrace.runtime.strands import Call, Path

At = tuple[Path, str, int]
"""A place: what its strand is known by, what was called there, and which call of that it is."""


ANY_ATTEMPT = -1
"""In place of the attempt that was under way: whichever was the last."""


@attrs.frozen
class Begun:
    """What is on record of a task run that has not completed, or that is run again although it has.

    Args:
        failures: So many attempts of it count.
        cut_off: The attempt that was under way, so that what it called counts; None where none was.
        due: When the next one is, in nanoseconds since the epoch; None where none was waited for.
    """

    failures: int
    cut_off: int | None
    due: int | None = None


class Leftovers:
    """See the module's docstring.

    Args:
        subflows: By id: those that nobody has brought to their end.
        runs: By id: runs of tasks that have not completed.
    """

    def __init__(self, subflows: Mapping[int, Any], runs: Mapping[int, Begun]) -> None:
        self._given_subflows = subflows
        self._given_runs = runs
        self._ids = sorted(runs)
        self.subflows: dict[At, tuple[Any, Marks]] = {}  # each with the marks of its call
        self.runs: dict[At, tuple[Begun, Marks]] = {}  # likewise

    def sort_in(self, known: Path, call: Call) -> None:
        """Find what a call has left. Later calls come later.

        Args:
            known: What its strand is known by.
            call: The call.
        """
        ids = call.ids
        single = len(ids) == 1
        if single and ids.start in self._given_subflows:
            self.subflows[known, call.name, call.place] = self._given_subflows[ids.start], call.marks
        for at in range(bisect_left(self._ids, ids.start), len(self._ids)):
            run_id = self._ids[at]
            if run_id >= ids.stop:
                break
            index = run_id - ids.start
            marks = call.marks if single else part(call.marks, index)
            self.runs[known, call.name, call.place + index] = self._given_runs[run_id], marks
