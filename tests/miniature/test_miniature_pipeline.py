"""The whole pipeline at a size that learns nothing: its files, its second run, its measures, its export."""

import dataclasses
import json
from unittest.mock import patch

import diffusers
import numpy as np
import pytest
import torch
import transformers
from filelock import FileLock
from safetensors.torch import load_file

from emoticrafter import load_network
from emoticrafter.weights import read_metadata
from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.miniature import emotion
from trainer.miniature.__main__ import main
from trainer.miniature.pipeline import train
from trainer.miniature.recipe import TINY, Recipe, keep, read_recipe
from trainer.painters.miniature import MiniaturePainter
from trainer.painters.settings import MiniatureSettings
from trainer.world.captions import emotional_caption
from trainer.world.scene import all_scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(out, TINY, Machine(torch.device("cpu")))
    return out


def test_a_second_run_does_nothing(out, capfd):
    def written():
        files = [*out.rglob("*model.safetensors"), *out.rglob("*network.safetensors"), *out.glob("readers/*")]
        return {path: path.stat().st_mtime_ns for path in files}

    before = written()
    assert len(before) == 8
    assert main(["train", "--out", str(out), "--device", "cpu"]) == 0
    assert written() == before
    said = capfd.readouterr().out
    assert "generator: " in said and "next:" not in said


def test_latents_have_deviation_one(out):
    latents = np.load(out / "latents.npy").astype(np.float32)
    assert latents.shape == (TINY.pictures, 4, 4, 4)
    assert latents.std() == pytest.approx(1, abs=0.05) and abs(latents.mean()) < 0.05


def test_the_emotion_network_is_one_of_the_trainer_s(out):
    metadata = read_metadata(out / "emotion" / "default-0" / "network.safetensors")
    assert metadata["config"].feature_width == sum(TINY.text_widths)
    assert metadata["training"]["scale"] == 1.0
    assert len((out / "emotion" / "data" / "pairs.jsonl").read_text().splitlines()) == TINY.pairs


