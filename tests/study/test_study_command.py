"""python -m trainer.study, from images to tables."""

import json
import re

from trainer.evaluation.manifest import read_manifest
from trainer.study.__main__ import main
from trainer.study.rehearsal import paint_example


def test_from_images_to_tables(study_manifest, tmp_path, capsys):
    study, answers = tmp_path / "study", tmp_path / "answers"
    few = ["--order", "1", "--estimate", "2", "--consistency", "1", "--smoothness", "1"]
    assert main(["make", str(study_manifest), "--out", str(study), "--participants", "6", *few]) == 0
    said = capsys.readouterr().out
    assert "6 plans of 15 tasks, about 6 minutes each" in said
    assert "keep it to yourself" in said
    assert main(["rehearse", "--key", str(study / "key.json"), "--out", str(answers), "--count", "6"]) == 0
    files = ["--json", str(tmp_path / "found.json"), "--markdown", str(tmp_path / "found.md")]
    assert main(["analyse", str(answers), "--key", str(study / "key.json"), *files]) == 0
    assert "METHODS" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text("utf-8"))["people"] == 6
    assert (tmp_path / "found.md").read_text("utf-8").startswith("# User study\n")


def test_mistakes_end_in_one_line(study_manifest, tmp_path, capsys):
    assert main(["make", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "study")]) == 1
    assert re.search(r"error: .*none\.jsonl: cannot be read", capsys.readouterr().err)
    assert main(["make", str(study_manifest), "--out", str(tmp_path / "study"), "--participants", "0"]) == 1
    assert "--participants must be from 1 to 1000, got 0" in capsys.readouterr().err
    assert main(["make", str(study_manifest), "--out", str(tmp_path / "study"), "--image-size", "9"]) == 1
    assert "--image-size must be from 64 to 4096" in capsys.readouterr().err
    assert main(["rehearse", "--key", str(tmp_path / "key.json"), "--out", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_example_paints_a_study(tmp_path, capsys):
    found = read_manifest(paint_example(tmp_path / "pictures", prompts=1, size=32))
    assert len(found) == 2 * 25
    assert {image.method for image in found} == {"painted", "painted-weak"}
    assert main(["example", "--out", str(tmp_path / "pictures")]) == 1
    assert "is not empty" in capsys.readouterr().err
