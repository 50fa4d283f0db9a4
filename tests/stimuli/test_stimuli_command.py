"""python -m trainer.stimuli: from prompts or a manifest to a table of norms and experiments."""

import ast
import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image as Picture

from tests.stimuli.sets import SCENES, make_set
from tests.tiny_miniature import make_run
from trainer.evaluation.manifest import read_manifest
from trainer.stimuli.__main__ import main
from trainer.study.key import SCALES
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import Amounts
from trainer.study.rehearsal import rehearse


@pytest.fixture
def manifest(tmp_path):
    return make_set(tmp_path / "set")


@pytest.fixture
def stimuli(capsys):
    """Runs a command that must end well, and gives what it said."""

    def run(*arguments) -> str:
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert status == 0, said.err
        return said.out

    return run


@pytest.fixture
def refused(capsys):
    """Runs a command that must end with an error, and gives it."""

    def run(*arguments) -> str:
        assert main([str(argument) for argument in arguments]) == 1
        return capsys.readouterr().err

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def norms(manifest: Path) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in table(manifest.with_name("norms.csv"))}


def write(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.DictWriter(stream, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


# ---- make ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_own_prompts_to_a_table_with_provenance(tmp_path, stimuli):
    run, out, scenes = make_run(tmp_path / "run", "default-0"), tmp_path / "set", tmp_path / "scenes.txt"
    scenes.write_text("a cat by a lake\na submarine\n", encoding="utf-8")
    make = ["make", "miniature", "--run", run, "--prompts", scenes, "--out", out, "--valence=-3,3", "--arousal=0"]
    make += ["--seeds", "0", "1", "--licence", "CC0-1.0", "--device", "cpu"]
    said = stimuli(*make)
    assert "1 of 2 scenes name no subject of the miniature's world, such as 'a submarine'" in said
    images = read_manifest(out / "manifest.jsonl")
    assert {(i.prompt, i.valence, i.arousal, i.seed) for i in images} == {
        (prompt, valence, 0, seed)
        for prompt in ("a cat by a lake", "a submarine")
        for valence in (-3, 3)
        for seed in (0, 1)
    }
    assert "to be drawn" not in stimuli(*make)  # nothing is left
    said = stimuli("measure", out, "--miniature", run, "--device", "cpu")
    assert "8 pictures of 2 scenes: 0 rated by people, 8 read by programs" in said
    for row in norms(out / "manifest.jsonl").values():
        assert (row["licence"], row["readers_valence_n"], row["raters_valence_n"]) == ("CC0-1.0", "2", "0")
        assert row["readers_valence_sd"] and 1 <= float(row["readers_valence_mean"]) <= 9
        assert row["model"].startswith("miniature ") and row["network"].startswith("network.safetensors ")
        assert (row["content"] == "") == (row["prompt"] == "a submarine")


def test_options_of_make_are_refused_together(tmp_path, refused):
    error = refused("make", "sdxl", "--out", tmp_path / "set", "--seeds", "1,1", "--batch", "0", "--size", "500")
    for part in ("--seeds [1, 1]", "--batch, --processes", "--size 500", "--network"):
        assert part in error
    assert not (tmp_path / "set").exists()


# ---- measure ---------------------------------------------------------------------------------------


def test_people_and_their_gaps(manifest, tmp_path, stimuli):
    stimuli("measure", manifest)
    names = {row["id"]: row["picture"] for row in table(manifest.with_name("norms.csv"))}
    first, second = list(names)[:2]
    rows = [
        {"rater": "1", "picture": names[first], "valence": 9, "arousal": 1},
        {"rater": "1", "picture": names[first], "valence": 7, "arousal": ""},  # the same person again
        {"rater": "2", "picture": f"pictures/{names[first]}.png", "valence": 4, "arousal": "NA"},
        {"rater": "2", "picture": second, "valence": 5, "arousal": 5},
        {"rater": "2", "picture": "elsewhere", "valence": 5, "arousal": 5},
        {"rater": "2", "picture": "", "valence": "", "arousal": ""},
    ]
    write(tmp_path / "ratings.csv", rows)
    said = stimuli("measure", manifest, "--ratings", tmp_path / "ratings.csv")
    assert "3 of 6 lines have gaps" in said
    assert "1 ratings are of other pictures, such as 'elsewhere'" in said
    assert "2 rated by people" in said
    row = norms(manifest)[first]
    assert [float(row[f"raters_valence_{what}"]) for what in ("mean", "sd", "n")] == pytest.approx([6, 8**0.5, 2], 1e-4)
    assert [row[f"raters_arousal_{what}"] for what in ("mean", "sd", "n")] == ["1", "", "1"]
    assert row["readers_valence_n"] == "0" and row["readers_valence_mean"] == ""


def test_other_scales_are_named(manifest, tmp_path, stimuli, refused):
    image = read_manifest(manifest)[0].id
    write(tmp_path / "ratings.csv", [{"id": image, "valence": 50, "arousal": 100}])
    error = refused("measure", manifest, "--ratings", tmp_path / "ratings.csv")
    assert "valence is 50, outside 1..9" in error and "--scale=1..7" in error
    assert not manifest.with_name("norms.csv").exists()
    stimuli("measure", manifest, "--ratings", tmp_path / "ratings.csv", "--scale", "0..100")
    assert [norms(manifest)[image][f"raters_{axis}_mean"] for axis in ("valence", "arousal")] == ["5", "9"]


@pytest.mark.parametrize("answer", SCALES)
def test_the_answers_of_a_study_page_are_norms(manifest, tmp_path, stimuli, refused, answer):
    amounts = Amounts(order=0, estimate=2, consistency=0, smoothness=0)
    key = make_study(manifest, tmp_path / "study", StudySettings(participants=4, amounts=amounts, answer=answer))
    rehearse(key, tmp_path / "answers", 4)
    assert "belong together" in refused("measure", manifest, "--answers", tmp_path / "answers")
    said = stimuli("measure", manifest, "--answers", tmp_path / "answers", "--key", tmp_path / "study")
    assert "the answers are simulated, not people's" in said
    rows = norms(manifest).values()
    assert sum(int(row["raters_valence_n"]) for row in rows) == 4 * 2
    if answer == "affect-grid":  # its squares are the scale of the norms
        ones = [float(row["raters_valence_mean"]) for row in rows if row["raters_valence_n"] == "1"]
        assert ones and all(mean == round(mean) for mean in ones)


def test_what_a_person_filled_in_is_kept(manifest, stimuli, refused):
    stimuli("measure", manifest)
    path = manifest.with_name("norms.csv")
    rows = table(path)
    warned = [row["id"] for row in rows if row["content_warning"]]
    assert warned == ["0-3+3", "1-3+3"]  # unpleasant and stirring were asked for
    rows[0] |= {"content_warning": "spiders", "excluded": "x"}
    next(row for row in rows if row["id"] == "0-3+3")["content_warning"] = ""  # looked at, and harmless
    write(path, rows)
    stimuli("measure", manifest)
    found = norms(manifest)
    assert (found[rows[0]["id"]]["content_warning"], found[rows[0]["id"]]["excluded"]) == ("spiders", "x")
    assert found["0-3+3"]["content_warning"] == ""
    lines = manifest.read_text("utf-8").splitlines(keepends=True)
    manifest.write_text("".join(lines[1:]), encoding="utf-8")
    assert "it is kept as" in stimuli("measure", manifest)
    assert table(path.with_name("norms.before.csv"))[0]["excluded"] == "x"
    path.write_text("not,a\ntable,\n", encoding="utf-8")
    assert "It may hold what you filled in, so it is kept" in refused("measure", manifest)
    assert path.read_text("utf-8") == "not,a\ntable,\n"


def test_pictures_to_look_at_are_flagged_and_a_broken_scene_is_told(manifest, stimuli):
    images = {image.id: image.path for image in read_manifest(manifest)}
    images["0+0+0"].write_bytes(b"no picture")
    Picture.new("RGB", (48, 48), "grey").save(images["0+3+0"])
    Picture.open(images["0+0+3"]).resize((64, 64)).save(images["0+3+3"])
    images["0-3+0"].write_bytes(images["0-3-3"].read_bytes())
    said = stimuli("measure", manifest)
    flags = {id: row["look_at"] for id, row in norms(manifest).items()}
    assert flags["0+0+0"] == "cannot be read as a picture"
    assert flags["0+3+0"] == "nearly one colour"
    assert "64 x 64 pixels, most have 48 x 48" in flags["0+3+3"]
    assert (flags["0-3+0"], flags["0-3-3"]) == ("looks like 0-3-3", "looks like 0-3+0")
    assert not any(flag for id, flag in flags.items() if id.startswith("1"))
    assert re.search(r'scene 1 \("A fox.*"\): [56] of 9 pictures are flagged, the first because: ', said)


def test_a_manifest_without_pictures_is_one_sentence(manifest, refused):
    for image in read_manifest(manifest):
        image.path.unlink()
    assert "18 problems" in refused("measure", manifest)
    manifest.write_text("", encoding="utf-8")
    assert "the file has no rows" in refused("measure", manifest)


# ---- export ----------------------------------------------------------------------------------------


def test_every_format_is_written(manifest, tmp_path, stimuli):
    stimuli("measure", manifest)
    path, out = manifest.with_name("norms.csv"), tmp_path / "experiment"
    rows = table(path)
    rows[0]["excluded"] = "x"
    write(path, rows)
    assert "17 pictures" in stimuli("export", path, "--out", out, "--title", "<Feelings>")
    names = {row["picture"] for row in rows[1:]}
    for name in ("jspsych", "psychopy", "csv"):
        assert {file.stem for file in (out / name / "pictures").iterdir()} == names
    plain = table(out / "csv" / "stimuli.csv")
    assert {row["file"] for row in plain} == {f"pictures/{name}.png" for name in names}
    assert {row["column"] for row in table(out / "csv" / "codebook.csv")} == plain[0].keys()
    page = (out / "jspsych" / "stimuli.js").read_text("utf-8")
    assert "fox" not in page and "asked" not in page  # a participant can read it
    study = json.loads(page.removeprefix("const STUDY = ").removesuffix(";\n"))
    assert (study["title"], study["warnings"]) == ("<Feelings>", ["unpleasant and stirring"])
    assert "MIT License" in (out / "jspsych" / "jspsych" / "LICENSE.txt").read_text("utf-8")
    assert {row["picture"] for row in table(out / "psychopy" / "conditions.csv")} == names
    script = ast.parse((out / "psychopy" / "rate.py").read_text("utf-8"))
    given = {node.targets[0].id: node.value for node in script.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(given["TITLE"]) == "<Feelings>" and ast.literal_eval(given["EACH"]) is None
    sheets = sorted(file.name for file in (out / "contact-sheet").iterdir())
    assert sheets == [f"scene-{number}-seed-7.png" for number in range(1, len(SCENES) + 1)]


def test_exports_refuse_what_they_cannot_use(manifest, tmp_path, stimuli, refused):
    assert "cannot be read" in refused("export", manifest.with_name("norms.csv"), "--out", tmp_path / "out")
    stimuli("measure", manifest)
    path = manifest.with_name("norms.csv")
    assert "--formats 'word'" in refused("export", path, "--out", tmp_path / "out", "--formats", "word")
    assert "--each 0" in refused("export", path, "--out", tmp_path / "out", "--each", "0")
    image = read_manifest(manifest)[3].path
    Picture.new("RGB", (48, 48)).save(image)
    error = refused("export", path, "--out", tmp_path / "out")
    assert "1 of 18 pictures cannot be exported" in error and "is not the picture that was measured" in error
    write(path, [row | {"excluded": "x"} for row in table(path)])
    assert "every picture is excluded" in refused("export", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    assert "every picture" in refused("export", path, "--out", tmp_path / "out")
