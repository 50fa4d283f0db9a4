"""Baselines fitted to a tiny miniature and to a tiny untrained SDXL: what learns, what stays, resume, measure."""

import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file

from emoticrafter.fit.loop import Fit
from emoticrafter.research.baselines import (
    METHODS,
    TextualInversion,
    baseline_training,
    load_baseline,
    save_baseline,
    scaled,
)
from tests.tiny_sdxl import make_tiny_sdxl
from trainer.baselines.__main__ import main
from trainer.baselines.patches import applied, check_fit, emotional, prompt_tokens, read_prompts
from trainer.baselines.settings import TOKENS, Settings
from trainer.baselines.train import make_baseline, make_loss, train
from trainer.core.device import Machine
from trainer.core.rows import DataError
from trainer.features.tokenizer import END, clip_tokenizer
from trainer.miniature.__main__ import main as miniature
from trainer.miniature.models import size_and_crop
from trainer.miniature.pipeline import train as train_miniature
from trainer.miniature.recipe import TINY
from trainer.painters import sdxl as draw_sdxl
from trainer.painters.draw import load_painter
from trainer.painters.plan import grid, plan
from trainer.painters.settings import MiniatureSettings, SdxlSettings
from trainer.pictures.base import load_base
from trainer.pictures.rated import from_miniature
from trainer.runs.run import Run, fit, small_schedule

pytestmark = pytest.mark.slow

CPU = Machine(torch.device("cpu"))
SHORT = "--steps 2 --batch 2 --device cpu"
TINY_SETTINGS = {"steps": 4, "batch": 4, "width": 16, "hidden": 16}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the tiny miniature."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train_miniature(out, TINY, CPU)
    return out


@pytest.fixture(scope="module")
def source(run):
    return from_miniature(run, CPU)


def roughen(baseline):
    with torch.no_grad():
        for weight in baseline.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return baseline


# --- the start and the loss ------------------------------------------------------------------------------------------


@torch.no_grad()
def predicted(base, baseline, strength=1.0, last=False):
    """What the UNet says with a baseline, of two rows with the emotion and one without."""
    torch.manual_seed(3)
    latents, effect = torch.randn(3, 4, 4, 4), baseline(torch.tensor([2.0, -3.0]), torch.tensor([1.0, 3.0]))
    learned = isinstance(baseline, TextualInversion)
    features, pooled = read_prompts(base.text, baseline, ["a cat", "a dog"], effect, strength)
    empty = read_prompts(base.text, None, [""], None)
    order = [2, 0, 1] if last else [0, 1, 2]
    features, pooled = torch.cat([features, empty[0]])[order], torch.cat([pooled, empty[1]])[order]
    added = {"text_embeds": pooled, "time_ids": size_and_crop(3, 32)}
    with contextlib.nullcontext() if learned else applied(base.unet, scaled(effect, strength), last):
        said = base.unet(latents[order], 500, features, added_cond_kwargs=added).sample
    return said[[1, 2, 0]] if last else said


