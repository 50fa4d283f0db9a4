"""Verification by people: the sheet, the votes, the majority, the agreement, and what passes."""

import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from trainer import prepare
from trainer.core.rows import DataError
from trainer.data.pairs import PairTable, load_table, save_table
from trainer.data.review import (
    COLUMNS,
    agreement,
    disagreements,
    export_sheet,
    fleiss_kappa,
    passed,
    read_votes,
    write_disagreements,
)


def make_table(count=6):
    return PairTable(
        neutral=[f"=HYPERLINK({k}), a house" if k == 1 else f"A house {k}" for k in range(count)],
        emotional=[f'A "happy" house\n{k}' for k in range(count)],
        valence=np.linspace(-3, 3, count),
        arousal=np.linspace(2, -2.5, count),
        source=["test"] * count,
        split=["train"] * (count - 1) + ["validation"],
        id=[f"-{k}" if k == 2 else f"pair-{k}" for k in range(count)],
    )


@pytest.fixture
def table():
    return make_table()


@pytest.fixture
def sheet(table, tmp_path):
    path = tmp_path / "review.csv"
    export_sheet(table, path, {"pair-0": "=evil.png"})
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def fill(sheet, path, votes, comments=None, delimiter=","):
    """A copy of the sheet with votes, as an annotator's spreadsheet would save it."""
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter=delimiter)
        writer.writeheader()
        for number, (row, vote) in enumerate(zip(sheet, votes, strict=True)):
            writer.writerow({**row, "vote": vote, "comment": (comments or {}).get(number, "")})
    return path


