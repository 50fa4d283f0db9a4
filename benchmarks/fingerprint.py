"""Whether a file knows its text encoder again: likeness of prompts of the same encoder, changed, and of others.

    python -m benchmarks.fingerprint          # half a minute, with ComfyUI's own encoders (scripts/comfyui.py install)

Facts are measured as Fit Emotion Network does, on 40 of its pairs. Then prompts are encoded that are no part of them:
ordinary ones and odd ones (empty, one letter, sixty times the same word, Chinese, German, weights, a list of tags).
The miniature's CLIPs are trained, and too small for odd prompts; the others are ComfyUI's classes with random weights.
Each changed encoder is the same with noise of rank 4 on every matrix (its size relative to the matrix, as a strong LoRA
has 0.1), with its weights rounded, or read at another layer. A likeness below 2.5 is refused, below 4 told.
"""

import argparse
import json
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from emoticrafter.conditioning import CLIP_WINDOW
from emoticrafter.encoders import EncoderFacts, find_family
from emoticrafter.fingerprint import DOUBTFUL, SURE, likeness
from emoticrafter.fit.instant import Encoder, InstantFit
from emoticrafter.fit.scenes import draw_pairs
from emoticrafter.weights.files import read_safetensors
from scripts.installation import ROOT
from scripts.small_encoders import fill, small_clip, start_comfyui

PAIRS, MORE = 40, 15
ODD = (
    "",
    "a",
    "stone " * 60,
    "一只快乐的猫在雨中",
    "Ein müdes Mädchen läuft über die Straße",
    "(a cat:1.4) in the (snow:0.6), ((night))",
    "masterpiece, best quality, 8k, ultra detailed, trending, (photo:1.2), no people, sharp focus",
)
FAMILIES = ("Stable Diffusion 1.x", "Flux.1", "Chroma", "Lumina 2", "Z-Image", "Wan")
Encoded = list[tuple[Tensor, Tensor | None]]


def main() -> None:
    """Prints the table."""
    argparse.ArgumentParser(prog="python -m benchmarks.fingerprint", description=__doc__.split("\n")[0]).parse_args()
    start_comfyui()
    pairs = draw_pairs(PAIRS + MORE, 0)
    prompts = [pair.neutral for pair in pairs[PAIRS:]]
    print(f"| encoder | D | prompts of | n | least | median | most | refused (< {DOUBTFUL}) | told (< {SURE}) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    clips = {"the miniature (SDXL)": miniature(), **{name: small_clip(name) for name in FAMILIES}}
    others = {name: [encoded(clip, text) for text in prompts] for name, clip in clips.items()}
    for name, clip in clips.items():
        facts, window = measured(clip, pairs[:PAIRS])
        rows = {"the same, ordinary": others[name], "the same, odd": [encoded(clip, text) for text in ODD]}
        width = len(facts.mean)
        foreign = [
            entry
            for other, found in others.items()
            for entry in found
            if other != name and entry[0].shape[2] == width and entry[0].shape[1] % (window or 1) == 0
        ]
        for change, change_encoder in changes(clip):
            with changed(clip, change_encoder):
                rows[change] = [encoded(clip, text) for text in (*prompts[:10], *ODD)]
        rows["others"] = foreign
        for seed in range(1, 6):
            with changed(clip, lambda model, seed=seed: fill(model, seed)):
                rows["others"] += [encoded(clip, text) for text in (*prompts[:3], *ODD)]
        for what, entries in rows.items():
            print(row(name, width, what, entries, facts, window), flush=True)


def row(name: str, width: int, what: str, entries: Encoded, facts: EncoderFacts, window: int | None) -> str:
    numbers = [likeness(features, mask, facts, window) for features, mask in entries]
    told = torch.tensor([number for number in numbers if number is not None])
    least, median, most = told.min(), told.median(), told.max()
    below = [int((told < bound).sum()) for bound in (DOUBTFUL, SURE)]
    cells = [name, width, what, len(told), f"{least:.1f}", f"{median:.1f}", f"{most:.1f}", *below]
    return f"| {' | '.join(map(str, cells))} |"


# ---- encoders ----------------------------------------------------------------------------------------


def miniature():
    """The CLIP of the first miniature, with its trained weights."""
    import comfy.sd
    import comfy.supported_models

    metadata, weights = read_safetensors(ROOT / "miniature" / "text_encoders.safetensors")
    options = {**json.loads(metadata["config"]), "dtype": torch.float32}
    clip = comfy.sd.CLIP(comfy.supported_models.SDXL({}).clip_target(), model_options=options)
    clip.cond_stage_model.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, strict=False)
    return clip


def encoded(clip, text: str) -> tuple[Tensor, Tensor | None]:
    """The features [1, T, D] of a text and their mask [1, T] or None, as CLIP Text Encode gives them."""
    found = clip.encode_from_tokens(clip.tokenize(text), return_dict=True)
    mask = found.get("attention_mask")
    return found["cond"], None if mask is None else mask != 0


def measured(clip, pairs: list) -> tuple[EncoderFacts, int | None]:
    """What a file would know of an encoder, and the window that it reads."""
    family = find_family(clip.cond_stage_model)

    def encode(text: str) -> tuple[Tensor, Tensor | None]:
        features, mask = encoded(clip, text)
        return features[0, : family.window], None if mask is None else mask[0]

    pads = family.padded and not family.masked
    fit = InstantFit(Encoder(encode, family.name, family.head, family.tail, family.window, pads))
    for pair in pairs:
        fit.add(pair)
    return fit.field().encoder, family.window


# ---- changes -----------------------------------------------------------------------------------------


class changed:
    """An encoder that is another within a `with`, and itself again after it."""

    def __init__(self, clip, change: Callable):
        self.clip, self.change = clip, change

    def __enter__(self):
        self.weights = {name: weight.clone() for name, weight in self.clip.cond_stage_model.state_dict().items()}
        with torch.no_grad():
            self.change(self.clip.cond_stage_model)

    def __exit__(self, *_):
        self.clip.cond_stage_model.load_state_dict(self.weights)
        self.clip.clip_layer(None)


def changes(clip) -> Iterator[tuple[str, Callable]]:
    """What a person may do to an encoder, by name."""
    for size in (0.1, 0.3, 0.5):
        yield f"the same with a LoRA of {size}", lambda model, size=size: each_matrix(model, noise(size))
    yield "the same in fp8", lambda model: each_matrix(model, lambda weight: weight.to(torch.float8_e4m3fn).float())
    for bits in (8, 4):
        yield f"the same in {bits} bits", lambda model, bits=bits: each_matrix(model, rounding(2 ** (bits - 1) - 1))
    if find_family(clip.cond_stage_model).window == CLIP_WINDOW:
        yield "the same, clip skip 1", lambda _: clip.clip_layer(-1)
        yield "the same, clip skip 3", lambda _: clip.clip_layer(-3)


def each_matrix(model: torch.nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "embed" not in name and "shared" not in name:
            weight.copy_(change(weight))


def noise(size: float, rank: int = 4) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)

    def add(weight: Tensor) -> Tensor:
        rows, columns = weight.shape
        product = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator)
        return weight + product * (size * weight.norm() / product.norm())

    return add


def rounding(levels: int) -> Callable[[Tensor], Tensor]:
    """To whole numbers up to `levels`, a scale for each row."""

    def to_levels(weight: Tensor) -> Tensor:
        step = weight.abs().amax(1, keepdim=True).clamp(min=1e-9) / levels
        return (weight / step).round() * step

    return to_levels


if __name__ == "__main__":
    main()
