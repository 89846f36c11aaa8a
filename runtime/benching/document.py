"""The document: a report as JSON.

Decides the keys, which stay what they are as long as `schema` does. Times are seconds, memory is bytes.
"""

from __future__ import annotations

import json
from typing import Any, Final

import attrs

from millrace.runtime.benching.figures import Point
from millrace.runtime.benching.fitting import Fit
from millrace.runtime.benching.knee import SHARE
from millrace.runtime.benching.report import Report

SCHEMA: Final = "millrace.bench.limits/1"


def as_document(report: Report) -> dict[str, Any]:
    """The report in terms of what JSON has."""
    found = report.finding
    return {
        "schema": SCHEMA,
        **attrs.asdict(report.setting),
        "plan": attrs.asdict(report.plan),
        "complete": report.complete,
        "points": [_point(point) for point in report.points],
        "knee": {
            "verdict": found.verdict.value,
            "limit": found.limit,
            "knee": found.knee,
            "share": SHARE,
            "rounds": None if found.range is None else attrs.asdict(found.range),
            "peak_limit": found.peak,
            "peak_throughput": found.best,
            "sentence": found.sentence,
            "notes": list(found.notes),
        },
        "fitted": list(found.fitted),
        "fit": _fit(found.fit),
        "usl": _fit(found.scalability),
        "adaptive": None
        if report.adaptive is None
        else {
            "choice": attrs.asdict(report.adaptive.choice),
            "settled": report.adaptive.settled,
            **_point(report.adaptive.point),
        },
        "rivals": {name: [_point(point) for point in points] for name, points in report.rivals.items()},
        "timelines": [attrs.asdict(each) for each in report.timelines],
    }


def as_json(report: Report) -> str:
    """The report as the text of a JSON document."""
    return json.dumps(as_document(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _point(point: Point) -> dict[str, Any]:
    return {**attrs.asdict(point), "error_share": point.error_share}


def _fit(found: Fit | None) -> dict[str, Any] | None:
    return None if found is None else {"law": found.title, **attrs.asdict(found.law), "error": found.error}
