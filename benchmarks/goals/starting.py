"""Goal 12: how soon a programme that uses millrace gets to work."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

IMPORT = Limits(100, 60)
HELP = Limits(150)
FIRST_FLOW = Limits(20)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, with many or few repeats."""
    repeats = 5 if quick else 15
    return Goal(
        number=12,
        title=f"starting, median of {repeats} processes",
        works={
            "imports": Work("processes.imports", {"repeats": repeats}),
            "help": Work("processes.command_line_help", {"repeats": repeats}),
            "sync_call": Work("processes.first_flow", {"repeats": repeats, "kind": "sync_call"}),
            "threads": Work("processes.first_flow", {"repeats": repeats, "kind": "threads"}),
            "own_loop": Work("processes.first_flow", {"repeats": repeats, "kind": "own_loop"}),
        },
        rows=(
            Row(
                "from millrace import flow, run, task; floor: import asyncio",
                ("imports.millrace_statement",),
                "ms",
                "imports.asyncio_statement",
                Kind.ABSOLUTE,
                IMPORT,
            ),
            Row("a process that imports millrace", ("imports.millrace",), "ms", "imports.bare", Kind.ABSOLUTE),
            Row("the same, net of the interpreter", ("imports.net_of_bare",), "ms", kind=Kind.ABSOLUTE),
            Row("the same, net of one that imports asyncio", ("imports.net_of_asyncio",), "ms", kind=Kind.ABSOLUTE),
            Row("python -m millrace --help", ("help.ms",), "ms", "imports.bare", Kind.ABSOLUTE, HELP),
            Row("first flow, a sync task called", ("sync_call.ms",), "ms", kind=Kind.ABSOLUTE, limits=FIRST_FLOW),
            Row("first flow, a sync task submitted", ("threads.ms",), "ms", kind=Kind.ABSOLUTE, limits=FIRST_FLOW),
            Row("first flow, async, through run()", ("own_loop.ms",), "ms", kind=Kind.ABSOLUTE, limits=FIRST_FLOW),
        ),
        profiled=("imports",),
        instrument="imports",
    )
