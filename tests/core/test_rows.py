"""Tables as spreadsheets, scripts and people save them: all mean the same, or are refused with what to do."""

import json

import pytest

from trainer.core.prompts import read_prompts
from trainer.core.rows import DataError, match_columns, read_rows, read_text

COLUMNS = ("prompt", "valence")
WANTED = [("A dog; a cat, two", "1.5"), ("Ein Mädchen", "-2")]
COMMA = 'prompt,valence\n"A dog; a cat, two",1.5\nEin Mädchen,-2\n'
SEMICOLON = COMMA.replace("\n", "\r\n").replace(",valence", ";valence").replace('",1', '";1').replace("n,-2", "n;-2")
TAB = COMMA.replace(",valence", "\tvalence").replace('",1', '"\t1').replace("n,-2", "n\t-2")
OBJECTS = '{"prompt": "A dog; a cat, two", "valence": "1.5"}', '{"prompt": "Ein Mädchen", "valence": "-2"}'


def cells(path):
    rows = read_rows(path)
    columns = match_columns(path, rows, COLUMNS, {name: name for name in COLUMNS})
    return [tuple(row.values[columns[name]].strip() for name in COLUMNS) for row in rows]


@pytest.fixture
def table(tmp_path):
    def write(data, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_every_way_to_save_a_table_gives_the_same_rows(table):
    for data in (
        COMMA,
        SEMICOLON,
        TAB,
        TAB.replace("\t", "|"),
        TAB.replace("\t", "，"),
        TAB.replace("\t", "；"),
        COMMA.replace("\n", "\n\ufeff", 1),  # two files joined
        "\ufeff" + SEMICOLON,
        "\ufeff\ufeff" + SEMICOLON,
        TAB.encode("utf-16"),  # Excel's "Unicode Text"
        TAB.replace("\n", "\r\n").encode("utf-16-be").join([b"\xfe\xff", b""]),
        COMMA.replace("\n", "\r"),  # Macs before 2001, and Excel's "CSV (Macintosh)"
        "sep=;\r\n" + SEMICOLON,
        "\ufeffSEP=;\n" + SEMICOLON,
        "sep=,\n" + SEMICOLON,  # saved again with another one
        '"sep=;"\n' + SEMICOLON,
        COMMA.replace("\n", ",,,\n"),
        COMMA.replace("valence\n", "valence,,\n").replace("-2\n", "-2,\n"),
        "\n ,\n" + COMMA.replace("\n", "\n\n") + ",\n\n",
        COMMA.replace("prompt,valence", '" Prompt " ,"VALENCE"').replace('" ,', '", '),
        COMMA.replace("prompt", "\u200bprompt\xa0"),
        COMMA.replace("prompt,valence", '"prompt " ; "valence"').replace('two",', 'two" ;').replace("n,-2", "n;-2"),
        COMMA.replace("\n", "\n1,").replace("prompt", ",prompt", 1).removesuffix("1,"),  # R's row names
        "\n".join(OBJECTS),
        "\r".join(OBJECTS),
        "\ufeff" + "\r\n\r\n".join(OBJECTS),
        ",\n".join(OBJECTS) + ",\n",
        f"[{','.join(OBJECTS)}]",
        "\n".join(json.dumps(json.loads(one), indent=2) for one in OBJECTS),  # as jq prints them
        "\ufeff[\n  " + ",\n  ".join(OBJECTS) + ",\n]\n",
        f"[\n{OBJECTS[0]},\n{OBJECTS[1]}\n]".encode("utf-16"),
    ):
        assert cells(table(data)) == WANTED, data
    for name in ("table.tsv", "table.txt", "table.CSV", "table.jsonl", "table"):
        assert cells(table(TAB, name)) == WANTED, name


def test_the_place_of_a_row_is_that_of_the_file(table):
    assert [row.line for row in read_rows(table("sep=;\r\n" + SEMICOLON))] == [3, 4]
    assert [row.line for row in read_rows(table(COMMA.replace("\n", "\r")))] == [2, 3]
    assert [row.line for row in read_rows(table("[\n\n" + ",\n".join(OBJECTS) + "]"))] == [3, 4]


def test_what_is_not_a_table_is_named_with_what_to_do(table):
    for data, message in (
        (b"PK\x03\x04rest", r"a spreadsheet \(\.xlsx, \.ods\).* Save it as .*CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0", "Excel 97"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"{\\rtf1}", "RTF"),
        ("<!DOCTYPE html><html>", "a web page or XML"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("prompt,valence\nCafé,1\n".encode("cp1252"), r"byte 0xe9 at offset 18 \(line 2\) is not valid UTF-8"),
        ("prompt,valence\rCafé,1\r".encode("mac-roman"), r"\(line 2\) is not valid UTF-8"),
        (b"p\0,\0v\0\n\0", "line 1 holds a NUL byte"),
        (TAB.encode("utf-16")[:-1], "is not valid UTF-16"),
        ("prompt,Valence,valence\na,1,2\n", "'Valence' and 'valence' both mean 'valence'. Remove one"),
        ("prompt,valence,x,x\na,1,2,3\n", r"names \['x'\] more than once. The first line names the columns: rename"),
        ("prompt,valence\nA dog,1,5\n", "3 cells, but the header names 2 columns\nA cell with a comma"),
        ("prompt;valence\nA dog; a cat;1,5\n", "A cell with a semicolon or a line break in it must be quoted"),
        ("prompt,valence\nA dog\n", "1 cell, but the header names 2 columns"),
        (f"[{OBJECTS[0]}, {{]", r"row 2 \(line 1\): not JSON.*\nExpected JSON objects"),
        ("# my table\nprompt,valence\nA dog,1\n", "The first line names the columns, here: # my table"),
        (
            "prompt  valence\nA dog  1\n",
            "no column 'valence'\nThe file has: prompt  valence. No comma, semicolon, tab or bar separates it",
        ),
        ("\x1b[2Jprompt,valence\nA dog,1\n", r"The file has: \\x1b\[2Jprompt, valence"),
        (f"[{OBJECTS[0]}", r"row 2 \(line 1\): not JSON"),
        ("[" * 100_000, r"row 1 \(line 1\): not JSON that can be read"),
        ("[1, 2]", r"row 1 \(line 1\): expected a JSON object, got int"),
        ("[]", "the file has no rows"),
        ("\ufeff", "the file has no rows"),
        ("sep=;\n", "the file has no rows"),
        (" ".join(OBJECTS), "there is more behind the object"),
    ):
        with pytest.raises(DataError, match=message):
            cells(table(data))


def test_text_is_read_as_notepad_and_excel_save_it(table):
    for data in ("Grün\n".encode(), "\ufeffGrün\n".encode(), "Grün\n".encode("utf-16")):
        assert read_text(table(data)) == "Grün\n"


def test_prompts_come_from_lines_or_from_a_table(table):
    assert read_prompts(table("\ufeff# mine\rA dog\r\r  A cat \r", "prompts.txt")) == ["A dog", "A cat"]
    sheet = "id;Neutral_Prompt;valence\r\n1;A dog;1\r\n2;A dog;2\r\n3;A cat, asleep;1\r\n"
    assert read_prompts(table(sheet, "pairs.csv"), limit=5) == ["A dog", "A cat, asleep"]
    assert read_prompts(table('[{"prompt": "A dog"}]', "prompts.json")) == ["A dog"]
    for other in ('{"prompt": "A dog"}\n', "Prompt\tvalence\nA dog\t1\n"):
        assert read_prompts(table(other, "prompts.txt")) == ["A dog"]
    with pytest.raises(DataError, match="no column 'prompt'"):
        read_prompts(table("A dog\nA cat\n", "prompts.csv"))
    with pytest.raises(DataError, match="'A dog' more than once"):
        read_prompts(table("A dog\nA dog\n", "prompts.txt"))
