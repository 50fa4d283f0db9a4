"""The text encoders, against transformers' own classes at small size, and every source they can come from."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.features import encoders as module
from trainer.features.encoders import load_encoders
from trainer.features.tokenizer import END, START, clip_tokenizer

PROMPTS = ["", "a cat on a roof", " ".join(["stone"] * 75), " ".join(["stone"] * 76), "bird " * 200]
OPENCLIP_NAMES = [  # transformers' names and what OpenCLIP calls them
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("embeddings.token_embedding.", "token_embedding."),
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("self_attn.out_proj.", "attn.out_proj."),
    ("final_layer_norm.", "ln_final."),
]


def small_config(width: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=width // 64,
        hidden_act=activation,
        projection_dim=width,
        eos_token_id=END,
        initializer_factor=10.0,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A diffusers folder with small encoders, as transformers saves them."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    CLIPTextModel(small_config(64, "quick_gelu")).save_pretrained(folder / "text_encoder")
    CLIPTextModelWithProjection(small_config(128, "gelu")).save_pretrained(folder / "text_encoder_2")
    return folder


@pytest.fixture(scope="module")
def checkpoint(folder):
    """The same weights as a single-file checkpoint, beside weights that are none of the text encoders' business."""
    weights = {"model.diffusion_model.out.0.weight": torch.zeros(1), "first_stage_model.x": torch.zeros(1)}
    for key, tensor in plain_state(folder / "text_encoder").items():
        weights[f"conditioner.embedders.0.transformer.text_model.{key}"] = tensor
    weights["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    bigg = plain_state(folder / "text_encoder_2")
    for key in [key for key in bigg if ".q_proj." in key]:
        joint = torch.cat([bigg.pop(key.replace("q_proj", f"{part}_proj")) for part in "qkv"])
        bigg[key.replace("self_attn.q_proj.", "attn.in_proj_")] = joint
    bigg["text_projection"] = bigg.pop("text_projection.weight").T.contiguous()
    for key, tensor in bigg.items():
        for ours, theirs in OPENCLIP_NAMES:
            key = key.replace(ours, theirs)
        weights[f"conditioner.embedders.1.model.{key}"] = tensor
    save_file(weights, folder / "checkpoint.safetensors")
    return folder / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def encoders(folder):
    return load_encoders(folder)


def plain_state(folder) -> dict:
    state = load_file(folder / "model.safetensors")
    return {key.removeprefix("text_model."): tensor for key, tensor in state.items()}


def changed(path, target, change):
    """Copies a safetensors file with its weights changed."""
    weights = load_file(path)
    change(weights)
    save_file(weights, target)
    return target


def test_features_are_the_penultimate_hidden_states_of_transformers(folder, encoders):
    parts = [
        CLIPTextModel.from_pretrained(folder / "text_encoder"),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
    ]
    tokenizer = clip_tokenizer()
    for prompt, features in zip(PROMPTS[:2], encoders.encode(PROMPTS[:2]), strict=True):
        words = tokenizer(prompt)["input_ids"]
        expected = []
        for part, pad in zip(parts, (END, 0), strict=True):
            tokens = torch.tensor([words + [pad] * (77 - len(words))])
            with torch.no_grad():
                expected.append(part(input_ids=tokens, output_hidden_states=True).hidden_states[-2][0])
        torch.testing.assert_close(features, torch.cat(expected, -1), atol=1e-5, rtol=1e-5)
        assert features.std() > 0.1


def test_a_checkpoint_and_a_folder_of_the_same_weights_give_the_same(encoders, checkpoint):
    other = load_encoders(checkpoint)
    assert encoders.width == other.width == 192
    assert encoders.fingerprint() == other.fingerprint()
    for first, second in zip(encoders.encode(PROMPTS), other.encode(PROMPTS), strict=True):
        assert torch.equal(first, second)


def test_the_fingerprint_tells_weights_apart_and_nothing_else(checkpoint, tmp_path):
    def damage(weights):
        weights["conditioner.embedders.1.model.positional_embedding"][3, 5] += 0.01

    def halve(weights):
        weights.update({key: tensor.half() for key, tensor in weights.items() if tensor.is_floating_point()})

    def restore(weights):
        weights.update({key: tensor.float() for key, tensor in weights.items() if tensor.is_floating_point()})

    fingerprint = load_encoders(checkpoint).fingerprint()
    assert load_encoders(checkpoint, dtype="bfloat16").fingerprint() == fingerprint
    assert load_encoders(changed(checkpoint, tmp_path / "b.safetensors", damage)).fingerprint() != fingerprint
    half = changed(checkpoint, tmp_path / "half.safetensors", halve)
    full = changed(half, tmp_path / "full.safetensors", restore)
    assert load_encoders(half).fingerprint() == load_encoders(full).fingerprint()


def test_windows_of_75_tokens_each_with_their_own_start_and_end(encoders):
    tokens, windows = encoders.tokenize(PROMPTS)
    assert windows.tolist() == [1, 1, 1, 2, 3]
    assert tokens.shape == (2, 8, 77)
    assert [features.shape for features in encoders.encode(PROMPTS)] == [(77 * n, 192) for n in (1, 1, 1, 2, 3)]
    assert (tokens[:, :, 0] == START).all()
    assert tokens[0, 0].tolist() == [START] + [END] * 76  # CLIP-L pads with the end token
    assert tokens[1, 0].tolist() == [START, END] + [0] * 75  # bigG pads with 0
    stone = tokens[0, 2, 1].item()
    assert tokens[1, 2].tolist() == [START] + [stone] * 75 + [END]
    assert tokens[1, 4].tolist() == [START, stone, END] + [0] * 74


def test_windows_of_a_long_prompt_are_encoded_apart(encoders):
    long, first, rest = encoders.encode(["stone " * 75 + "a cat", "stone " * 75, "a cat"])
    torch.testing.assert_close(long, torch.cat([first, rest]))
    assert encoders.encode([]) == []


def test_the_tokenizer_is_clips():
    tokenizer = clip_tokenizer()
    assert len(tokenizer) == 49408
    assert tokenizer("a photo of a cat")["input_ids"] == [START, 320, 1125, 539, 320, 2368, END]
    assert tokenizer("A  Photo\nof a CAT")["input_ids"] == tokenizer("a photo of a cat")["input_ids"]


def test_parentheses_are_text_and_not_weights(encoders):
    plain = encoders.tokenize(["a (cat:1.2) sleeping"])[0]
    escaped = encoders.tokenize([r"a \(cat:1.2\) sleeping"])[0]
    assert torch.equal(plain, escaped)
    decoded = encoders.tokenizer.decode(plain[1, 0].tolist(), skip_special_tokens=True)
    assert "( cat : 1 . 2 )" in decoded


@pytest.mark.slow
def test_tiny_stands_in_at_full_width():
    encoders = load_encoders("tiny")
    assert encoders.name == "tiny (untrained)"
    assert encoders.width == 2048
    sea, storm = encoders.encode(["a house by the sea", "a house in the storm"])
    assert sea.shape == (77, 2048) and sea.isfinite().all()
    assert 0.5 < sea.std() < 5
    assert not torch.equal(sea, storm)
    assert torch.equal(encoders.encode(["a house by the sea"])[0], sea)


def test_a_hub_id_is_downloaded_without_what_is_not_needed(folder, encoders, monkeypatch):
    asked = {}

    def download(repository, allow_patterns):
        asked[repository] = allow_patterns
        return str(folder)

    monkeypatch.setattr(module, "snapshot_download", download)
    downloaded = load_encoders("someone/sdxl-1.0")
    assert downloaded.name == "someone/sdxl-1.0"
    assert downloaded.fingerprint() == encoders.fingerprint()
    assert asked == {
        "someone/sdxl-1.0": [
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "text_encoder_2/config.json",
            "text_encoder_2/model.safetensors",
        ]
    }


def test_an_unreachable_hub_says_what_else_to_give(monkeypatch):
    def download(repository, allow_patterns):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(module, "snapshot_download", download)
    with pytest.raises(OSError, match=r"someone/sdxl.*connection.*checkpoint file or a diffusers folder"):
        load_encoders("someone/sdxl")


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("conditioner.embedders.0.model.ln_final.weight", "the SDXL refiner"),
        ("cond_stage_model.transformer.text_model.x", "Stable Diffusion 1.x"),
        ("cond_stage_model.model.ln_final.weight", "Stable Diffusion 2.x"),
        ("text_encoders.clip_l.x", "newer than SDXL"),
        ("model.diffusion_model.x", "without its text encoders"),
        ("lora_te1_x.lora_up.weight", "a LoRA"),
        ("something.else", "something.else"),
    ],
)
def test_another_models_file_is_refused_by_name(tmp_path, key, model):
    save_file({key: torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=f"holds no SDXL text encoders.*got .*{model}.*Give an SDXL base checkpoint"):
        load_encoders(tmp_path / "other.safetensors")


def test_a_half_downloaded_file_is_refused(checkpoint, tmp_path):
    cut = Path(shutil.copy(checkpoint, tmp_path / "cut.safetensors"))
    with cut.open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(ValueError, match=r"cut\.safetensors cannot be read as safetensors.*download it again"):
        load_encoders(cut)


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"model\.ckpt is not a \.safetensors file.*save it as safetensors"):
        load_encoders(tmp_path / "model.ckpt")


