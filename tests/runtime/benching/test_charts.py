"""Charts: SVG that any reader takes, with what was measured in its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from millrace.runtime.benching.charts.drawing import NAMESPACE, wrapped
from millrace.runtime.benching.charts.frames import LEFT, RIGHT, WIDTH
from millrace.runtime.benching.charts.latency import latency_chart
from millrace.runtime.benching.charts.picture import headline, picture
from millrace.runtime.benching.charts.scales import Linear, Log, along, spaced
from millrace.runtime.benching.charts.throughput import throughput_chart
from millrace.runtime.benching.charts.timeline import timeline_chart
from millrace.runtime.benching.laws import Saturation, UniversalScalability
from millrace.runtime.benching.plan import Plan
from millrace.runtime.benching.report import Report, make_report
from tests.runtime.benching.trials_made import LIMITS, SETTING, failing_report, report, trial

RIVALS = ("asyncio.Semaphore", "anyio.CapacityLimiter", "aiometer", "ThreadPoolExecutor")
FULL = report(Saturation(20.0, 20.0, 0.1), rivals=RIVALS, chosen=17)
CHARTS = (throughput_chart, latency_chart, timeline_chart, picture)

REPORTS = {
    "everything": FULL,
    "a curve": report(UniversalScalability(10.0, 0.05, 0.001)),
    "still rising": report(UniversalScalability(10.0, 0.0, 0.0)),
    "flat": report(lambda _: 10.0),
    "falling": report(lambda n: 10.0 / n**0.5),
    "failing": failing_report(),
    "one limit": report(lambda n: 10.0 * n, limits=(4,)),
    "one trial": make_report(SETTING, Plan(LIMITS), [trial(lambda n: 10.0 * n, 1)]),
    "all failed": make_report(SETTING, Plan(LIMITS), [trial(lambda n: 10.0 * n, 4, failing=4)]),
    "nothing": make_report(SETTING, Plan(LIMITS), []),
}


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # written by ourselves


def by_class(svg: str, class_: str) -> list[ET.Element]:
    return [each for each in parsed(svg).iter() if class_ in (each.get("class") or "").split()]


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(svg).iter(f"{{{NAMESPACE}}}text")]


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_every_chart_of_every_report_is_svg_with_numbers_in_it(chart: Callable[[Report], str], name: str) -> None:
    svg = chart(REPORTS[name])

    root = parsed(svg)
    assert root.tag == f"{{{NAMESPACE}}}svg"
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL))


def test_a_picture_asks_for_nothing_from_elsewhere() -> None:
    svg = picture(FULL)

    assert set(re.findall(r"https?://[^\"<]+", svg)) == {NAMESPACE}
    assert not re.search(r"@import|url\(|<script|<image|href", svg)


def test_every_limit_has_a_point_where_its_axis_says() -> None:
    svg = throughput_chart(FULL)

    places = [float(point.get("cx") or 0) for point in by_class(svg, "point") if point.get("cx")]
    shown = [float(each.get("data-x") or 0) for each in by_class(svg, "hit")]
    # The signs beside the names of the contenders are points, too; they stand apart from all columns.
    assert [place for place in places if place in shown] == shown
    steps = [after - before for before, after in pairwise(shown)]
    assert steps == pytest.approx([steps[0]] * len(steps), abs=0.2)  # each limit is twice the one before


def test_the_line_of_the_knee_goes_through_both_charts_at_the_same_place() -> None:
    lines = [by_class(chart(FULL), "knee") for chart in (throughput_chart, latency_chart)]

    (above,), (below,) = lines
    assert above.get("x1") == above.get("x2") == below.get("x1")
    scale = Log((1 / 1.15, 128 * 1.15), (LEFT, WIDTH - RIGHT))
    assert FULL.finding.knee is not None
    assert float(above.get("x1") or 0) == pytest.approx(scale(FULL.finding.knee), abs=0.1)


def test_the_charts_name_what_they_show() -> None:
    said = texts(throughput_chart(FULL))

    assert {"knee: 19", "adaptive: 17", "95% of peak", "saturation fit", "USL fit", *RIVALS, "millrace"} <= set(said)


def test_a_knee_that_is_not_there_is_not_drawn() -> None:
    assert by_class(throughput_chart(REPORTS["still rising"]), "knee") == []


def test_points_that_were_left_out_of_the_fit_are_hollow() -> None:
    hollow = by_class(throughput_chart(REPORTS["failing"]), "hollow")

    assert len(hollow) == sum(limit > 20 for limit in LIMITS)


def test_errors_have_a_strip_of_their_own_only_where_there_are_any() -> None:
    assert [each for each in texts(latency_chart(REPORTS["failing"])) if "%" in each] == ["38%", "69%", "84%"]
    assert by_class(latency_chart(FULL), "error-bar") == []


def test_what_users_name_cannot_break_the_picture() -> None:
    assert "<b>shop</b>.py:fetch & co: a limit of 16 is right" in texts(picture(REPORTS["failing"]))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("everything", "a limit of 19 is right"),
        ("still rising", "no limit was too large yet"),
        ("flat", "a limit of 1 is right"),
        ("one limit", "too little was measured"),
        ("all failed", "no run completed"),
        ("nothing", "too little was measured"),
    ],
)
def test_the_headline_is_the_answer(name: str, told: str) -> None:
    assert headline(REPORTS[name]) == f"shop.py:fetch: {told}"


def test_colours_are_told_apart_by_dashes_and_signs_as_well() -> None:
    svg = throughput_chart(FULL)

    signs = {
        number: {each.tag for each in by_class(svg, f"sign-{number}")}
        | {len((each.get("points") or "").split()) for each in by_class(svg, f"sign-{number}")}
        for number in range(1, 5)
    }
    assert len({str(sorted(map(str, each))) for each in signs.values()}) >= 3  # two triangles point up and down


# Scales.


def test_a_linear_scale_puts_round_values_beside_its_axis() -> None:
    scale = Linear((0.0, 432.0), (300.0, 50.0))

    assert scale.ticks() == [0, 100, 200, 300, 400]
    assert (scale(0.0), scale(432.0), scale(216.0)) == (300.0, 50.0, 175.0)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0.014, 0.22), [0.02, 0.05, 0.1, 0.2]),
        ((0.001, 3.0), [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]),
        ((1e-6, 1e6), [1e-6, 1e-3, 1e0, 1e3, 1e6]),
    ],
)
def test_a_scale_of_ratios_puts_round_values_beside_its_axis(values: tuple[float, float], ticks: list[float]) -> None:
    assert Log(values, (0.0, 1.0)).ticks(8 if len(ticks) > 6 else 6) == pytest.approx(ticks)


def test_values_along_a_scale_of_ratios_are_equally_far_apart() -> None:
    assert along(1.0, 16.0, 5) == pytest.approx([1, 2, 4, 8, 16])


def test_names_that_would_lie_on_each_other_are_moved_apart() -> None:
    assert spaced([10.0, 12.0, 50.0], 15.0) == [10.0, 25.0, 50.0]
    assert spaced([12.0, 10.0], 15.0) == [25.0, 10.0]


def test_a_text_is_wrapped_at_its_words() -> None:
    assert wrapped("one two three fourfivesix", 8) == ["one two", "three", "fourfivesix"]