def test_another_recipe_is_refused(out, capsys):
    assert main(["train", "--out", str(out), "--generator-steps", "77", "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "begun with another recipe: generator_steps was 4 and is 77" in said and "another --out" in said


def test_tiny_sizes_are_told_and_stay_apart_from_a_real_run(out, tmp_path, capsys):
    def train_pictures(*words):
        status = main(["train", *map(str, words), "--device", "cpu", "--stages", "pictures"])
        told = capsys.readouterr()
        return status, told.out, told.err

    status, said, _ = train_pictures("--out", tmp_path / "new", "--tiny")
    assert status == 0 and "tiny sizes: learns nothing" in said
    status, said, _ = train_pictures("--out", tmp_path / "new")
    assert status == 0 and "was begun with --tiny: tiny sizes: learns nothing. Choose another --out" in said
    keep(Recipe(), tmp_path / "real")
    status, said, told = train_pictures("--out", tmp_path / "real", "--tiny")
    assert status == 1 and "was begun without --tiny: leave it out to go on, or choose another" in told
    assert "learns nothing" not in said and not (tmp_path / "real" / "pictures").exists()


def test_stages_need_those_before_them(tmp_path, capsys):
    command = ["train", "--out", str(tmp_path / "new"), "--device", "cpu"]
    assert main([*command, "--tiny", "--stages", "emotion"]) == 1
    assert "--stages generator" in capsys.readouterr().err
    assert main([*command, "--stages", "fly"]) == 1
    assert "unknown stage 'fly': use one of pictures" in capsys.readouterr().err


def test_a_second_run_into_the_same_folder_is_refused(tmp_path, capsys):
    out = tmp_path / "new"
    out.mkdir()
    with FileLock(out / ".lock"):
        assert main(["train", "--out", str(out), "--device", "cpu", "--tiny", "--stages", "pictures"]) == 1
    assert f"Another run is writing in {out}: wait until it has ended" in capsys.readouterr().err
    assert not (out / "pictures").exists()


def test_measuring_without_a_run_says_what_to_do(tmp_path, capsys):
    assert main(["measure", "--out", str(tmp_path / "none")]) == 1
    assert "python -m trainer.miniature train" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["measure", "export"])
def test_a_run_without_its_generator_says_what_to_do(tmp_path, capsys, command):
    keep(TINY, tmp_path / "run")
    (tmp_path / "run" / "autoencoder").mkdir()
    more = ["--to", str(tmp_path / "ship")] if command == "export" else []
    assert main([command, "--out", str(tmp_path / "run"), "--device", "cpu", *more]) == 1
    assert "generator does not exist: run the stage first" in capsys.readouterr().err
    assert not (tmp_path / "ship").exists()


def test_networks_are_looked_at_before_anything_is_drawn(out, tmp_path, capsys):
    for path, told in ((tmp_path / "none.safetensors", "There is no file"), (out / "recipe.json", "network")):
        assert main(["measure", "--out", str(out), "--networks", str(path), "--device", "cpu"]) == 1
        assert told in capsys.readouterr().err
    assert not (out / "measured").exists()


def test_counts_of_nothing_are_refused(capsys):
    measured = ("measure --prompts 0", "measure --seeds -1", "ablate --networks 0")
    for words in (*measured, "paint --out x --steps 0", "paint --out x --size 0"):
        with pytest.raises(SystemExit) as end:
            main(words.split())
        assert end.value.code == 2 and "expected at least 1" in capsys.readouterr().err


def test_measure_writes_the_table(out, tmp_path):
    arguments = ["measure", "--out", str(out), "--prompts", "2", "--seeds", "1", "--device", "cpu"]
    path = tmp_path / "miniature.md"
    assert main([*arguments, "--table", str(path)]) == 0
    first = path.read_text()
    for row in ("default", "emotional captions", "plain prompts", "always 0"):
        assert f"| {row} |" in first
    assert main([*arguments, "--table", str(path)]) == 0  # from what was kept
    assert path.read_text() == first
    drawn = next((out / "measured").glob("network-default-*/0000-0/v+3*.png")).read_bytes()
    assert main([*arguments, "--strength", "0.5", "--table", str(path)]) == 0
    assert "strength 0.5" in path.read_text() and "strength" not in first
    # What was drawn at strength 1 stays beside it.
    at_half = next((out / "measured").glob("network-default-*-0_5/0000-0/v+3*.png")).read_bytes()
    assert at_half != drawn == next((out / "measured").glob("network-default-0/0000-0/v+3*.png")).read_bytes()


def test_words_are_set_against_the_opposite_value(out, tmp_path, monkeypatch):
    asked, draw = {}, MiniaturePainter.draw

    def noted(self, tasks):
        for task in tasks:
            strength = self.strength * bool(self.network)
            asked.setdefault(task.text, set()).add((strength, task.valence, task.arousal))
        return draw(self, tasks)

    monkeypatch.setattr(MiniaturePainter, "draw", noted)
    document = tmp_path / "miniature.md"
    words = ["--out", str(out), "--prompts", "2", "--device", "cpu", "--table", str(document)]
    assert main(["override", *words]) == 0
    shown = document.read_text()
    assert shown.count("\n| valence ") == shown.count("\n| arousal ") == 4
    [strong] = [line for line in shown.splitlines() if line.startswith("| arousal +3 |")]
    assert "| arousal -2.5 |" in strong and strong.count("±") == 3 and strong.count("%") == 2
    sad = asked[emotional_caption(all_scenes("held-out")[1], -3.0, 0.0, 1)]
    alone = (0.0, -3.0, 0.0)  # drawn by `measure` before, perhaps
    assert sad - {alone} == {(1.0, 2.5, 0.0), (2.0, 2.5, 0.0)}
    assert len(asked) == 8 * 2


def test_what_stays_is_measured_from_start_to_start(out, tmp_path):
    document = tmp_path / "miniature.md"
    words = ["--out", str(out), "--prompts", "2", "--device", "cpu", "--table", str(document)]
    assert main(["composition", *words]) == 0
    first = document.read_text()
    cells = [[cell.strip() for cell in line.split("|")] for line in first.splitlines() if line[:1] == "|"]
    kept = {name: share for _, name, _, share, *_ in cells}
    # with two steps, an emotion from 0.1 to 0.5 has the second one alone, and from 0.6 none
    assert kept["start 0.1"] == kept["start 0.4"] != kept["start 0.6"]
    assert kept["start 0.6"] == kept["the plain picture"] == "100 %" and kept["another seed"] == "0 %"
    assert main(["composition", *words]) == 0  # from what was kept
    assert document.read_text() == first


def test_a_start_is_from_0_to_1(out):
    for start in (-0.1, 1.5, float("nan")):
        with pytest.raises(DataError, match=r"start is .*: expected 0 .* to 1"):
            MiniatureSettings(out, start=start).as_json()


def test_the_search_for_the_range_is_compared_with_a_dense_grid(out, tmp_path):
    document = tmp_path / "miniature.md"
    words = ["--out", str(out), "--prompts", "2", "--strength", "3", "--device", "cpu", "--table", str(document)]
    assert main(["range", *words]) == 0
    shown = document.read_text()
    assert "2 held-out prompts, 8 rays, 6 pictures on each, 1 seed, strength 3" in shown
    drawn = list((out / "measured" / "range-3").rglob("*.png"))
    assert len(drawn) == 2 * 8 * 6
    rows = [line for line in shown.splitlines() if line.startswith(("| 3 pictures a ray", "| null: "))]
    assert len(rows) == 3 + 3 + 2  # by colours and edges, by the readers, and what they keep
    assert "By the miniature's readers:" in shown


def test_a_field_is_fitted_without_training_and_once(out, capsys):
    for _ in range(2):
        assert main(["instant", "--out", str(out), "--pairs", "8"]) == 0
    path = out / "emotion" / "instant-8" / "network.safetensors"
    assert str(path) in capsys.readouterr().out
    assert load_network(path).config.positions == 77


def test_a_network_that_corrects_the_field_is_fitted_once(out, capsys):
    for _ in range(2):
        assert main(["network", "--out", str(out), "--pairs", "40", "--steps", "2", "--device", "cpu"]) == 0
    path = out / "emotion" / "network-40-0" / "network.safetensors"
    assert str(path) in capsys.readouterr().out
    assert load_network(path).config.field_positions == 77
    assert read_metadata(path)["training"]["steps"] == 2


def test_field_and_network_are_compared_on_scenes_with_moods_of_their_own(out, tmp_path):
    document = tmp_path / "miniature.md"
    words = ["--out", str(out), "--prompts", "2", "--pairs", "40", "--steps", "2", "--table", str(document)]
    assert main(["scenes", *words]) == 0
    lines = [line.split("|") for line in document.read_text().splitlines() if line.startswith("|")]
    rows = {name.strip(): cells for _, name, *cells in lines}
    assert rows["the words"][0].strip() == "–"
    for name in ("instant", "network", "plain prompts", "the words of another point"):
        assert float(rows[name][0]) >= 0, name  # what learned nothing draws hardly any difference


def test_export_writes_small_files_and_their_card(out, tmp_path, capfd):
    transformers.logging.enable_progress_bar()  # as in a new process: other tests have silenced them
    diffusers.logging.set_verbosity_warning()
    assert main(["export", "--out", str(out), "--to", str(tmp_path / "ship")]) == 0
    assert capfd.readouterr().err == "", "no notes of loaders"
    names = {path.name for path in (tmp_path / "ship").iterdir()}
    parts = ("unet", "text_encoders", "vae", "emotion_network", "emotion_reader", "content_reader", "second_reader")
    assert names == {f"{part}.safetensors" for part in parts} | {"README.md", "pairs.csv"}
    for part in parts:
        halves = load_file(tmp_path / "ship" / f"{part}.safetensors")
        assert {tensor.dtype for tensor in halves.values()} == {torch.float16}, part
    assert load_network(tmp_path / "ship" / "emotion_network.safetensors").config.width == TINY.emotion_width
    card = (tmp_path / "ship" / "README.md").read_text()
    assert "unet.safetensors" in card and "emotion reader, painted: mean valence error" in card
    assert "second reader, returned: mean arousal error" in card


def test_an_export_that_cannot_be_finished_changes_nothing(out, tmp_path, capsys):
    (tmp_path / "unet.safetensors").write_text("as before")
    missing = tmp_path / "missing.safetensors"
    assert main(["export", "--out", str(out), "--to", str(tmp_path), "--network", str(missing)]) != 0
    assert "missing.safetensors" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["unet.safetensors"]
    assert (tmp_path / "unet.safetensors").read_text() == "as before"


def test_a_recipe_of_which_nothing_can_be_made_is_refused():
    for values, told in (
        ({"pictures": -5}, "pictures is -5: expected 1 or more"),
        ({"seed": -1}, "seed is -1: expected 0 or more"),
        ({"generator_lr": float("nan")}, "generator_lr is nan: expected a number from 0"),
        ({"empty_share": 1.5}, "empty_share is 1.5: expected a number from 0 to 1"),
        ({"picture_size": 33}, "picture_size is 33: expected a multiple of 32"),
        ({"autoencoder_crop": 64}, "autoencoder_crop is 64: expected at most 32"),
    ):
        with pytest.raises(ValueError, match=told):
            dataclasses.replace(TINY, **values)


def test_the_recipe_is_kept_with_the_run_and_named_if_it_is_damaged(out, tmp_path):
    for text in ("", "{", "[]", '{"unheard_of": 1}', '{"pictures": "many"}'):
        (tmp_path / "recipe.json").write_text(text)
        with pytest.raises(ValueError, match=r"recipe\.json is damaged or from another release"):
            read_recipe(tmp_path)
    assert read_recipe(out) == TINY
    assert json.loads((out / "recipe.json").read_text())["seed"] == 0
    assert Recipe() != TINY


def test_an_interruption_of_a_networks_fit_interrupts_the_command(out, capsys):
    words = f"ablate --out {out} --variants power-2 --networks 1 --device cpu"
    with patch.object(emotion, "train", side_effect=KeyboardInterrupt("Stopped at step 2.")):
        assert main(words.split()) == 130
    assert "Stopped at step 2." in capsys.readouterr().err
