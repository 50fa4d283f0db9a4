"""The shipped weights turned back into a run: nothing is lost, and it draws."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from emoticrafter import EmotionNetwork, NetworkConfig, load_network, save_network
from emoticrafter.research.readers import load_reader
from trainer.evaluation.manifest import read_manifest
from trainer.miniature.__main__ import main
from trainer.miniature.export import CAPTIONS_NAME, export, write_part
from trainer.miniature.folders import save_generator
from trainer.miniature.held_out import PICTURES, best_network, fitted_path
from trainer.miniature.models import TextEncoders, make_autoencoder, make_unet
from trainer.miniature.readers import KINDS, SECOND, Reader, save_reader, second_recipe
from trainer.miniature.recipe import TINY, keep, read_recipe
from trainer.miniature.restore import PARTS, SECOND_FILE, restore

pytestmark = pytest.mark.slow

NETWORK = "emotion/default-0/network.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run, with an autoencoder whose latents are far from deviation 1 and mean 0."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    torch.manual_seed(0)
    keep(TINY, run)
    save_generator(make_unet(TINY), TextEncoders(TINY), run / "generator")
    autoencoder = make_autoencoder()
    autoencoder.register_to_config(scaling_factor=0.37, shift_factor=-0.21)
    autoencoder.save_pretrained(run / "autoencoder")
    for kind, outputs in KINDS.items():
        reader = Reader(TINY.reader_channels, outputs)
        save_reader(reader, run / "readers" / f"{kind}.safetensors", kind, TINY, {"painted: right": 0.5})
    second = second_recipe(TINY)
    reader = Reader(second.reader_channels, KINDS["emotion"])
    save_reader(reader, run / "readers" / f"{SECOND}.safetensors", "emotion", second, {"painted: right": 0.4})
    sizes = {"width": 64, "depth": 1, "emotion_tokens": 2, "emotion_hidden": 8}
    config = NetworkConfig(feature_width=sum(TINY.text_widths), **sizes)
    save_network(EmotionNetwork(config), run / NETWORK, {"scale": 1})
    return run


@pytest.fixture(scope="module")
def shipped(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("shipped")
    export(run, TINY, run / NETWORK, to)
    return to


@pytest.fixture(scope="module")
def restored(shipped, tmp_path_factory):
    out = tmp_path_factory.mktemp("restored") / "runs" / "tiny"
    restore(shipped, out)
    return out


def test_exporting_it_again_gives_the_same_files(shipped, restored, tmp_path):
    export(restored, read_recipe(restored), restored / NETWORK, tmp_path)
    names = {path.name for path in shipped.iterdir()}
    assert names == {f"{part}.safetensors" for part in PARTS} | {SECOND_FILE, "README.md", "pairs.csv"}
    assert names == {path.name for path in tmp_path.iterdir()}
    for name in names:
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes(), name


def test_what_was_shipped_without_a_second_reader_is_restored_without_one(run, tmp_path):
    (old := tmp_path / "old").mkdir()
    for part in ("generator", "autoencoder", "readers", "emotion"):
        shutil.copytree(run / part, old / part)
    (old / "readers" / f"{SECOND}.safetensors").unlink()
    export(old, TINY, old / NETWORK, tmp_path / "ship")
    restore(tmp_path / "ship", tmp_path / "again")
    assert {path.stem for path in (tmp_path / "again" / "readers").iterdir()} == set(KINDS)
    assert not (tmp_path / "ship" / SECOND_FILE).exists()


def test_a_network_that_learned_from_pictures_is_shipped_beside_the_first_and_restored(run, tmp_path):
    (best := fitted_path(run, PICTURES)).parent.mkdir()
    network = load_network(run / NETWORK)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    save_network(network, best)
    try:
        export(run, TINY, best_network(run), tmp_path / "ship")
    finally:
        shutil.rmtree(best.parent)
    assert "`captions_network`, to compare with" in (tmp_path / "ship" / "README.md").read_text()
    again = tmp_path / "again"
    restore(tmp_path / "ship", again)
    for path, wanted in ((best_network(again), network), (again / NETWORK, load_network(run / NETWORK))):
        assert torch.allclose(next(load_network(path).parameters()), next(wanted.parameters()), atol=1e-2)
    (tmp_path / "ship" / CAPTIONS_NAME).write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"is not the file that README\.md beside it lists"):
        restore(tmp_path / "ship", tmp_path / "never")


def test_it_has_the_recipe_and_a_finished_network(restored):
    assert read_recipe(restored) == TINY
    assert (restored / "emotion" / "default-0" / "finished").exists()
    assert not list(restored.parent.glob(".*"))


def draw(run, out):
    from trainer.generate import main as generate

    assert generate(f"miniature --run {run} --out {out} --limit 1 --levels=-3,3 --device cpu".split()) == 0
    return {i.id: np.array(Pillow.open(i.path)).astype(int) for i in read_manifest(out / "manifest.jsonl")}


def test_it_draws_what_the_run_draws_but_for_float16(run, restored, tmp_path):
    first, second = draw(run, tmp_path / "run"), draw(restored, tmp_path / "restored")
    assert len(first) == 4 and first.keys() == second.keys()
    assert max(np.abs(first[name] - second[name]).max() for name in first) <= 3
    corners = list(first.values())
    assert all(np.ptp(corner) > 10 for corner in corners)


def test_a_run_is_never_overwritten(shipped, restored, tmp_path, capsys):
    before = (restored / "recipe.json").stat().st_mtime_ns
    assert main(["restore", "--from", str(shipped), "--out", str(restored)]) == 1
    said = capsys.readouterr().err
    assert "holds a run already" in said and "another --out" in said
    assert (restored / "recipe.json").stat().st_mtime_ns == before
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        restore(shipped, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(shipped, tmp_path):
    restore(shipped, tmp_path)
    assert (tmp_path / "generator" / "unet" / "config.json").is_file()


@pytest.fixture
def copy(shipped, tmp_path):
    return shutil.copytree(shipped, tmp_path / "shipped")


def test_a_missing_file_is_named(copy, tmp_path):
    for name in ("content_reader.safetensors", "unet.safetensors", "README.md"):
        aside = (copy / name).rename(tmp_path / "aside")
        with pytest.raises(FileNotFoundError, match=name):
            restore(copy, tmp_path / "out")
        aside.rename(copy / name)
    assert not (tmp_path / "out").exists()


def test_damage_is_named_and_leaves_nothing(copy, tmp_path):
    (copy / "vae.safetensors").write_bytes((copy / "vae.safetensors").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"vae\.safetensors is not the file that README\.md beside it lists"):
        restore(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_two_exports_are_told_apart(copy, tmp_path):
    """As an export leaves them that was killed while it replaced another one."""
    other, path = Reader(TINY.reader_channels, KINDS["emotion"]), copy / "emotion_reader.safetensors"
    write_part(path, other.state_dict(), load_reader(path)[1])
    with pytest.raises(ValueError, match=r"emotion_reader\.safetensors is not the file .* from one export"):
        restore(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_card_of_other_weights_is_refused(copy, tmp_path):
    card = (copy / "README.md").read_text()
    (copy / "README.md").write_text(card.replace('"text_layers": 3', '"text_layers": 4'))
    with pytest.raises(ValueError, match=r"text_encoders\.safetensors does not hold the weights of the"):
        restore(copy, tmp_path / "out")
    (copy / "README.md").write_text("# No recipe\n")
    with pytest.raises(ValueError, match="holds no recipe of this version"):
        restore(copy, tmp_path / "out")


def test_the_painters_captions_are_rewritten_prompts(tmp_path, capsys):
    from trainer.miniature.held_out import held_out_prompts
    from trainer.painters.plan import grid, plan, read_rewritten

    path = tmp_path / "rewritten.jsonl"
    assert main(["captions", "--out", str(path)]) == 0
    words, prompts = read_rewritten(path), held_out_prompts()
    tasks = plan(prompts, grid(), [0], "rewriting", {}, words)
    assert len(tasks) == len(words) == 25 * len(prompts) and "1,050 captions" in capsys.readouterr().out
    assert all(task.text != task.prompt for task in tasks if (task.valence, task.arousal) == (3.0, 3.0))
    assert len({task.made for task in tasks}) == len(tasks)
