"""The table and the document: the same report for people and for programmes."""

from __future__ import annotations

import json

import pytest

from millrace.runtime.benching import units
from millrace.runtime.benching.document import as_document, as_json
from millrace.runtime.benching.laws import Saturation, UniversalScalability
from millrace.runtime.benching.page import as_html
from millrace.runtime.benching.plan import Plan
from millrace.runtime.benching.report import make_report
from millrace.runtime.benching.table import as_text
from tests.runtime.benching.trials_made import LIMITS, SETTING, failing_report, report, trial, trials

WHOLE = """\
   limit  runs/s      p50      p95      p99  queued  errors  loop lag  threads  memory
       1    20.0  50.0 ms  50.0 ms  50.0 ms  175 ms       0   2.00 ms        3   50 MB
       4    80.0  50.0 ms  50.0 ms  50.0 ms  175 ms       0   2.00 ms        3   50 MB
      16     320  50.0 ms  50.0 ms  50.0 ms  175 ms       0   2.00 ms        3   50 MB   ← knee 19 (saturation \
fit: best 20, peak 400/s)
      64     400   160 ms   160 ms   160 ms  560 ms       0   2.00 ms        3   50 MB
     128     400   320 ms   320 ms   320 ms   1.12 s       0   2.00 ms        3   50 MB
adaptive     340  50.0 ms  50.0 ms  50.0 ms  175 ms       0   2.00 ms        3   50 MB   chose 17

runs/s of the same work under other limits, in the same rounds:
limit  millrace  aiometer
    1      20.0      20.0
    4      80.0      80.0
   16       320       320
   64       400       400
  128       400       400

19 in flight reach 95% of the highest throughput, which is 400 runs/s at a capacity of 20; beyond it items only wait.
The single rounds have their knee at 19.
Saturation fit: capacity 20, 0.0% off on average.
USL fit: contention 0.0114, coherency 0.0003, 10.6% off on average: the other describes them better."""


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_table_says_what_was_measured_and_what_it_means() -> None:
    text = as_text(report(Saturation(20.0, 20.0, 0.0), limits=(1, 4, 16, 64, 128), rivals=("aiometer",), chosen=17))

    assert lines(text) == lines(WHOLE)


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    head, *rows = as_text(report(UniversalScalability(20.0, 0.1, 0.001))).split("\n\n", maxsplit=1)[0].splitlines()

    assert {row.index(" MB") + 3 for row in rows} == {len(head)}


def test_what_stands_out_is_painted_and_everything_else_is_not() -> None:
    painted: list[tuple[str, str]] = []

    def paint(text: str, how: str) -> str:
        painted.append((how, text.strip()))
        return text

    as_text(failing_report(), paint)

    told = [text for how, text in painted if how == "knee"]
    assert told == ["← the last before failures", "(not in the fit)", "(not in the fit)", "(not in the fit)"]
    assert [text for how, text in painted if how == "error"] == ["192", "704", "1,728"]


def test_what_was_interrupted_is_told() -> None:
    found = make_report(SETTING, Plan(LIMITS), trials(Saturation(20.0, 20.0, 0.0), rounds=1)[:5])

    assert not found.complete
    assert as_text(found).endswith("Not all of the plan was measured.")


def test_where_nothing_completed_in_the_first_trial_nobody_has_interrupted_it() -> None:
    found = make_report(SETTING, Plan(LIMITS), [trial(lambda _: 20.0, 1, failing=1)])

    assert as_text(found).endswith("There is nothing to fit.\nSo nothing else was measured.")
    assert "So nothing else was measured." in as_html(found)
    assert "Not all of the plan" not in as_html(found)


def test_nothing_measured_is_told() -> None:
    assert as_text(make_report(SETTING, Plan(LIMITS), [])) == (
        "There is no saying: a curve needs 4 limits that were measured well, and there are none.\n"
        "Not all of the plan was measured."
    )


def test_an_adaptive_limit_that_is_still_on_its_way_is_told_so() -> None:
    found = trial(lambda n: 20.0 * n, 8, contender="adaptive", limits=((0, 2), (250_000_000, 12)))

    report_ = make_report(SETTING, Plan(LIMITS), [found])

    assert report_.adaptive is not None
    assert not report_.adaptive.settled


def test_the_document_is_json_with_keys_that_stay() -> None:
    found = as_document(report(Saturation(20.0, 20.0, 0.0), rivals=("aiometer",), chosen=17))

    assert json.loads(as_json(report(Saturation(20.0, 20.0, 0.0), rivals=("aiometer",), chosen=17))) == json.loads(
        json.dumps(found)
    )
    assert found["schema"] == "millrace.bench.limits/1"
    assert set(found) == {
        "schema", "target", "command", "items", "started", "machine", "plan", "complete", "points", "knee", "fitted",
        "fit", "usl", "adaptive", "rivals", "timelines",
    }  # fmt: skip
    assert found["knee"]["limit"] == 19
    assert found["fit"]["law"] == "saturation"
    assert found["usl"]["law"] == "USL"
    assert found["adaptive"]["choice"]["median"] == 17
    assert [point["limit"] for point in found["points"]] == list(LIMITS)
    assert set(found["points"][0]) == {
        "contender", "limit", "throughput", "latency", "queueing", "runs", "errors", "lag", "threads", "memory_bytes",
        "filled", "first_error", "error_share",
    }  # fmt: skip


def test_a_document_without_a_fit_has_nothing_in_its_place() -> None:
    found = as_document(make_report(SETTING, Plan(LIMITS), []))

    assert (found["fit"], found["usl"], found["adaptive"], found["points"]) == (None, None, None, [])
    assert found["knee"]["verdict"] == "too few"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0 ms"), (0.0000042, "4 µs"), (0.00123, "1.23 ms"), (0.0123, "12.3 ms"), (0.123, "123 ms"), (1.5, "1.50 s"),
     (9.996, "10.0 s"), (123.4, "123 s"), (None, "–"), (0.00099996, "1.00 ms"), (0.99996, "1.00 s")],
)  # fmt: skip
def test_times_have_three_digits_and_a_unit(value: float | None, told: str) -> None:
    assert units.seconds(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (999.4, "999"), (999.6, "1,000"), (12345.6, "12,346")],
)
def test_rates_have_three_digits_or_are_whole(value: float, told: str) -> None:
    assert units.rate(value) == told


@pytest.mark.parametrize(("value", "told"), [(0.05, "50 ms"), (2.0, "2 s"), (0.00002, "20 µs"), (1e-7, "0.1 µs")])
def test_round_times_are_written_as_such(value: float, told: str) -> None:
    assert units.tick(value) == told


def test_the_page_says_why_the_adaptive_limit_comes_to_another_answer() -> None:
    told = "The adaptive limit knows of no curve, and had 4 times as long. It lets latency rise to 1.5 times the lowest"
    assert told in as_html(report(Saturation(20.0, 20.0, 0.15), chosen=37))
    assert told not in as_html(report(Saturation(20.0, 20.0, 0.15)))


def test_the_single_rounds_are_told_by_the_limits_that_reach_their_knees_as_the_answer_is() -> None:
    found = report(Saturation(20.0, 20.08, 0.0))  # the knee is at 19.08, which 20 reaches

    assert found.finding.limit == 20
    assert "20 in flight reach 95%" in as_text(found)
    assert "The single rounds have their knee at 20." in as_text(found)
    assert "single rounds: 20" in as_html(found)
