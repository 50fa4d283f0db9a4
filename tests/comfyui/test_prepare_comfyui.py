"""Training on any text encoder that ComfyUI loads: its own loader, in its own process, on small files.

Detection, loading, tokenizers and classes are ComfyUI's. Only the sizes are not: see small_sizes/sitecustomize.py.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from emoticrafter import load_network
from scripts.installation import comfyui_folder, comfyui_python, prepare
from trainer import train
from trainer.data.pairs import load_table
from trainer.features.store import FeatureStore
from trainer.prepare import main

PROJECT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("comfyui_save_encoders.py")
FILES = {
    "Z-Image": ("lumina2", ["qwen3_4b"]),
    "Lumina 2": ("lumina2", ["gemma2_2b"]),
    "Flux.1": ("flux", ["clip_l", "t5xxl"]),
}
MOODS = {"bright and happy, people dance": (2, 1), "gloomy and sad, in grey light": (-2, -1), "calm": (2, -2)}
SCENES = ("a house by the sea", "a cat (asleep) on a chair", "a street", "two old friends", "a boat", "fields")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A folder of small files."""
    prepare()
    folder = tmp_path_factory.mktemp("small")
    command = [comfyui_python(), SCRIPT, PROJECT, folder, *FILES]
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def pairs(tmp_path) -> Path:
    lines = [
        {"neutral": scene, "emotional": f"{scene}, {words}", "valence": at[0], "arousal": at[1]}
        for scene in SCENES
        for words, at in MOODS.items()
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def use(small: Path, name: str, monkeypatch) -> list[str]:
    """The options of a small encoder, whose sizes ComfyUI's next process takes."""
    sizes = json.loads((small / "sizes.json").read_text()).get(name)
    if sizes is None:
        pytest.skip(f"this ComfyUI lacks the files of the tokenizer of {name}")
    paths = [str(Path(__file__).with_name("small_sizes")), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("SMALL_ENCODERS", json.dumps(sizes))
    kind, parts = FILES[name]
    return [*options("--clip", *(str(small / f"{name}.{part}.safetensors") for part in parts)), "--clip-type", kind]


def options(*more: str) -> list[str]:
    comfyui = ["--comfyui-path", str(comfyui_folder()), "--comfyui-python", str(comfyui_python()), "--device", "cpu"]
    return ["--encoder", "comfyui", *comfyui, *more]


def prepared(pairs: Path, out: Path, *more: str) -> int:
    return main(["--pairs", str(pairs), "--validation", "0.2", "--out", str(out), "--dtype", "bfloat16", *more])


def trained(data: Path, run: Path):
    """The network of a short run."""
    sizes = "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --steps 4"
    assert train.main(["--data", str(data), "--out", str(run), *sizes.split()]) == 0
    return load_network(run / "network.safetensors")


# ---- features ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ends"), [("Z-Image", (3, 5)), ("Lumina 2", (1, 0))])
def test_prompts_of_an_encoder_that_does_not_pad_keep_their_lengths(small, pairs, tmp_path, monkeypatch, name, ends):
    out = tmp_path / "data"
    assert prepared(pairs, out, *use(small, name, monkeypatch)) == 0
    table = load_table(out)
    store = FeatureStore(out / "features", table)
    facts = store.facts
    assert (facts.family, facts.padded, facts.window) == (name, False, None) and (facts.head, facts.tail) == ends
    assert store.tokens is None and store.width == 64 and len(set(store.lengths.tolist())) > 3
    features, mask = store.neutral([0, 3, 6]), store.mask(store.neutral_rows[[0, 3, 6]])
    assert (
        features.shape[:2] == mask.shape
        and mask.sum(1).tolist() == store.lengths[store.neutral_rows[[0, 3, 6]]].tolist()
    )
    assert features[~mask].eq(0).all() and features[mask].ne(0).any(1).all()
    # a causal encoder: the emotional prompt begins as the neutral one does
    emotional, end = store.emotional([0]), int(mask[0].sum()) - facts.tail
    torch.testing.assert_close(emotional[0, :end].float(), features[0, :end].float(), atol=0.05, rtol=0.05)
    network = trained(out, tmp_path / "run")
    longer = store.lengths[store.emotional_rows] - store.lengths[store.neutral_rows]
    assert 0 < network.added_tokens <= min(longer.max(), 64), "as many as a mood's words"
    assert (network.window, network.config.normalise) == (None, True)
    assert (network.encoder.family, network.encoder.head, network.encoder.tail) == (name, *ends)


def test_an_interrupted_run_goes_on_shard_by_shard(small, pairs, tmp_path, monkeypatch, capsys):
    arguments = use(small, "Z-Image", monkeypatch)
    monkeypatch.setattr("trainer.features.writing.SHARD_PROMPTS", 8)
    whole, out = tmp_path / "whole", tmp_path / "data"
    assert prepared(pairs, whole, *arguments) == 0
    shutil.copytree(whole, out)
    features, manifest = out / "features", out / "features" / "manifest.json"
    told = json.loads(manifest.read_text())
    assert len(told["shards"]) == 3
    del told["shards"]["features-00001.safetensors"]  # as a killed run leaves it
    manifest.write_text(json.dumps(told))
    (features / "features-00001.safetensors").unlink()
    kept = (features / "features-00000.safetensors").stat().st_ino
    assert prepared(pairs, out, *arguments) == 0
    assert (features / "features-00000.safetensors").stat().st_ino == kept
    table = load_table(out)
    one, other = FeatureStore(features, table), FeatureStore(whole / "features", table)
    assert torch.equal(one.emotional(range(18)), other.emotional(range(18))) and torch.equal(one.lengths, other.lengths)
    # and features of another encoder do not join them
    capsys.readouterr()
    assert prepared(pairs, out, *use(small, "Lumina 2", monkeypatch)) == 1
    assert "were made with other text encoders" in capsys.readouterr().err


def test_an_encoder_that_pads_is_trained_on_and_its_network_knows_it(small, pairs, tmp_path, monkeypatch, capsys):
    out = tmp_path / "data"
    assert prepared(pairs, out, *use(small, "Flux.1", monkeypatch)) == 0
    assert "(Flux.1, ComfyUI" in capsys.readouterr().out
    assert FeatureStore(out / "features").neutral([0, 1]).shape == (2, 256, 64)
    network = trained(out, tmp_path / "run")
    assert (network.config.positions, network.window, network.config.normalise) == (256, None, True)
    assert (network.encoder.family, network.encoder.tail) == ("Flux.1", 1)
    assert network.encoder.mean.shape == network.encoder.scale.shape == (64,)


# ---- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--encoder", "comfyui", "--clip", "a"], "--encoder comfyui needs --comfyui-path, ComfyUI's folder"),
        (["--encoder", "comfyui", "--comfyui-path", "."], "needs --clip with 1 to 4 names, got 0"),
        (["--clip", "a"], "--clip goes with --encoder comfyui: add it"),
        (["--encoder", "comfyui", "--comfyui-path", ".", "--clip", "a"], "is not ComfyUI's folder: expected main"),
    ],
)
def test_options_that_do_not_go_together(pairs, tmp_path, capsys, arguments, message):
    assert prepared(pairs, tmp_path / "data", *arguments) == 1
    assert message in capsys.readouterr().err


def test_what_comfyui_cannot_use_is_said_in_one_sentence(small, pairs, tmp_path, monkeypatch, capsys):
    flux = use(small, "Flux.1", monkeypatch)
    clip_l = str(small / "Flux.1.clip_l.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not weights")
    for arguments, message in (
        (options("--clip", "none.safetensors"), "--clip: there is no none.safetensors in the text_encoders folder of"),
        (options("--clip", str(tmp_path / "none.safetensors")), "--clip: there is no file"),
        (options("--clip", clip_l, "--clip-type", "sd99"), "--clip-type is sd99: this ComfyUI knows"),
        (options("--clip", str(damaged)), "ComfyUI cannot load damaged.safetensors as stable_diffusion ("),
        (options("--clip", clip_l, clip_l, "--clip-type", "flux"), "weights of the text encoder that ComfyUI builds"),
        ([*flux, "--comfyui-python", str(tmp_path / "none")], "cannot be started (No such file or directory)"),
        ([*flux, "--comfyui-python", shutil.which("true") or sys.executable], "ended with status 0: see"),
    ):
        assert prepared(pairs, tmp_path / "data", *arguments) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
