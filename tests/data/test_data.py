"""The pair table: what is accepted, what is refused and in which words, and that splits never leak."""

import numpy as np
import pytest

from trainer.core.rows import DataError
from trainer.data.data_folder import PrepareSettings, write_pairs
from trainer.data.pairs import PairTable, assign_split, concatenate, hold_out, load_table, resplit, sample, save_table
from trainer.data.scales import Scale

HEADER = "neutral,emotional,valence,arousal\n"
AUTHORS = "Id,Arousal,Valence,Tag,Dataset,Neutral_Prompt,Emotional_Prompt\n"


def make_table(count=200, seed=0):
    random = np.random.default_rng(seed)
    return PairTable(
        neutral=[f"A house number {k // 2}" for k in range(count)],
        emotional=[f"A cheerful house number {k}" for k in range(count)],
        valence=random.uniform(-3, 3, count),
        arousal=random.uniform(-3, 3, count),
        source=["test"] * count,
        split=assign_split([f"A house number {k // 2}" for k in range(count)], 0.1),
        id=[f"pair-{k}" for k in range(count)],
    )


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        load_table(path, **options)
    return str(caught.value)


@pytest.fixture
def csv_file(tmp_path):
    def write(text, name="pairs.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_saved_table_comes_back_exactly(tmp_path):
    table = make_table()
    save_table(table, tmp_path / "pairs.jsonl")
    again = load_table(tmp_path)
    assert again.fingerprint() == table.fingerprint()
    assert again.valence.dtype == np.float32
    np.testing.assert_array_equal(again.arousal, table.arousal)
    assert again.split == table.split and again.id == table.id


@pytest.mark.parametrize("column", ["neutral", "emotional", "valence", "arousal", "split"])
def test_the_fingerprint_sees_every_change(column):
    table, other = make_table(), make_table()
    values = getattr(other, column)
    values[3] = {"split": "validation" if table.split[3] == "train" else "train"}.get(
        column, np.nextafter(values[3], np.float32(0)) if column in ("valence", "arousal") else values[3] + "!"
    )
    assert other.fingerprint() != table.fingerprint()


def test_the_authors_layout_with_line_breaks_and_doubled_quotes(csv_file):
    table = load_table(
        csv_file(
            AUTHORS
            + '1,-0.5,2.25,joy,OASIS,"A sign that says ""Open"", on a door","A bright sign\nthat says ""Open"""\r\n'
            + "\n"
            + "2,3,-3,fear,EMOTIC,A man,A terrified man\n"
        )
    )
    assert table.neutral[0] == 'A sign that says "Open", on a door'
    assert table.emotional[0] == 'A bright sign\nthat says "Open"'
    assert table.valence.tolist() == [2.25, -3.0] and table.arousal.tolist() == [-0.5, 3.0]
    assert table.source == ["OASIS", "EMOTIC"] and table.id == ["1", "2"]


def test_any_table_with_the_four_columns_bom_and_other_case(csv_file):
    table = load_table(csv_file("\ufeffValence,Arousal,Neutral,Emotional,extra\n1,2,Ein Haus,Ein fröhliches Haus,x\n"))
    assert table.emotional == ["Ein fröhliches Haus"]
    assert table.source == ["pairs"]
    jsonl = csv_file('{"neutral": "A", "emotional": "A\u2028b", "valence": 1, "arousal": "-2.5"}\n', "own.jsonl")
    assert load_table(jsonl).arousal.tolist() == [-2.5]


def test_every_bad_row_is_named_with_its_line(csv_file):
    text = refusal(
        csv_file(
            HEADER
            + 'A,"B\nb",0,0\n'  # lines 2 and 3
            + "A,B,3.5,0\n"  # 4
            + "A,B,nan,0\n"
            + "A,B,zwei,0\n"
            + "A,B,1 5,0\n"
            + " ,B,0,0\n"
            + "A,,0,inf\n"
            + "A,B,,1_0\n"
        )
    )
    assert "9 problems" in text
    for part in (
        "row 2 (line 4): valence is 3.5, outside -3..3",
        "row 3 (line 5): valence expected a finite number such as -1.5, got 'nan'",
        "row 4 (line 6): valence expected a number such as -1.5, got 'zwei'",
        "row 5 (line 7): valence expected a number such as -1.5, got '1 5'",
        "row 6 (line 8): neutral is empty",
        "row 7 (line 9): emotional is empty",
        "row 7 (line 9): arousal expected a finite number such as -1.5, got 'inf'",
        "row 8 (line 10): valence is missing, expected a number",
        "row 8 (line 10): arousal expected a number such as -1.5, got '1_0'",
        "--scale=1..9",
        "--skip-bad",
    ):
        assert part in text, part


def test_many_problems_are_counted_not_printed(csv_file):
    text = refusal(csv_file(HEADER + "A,B,9,0\n" * 500))
    assert "500 problems" in text and "... and 480 more" in text and text.count("\n") < 30


def test_numbers_are_read_as_spreadsheets_of_any_country_write_them(csv_file):
    for cells in ("-1,5;2", "−1.5;+2,0", "－１.５;２", '"-1,500";2,000', "-1.5 ; 2", "\u200e-1,5;2e0"):
        table = load_table(csv_file(f"neutral;emotional;valence;arousal\nA;B;{cells}\n"))
        assert (table.valence[0], table.arousal[0]) == (-1.5, 2), cells


def test_bad_rows_can_be_left_out(csv_file):
    path = csv_file("id," + HEADER + "a,A,B,1,1\na,C,D,1,1\nb,E,,1,1\nc,F,G,1,1\n")
    skipped = []
    table = load_table(path, skipped=skipped)
    assert table.id == ["a", "c"]
    assert "id 'a' is already taken by row 1" in skipped[1] and len(skipped) == 2
    only_bad = csv_file(HEADER + "A,,1,1\n", "bad.csv")
    with pytest.raises(DataError, match="none of its 1 rows can be used"):
        load_table(only_bad, skipped=[])


def test_missing_and_renamed_columns_name_the_near_miss(csv_file):
    text = refusal(csv_file("Neutral_Promt,emotional,valance,mood\nA,B,1,1\n"))
    assert "no column 'neutral'; did you mean 'Neutral_Promt'?" in text
    assert "no column 'valence'; did you mean 'valance'?" in text
    assert "no column 'arousal'\n" in text
    assert "The file has: Neutral_Promt, emotional, valance, mood." in text
    assert "both mean 'neutral'" in refusal(csv_file("neutral,Neutral_Prompt,emotional,valence,arousal\nA,A,B,1,1\n"))
    assert "The first line of CSV names the columns" in refusal(csv_file("A house,A glad house,1,2\nA,B,1,1\n"))


@pytest.mark.slow
def test_a_file_with_very_many_columns_is_described_briefly(csv_file):
    names = [f"column {k}" for k in range(300_000)]
    text = refusal(csv_file(",".join(names) + "\n" + ",".join("1" * len(names)) + "\n"))
    assert "no column 'neutral'" in text and "column 19 and 299980 more." in text and len(text) < 1000


def test_duplicate_ids_name_both_rows(csv_file):
    text = refusal(csv_file("id," + HEADER + "x,A,B,1,1\ny,A,B,1,1\nx,A,C,1,1\n"))
    assert "row 3 (line 4): id 'x' is already taken by row 1" in text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEADER.encode() + b"A,B,1,1\nCaf\xe9,B,1,1\n", "byte 0xe9 at offset 45 (line 3) is not valid UTF-8"),
        (("\ufeff" + HEADER).encode() + b"\xff,B,1,1\n", "byte 0xff at offset 37 (line 2) is not valid UTF-8"),
        (HEADER.encode() + b"A\0,B,1,1\n", "line 2 holds a NUL byte"),
        (b"", "has no rows"),
        (HEADER.encode(), "has no rows"),
        (HEADER.encode() + b'A,"B,1,1\nC,D,1,1\n', "the record that starts on line 2 is not valid CSV"),
        (HEADER.encode() + b'A,"B"c,1,1\n', "the record that starts on line 2 is not valid CSV"),
        (HEADER.encode() + b"A,B,1\n", "row 1 (line 2): 3 cells, but the header names 4 columns"),
        (b"neutral,neutral,emotional,valence,arousal\nA,B,C,1,1\n", "the header names ['neutral'] more than once"),
    ],
)
def test_broken_csv_files_are_described(csv_file, data, message):
    assert message in refusal(csv_file(data))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"neutral": "A", "emotional": "B", "valence": 1', "row 2 (line 2): not JSON"),
        ("[1, 2]", "row 2 (line 2): expected a JSON object, got list"),
        ('{"neutral": 5, "emotional": "B", "valence": 1, "arousal": 1}', "neutral expected text, got 5"),
        ('{"neutral": "A", "emotional": "B", "valence": true, "arousal": 1}', "valence is True, expected a number"),
        ('{"neutral": "A", "emotional": "B", "valence": NaN, "arousal": 1}', "expected a finite number"),
        ('{"neutral": "A", "emotional": "B", "valence": ' + "9" * 5000 + "}", "row 2 (line 2)"),
        ('{"neutral": "A\\u0000", "emotional": "B", "valence": 1, "arousal": 1}', "holds a NUL character"),
        ('{"neutral": "A", "emotional": "B", "valence": 1}', "arousal is missing, expected a number"),
        ('{"neutral": "\\ud800", "emotional": "B", "valence": 1, "arousal": 1}', "surrogate"),
        ('{"neutral": "A", "emotional": "B", "valence": 1' + "0" * 400 + ', "arousal": 1}', "expected a finite number"),
    ],
)
def test_broken_jsonl_lines_are_described(csv_file, line, message):
    good = '{"neutral": "A", "emotional": "B", "valence": 1, "arousal": 1}\n'
    assert message in refusal(csv_file(good + line + "\n", "pairs.jsonl"))


