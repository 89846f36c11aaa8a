"""Tables and times of the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace import ConfigurationError
from millrace.runtime.cli.tables import columns, harmless, table
from millrace.runtime.cli.times import ago, length, moment, seconds_in

NS = 1_000_000_000
NOW = 1_790_000_000 * NS

CELLS = st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=5)


@given(rows=CELLS, width=st.none() | st.integers(min_value=1, max_value=80))
def test_a_table_has_a_line_for_each_row_whatever_is_in_it(rows: list[tuple[str, str, str]], width: int | None) -> None:
    lines = table(rows, 1, width).split("\n")

    assert len(lines) == len(rows)
    assert all(harmless(line) == line for line in lines)
    assert width is None or max(map(columns, lines)) <= width


def test_columns_stand_below_each_other_also_where_letters_are_wide() -> None:
    assert table([("a", "name"), ("日本", "x"), ("e\u0301", "y")], 1, None) == "a     name\n日本  x\ne\u0301     y"


def test_the_flexible_column_gives_way_first() -> None:
    rows = [("id", "a name that is long", "state"), ("12", "b", "Completed")]

    assert table(rows, 1, 29).splitlines()[0] == "id  a name that i…  state"
    assert table(rows, 1, 12).splitlines() == ["id  a name …", "12  b      …"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("15 min", 900), ("2h", 7200), ("1.5d", 129_600), ("1w", 604_800)]
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert seconds_in("--timeout", text) == seconds
    assert moment("--since", text, NOW) == NOW - seconds * NS


NO_TIMES = ["", "1", "s", "-1s", "1y", "1e3s", "\N{ARABIC-INDIC DIGIT ONE}s", "1s 2m", "9" * 400 + "s", "2026-13-01"]


@pytest.mark.parametrize("text", NO_TIMES, ids=range(10))
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--since"):
        moment("--since", text, NOW)


def test_dates_are_read_with_the_time_zone_they_name() -> None:
    at = datetime(2026, 11, 20, 8, tzinfo=UTC)

    assert moment("--since", "2026-11-20T08:00Z", NOW) == moment("--since", "2026-11-20T09:00+01:00", NOW)
    assert moment("--since", "2026-11-20T08:00Z", NOW) == round(at.timestamp()) * NS
    assert moment("--since", "1900-01-01", NOW) == 0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3600, "1 h ago"),
        (3 * 86_400, "3 d ago"),
        (-5, "0 s ago"),
    ],
)
def test_how_long_ago_something_was(seconds: float, told: str) -> None:
    assert ago(NOW - round(seconds * NS), NOW) == told


def test_what_was_long_ago_has_a_date() -> None:
    assert ago(NOW - 40 * 86_400 * NS, NOW) == "2026-08-12"
    assert ago(None, NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0123, "12 ms"), (1.25, "1.2 s"), (61, "1 min 1 s"), (3_720, "1 h 2 min"), (-1, "0 ms")]
)
def test_how_long_something_took(seconds: float, told: str) -> None:
    assert length(round(seconds * NS)) == told
