"""The tables, on the terminal and in the docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import docs, report

PAGE = f"# Speed\n\nbefore\n\n{docs.BEGIN}\n\nold\n\n{docs.END}\n\nafter\n"


def spread(*values: float) -> dict[str, Any]:
    return {"median": sorted(values)[len(values) // 2], "min": min(values), "max": max(values), "values": list(values)}


def row(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": "map",
        "unit": "µs",
        "kind": "ratio",
        "millrace": spread(12.34, 11, 13),
        "floor": spread(5),
        "ratio": spread(2.468),
        "limits": {"goal": 3, "stretch": 2, "shown": None},
        "verdict": "goal held",
        "reason": None,
    }
    return found | changes


def bench(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": docs.BENCH_SCHEMA,
        "started": "2026-11-20T12:00:00+00:00",
        "rounds": 3,
        "quick": False,
        "machine": {
            "cpu": "A Processor",
            "cores": 2,
            "memory_gb": 8.0,
            "system": "Linux",
            "kernel": "6.1",
            "python": "3.11.7",
            "implementation": "CPython",
            "packages": {"millrace": "0.1.0", "uvloop": None},
        },
        "goals": [{"number": 1, "title": "maps", "rows": list(rows), "failures": []}],
    }


PEERS = {
    "schema": docs.PEERS_SCHEMA,
    "started": "2026-11-20T12:00:00+00:00",
    "rounds": 1,
    "machine": {"cpu": "A Processor", "cores": 2, "memory_gb": 8.0, "python": "3.11.7"},
    "comparisons": [
        {
            "peer": "prefect",
            "work": "map_async",
            "beside": "durable_map_async",
            "us_per_task": spread(3000),
            "millrace_us_per_task": "failed: no store",
            "ratio": None,
        }
    ],
    "peers": {"prefect": {"version": "3.8", "import_s": spread(0.9), "rss_mb": spread(213)}},
}


def test_a_row_shows_medians_spreads_and_limits() -> None:
    _, title, cells = report.cells(bench(row())["goals"])

    assert title[:2] == ("1", "maps")
    assert cells == ("", "map", "5.00 µs", "12.3 µs (11.0 – 13.0)", "2.47 ×", "≤ 3 × (2)", "goal held")


def test_a_row_without_figures_says_why() -> None:
    cells = report.cells(bench(row(millrace=None, ratio=None, verdict="missed", reason="not done"))["goals"])[2]

    assert cells[3:] == ("–", "–", "≤ 3 × (2)", "missed: not done")


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"kind": "absolute", "unit": "ms", "limits": {"goal": 150, "stretch": None, "shown": None}}, "≤ 150 ms"),
        ({"kind": "absolute", "unit": "B", "limits": {"goal": 1024, "stretch": 600, "shown": None}}, "≤ 1,024 B (600)"),
        ({"kind": "absolute", "unit": "B", "limits": {"goal": 0.5, "stretch": None, "shown": "0 B"}}, "0 B"),
        ({"limits": {"goal": 10 / 5.8, "stretch": 6 / 5.8, "shown": None}}, "≤ 1.72 × (1.03)"),
        ({"limits": None}, "–"),
    ],
)
def test_limits_are_shown_in_the_unit_that_is_judged(changes: dict[str, Any], shown: str) -> None:
    assert report.cells(bench(row(**changes))["goals"])[2][5] == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.001, "0.00"), (-0.001, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1,234")],
)
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert report.digits(value) == shown


def test_the_tally_counts_rows_with_a_goal() -> None:
    goals = bench(row(), row(verdict="missed"), row(limits=None, verdict="–"))["goals"]

    assert report.tally(goals) == "stretch held: 0, goal held: 1, missed: 1"


def test_text_is_aligned() -> None:
    assert report.text([("a", "what"), ("long", "b")]) == "a     what\n----  ----\nlong  b"


def test_markdown_keeps_bars_out_of_the_way() -> None:
    assert report.markdown([("a", "b"), ("x|y", "z")]) == "| a | b |\n| --- | --- |\n| x\\|y | z |"


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert docs.replace(PAGE, "new") == PAGE.replace("old", "new")


@pytest.mark.parametrize(
    "page",
    ["", docs.BEGIN, docs.END, f"{docs.END}\n{docs.BEGIN}", PAGE + docs.BEGIN, PAGE + docs.END, docs.END + PAGE],
)
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(docs.DocsError, match="once each"):
        docs.replace(page, "new")


def test_the_page_is_rewritten_from_all_results(tmp_path: Path) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results"
    results.mkdir()
    page.write_text(PAGE, encoding="utf-8")
    (results / "bench.json").write_text(json.dumps(bench(row())), encoding="utf-8")
    (results / "peers.json").write_text(json.dumps(PEERS), encoding="utf-8")

    docs.rewrite(page, results)
    once = page.read_text(encoding="utf-8")
    docs.rewrite(page, results)

    assert page.read_text(encoding="utf-8") == once
    assert "| map | 5.00 µs | 12.3 µs (11.0 – 13.0) | 2.47 × | ≤ 3 × (2) | goal held |" in once
    assert "A Processor, 2 cores, 8.0 GB, Linux 6.1; CPython 3.11.7, millrace 0.1.0. 3 rounds, 2026-11-20" in once
    assert "| prefect | 3,000 µs | failed | – |" in once
    assert "| prefect | 3.8 | 900 ms | 213 MB |" in once
    assert "old" not in once
    assert once.endswith("\n\nafter\n")


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")

    docs.rewrite(page, tmp_path / "nowhere")

    assert "Nothing has been measured yet." in page.read_text(encoding="utf-8")


def test_results_of_an_unknown_kind_are_refused_and_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    (tmp_path / "other.json").write_text('{"schema": "other/1"}', encoding="utf-8")

    with pytest.raises(docs.DocsError, match=r"other\.json"):
        docs.rewrite(page, tmp_path)
    assert page.read_text(encoding="utf-8") == PAGE


def test_the_page_of_this_repository_has_its_markers() -> None:
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"

    assert docs.replace(page.read_text(encoding="utf-8"), "new")
