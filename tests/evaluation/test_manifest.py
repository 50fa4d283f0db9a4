"""Manifests: what is written is read again, and every bad line is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trainer.core.rows import DataError
from trainer.evaluation.manifest import Image, read_manifest, write_manifest

GOOD = {"path": "a.png", "prompt": "A dog.", "valence": 1.5, "arousal": -3, "seed": 7, "method": "ours"}


def manifest(folder: Path, *rows: dict | str, files=("a.png", "b.png")) -> Path:
    for name in files:
        (folder / name).touch()
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_line_becomes_an_image(tmp_path):
    [image] = read_manifest(manifest(tmp_path, GOOD))
    assert image == Image(tmp_path.resolve() / "a.png", "A dog.", 1.5, -3.0, 7, "ours", id="a.png")


def test_what_is_written_is_read_again(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "ä 1.png").touch()
    image = Image(Path("ours/ä 1.png"), "Ein Hund läuft.", 3.0, -3.0, 2**64 - 1, "ours", "one")
    write_manifest(tmp_path / "manifest.jsonl", [image, replace(image, id="two", valence=0.5)])
    first, second = read_manifest(tmp_path / "manifest.jsonl")
    assert first == replace(image, path=(tmp_path / "ours" / "ä 1.png").resolve())
    assert (second.id, second.valence) == ("two", 0.5)
    write_manifest(tmp_path / "manifest.jsonl", [first])  # absolute paths become relative again
    assert json.loads((tmp_path / "manifest.jsonl").read_text("utf-8"))["path"] == "ours/ä 1.png"


BAD = [
    ({"prompt": None}, "prompt is missing"),
    ({"prompt": " "}, "prompt is empty"),
    ({"valence": 3.5}, r"valence is 3\.5, outside -3\.\.3"),
    ({"arousal": "high"}, "arousal expected a number such as -1.5, got 'high'"),
    ({"arousal": float("nan")}, "arousal is nan, expected a finite number"),
    ({"seed": 1.5}, r"seed is 1\.5, expected a whole number from 0"),
    ({"seed": True}, "seed is True, expected a whole number"),
    ({"seed": -1}, "seed is -1"),
    ({"method": 3}, "method expected text, got 3"),
    ({"path": "none.png"}, r"path 'none\.png' is not in the picture folder"),
    ({"path": "../a.png"}, r"path '\.\./a\.png' lies outside the picture folder"),
    ({"path": "/etc/passwd"}, "path '/etc/passwd' lies outside"),
    ({"path": "x" * 5000}, "path 'x+' cannot be looked up"),
    ({"path": "a.png"}, r"id 'a\.png' is taken by line 1; images that share a file need an id each"),
    ({"id": 3}, "id expected text, got 3"),
]


def test_a_bad_line_is_named(tmp_path):
    for change, message in BAD:
        path = manifest(tmp_path, GOOD, {**GOOD, "path": "b.png"} | change)
        with pytest.raises(DataError, match=rf"row 2 \(line 2\): {message}"):
            read_manifest(path)
        skipped = []
        assert [image.id for image in read_manifest(path, skipped)] == ["a.png"]
        assert len(skipped) == 1


def test_every_problem_is_told_at_once(tmp_path):
    path = manifest(tmp_path, {}, {**GOOD, "valence": 9, "arousal": -9})
    with pytest.raises(DataError) as error:
        read_manifest(path)
    assert str(error.value).count("line 1") == 6
    assert str(error.value).count("line 2") == 2
    assert "Every line needs path, prompt, valence, arousal, seed, method" in str(error.value)


def test_what_is_not_a_manifest_is_refused(tmp_path):
    for row, message in (
        ("{", r"line 1\): not JSON"),
        ("[[]]", "expected a JSON object, got list"),
        ("", "the file has no rows"),
    ):
        with pytest.raises(DataError, match=message):
            read_manifest(manifest(tmp_path, row))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "missing.jsonl")
    with pytest.raises(DataError, match=r"this is a folder; give the manifest in it, such as .*manifest\.jsonl"):
        read_manifest(tmp_path)


def test_images_may_share_a_file_under_ids_of_their_own(tmp_path):
    images = read_manifest(manifest(tmp_path, {**GOOD, "id": "1"}, {**GOOD, "id": "2", "valence": 0}))
    assert len({image.path for image in images}) == 1


def test_linked_images_are_used_and_stay_where_the_manifest_has_them(tmp_path):
    (tmp_path / "out.png").touch()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(tmp_path / "out.png")
    path = manifest(inside, {**GOOD, "path": "link.png"})
    images = read_manifest(path)
    write_manifest(path, images)
    assert json.loads(path.read_text("utf-8"))["path"] == "link.png"
    (tmp_path / "out.png").unlink()
    with pytest.raises(DataError, match=r"'link\.png' is a broken symlink"):
        read_manifest(path)


def test_a_manifest_may_be_a_sheet(tmp_path):
    (tmp_path / "a.png").touch()
    path = tmp_path / "manifest.csv"
    path.write_text("Path;Prompt;Valence;Arousal;Seed;Method;ID\na.png;A dog.;1.5;-3;7;ours;\n")
    assert read_manifest(path) == [Image(tmp_path.resolve() / "a.png", "A dog.", 1.5, -3.0, 7, "ours", id="a.png")]


def test_nothing_is_written_that_could_not_be_read(tmp_path):
    image = Image(tmp_path.parent / "a.png", "A dog.", 0, 0, 0, "ours", "one")
    with pytest.raises(DataError, match="lies outside"):
        write_manifest(tmp_path / "manifest.jsonl", [image])
    with pytest.raises(DataError, match="'one' is taken more than once"):
        write_manifest(tmp_path / "manifest.jsonl", [replace(image, path=Path("a.png"))] * 2)
    assert list(tmp_path.iterdir()) == []
