"""A small model of each family, from CLIP Text Encode to a sampler's step, with an emotion in between.

Started by test_any_encoder.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_any_encoder.py PROJECT FOLDER ANSWER.json FAMILY...
"""

import importlib
import importlib.util
import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

project, folder, answer, *families = sys.argv[1:]
sys.path.insert(0, project)
from scripts.small_encoders import fill, small_clip, start_comfyui  # noqa: E402
from scripts.small_models import CONFIGS, small_model  # noqa: E402

start_comfyui()
import comfy.sample  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
import utils.extra_config  # noqa: E402, F401 - as main.py does, before another `utils` comes onto the path

import nodes  # noqa: E402

spec = importlib.util.spec_from_file_location("pack", Path(project) / "__init__.py")
sys.modules["pack"] = importlib.util.module_from_spec(spec)
of = lambda name: importlib.import_module(f"pack.{name}")  # noqa: E731
ADDED = 16  # fewer than the words of a mood take
PROMPT = "a small house by the sea, oil on canvas"


def fitted(clip, path: Path):
    """A field of two steps, saved and loaded as the nodes do."""
    encoder = of("emoticrafter.fit.text_encoder").make_encoder(clip)
    fit = of("emoticrafter.fit.instant").InstantFit(encoder, ADDED)
    for pair in of("emoticrafter.fit.scenes").draw_pairs(2, 0):
        fit.add(pair)
    of("emoticrafter.weights").save_network(fit.field(), path)
    return of("nodes.networks").share_network(str(path), "float32"), encoder


def fitted_network(encoder, path: Path):
    """A network of two steps that corrects such a field, saved and loaded likewise."""
    fits = of("emoticrafter.fit.network")
    with path.with_suffix(".pairs").open("w+b") as file:
        encoded = fits.EncodedPairs(encoder, file, ADDED)
        for pair in of("emoticrafter.fit.scenes").draw_pairs(3, 0):
            encoded.add(pair)
        fit = fits.NetworkFit(encoded, fits.Size(width=64, depth=1, emotion_tokens=2, emotion_hidden=4), steps=2)
        fit.advance()
        fit.advance()
        of("emoticrafter.weights").save_network(fit.network, path)
    return of("nodes.networks").share_network(str(path), "float32")


def learned_on(network, clip, model, latent: torch.Tensor) -> dict:
    """What two steps of learning from a model do to a network or field."""
    distilling = of("nodes.distilling")
    lessons = distilling.encode_lessons(clip, of("emoticrafter.fit.scenes").draw_pairs(3, 0), 0, lambda *_: None)
    learning = distilling.Distillation(network, lessons, 0)
    learning.fit.schedule = replace(learning.fit.schedule, steps=2)
    losses, before = [], torch.cat([weight.detach().flatten() for weight in network.parameters()])
    learning.learn(model, {"samples": latent}, losses.append)
    after = torch.cat([weight.flatten() for weight in learning.fit.module.parameters()])
    return {"losses": losses, "learned": bool(torch.isfinite(after).all()) and not torch.equal(before, after)}


def told(entry) -> dict:
    features, extra = entry
    mask = extra.get("attention_mask")
    return {
        "shape": list(features.shape),
        "keys": sorted(extra),
        "mask": None if mask is None else [*mask.shape, int(mask.sum())],
        "finite": bool(torch.isfinite(features).all()),
    }


def sampled(model, conditioning: list, latent: torch.Tensor) -> torch.Tensor:
    noise = comfy.sample.prepare_noise(latent, 0)
    return comfy.sample.sample(
        model, noise, 1, 1.0, "euler", "simple", conditioning, conditioning, latent, disable_pbar=True, seed=0
    )


def refusal(clip, network) -> str | None:
    """What is said of the prompt of another encoder of the same kind and width."""
    fill(clip.cond_stage_model, seed=1)
    [foreign] = nodes.CLIPTextEncode().encode(clip, PROMPT)[0]
    try:
        execute([foreign], network, 3.0, 2.0, 1.0)
    except ValueError as error:
        return str(error)
    return None


def execute(conditioning: list, network, *values) -> list:
    """What Emotional Conditioning gives."""
    return of("nodes.emotional_conditioning").EmotionalConditioning.execute(conditioning, network, *values).args[0]


def run(name: str) -> dict:
    notices.clear()
    clip = small_clip(name)
    [[features, extra]] = [plain] = nodes.CLIPTextEncode().encode(clip, PROMPT)[0]
    family = of("emoticrafter.encoders").find_family(clip.cond_stage_model)
    field, encoder = fitted(clip, Path(folder) / f"{name}.safetensors")
    found = {
        "family": family and family.name,
        "looks like": [one.name for one in of("emoticrafter.fingerprint").looks_like(features, extra)],
        "ends": [encoder.head, encoder.tail],
        "written ends": family and [family.head, family.tail],
        "least": family and family.least,
        "added": field.patcher.model.added_tokens,
        "plain": told(plain),
    }
    with torch.inference_mode():  # in which a server loads
        model, latent = small_model(name) if name in CONFIGS else (None, None)
    images = {"plain": None if model is None else sampled(model, [plain], latent)}
    learned = fitted_network(encoder, Path(folder) / f"{name} network.safetensors")
    for kind, network in {"field": field, "network": learned}.items():
        [unmoved] = execute([plain], network, 3.0, 2.0, 0.0)
        [moved] = execute([plain], network, 3.0, 2.0, 1.0)
        same_keys = all(unmoved[1][key] is extra[key] for key in extra)
        found[kind] = told(moved) | {
            "unmoved": torch.equal(unmoved[0], features) and unmoved[1].keys() == extra.keys() and same_keys,
            "kept": all(moved[1][key] is extra[key] for key in extra if key != "attention_mask"),
        }
        if model is not None:
            image = sampled(model, [moved], latent)
            found[kind] |= {
                "painted": bool(torch.isfinite(image).all()),
                "differs": not torch.equal(image, images["plain"]),
                "same at 0": torch.equal(sampled(model, [unmoved], latent), images["plain"]),
                "learning": learned_on(network.patcher.model, clip, model, latent),
            }
    return found | {"notices": notices[:], "refusal": refusal(clip, network)}


class Notices(logging.Handler):
    def emit(self, record):
        notices.append(record.getMessage())


notices: list[str] = []
logging.getLogger("emoticrafter").addHandler(Notices(logging.WARNING))
results = {}
for name in families:
    began = time.process_time()
    try:
        results[name] = run(name) | {"seconds": time.process_time() - began}
    except (ImportError, FileNotFoundError) as error:  # some copies of ComfyUI lack a tokenizer's files
        results[name] = {"missing": str(error)}
Path(answer).write_text(json.dumps(results), encoding="utf-8")
