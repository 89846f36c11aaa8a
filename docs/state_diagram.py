"""Draws the diagram of states in `architecture.md` from the table of transitions.

    python docs/state_diagram.py        writes it anew

The states that a run can be cancelled in have most of their successors in common; drawn one by one these would hide
the rest, so they are drawn once, from the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from millrace.actors.states import StateType
from millrace.actors.transitions import TRANSITIONS

PAGE: Final = Path(__file__).with_name("architecture.md")
BEGIN: Final = "<!-- states: written by docs/state_diagram.py -->"
END: Final = "<!-- end of states -->"


def diagram(table: Mapping[StateType, frozenset[StateType]] = TRANSITIONS) -> str:
    """The diagram in the language of Mermaid."""
    return "\n".join(["```mermaid", *_lines(table), "```"])


def _lines(table: Mapping[StateType, frozenset[StateType]]) -> Iterator[str]:
    live = [state for state, successors in table.items() if StateType.CANCELLING in successors]
    shared = frozenset(state for state in StateType if all(state in table[each] for each in live))
    yield "stateDiagram-v2"
    yield "    [*] --> live"
    yield "    state live {"
    yield "        [*] --> PENDING"
    for state in live:
        yield from _arrows(state, (table[state] - {state}) & frozenset(live), "        ")
    yield "    }"
    for state in live:
        yield from _arrows(state, table[state] - shared - frozenset(live), "    ")
    yield from _arrows("live", shared - frozenset(live), "    ")
    for state in table:
        if state not in live:
            yield from _arrows(state, table[state] - {state}, "    ")
    for state in StateType:
        if state not in table:
            yield f"    {state} --> [*]"


def _arrows(source: str, targets: frozenset[StateType], indent: str) -> Iterator[str]:
    for target in StateType:
        if target in targets:
            yield f"{indent}{source} --> {target}"


def with_diagram(page: str) -> str:
    """A page with the diagram of now between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_diagram(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