def test_other_files_are_refused(tmp_path, csv_file):
    assert "prepare write-prompts" in refusal(csv_file("image,valence,arousal\na.png,1,1\n", "images.csv"))
    assert "cannot be read: No such file" in refusal(tmp_path / "no.csv")
    assert "python -m trainer.prepare --out" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("scale", "cells", "expected"),
    [
        ("1..9", "9,5", (3, 0)),
        ("oasis", "1,7", (-3, 3)),
        ("emotic", "10,5.5", (3, 0)),
        ("emobank", "1,3.5", (-3, 0.75)),
        ("findingemo", "-2,0", (-2, -3)),
        ("-3..3,0..6", "1.5,6", (1.5, 3)),
        ("−3…3；٠..６", "1.5,6", (1.5, 3)),
        ("-3～3 0..6", "1.5,6", (1.5, 3)),
        ("-1,5..1,5", "1,1.5", (2, 3)),
    ],
)
def test_scales_become_minus_three_to_three(csv_file, scale, cells, expected):
    table = load_table(csv_file(HEADER + f"A,B,{cells}\n"), Scale.parse(scale))
    assert (table.valence[0], table.arousal[0]) == pytest.approx(expected)


def test_ratings_that_look_like_another_scale_are_asked_about(csv_file):
    for rows, scale in (
        ("0.9,0.2 0.1,0.8 0.5,0.5", "0..1"),
        ("1,0 0.25,1", "0..1"),
        ("-0.9,0.2 0.1,-0.8 0.5,0.5 -1,1 0.3,0.1", "-1..1"),
        ("8.5,2 1.2,7.7 5,5", "1..9"),
        ("6.1,2 1.2,6.7 2,2", "1..7"),
        ("4.1,2 1.2,4.7 2,2", "1..5"),
        ("2,0 9.5,7", "0..10"),
        ("85,12 20,99", "0..100"),
        ("-4,5 5,-4 3,4 -4,0", "-5..5"),
        ("-2,5 1,6 -3,4 2,0", "-3..3,0..6"),
    ):
        path = csv_file(HEADER + "".join(f"A,B,{row}\n" for row in rows.split()))
        assert f"--scale={scale} if that" in refusal(path, scale=None, skipped=[]), rows
        assert len(load_table(path, Scale.parse(scale))) == len(rows.split())
    assert "--scale=LOWEST..HIGHEST" in refusal(csv_file(HEADER + "A,B,900,1\n"), scale=None)


