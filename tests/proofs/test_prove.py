"""All proofs in one table: a proof that fails is seen, whatever it says, and so is one that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proofs.prove import BEGIN, END, PAGE, Proof, come_to, proofs, run, with_table
from tests.proofs.soak import Sample, judge
from tests.proofs.threats import PAGE as THREATS
from tests.proofs.threats import threats
from tests.proofs.verdicts import Row, table, tell

TELLS = (
    "from tests.proofs.verdicts import Row, tell; import sys; sys.exit(tell([Row('a try', '3 of 3', holds=%s)]) + %d)"
)


@pytest.mark.parametrize(("says", "adds", "held"), [(True, 0, [True]), (False, 0, [False]), (True, 3, [True, False])])
def test_a_proof_fails_by_its_rows_or_by_its_code(tmp_path: Path, says: bool, adds: int, held: list[bool]) -> None:
    rows = run(Proof("trying", ["-c", TELLS % (says, adds)]), tmp_path).rows

    assert rows[0] == Row("a try", "3 of 3", says)
    assert [each.holds for each in rows] == held


@pytest.mark.parametrize("code", [0, 1, 7])
def test_a_proof_that_says_nothing_is_judged_by_its_code(tmp_path: Path, code: int) -> None:
    (row,) = run(Proof("silent", ["-c", f"raise SystemExit({code})"]), tmp_path).rows

    assert (row.tried, row.holds) == ("silent", code == 0)


def test_what_a_proof_came_to_is_kept_and_it_is_not_run_again(tmp_path: Path) -> None:
    proof = Proof("trying", ["-c", TELLS % (True, 0)])
    assert come_to(proof, tmp_path, wanted=False) is None

    first = come_to(proof, tmp_path, wanted=True)
    again = come_to(Proof("trying", ["-c", "raise SystemExit(1)"]), tmp_path, wanted=True)

    assert first is not None
    assert first.rows == [Row("a try", "3 of 3", holds=True)]
    assert again == first


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.000_1])
def test_however_small_the_scale_each_proof_tries_something(scale: float) -> None:
    counts = [float(word) for proof in proofs(scale) for word in proof.command if word.replace(".", "").isdigit()]

    assert min(counts) > 0
    assert all(count == round(count) for count in counts if count >= 1)
    assert max(counts) == 1_000_000 * scale


def test_what_did_not_hold_stands_out_in_the_table() -> None:
    rows = [Row("kills", "200", holds=True), Row("cuts", "3 lost", holds=False)]

    assert table(rows).splitlines()[2:] == ["| kills | 200 | held |", "| cuts | 3 lost | **FAILED** |"]
    assert tell(rows) == 1
    assert tell(rows[:1]) == 0


def test_the_page_keeps_what_stands_around_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = with_table(page, [Row("a try", "3 of 3", holds=True)], "In an hour.")

    assert page.count(BEGIN) == page.count(END) == 1
    assert "| a try | 3 of 3 | held |" in made
    assert made.partition(BEGIN)[0] == page.partition(BEGIN)[0]
    assert made.partition(END)[2] == page.partition(END)[2]


def test_the_rows_of_one_proof_take_the_place_of_theirs_and_leave_the_others() -> None:
    rows = [Row("kills", "200", holds=True), Row("cuts", "3 lost", holds=False), Row("seeds", "800", holds=True)]
    page = with_table(f"{BEGIN}{END}", rows, "`prove`, in an hour.")
    made = with_table(
        page, [Row("cuts", "0 lost", holds=True), Row("races", "9", holds=True)], "`prove --only cuts`: 1.", keeps=True
    )
    again = with_table(made, [Row("cuts", "0 of 5", holds=True)], "`prove --only cuts`: 2.", keeps=True)

    lines = [line for line in again.splitlines() if line]
    assert lines[1:3] == ["`prove`, in an hour.", "`prove --only cuts`: 2."]
    assert lines[5:-1] == [
        "| kills | 200 | held |", "| cuts | 0 of 5 | held |", "| seeds | 800 | held |", "| races | 9 | held |",
    ]  # fmt: skip


@pytest.mark.parametrize("grows", ["files", "threads", "tasks", "objects", "resident", "unresolved"])
def test_a_soak_finds_what_grows(grows: str) -> None:
    flat = {"files": 9, "threads": 5, "tasks": 1, "objects": 40_000, "resident": 50 * 2**20, "unresolved": 0}
    step = {"objects": 500, "resident": 2**20}.get(grows, 1)
    samples = [Sample(runs=1_000 * n, **{**flat, grows: flat[grows] + step * n}) for n in range(50)]
    steady = [Sample(runs=1_000 * n, **flat) for n in range(50)]

    assert [row.tried for row in judge(samples) if not row.holds] != []
    assert sum(not row.holds for row in judge(samples)) == 1
    assert all(row.holds for row in judge(steady))


def test_every_test_of_the_threat_model_is_counted() -> None:
    found = threats(THREATS.read_text(encoding="utf-8"))

    assert len(found) == 13
    assert sum(map(len, found.values())) > 50