def test_the_command_knows_every_method():
    assert tuple(TOKENS) == tuple(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_the_emotion_is_on_its_rows_alone_and_gone_afterwards(source, method):
    base, _ = source
    baseline = roughen(make_baseline(Settings(method, **TINY_SETTINGS), base)).eval()
    plain = predicted(base, baseline, strength=0.0)
    said = predicted(base, baseline)
    assert ((said - plain).abs().amax((1, 2, 3)) > 1e-4).tolist() == [True, True, False]
    torch.testing.assert_close(predicted(base, baseline, last=True), said, atol=1e-5, rtol=1e-4)
    assert torch.equal(predicted(base, baseline, strength=0.0), plain)


@pytest.mark.parametrize("method", ["cross-attention", "time-embedding"])
def test_it_begins_as_the_base_model(source, method):
    base, _ = source
    baseline = make_baseline(Settings(method, **TINY_SETTINGS), base).eval()
    assert torch.equal(predicted(base, baseline), predicted(base, baseline, strength=0.0))


def test_learned_words_begin_as_the_word(source):
    base, _ = source
    baseline = make_baseline(Settings("textual-inversion", word="cat", **TINY_SETTINGS), base).eval()
    effect = baseline(torch.zeros(1), torch.zeros(1))
    with torch.no_grad():
        found = read_prompts(base.text, baseline, ["a house"], effect)
        said = read_prompts(base.text, None, ["a house, cat cat cat cat"], None)
    for one, other in zip(found, said, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_the_baseline_learns_and_nothing_else(source, method):
    base, pictures = source
    settings = Settings(method, **TINY_SETTINGS)
    baseline = make_baseline(settings, base)
    make_loss(settings, base, pictures, baseline, CPU.device)(baseline, 0).backward()
    assert [name for name, weight in baseline.named_parameters() if weight.grad is None] == []
    assert all(weight.grad is None for part in (base.unet, base.text) for weight in part.parameters())


def test_the_loss_falls(source, tmp_path):
    base, pictures = source
    settings = Settings("time-embedding", **TINY_SETTINGS | {"batch": 16})
    baseline = make_baseline(settings, base)
    loss = make_loss(settings, base, pictures, baseline, CPU.device)

    def of(module):
        torch.manual_seed(0)
        with torch.no_grad():
            return sum(loss(module, 1000 + step).item() for step in range(8))

    before = of(baseline)
    assert of(fit(baseline, loss, small_schedule(30, 0.02, 0.5), CPU, tmp_path, 16)) < 0.98 * before


def test_a_prompt_that_is_too_long_loses_words_and_keeps_the_learned_ones(source):
    baseline = make_baseline(Settings("textual-inversion", **TINY_SETTINGS), source[0])
    tokens, places = prompt_tokens(baseline, ["a cat", " ".join(["stone"] * 90)])
    [mark] = clip_tokenizer()("*")["input_ids"][1:-1]
    assert tokens.shape == (2, 77) and (tokens.gather(1, places) == mark).all()
    assert places[1].tolist() == [72, 73, 74, 75] and tokens[1, 76] == END


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_training_ends_as_one_in_one_go(source, method, tmp_path):
    base, pictures = source
    settings = Settings(method, **TINY_SETTINGS)
    whole = train(settings, base, pictures, tmp_path / "whole", CPU)
    baseline = make_baseline(settings, base)
    loss = make_loss(settings, base, pictures, baseline, CPU.device)
    half = Fit(baseline, small_schedule(settings.steps, settings.lr, settings.ema, seed=settings.seed))
    begun = Run(half, tmp_path / "parts", settings.batch)
    begun.folder.mkdir()
    for step in range(2):
        half.advance(lambda step: loss(baseline, step), [step])
    begun.save()
    parts = train(settings, base, pictures, tmp_path / "parts", CPU)
    parts, whole = load_file(parts), load_file(whole)
    assert parts.keys() == whole.keys()
    assert [name for name, tensor in whole.items() if not torch.equal(tensor, parts[name])] == []


def test_the_command_trains_measures_and_keeps_what_is_finished(run, tmp_path, capfd):
    out = tmp_path / "cross-attention-0"
    command = f"train --method cross-attention --miniature {run} --out {out} {SHORT}".split()
    assert main(command) == 0
    path = out / "network.safetensors"
    written, said = path.stat().st_mtime_ns, baseline_training(path)
    assert said["settings"]["steps"] == 2 and said["base"]["unet_sha256"] and "24" in said["pictures"]
    assert main(command) == 0
    assert path.stat().st_mtime_ns == written and "is finished" in capfd.readouterr().out
    table = tmp_path / "table.md"
    measure = f"measure --out {run} --prompts 1 --seeds 1 --device cpu --networks {path} --table {table}"
    assert miniature(measure.split()) == 0
    assert "| cross-attention |" in table.read_text()


def test_bad_settings_are_named(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = f"train --method time-embedding --miniature {run} --out begun {SHORT}"
    assert main(command.split()) == 0
    for change, message in (
        ("--seed 7", "was begun with another recipe: seed was 0 and is 7"),
        ("--steps 0", "steps is 0: expected more than 0"),
        ("--method textual-inversion --out new --word unbelievableness", "one token of CLIP"),
        ("--method textual-inversion --out newer --template {prompt}", "and after it {emotion}"),
    ):
        assert main(f"{command} {change}".split()) == 1
        assert message in capsys.readouterr().err


def test_a_run_without_a_generator_says_what_to_do(tmp_path, capsys):
    command = f"train --method time-embedding --miniature {tmp_path} --out {tmp_path / 'out'}"
    assert main(command.split()) == 1
    assert "python -m trainer.miniature train" in capsys.readouterr().err


def test_a_baseline_of_another_base_is_refused(source):
    base, _ = source
    baseline = make_baseline(Settings("time-embedding", **TINY_SETTINGS), base)
    other = UNet2DConditionModel(block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownBlock2D",) * 2,
                                 up_block_types=("UpBlock2D",) * 2)  # fmt: skip
    with pytest.raises(ValueError, match="fitted to another base model"):
        check_fit(baseline, other, base.text)


def test_the_words_command_writes_an_embedding(source, tmp_path, capsys):
    base, pictures = source
    path = train(Settings("textual-inversion", **TINY_SETTINGS), base, pictures, tmp_path / "words", CPU)
    out = tmp_path / "calm.safetensors"
    assert main(f"words --network {path} --valence 2 --arousal -3 --out {out}".split()) == 0
    assert out.is_file() and "a dog on a beach, embedding:calm" in capsys.readouterr().out


# --- SDXL ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    """A tiny untrained SDXL in diffusers' layout, and a manifest of three pictures."""
    folder, pipeline = tmp_path_factory.mktemp("sdxl"), make_tiny_sdxl()
    pipeline.save_pretrained(folder)
    lines = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        asked = {"valence": number - 1.0, "arousal": 1.5, "seed": 0, "method": "photo"}
        lines.append(json.dumps({"path": f"{number}.png", "prompt": f"a stone {number}", **asked}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder, pipeline


@pytest.mark.parametrize("method", METHODS)
def test_sdxl_is_trained_and_drawn_by_the_same_code(sdxl, method, tmp_path):
    folder, pipeline = sdxl
    command = f"train --method {method} --sdxl {folder} --manifest {folder / 'manifest.jsonl'}"
    assert main(f"{command} --resolution 32 --out {tmp_path} {SHORT}".split()) == 0
    assert np.load(tmp_path / "latents.npy").shape == (3, 4, 4, 4)
    baseline = roughen(load_baseline(tmp_path / "network.safetensors"))

    def drawn(guidance=5.0, **settings):
        values = {"valence": [2.0, -2.0], "arousal": [1.0, 1.0], "guided": guidance > 1} | settings
        with emotional(pipeline, baseline, ["a cat", "a dog"], **values) as inputs:
            how = {"num_inference_steps": 2, "height": 32, "width": 32, "output_type": "latent"}
            noise = torch.Generator().manual_seed(0)
            return pipeline(**inputs, **how, guidance_scale=guidance, generator=noise).images

    pipeline.set_progress_bar_config(disable=True)
    plain, full = drawn(strength=0.0), drawn()
    assert (full - plain).abs().amax((1, 2, 3)).min() > 1e-3
    assert torch.equal(drawn(strength=0.0), plain)
    assert not torch.equal(drawn(guidance=1.0), full)


@pytest.fixture
def fitted(sdxl, tmp_path):
    """A finished run on a copy of the manifest, and the command that made it."""
    folder = sdxl[0]
    for number in range(3):
        shutil.copy(folder / f"{number}.png", tmp_path)
    manifest = tmp_path / "manifest.jsonl"
    shutil.copy(folder / "manifest.jsonl", manifest)
    out = tmp_path / "out"
    command = f"train --method time-embedding --sdxl {folder} --manifest {manifest}".split()
    command += f"--resolution 32 --out {out} {SHORT}".split()
    assert main(command) == 0
    return command, manifest, out


def turned(manifest):
    manifest.write_text("\n".join(reversed(manifest.read_text().split("\n"))))


def reworded(manifest):
    manifest.write_text(manifest.read_text().replace("a stone 1", "a rock"))


def repainted(manifest):
    Image.new("RGB", (40, 40), "teal").save(manifest.with_name("1.png"))


@pytest.mark.parametrize("change", [turned, reworded, repainted])
def test_other_pictures_of_as_many_are_refused(fitted, change, capsys):
    """The latents would be of other pictures than the prompts, valence and arousal."""
    command, manifest, out = fitted
    change(manifest)
    for _ in ("finished", "under way"):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert "begun with another base model, reader or other pictures: pictures was " in said
        assert "another --out" in said
        (out / "network.safetensors").unlink(missing_ok=True)


def test_another_sdxl_or_resolution_is_refused(fitted, sdxl, tmp_path, capsys):
    command, _, out = fitted
    other = tmp_path / "other"
    shutil.copytree(sdxl[0], other)
    unet = other / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor + 0.1 for name, tensor in load_file(unet).items()}, unet, {"format": "pt"})
    assert main([*command, "--sdxl", str(other)]) == 1
    assert "other pictures: unet was " in capsys.readouterr().err
    (out / "source.json").unlink()
    assert main([*command, "--resolution", "64"]) == 1
    assert "holds float16 of [3, 4, 4, 4], expected float16 of [3, 4, 8, 8]" in capsys.readouterr().err
    assert not (out / "source.json").exists()


def test_a_folder_of_an_earlier_release_goes_on(fitted, capsys):
    command, _, out = fitted
    (out / "source.json").unlink()
    assert main(command) == 0
    assert "is finished" in capsys.readouterr().out and (out / "source.json").is_file()


def test_a_finished_network_of_another_base_or_recipe_is_refused(source, tmp_path):
    base, pictures = source
    settings = Settings("time-embedding", **TINY_SETTINGS)
    train(settings, base, pictures, tmp_path, CPU)
    other = dataclasses.replace(pictures, source=pictures.source | {"recipe": "0" * 64})
    with pytest.raises(ValueError, match="other pictures: recipe was "):
        train(settings, base, other, tmp_path, CPU)
    (tmp_path / "source.json").unlink()
    with pytest.raises(ValueError, match=r"was fitted to another base model .* choose another --out"):
        train(settings, dataclasses.replace(base, fingerprint="0" * 64), pictures, tmp_path, CPU)
    assert not (tmp_path / "source.json").exists()


@pytest.mark.parametrize("method", METHODS)
def test_generate_draws_with_a_baseline(run, source, sdxl, method, tmp_path, monkeypatch):
    tasks = plan(["a cat"], grid((-3.0, 3.0)), [0], method, {})
    monkeypatch.setattr(draw_sdxl, "_load", lambda model, dtype: sdxl[1])
    for name, base, settings in (
        ("miniature", source[0], MiniatureSettings(run)),
        ("sdxl", load_base(sdxl[0], CPU), SdxlSettings("", size=32, steps=2)),
    ):
        path = tmp_path / f"{name}.safetensors"
        save_baseline(roughen(make_baseline(Settings(method, **TINY_SETTINGS), base)), path)
        painter = load_painter(dataclasses.replace(settings, network=path), "cpu")
        pictures = {picture.tobytes() for picture in painter.draw(tasks)}
        assert len(pictures) == len(tasks) == 4, name
    later = MiniatureSettings(run, tmp_path / "miniature.safetensors", start=0.2)
    with pytest.raises(DataError, match="is a baseline, which begins with the first step: leave out the start"):
        load_painter(later, "cpu")


def test_a_model_goes_with_pictures(sdxl, tmp_path, capsys):
    command = f"train --method time-embedding --out {tmp_path / 'out'}".split()
    assert main([*command, "--sdxl", str(sdxl[0])]) == 1
    assert "--sdxl and --manifest go together" in capsys.readouterr().err
    manifest = str(sdxl[0] / "manifest.jsonl")
    assert main([*command, "--sdxl", str(tmp_path), "--manifest", manifest]) == 1
    assert "is not a diffusers folder of SDXL: expected unet/config.json" in capsys.readouterr().err