@pytest.mark.parametrize("source", ["nowhere.safetensors", "no/where/at/all", "models/sdxl.safetensors"])
def test_a_source_that_is_not_there_says_what_can_be_given(source):
    with pytest.raises(FileNotFoundError, match=r"not found: expected a checkpoint file.*diffusers folder.*hub id"):
        load_encoders(source)


def test_a_folder_without_the_second_encoder_is_refused(folder, tmp_path):
    shutil.copytree(folder / "text_encoder", tmp_path / "text_encoder")
    with pytest.raises(FileNotFoundError, match=r"text_encoder_2/config\.json and text_encoder_2/model\.safetensors"):
        load_encoders(tmp_path)


def longer(weights):
    weights["conditioner.embedders.1.model.positional_embedding"] = torch.zeros(248, 128)


def incomplete(weights):
    del weights["conditioner.embedders.1.model.transformer.resblocks.0.ln_1.bias"]


def narrow(weights):
    weights["conditioner.embedders.1.model.token_embedding.weight"] = torch.zeros(49408, 96)


def misshapen(weights):
    weights["conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc2.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (longer, "49408 words and 248 positions; expected 49408 words and 77 positions"),
        (incomplete, r"damaged encoder: encoder\.layers\.0\.layer_norm1\.bias should be \(128,\), got nothing"),
        (narrow, "96 wide and does not say how many heads"),
        (misshapen, r"encoder\.layers\.0\.mlp\.fc2\.bias should be \(64,\), got \(3,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(checkpoint, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_encoders(changed(checkpoint, tmp_path / "changed.safetensors", change))
