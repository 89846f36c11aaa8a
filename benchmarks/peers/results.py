"""What the figures of several rounds say: medians, spread, ratios, and the table of them.

A ratio is formed within a round, where peer and millrace ran one after the other, and the median is
taken over the rounds: a machine that is slower for a while slows both.
"""

import statistics
from collections.abc import Callable, Container, Sequence
from typing import Any

WORKS = {
    "first_flow": "first flow after import",
    "flow_of_one": "a flow of one task",
    "map_sync": "map, sync",
    "map_sync_processes": "map, sync, 2 processes",
    "map_async": "map or gather, async",
    "sequential_sync": "one after another, sync",
    "sequential_async": "one after another, async",
    "durable_first_flow": "first flow, durable",
    "durable_flow_of_one": "a flow of one task, durable",
    "durable_map_sync": "map, sync, durable",
    "durable_map_async": "map or gather, async, durable",
    "durable_sequential_sync": "one after another, sync, durable",
    "durable_sequential_async": "one after another, async, durable",
}

# (peer, its work, millrace's work). Prefect records every state on its server, which has a file of SQLite's: it stands
# beside millrace in memory, and beside millrace with a store. DBOS commits every step, and its first flow stands beside
# one in memory. Dask's processes stand beside the threads that millrace runs a sync task in.
COMPARISONS = (
    ("prefect", "first_flow", "first_flow"),
    ("prefect", "flow_of_one", "flow_of_one"),
    ("prefect", "map_sync", "map_sync"),
    ("prefect", "map_async", "map_async"),
    ("prefect", "sequential_sync", "sequential_sync"),
    ("prefect", "sequential_async", "sequential_async"),
    ("prefect", "flow_of_one", "durable_flow_of_one"),
    ("prefect", "map_sync", "durable_map_sync"),
    ("prefect", "map_async", "durable_map_async"),
    ("prefect", "sequential_sync", "durable_sequential_sync"),
    ("prefect", "sequential_async", "durable_sequential_async"),
    ("dask", "first_flow", "first_flow"),
    ("dask", "map_sync", "map_sync"),
    ("dask", "map_sync_processes", "map_sync"),
    ("dask", "map_async", "map_async"),
    ("dask", "sequential_sync", "sequential_sync"),
    ("dbos", "durable_first_flow", "first_flow"),
    ("dbos", "durable_flow_of_one", "durable_flow_of_one"),
    ("dbos", "durable_map_async", "durable_map_async"),
    ("dbos", "durable_sequential_sync", "durable_sequential_sync"),
    ("dbos", "durable_sequential_async", "durable_sequential_async"),
)

# What one peer printed, and what came of it: plain JSON.
Document = dict[str, Any]

_REASON_WIDTH = 60  # in the table; the whole reason stands below it and in the JSON file
_NOT_REACHED = "it did not get that far"


def summarise(rounds: Sequence[dict[str, Document]]) -> Document:
    """Bring the documents of all rounds together.

    Args:
        rounds: For each round the document of each peer, by the peer's name.

    Returns:
        `peers` by name, `comparisons` in the order of the table, and `failures` as lines.
    """
    names = list(rounds[0])
    measured = [comparison for comparison in COMPARISONS if comparison[0] in names]
    return {
        "peers": {name: _summarise_peer([each[name] for each in rounds]) for name in names},
        "comparisons": [_compare(rounds, *comparison) for comparison in measured],
        "failures": _failures(rounds),
    }


def table(summary: Document) -> str:
    """Give the comparisons, and below them the peers, as text.

    Args:
        summary: What `summarise` gave.
    """
    compared = [("work", "peer", "per task", "millrace, per task", "ratio")]
    for each in summary["comparisons"]:
        work = WORKS[each["work"]]
        if each["beside"] != each["work"]:
            work += f" (millrace: {WORKS[each['beside']]})"
        compared.append(
            (
                work,
                each["peer"],
                _figure(each["us_per_task"], _duration),
                _figure(each["millrace_us_per_task"], _duration),
                _figure(each["ratio"], lambda ratio: f"{_digits(ratio)} ×"),
            )
        )
    peers = [("peer", "version", "import", "memory")]
    for name, peer in summary["peers"].items():
        peers.append(
            (
                name,
                peer["version"] or "–",
                _figure(peer["import_s"], lambda seconds: _duration(seconds * 1e6)),
                _figure(peer["rss_mb"], lambda size: f"{_digits(size)} MB"),
            )
        )
    return f"{_align(compared)}\n\n{_align(peers)}"


