"""Writes the tables of `docs/benchmarks.md` anew, from the JSON files in `benchmarks/results` and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.model import Document
from benchmarks.peers.results import WORKS
from benchmarks.report import Cells

BEGIN: Final = "<!-- tables: written by python -m benchmarks --docs -->"
END: Final = "<!-- end of tables -->"

BENCH_SCHEMA: Final = "millrace-bench/1"
PEERS_SCHEMA: Final = "millrace-peers/1"


class DocsError(Exception):
    """The document has no place for tables, or a file of results is of an unknown kind."""


def rewrite(page: Path, results: Path) -> None:
    """Replace what stands between the markers of a page by the tables of all results.

    Args:
        page: The page.
        results: The folder with the JSON files.

    Raises:
        DocsError: the markers are not there, once each and in order; or a file is of an unknown kind.
    """
    documents = [_read(file) for file in sorted(results.glob("*.json"))]
    before = page.read_text(encoding="utf-8")
    page.write_text(replace(before, tables(documents)), encoding="utf-8")


def replace(page: str, content: str) -> str:
    """A page with other content between the markers.

    Raises:
        DocsError: the markers are not there, once each and in order.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in head or END in tail:
        raise DocsError(f"expected {BEGIN!r} and then {END!r}, once each")
    return f"{head}{BEGIN}\n\n{content}\n\n{END}{tail}"


def tables(documents: Sequence[Document]) -> str:
    """The tables of all results: millrace's own first, then those beside other engines."""
    parts = [_bench(each) for each in documents if each["schema"] == BENCH_SCHEMA]
    parts += [_peers(each) for each in documents if each["schema"] == PEERS_SCHEMA]
    return "\n\n".join(parts) or "Nothing has been measured yet."


def _read(file: Path) -> Document:
    document: Document = json.loads(file.read_text(encoding="utf-8"))
    schema = document.get("schema")
    if schema not in (BENCH_SCHEMA, PEERS_SCHEMA):
        raise DocsError(f"{file.name} has the schema {schema!r}: expected {BENCH_SCHEMA!r} or {PEERS_SCHEMA!r}")
    return document


def _bench(document: Document) -> str:
    size = ", smaller sizes" if document["quick"] else ""
    rounds = f"{document['rounds']} round{'s' if document['rounds'] > 1 else ''}{size}, {document['started'][:10]}"
    parts = [
        f"### Python {document['machine']['python']}",
        f"{report.machine(document)}. {rounds}. {report.tally(document['goals'])}.",
        report.markdown(report.cells(document["goals"])),
    ]
    return "\n\n".join(parts)


def _peers(document: Document) -> str:
    machine = document["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Python {machine['python']}"
    compared: list[Cells] = [("work", "peer", "per task", "millrace, per task", "peer / millrace")]
    for each in document["comparisons"]:
        work = WORKS[each["work"]]
        if each["beside"] != each["work"]:
            work += f" (millrace: {WORKS[each['beside']]})"
        compared.append(
            (
                work,
                each["peer"],
                _duration(each["us_per_task"]),
                _duration(each["millrace_us_per_task"]),
                report.figure(each["ratio"], "×"),
            )
        )
    versions: list[Cells] = [("peer", "version", "import", "memory")]
    for name, peer in document["peers"].items():
        imported = _duration(peer["import_s"], 1e6)
        versions.append((name, peer["version"] or report.NOTHING, imported, report.figure(peer["rss_mb"], "MB")))
    rounds = f"{document['rounds']} round{'s' if document['rounds'] > 1 else ''}, {document['started'][:10]}"
    parts = ["### Beside other engines", f"{where}. {rounds}.", report.markdown(compared), report.markdown(versions)]
    return "\n\n".join(parts)


def _duration(found: Document | str | None, factor: float = 1) -> str:
    """A time, in the unit that suits it.

    Args:
        found: The time; None where there is none, and text where it failed, which says why.
        factor: Makes microseconds of it.
    """
    if found is None:
        return report.NOTHING
    if isinstance(found, str):
        return "failed"
    us = found["median"] * factor
    scale, unit = (1, "µs") if us < 1e4 else (1e-3, "ms") if us < 1e6 else (1e-6, "s")
    scaled: Document = {key: found[key] * factor * scale for key in ("median", "min", "max")}
    return report.figure({**scaled, "values": found["values"]}, unit)
