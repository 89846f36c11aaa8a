"""Goal 17: a result that is kept in a folder, against a file that is written, brought to the disk and named."""

from benchmarks.model import Goal, Limits, Row, Work

LOCAL_RESULT = Limits(2)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 100 if quick else 1_000
    return Goal(
        number=17,
        title=f"local result: {n:,} results of 1 KiB, one after another, each",
        works={
            "files": Work("floors.files_written", {"n": n, "folder": False}),
            "files_and_folder": Work("floors.files_written", {"n": n, "folder": True}),
            "called": Work("results.kept_called", {"n": n}),
            "awaited": Work("results.kept_awaited", {"n": n}),
        },
        rows=(
            Row("sync task called in a sync flow", ("called.us",), "µs", "files.us", limits=LOCAL_RESULT),
            Row("async task awaited", ("awaited.us",), "µs", "files.us", limits=LOCAL_RESULT),
            Row("sync task, where the folder is brought to the disk too", ("called.us",), "µs", "files_and_folder.us"),
        ),
        profiled=("called", "awaited"),
    )