def _summarise_peer(documents: list[Document]) -> Document:
    sizes = {row["work"]: row["n"] for document in documents for row in document["rows"]}
    works = {}
    for work, n in sizes.items():
        works[work] = {"n": n, "us_per_task": _spread([_us(each, work) for each in documents])}
    return {
        "version": next((each["version"] for each in documents if "version" in each), None),
        "python": next((each["python"] for each in documents if "python" in each), None),
        "import_s": _spread([each.get("import_s") for each in documents]),
        "rss_mb": _spread([each.get("rss_mb") for each in documents]),
        "works": works,
    }


def _compare(rounds: Sequence[dict[str, Document]], peer: str, work: str, beside: str) -> Document:
    theirs = [_us(each[peer], work) for each in rounds]
    ours = [_us(each["millrace"], beside) for each in rounds]
    pairs = zip(theirs, ours, strict=True)
    ratios = [their / our for their, our in pairs if their is not None and our is not None]
    return {
        "peer": peer,
        "work": work,
        "beside": beside,
        "us_per_task": _spread(theirs) or _reason(rounds, peer, work),
        "millrace_us_per_task": _spread(ours) or _reason(rounds, "millrace", beside),
        "ratio": _spread(ratios),
    }


def _us(document: Document, work: str) -> float | None:
    """Give the microseconds a task of a work that succeeded."""
    for row in document["rows"]:
        if row["work"] == work and "us_per_task" in row:
            return float(row["us_per_task"])
    return None


def _spread(found: Sequence[float | None]) -> Document | None:
    """Give median, smallest and largest of the values that are there."""
    values = [value for value in found if value is not None]
    if not values:
        return None
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "values": values,
    }


def _reason(rounds: Sequence[dict[str, Document]], peer: str, work: str) -> str:
    """Say why there is no figure."""
    for each in rounds:
        for row in each[peer]["rows"]:
            if row["work"] == work and "error" in row:
                return f"failed: {row['error']}"
        if "error" in each[peer]:
            return f"failed: {each[peer]['error']}"
    return f"failed: {_NOT_REACHED}"


def _failures(rounds: Sequence[dict[str, Document]]) -> list[str]:
    """Name each failure once, however many rounds it was seen in."""
    found: dict[str, None] = {}
    for each in rounds:
        for name, document in each.items():
            errors = {row["work"]: row.get("error") for row in document["rows"]}
            if "error" in document:
                found[f"{name}: failed: {document['error']}"] = None
            else:
                for work in _expected(name, each) - errors.keys():
                    errors[work] = _NOT_REACHED
            for work, error in errors.items():
                if error is not None:
                    found[f"{name}, {WORKS.get(work, work)}: failed: {error}"] = None
    return list(found)


def _expected(name: str, peers: Container[str]) -> set[str]:
    """Give the works of a peer that the table has a place for."""
    return {
        beside if name == "millrace" else work
        for peer, work, beside in COMPARISONS
        if peer in peers and name in ("millrace", peer)
    }


def _figure(value: Document | str | None, show: Callable[[float], str]) -> str:
    """Show a median with its spread, a reason, or that there is nothing to show."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value if len(value) <= _REASON_WIDTH else f"{value[: _REASON_WIDTH - 1]}…"
    if len(value["values"]) == 1:
        return show(value["median"])
    return f"{show(value['median'])} ({show(value['min'])} – {show(value['max'])})"


def _duration(microseconds: float) -> str:
    if microseconds < 10_000:
        return f"{_digits(microseconds)} µs"
    if microseconds < 1e6:
        return f"{_digits(microseconds / 1e3)} ms"
    return f"{_digits(microseconds / 1e6)} s"


def _digits(value: float) -> str:
    """Show three digits, or all in front of the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