def test_fleiss_kappa_of_the_worked_example():
    """Fourteen raters, ten subjects, five categories: the example of Wikipedia's article, 0.210."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert fleiss_kappa(counts) == pytest.approx(0.20993, abs=5e-6)


def test_fleiss_kappa_at_its_ends():
    assert fleiss_kappa([[3, 0], [0, 3], [3, 0]]) == pytest.approx(1)
    assert fleiss_kappa([[1, 1], [1, 1]]) == pytest.approx(-1)
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]))  # nobody ever said the other: chance explains it
    assert math.isnan(fleiss_kappa([[1, 0], [0, 1]]))  # nothing to compare
    # Pairs with one vote or none tell nothing about agreement.
    assert fleiss_kappa([[3, 0], [0, 3], [1, 0], [0, 0]]) == fleiss_kappa([[3, 0], [0, 3]])


def test_the_sheet_is_safe_to_open_and_tells_what_is_needed(sheet, tmp_path):
    raw = (tmp_path / "review.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")  # Excel reads UTF-8 only with it
    assert list(sheet[0]) == list(COLUMNS)
    assert sheet[1]["neutral"].startswith("'=HYPERLINK") and sheet[2]["id"] == "'-2"
    assert sheet[0]["image"] == "'=evil.png"
    assert sheet[0]["valence"] == "-3"  # a number stays a number
    assert sheet[3]["emotional"] == 'A "happy" house\n3'
    assert all(row["vote"] == "" and row["check"][0] == "c" for row in sheet)


def test_a_sheet_with_votes_is_not_overwritten(table, tmp_path):
    export_sheet(table, tmp_path / "review.csv")
    with pytest.raises(DataError, match="there may be votes in it"):
        export_sheet(table, tmp_path / "review.csv")


def test_the_majority_decides_and_a_tie_does_not_pass(table, sheet, tmp_path):
    anna = fill(sheet, tmp_path / "anna.csv", ["yes", "yes", "no", "YES", "", "y"])
    ben = fill(sheet, tmp_path / "ben.csv", ["yes", "no", "no", "no", "", "1"], delimiter=";")
    chen = fill(sheet, tmp_path / "chen.csv", ["Yes", "yes", "yes", "", "", "0"], {2: "fits, I think"}, "\t")
    verdicts = read_votes(table, [anna, ben, chen])
    assert [(v.yes, v.no) for v in verdicts] == [(3, 0), (2, 1), (1, 2), (1, 1), (0, 0), (2, 1)]
    assert [v.decision for v in verdicts] == ["kept", "kept", "dropped", "tie, dropped", "dropped", "kept"]
    assert passed(table, verdicts).id == ["pair-0", "pair-1", "pair-5"]
    assert passed(table, verdicts, keep_unreviewed=True).id == ["pair-0", "pair-1", "pair-4", "pair-5"]
    assert [v.index for v in disagreements(verdicts)] == [3, 1, 2, 5]
    assert agreement(verdicts) == fleiss_kappa([[3, 0], [2, 1], [1, 2], [1, 1], [2, 1]])
    write_disagreements(table, verdicts, tmp_path / "differ.csv")
    rows = list(csv.DictReader((tmp_path / "differ.csv").open(encoding="utf-8-sig", newline="")))
    assert [row["id"] for row in rows] == ["pair-3", "pair-1", "'-2", "pair-5"]
    assert (rows[2]["anna"], rows[2]["chen"], rows[2]["comments"]) == ("no", "yes", "chen: fits, I think")
    assert rows[0]["chen"] == "" and rows[0]["decision"] == "tie, dropped"
    assert rows[1]["neutral"].startswith("'=")


def test_rows_may_be_sorted_or_left_out(table, sheet, tmp_path):
    anna = fill(sheet[:1:-1], tmp_path / "anna.csv", ["yes"] * 4)
    assert [v.yes for v in read_votes(table, [anna])] == [0, 0, 1, 1, 1, 1]


def test_ids_may_begin_like_a_guarded_formula(table, tmp_path):
    table.id[:3] = ["'=1", "=2", "\uff1d3"]
    export_sheet(table, tmp_path / "review.csv")
    text = (tmp_path / "review.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["id"] for row in rows[:3]] == ["'=1", "'=2", "'\uff1d3"]
    verdicts = read_votes(table, [fill(rows, tmp_path / "anna.csv", ["yes"] * 6)])
    assert all(verdict.passes for verdict in verdicts)


def test_ids_that_a_spreadsheet_takes_for_numbers_are_found(table, tmp_path):
    table.id[:3] = ["007", "1e5", "-2"]
    export_sheet(table, tmp_path / "review.csv")
    text = (tmp_path / "review.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for row, name in zip(rows, ("7", "1,00E+05", "-2"), strict=False):
        row["id"] = name
    verdicts = read_votes(table, [fill(rows, tmp_path / "anna.csv", ["TRUE", "false", "1", "0", "yes", "no"])])
    assert [verdict.passes for verdict in verdicts] == [True, False, True, False, True, False]


def test_everything_wrong_with_a_sheet_is_named(table, sheet, tmp_path):
    sheet[0]["vote"] = "maybe"
    rows = [dict(row) for row in sheet]
    rows[1] = dict(rows[3])
    rows[4]["id"] = "other"
    rows[5]["check"] = "c0000000000"
    path = fill(rows, tmp_path / "anna.csv", ["maybe", "yes", "", "yes", "no", "no"])
    with pytest.raises(DataError) as caught:
        read_votes(table, [path])
    for part in (
        "anna.csv: 4 problems",
        "row 1 (line 2): vote is 'maybe', expected yes or no",
        "id 'pair-3' comes a second time",
        "no pair has the id 'other'",
        "the pair 'pair-5' is not the one that was shown: it has changed since the export",
        "nothing was imported",
    ):
        assert part in str(caught.value)


def test_a_changed_pair_does_not_inherit_votes(table, sheet, tmp_path):
    path = fill(sheet, tmp_path / "anna.csv", ["yes"] * 6)
    table.emotional[0] = "A sad house"
    with pytest.raises(DataError, match="'pair-0' is not the one that was shown"):
        read_votes(table, [path])


def test_one_annotator_votes_once(table, sheet, tmp_path):
    (tmp_path / "a").mkdir()
    first = fill(sheet, tmp_path / "anna.csv", ["yes"] * 6)
    second = fill(sheet, tmp_path / "a" / "anna.csv", ["yes"] * 6)
    with pytest.raises(DataError, match="'anna'"):
        read_votes(table, [first, second])


def test_other_files_are_refused(table, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("id,check,votes\na,b,yes\n")
    with pytest.raises(DataError, match="no column 'vote'; did you mean 'votes'"):
        read_votes(table, [wrong])
    wrong.write_bytes("id;check;vote;neutral\na;b;yes;Café".encode("cp1252"))
    with pytest.raises(DataError, match="is not valid UTF-8"):
        read_votes(table, [wrong])


def test_no_votes_is_an_error(table, sheet, tmp_path):
    verdicts = read_votes(table, [fill(sheet, tmp_path / "anna.csv", [""] * 6)])
    with pytest.raises(DataError, match="no pair passed"):
        passed(table, verdicts)


def test_the_commands_from_pairs_to_verified_pairs(table, tmp_path, capsys):
    pairs, out = tmp_path / "written.jsonl", tmp_path / "verified.jsonl"
    save_table(table, pairs)
    assert prepare.main(["review-export", str(pairs), "--out", str(tmp_path / "review.csv")]) == 0
    assert "6 pairs" in capsys.readouterr().out
    path = tmp_path / "review.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    sheets = [
        fill(rows, tmp_path / f"{name}.csv", votes)
        for name, votes in {
            "anna": ["yes", "yes", "no", "no", "yes", "yes"],
            "ben": ["yes", "no", "no", "yes", "yes", "yes"],
        }.items()
    ]
    assert prepare.main(["review-import", str(pairs), *map(str, sheets), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "6 of 6 pairs have votes, of 2 annotators" in text
    assert "3 pass, 3 do not (2 of them ties)" in text
    # 4 yes-yes or no-no pairs of 6; 8 yes and 4 no of 12... by hand: (4/6 - 5/9) / (1 - 5/9)
    assert "Fleiss' kappa: 0.250" in text and "2 pairs on which annotators differ" in text
    assert load_table(out).id == ["pair-0", "pair-4", "pair-5"]
    assert (tmp_path / "verified.disagreements.csv").exists()
    assert prepare.main(["review-import", str(pairs), str(pairs), "--out", str(out)]) == 1
    assert "no column 'check'" in capsys.readouterr().err


def test_no_cell_becomes_a_formula_wherever_a_spreadsheet_cuts(tmp_path):
    path = tmp_path / "sheet.csv"
    for text in (
        "=1",
        "a;=1",
        "a\t=1",
        "a\n=1",
        "a;  =1",
        "a;+1",
        "a;@A1",
        "a;＝1",
        'a";=1',
        "a\r\n=1",
        "a,b;\t=1",
        'a;"=1',
    ):
        table = replace(make_table(1), neutral=[text], id=[text.replace("\r", "")])
        path.unlink(missing_ok=True)
        export_sheet(table, path)
        for separator in ";\t":
            cells = re.split(f"[{separator}\r\n]", path.read_text("utf-8-sig"))
            assert not set("=+@＝") & {cell.strip('" ')[:1] for cell in cells}, (text, separator)
        votes = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
        [verdict] = read_votes(table, [fill(votes, tmp_path / "anna.csv", ["yes"])])
        assert verdict.passes
