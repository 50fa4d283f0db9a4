"""The trainer's features are ComfyUI's: both read one small SDXL-shaped checkpoint and encode the same prompts."""

import json
import random
import re
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scripts.installation import comfyui_folder, comfyui_python
from trainer.features.encoders import load_encoders

SIZES = {  # of the two encoders, by ComfyUI's names for their options
    "clip_l_model_config": {"hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 96},
    "clip_g_model_config": {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 160},
}
LAYERS = 3

PROMPTS = {
    "empty": "",
    "blank": " \n ",
    "short": "A house by the sea, oil on canvas",
    "75 tokens": " ".join(["stone"] * 75),
    "76 tokens": " ".join(["stone"] * 76),
    "200 tokens": " ".join(f"bird {n % 10}" for n in range(100)),
    "a long word over a window's end": " ".join(["stone"] * 70 + ["pneumonoultramicroscopicsilicovolcanoconiosis"]),
    "Chinese": "一只快乐的猫在雨中",
    "German": "Ein müdes Mädchen läuft über die Straße",
    "Arabic": "بيت صغير عند البحر",
    "emoji": "a 😀 face 👩‍🚀🌧️",
    "escaped parentheses": r"a cat \(sleeping\)",
    "plain parentheses": "a cat (sleeping:1.3), [old] {house} (((dark)))",
    "special words": "the <|endoftext|> of it",
}


def checkpoint(path: Path) -> None:
    """Writes random float16 weights under the names of a single-file SDXL checkpoint."""
    generator = torch.Generator().manual_seed(0)

    def add(name: str, *shape: int, scale: float = 1.0, shift: float = 0.0) -> None:
        weights[name] = (torch.randn(shape, generator=generator) * scale + shift).half()

    weights = {"model.diffusion_model.out.0.weight": torch.zeros(1)}
    width, inner = 64, 96
    prefix = "conditioner.embedders.0.transformer.text_model."
    add(f"{prefix}embeddings.token_embedding.weight", 49408, width)
    add(f"{prefix}embeddings.position_embedding.weight", 77, width, scale=0.3)
    for layer in (f"{prefix}encoder.layers.{index}." for index in range(LAYERS)):
        linears = {f"self_attn.{p}_proj": (width, width) for p in ("q", "k", "v", "out")}
        for name, shape in {**linears, "mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}.items():
            add(f"{layer}{name}.weight", *shape, scale=0.2)
            add(f"{layer}{name}.bias", shape[0], scale=0.1)
        for name in ("layer_norm1", "layer_norm2"):
            add(f"{layer}{name}.weight", width, scale=0.2, shift=1)
            add(f"{layer}{name}.bias", width, scale=0.2)
    add(f"{prefix}final_layer_norm.weight", width)
    add(f"{prefix}final_layer_norm.bias", width)

    width, inner = 128, 160
    prefix = "conditioner.embedders.1.model."
    add(f"{prefix}token_embedding.weight", 49408, width)
    add(f"{prefix}positional_embedding", 77, width, scale=0.3)
    add(f"{prefix}text_projection", width, width)
    for layer in (f"{prefix}transformer.resblocks.{index}." for index in range(LAYERS)):
        add(f"{layer}attn.in_proj_weight", 3 * width, width, scale=0.15)
        add(f"{layer}attn.in_proj_bias", 3 * width, scale=0.1)
        for name, shape in {
            "attn.out_proj": (width, width),
            "mlp.c_fc": (inner, width),
            "mlp.c_proj": (width, inner),
        }.items():
            add(f"{layer}{name}.weight", *shape, scale=0.15)
            add(f"{layer}{name}.bias", shape[0], scale=0.1)
        for name in ("ln_1", "ln_2"):
            add(f"{layer}{name}.weight", width, scale=0.2, shift=1)
            add(f"{layer}{name}.bias", width, scale=0.2)
    add(f"{prefix}ln_final.weight", width)
    add(f"{prefix}ln_final.bias", width)
    save_file(weights, path)


def many_texts() -> list[str]:
    """Makes texts of every kind of character and of 1 to 300 characters, the same ones every time."""
    source = random.Random(0)
    blocks = [(32, 127), (32, 127), (160, 592), (880, 1424), (1536, 1792), (2304, 2432), (4352, 4608), (8192, 9984)]
    blocks += [(12352, 12544), (19968, 40960), (44032, 55204), (65280, 65520), (119808, 120832), (127744, 129792)]
    texts = []
    for _ in range(400):
        kinds = source.choices(blocks, k=source.randint(1, 4))
        characters = [chr(source.randrange(*source.choice(kinds))) for _ in range(source.randint(1, 300))]
        texts.append("".join(c if source.random() < 0.85 else source.choice(" \n\t'") for c in characters))
    texts += ["they're I'D we'll it's", "x" * 500, "a\u0301 \u00e1 \ufb01 \u200d \u3000 \u2028", "1234567 3.14 10:30"]
    return [text.replace("\\", "/") for text in texts]


def escaped(prompt: str) -> str:
    """Writes parentheses so that ComfyUI does not read them as weights."""
    return re.sub(r"(?<!\\)([()])", r"\\\1", prompt)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The trainer's encoders, and ComfyUI's answers for PROMPTS and many_texts."""
    folder = tmp_path_factory.mktemp("parity")
    checkpoint(folder / "small.safetensors")
    request = {
        "sizes": {key: {**sizes, "num_hidden_layers": LAYERS} for key, sizes in SIZES.items()},
        "encode": [escaped(prompt) for prompt in PROMPTS.values()],
        "tokenize": [escaped(text) for text in many_texts()],
    }
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = [comfyui_python(), Path(__file__).with_name("comfyui_encode.py"), folder / "small.safetensors"]
    command += [folder / "request.json", folder / "answer.safetensors"]
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_encoders(folder / "small.safetensors"), load_file(folder / "answer.safetensors")


@pytest.mark.parametrize("index, name", list(enumerate(PROMPTS)))
def test_features_equal_those_of_clip_text_encode(both, index, name):
    encoders, comfyui = both
    [features] = encoders.encode([PROMPTS[name]])
    expected = comfyui[f"features.{index}"]
    assert features.shape == expected.shape
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=0)


def test_windows_are_as_many_as_in_comfyui(both):
    lengths = {name: both[1][f"features.{index}"].shape[0] // 77 for index, name in enumerate(PROMPTS)}
    assert (lengths["empty"], lengths["75 tokens"], lengths["76 tokens"], lengths["200 tokens"]) == (1, 1, 2, 3)


def test_tokens_equal_those_of_comfyui_for_any_text(both):
    encoders, comfyui = both
    for index, text in enumerate(many_texts()):
        tokens, _ = encoders.tokenize([text])
        assert tokens.tolist() == comfyui[f"tokens.{index}"].tolist(), repr(text)