def test_ratings_that_can_be_on_our_scale_are_not_asked_about(csv_file):
    for rows in ("0,0", "1,1 0,1", "-0.5,0.5 0.1,-0.2", "0.5,0.5 -2,1", "1,2 3,3", "2,2 1,1 0,0.5 2,1"):
        path = csv_file(HEADER + "".join(f"A,B,{row}\n" for row in rows.split()))
        assert len(load_table(path, scale=None)) == len(rows.split()), rows
    slip = csv_file(HEADER + "A,B,1,1\n" * 9 + "A,B,31,1\n")
    assert "valence is 31, outside -3..3" in refusal(slip, scale=None)
    mild = csv_file(HEADER + "A,B,0.5,0.5\n")
    assert len(load_table(mild, Scale.parse("-3..3"))) == len(load_table(mild)) == 1


@pytest.mark.parametrize("scale", ["9..1", "1-9", "1..nan", "1..2,3..4,5..6", "likert"])
def test_scales_that_mean_nothing_are_refused(scale):
    with pytest.raises(ValueError, match=r"expected LOW\.\.HIGH such as 1\.\.9"):
        Scale.parse(scale)


def test_a_neutral_prompt_is_never_on_both_sides():
    prompts = [f"Prompt {k % 500}" for k in range(2000)] + [f"  PROMPT  {k}" for k in range(500)]
    split = assign_split(prompts, 0.1, seed=4)
    sides = {}
    for prompt, side in zip(prompts, split, strict=True):
        assert sides.setdefault(" ".join(prompt.lower().split()), side) == side
    assert 0.05 < split.count("validation") / len(split) < 0.15


def test_the_split_does_not_depend_on_the_other_rows():
    prompts = [f"Prompt {k}" for k in range(3000)]
    split = dict(zip(prompts, assign_split(prompts), strict=True))
    assert assign_split(prompts[::-2]) == [split[prompt] for prompt in prompts[::-2]]
    assert assign_split(prompts, seed=1) != assign_split(prompts, seed=0)


def test_small_tables_have_something_to_validate_on():
    assert sorted(assign_split(["A", "B", "A"])).count("validation") in (1, 2)
    assert assign_split(["A", "a "]) == ["train", "train"]
    assert assign_split(["A", "B"], 0) == ["train", "train"]


def test_a_given_split_that_leaks_is_refused(csv_file):
    header = "neutral,emotional,valence,arousal,split\n"
    table = load_table(csv_file(header + "A,B,1,1,train\nC,D,1,1,validation\n"))
    assert table.split == ["train", "validation"]
    assert table.indexes("validation").tolist() == [1]
    text = refusal(csv_file(header + "A,B,1,1,train\nA ,D,1,1,validation\nE,F,1,1,dev\n"))
    assert "row 2 (line 3): its neutral prompt is in validation here and in train in row 1" in text
    assert "row 3 (line 4): split is 'dev', expected 'train', 'validation' or 'test'" in text


def test_a_test_split_is_taken_from_training_alone(tmp_path):
    table = make_table(400)
    held = hold_out(table, 0.1, seed=2)
    assert held.indexes("validation").tolist() == table.indexes("validation").tolist()
    assert 0.05 < len(held.indexes("test")) / 400 < 0.2
    assert not {held.neutral[row] for row in held.indexes("test")} & {held.neutral[r] for r in held.indexes("train")}
    assert hold_out(table, 0.1, seed=2).split == held.split != hold_out(table, 0.1, seed=3).split
    assert hold_out(table, 0.0).fingerprint() == table.fingerprint(), "folders of before keep their pairs"
    assert "test" in hold_out(table, 1e-9).split
    save_table(held, tmp_path / "pairs.jsonl")
    assert load_table(tmp_path).split == held.split
    with pytest.raises(DataError, match="a test split of their own already: leave out --test"):
        hold_out(held, 0.1)


def test_a_data_card_says_what_is_in_the_folder(tmp_path):
    table = hold_out(make_table(400), 0.1)
    write_pairs(table, PrepareSettings(tmp_path, ["mine.csv"], test=0.1))
    card = (tmp_path / "README.md").read_text()
    assert card.startswith('---\nlicense: "other"\n') and 'size_categories: ["n<1K"]' in card
    for split in ("train", "validation", "test"):
        assert f"| {split} | {len(table.indexes(split)):,} |" in card
    assert "mine.csv" in card and "not recorded: see its source" in card and table.fingerprint() in card


def test_a_sample_is_spread_like_the_table_and_repeats():
    table = make_table(4000)
    small = sample(table, 100, seed=1)
    assert len(small) == 100 and len(set(small.id)) == 100
    assert small.fingerprint() == sample(table, 100, seed=1).fingerprint()
    np.testing.assert_allclose(
        np.quantile(small.valence, [0.1, 0.5, 0.9]), np.quantile(table.valence, [0.1, 0.5, 0.9]), atol=0.1
    )
    assert sample(table, 10**6) is table


def test_joined_tables_keep_ids_apart():
    table = make_table(10)
    both = concatenate([table, make_table(10, seed=1)])
    assert len(both) == 20 and len(set(both.id)) == 20
    assert resplit(both, 0.5, seed=3).split != both.split


def test_a_table_that_contradicts_itself_is_refused():
    columns = vars(make_table(4))
    with pytest.raises(ValueError, match="differ in length"):
        PairTable(**{**columns, "neutral": ["A"]})
    with pytest.raises(ValueError, match=r"valence must lie in \[-3, 3\]"):
        PairTable(**{**columns, "valence": [0, 1, 2, 3.01]})
    with pytest.raises(ValueError, match="arousal"):
        PairTable(**{**columns, "arousal": [0, float("nan"), 0, 0]})
    with pytest.raises(ValueError, match="split"):
        PairTable(**{**columns, "split": ["dev"] * 4})


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    path = tmp_path / "pairs.jsonl"
    save_table(make_table(4), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"pairs\.jsonl: could not be written: No space left"):
        save_table(make_table(5), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written: File exists"):
        save_table(make_table(4), tmp_path / "file" / "pairs.jsonl")
