"""SDXL's two text encoders: prompts in, the features out that ComfyUI's CLIPTextEncode gives.

    encoders = load_encoders("sd_xl_base_1.0.safetensors")  # or a diffusers folder, a hub id, "tiny"
    features = encoders.encode(["a house by the sea"])  # [one tensor of [77, 2048]]

A prompt is cut into windows of 75 tokens, each between a start and an end token and padded to 77: with the
end token for CLIP-L, with 0 for OpenCLIP bigG. The features of a window are the hidden states of both
encoders before their last layer, without the final norm, CLIP-L's 768 numbers first and bigG's 1280 after
them. The last layers, final norms and projections are therefore never read.

The text is taken as written. ComfyUI reads (word:1.2) as a weight, (word) as the weight 1.1 and
embedding:name as a learned word; here they are plain characters, and \\( and \\) are plain parentheses, as in
ComfyUI. So a prompt without unescaped parentheses gives the same in both, and any other gives what ComfyUI
gives once they are escaped.

Shapes: B prompts, W windows of T = 77 tokens, D features (2048 for SDXL), E the width of one encoder.
Sources: Radford et al. 2021 (CLIP, arXiv 2103.00020), Podell et al. 2023 (SDXL, arXiv 2307.01952).
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from emoticrafter.weights.files import open_safetensors
from trainer.features.tokenizer import END, START, TOKENS, VOCABULARY, WORDS, clip_tokenizer


class TextEncoders:
    """CLIP-L and OpenCLIP bigG, cut off before their last layers, with CLIP's tokenizer.

    Attributes:
        name: Of the source, for people to read.
        width: D, the features per token.
        device: Of the encoders and the features.
    """

    def __init__(self, clip_l: nn.Module, clip_g: nn.Module, fingerprint: str, name: str):
        self.clip_l, self.clip_g, self.name = clip_l, clip_g, name
        self.width = clip_l.config.hidden_size + clip_g.config.hidden_size
        self.device = next(clip_l.parameters()).device
        self.tokenizer = clip_tokenizer()
        self._fingerprint = fingerprint

    def fingerprint(self) -> str:
        """A sha256 over the weights that the features depend on, alike for any file and dtype."""
        return self._fingerprint

    def tokenize(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cuts prompts into windows of 77 tokens.

        Returns:
            The tokens [2, W, T] int64 on the CPU, as CLIP-L and as bigG read them, and the windows that each
            prompt takes [B] int64 (1 for at most 75 tokens, the empty prompt included).
        """
        texts = [prompt.replace("\\(", "(").replace("\\)", ")") for prompt in prompts]
        rows, windows = [], []
        for tokens in self.tokenizer(texts)["input_ids"]:
            words = tokens[1:-1]
            starts = range(0, max(len(words), 1), WORDS)
            rows += ([START, *words[start : start + WORDS], END] for start in starts)
            windows.append(len(starts))
        padded = [[row + [pad] * (TOKENS - len(row)) for row in rows] for pad in (END, 0)]
        return torch.tensor(padded), torch.tensor(windows)

    @torch.no_grad()
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encodes windows: tokens [2, W, T] from `tokenize` to features [W, T, D] in the encoders' dtype."""
        tokens = tokens.to(self.device, non_blocking=True)
        hidden = [self.clip_l(input_ids=tokens[0]), self.clip_g(input_ids=tokens[1])]
        return torch.cat([output.last_hidden_state for output in hidden], dim=-1)

    def encode(self, prompts: list[str]) -> list[torch.Tensor]:
        """Encodes prompts in one batch: for each a tensor [77*n, D], n windows one after the other."""
        if not prompts:
            return []
        tokens, windows = self.tokenize(prompts)
        features = self.forward(tokens).split(windows.tolist())
        return [prompt.flatten(0, 1) for prompt in features]


def load_encoders(source: str | Path, device: str | torch.device = "cpu", dtype=None) -> TextEncoders:
    """Loads SDXL's text encoders; of a checkpoint only their tensors are read, never the UNet's.

    Args:
        source: A single-file SDXL checkpoint (.safetensors), a diffusers folder (with text_encoder/ and
            text_encoder_2/), the id of such a folder on the Hugging Face hub (such as
            "stabilityai/stable-diffusion-xl-base-1.0"), or "tiny": untrained stand-ins of the same widths, made
            on the spot from a seed.
        device: To run on.
        dtype: To compute in, a dtype or its name; None: float16 on CUDA, else float32.

    Raises:
        FileNotFoundError: The source, or a part of the folder, does not exist.
        ValueError: The source is damaged or holds another model's weights.
        OSError: The hub cannot be reached or lacks the id.
    """
    device = torch.device(device)
    if dtype is None:
        dtype = torch.float16 if device.type == "cuda" else torch.float32
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    name, states, configs = _read(source)
    digest = hashlib.sha256()
    encoders = []
    for state, config, activation in zip(states, configs, ("quick_gelu", "gelu"), strict=True):
        encoder = _build(state, {"hidden_act": activation, **config}, name)
        _hash_into(digest, encoder)
        encoders.append(encoder.to(device, dtype))
    return TextEncoders(*encoders, digest.hexdigest(), name)


# Reading: every source becomes two state dicts in transformers' names without "text_model.", CLIP-L's first.


def _read(source: str | Path) -> tuple[str, list[dict], list[dict]]:
    """The source's name, the two state dicts, and their configs as far as the source has any (empty: SDXL's own)."""
    path = Path(source)
    if str(source) == "tiny":
        return "tiny (untrained)", [_tiny_state(768, seed=0), _tiny_state(1280, seed=1)], [{}, {}]
    if path.is_file():
        return path.name, _read_checkpoint(path), [{}, {}]
    if path.is_dir():
        return path.resolve().name, *_read_folder(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and path.suffix not in (".safetensors", ".ckpt", ".pt"):
        return str(source), *_read_folder(_download(str(source)))
    raise FileNotFoundError(
        f"The text encoders {str(source)!r} were not found: expected a checkpoint file (.safetensors), a "
        "diffusers folder, a hub id such as stabilityai/stable-diffusion-xl-base-1.0, or tiny."
    )


def _open(path: Path):
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} is not a .safetensors file. Pickles can run code: save it as safetensors.")
    return open_safetensors(path)


_CLIP_L = "conditioner.embedders.0.transformer.text_model."
_CLIP_G = "conditioner.embedders.1.model."
_OTHER_MODELS = {
    "conditioner.embedders.0.model.": "the SDXL refiner",
    "cond_stage_model.transformer.": "Stable Diffusion 1.x",
    "cond_stage_model.model.": "Stable Diffusion 2.x",
    "text_encoders.": "a model newer than SDXL",
    "model.diffusion_model.": "a diffusion model without its text encoders",
    "lora_": "a LoRA",
}


def _read_checkpoint(path: Path) -> list[dict]:
    with _open(path) as file:
        keys = list(file.keys())
        for prefix in (_CLIP_L, _CLIP_G):
            if not any(key.startswith(prefix) for key in keys):
                raise ValueError(
                    f"{path} holds no SDXL text encoders: expected keys {prefix}…, got {_describe(keys)}. "
                    "Give an SDXL base checkpoint."
                )
        clip_l = {key[len(_CLIP_L) :]: file.get_tensor(key) for key in keys if key.startswith(_CLIP_L)}
        clip_g = {key[len(_CLIP_G) :]: file.get_tensor(key) for key in keys if key.startswith(_CLIP_G)}
    return [clip_l, _from_openclip(clip_g)]


def _describe(keys: list[str]) -> str:
    for prefix, model in _OTHER_MODELS.items():
        if any(key.startswith(prefix) for key in keys):
            return model
    return f"keys such as {', '.join(sorted(keys)[:3])}" if keys else "no weights at all"


_OPENCLIP_NAMES = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.": "embeddings.token_embedding.",
    "transformer.resblocks.": "encoder.layers.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    ".attn.": ".self_attn.",
}


def _from_openclip(state: dict) -> dict:
    """Renames OpenCLIP's weights to transformers' and takes its joint query-key-value projection apart."""
    converted = {}
    for name, tensor in state.items():
        for theirs, ours in _OPENCLIP_NAMES.items():
            name = name.replace(theirs, ours)
        if ".in_proj_" in name:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                converted[name.replace("in_proj_", f"{part}_proj.")] = third
        else:
            converted[name] = tensor
    return converted


def _read_folder(folder: Path) -> tuple[list[dict], list[dict]]:
    states, configs = [], []
    for part in (folder / "text_encoder", folder / "text_encoder_2"):
        plain = part / "model.safetensors"
        files = [plain] if plain.is_file() else sorted(part.glob("model*.safetensors"))
        if not files or not (part / "config.json").is_file():
            raise FileNotFoundError(
                f"{folder} is not a diffusers folder of SDXL: expected {part.name}/config.json and "
                f"{part.name}/model.safetensors in it."
            )
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        configs.append({key: config[key] for key in ("hidden_act", "num_attention_heads") if key in config})
        states.append({})
        for path in files:
            with _open(path) as file:
                keys = list(file.keys())
                states[-1] |= {key.removeprefix("text_model."): file.get_tensor(key) for key in keys}
    return states, configs


def _download(hub_id: str) -> Path:
    wanted = [f"text_encoder{n}/{file}" for n in ("", "_2") for file in ("config.json", "model.safetensors")]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except (OSError, HfHubHTTPError) as error:
        raise OSError(
            f"The text encoders {hub_id} could not be downloaded from the Hugging Face hub. Check the id and the "
            f"connection, or give a checkpoint file or a diffusers folder. ({error})"
        ) from error


def _tiny_state(width: int, seed: int, layers: int = 2, intermediate: int = 256) -> dict:
    """Makes random weights, the same on every machine; hidden states as large as a trained encoder's."""
    random = np.random.default_rng(seed)

    def uniform(rows: int, columns: int, deviation: float) -> torch.Tensor:
        steps = torch.from_numpy(random.integers(-128, 128, (rows, columns), np.int8))
        return steps.float() / (73.9 / deviation)  # 73.9: the standard deviation of -128..127

    state = {
        "embeddings.token_embedding.weight": uniform(VOCABULARY, width, 1.0),
        "embeddings.position_embedding.weight": uniform(TOKENS, width, 0.1),
    }
    linears = {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
    linears |= {"mlp.fc1": (intermediate, width), "mlp.fc2": (width, intermediate)}
    for layer in (f"encoder.layers.{index}." for index in range(layers)):
        for name, (rows, columns) in linears.items():
            state[f"{layer}{name}.weight"] = uniform(rows, columns, columns**-0.5)
            state[f"{layer}{name}.bias"] = torch.zeros(rows)
        for name in ("layer_norm1", "layer_norm2"):
            state[f"{layer}{name}.weight"] = torch.ones(width)
            state[f"{layer}{name}.bias"] = torch.zeros(width)
    return state


# Building


def _build(state: dict, config: dict, name: str) -> nn.Module:
    """Builds one encoder without its last layer and final norm, its sizes taken from the weights.

    Args:
        state: The weights in transformers' names without "text_model."; more than needed may be in it.
        config: hidden_act and, unless heads are 64 wide as in both of SDXL's encoders, num_attention_heads.
        name: Of the weights in errors.
    """
    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(**_sizes(state, config, name)))
    model = getattr(model, "text_model", model)  # transformers 4 wraps it once more
    model.final_layer_norm = nn.Identity()
    model.embeddings.position_ids = torch.arange(TOKENS)[None]
    wanted = model.state_dict()
    for key, tensor in wanted.items():
        if key not in state or state[key].shape != tensor.shape:
            found = tuple(state[key].shape) if key in state else "nothing"
            raise ValueError(f"{name} has a damaged encoder: {key} should be {tuple(tensor.shape)}, got {found}.")
    model.load_state_dict({key: state[key] for key in wanted}, assign=True)
    return model.eval().requires_grad_(False)


def _sizes(state: dict, config: dict, name: str) -> dict:
    """The config that transformers builds an encoder from, read off its weights where `config` is silent."""
    needed = [f"embeddings.{kind}_embedding.weight" for kind in ("token", "position")]
    needed.append("encoder.layers.1.mlp.fc1.weight")
    if missing := [key for key in needed if key not in state]:
        raise ValueError(f"{name} is not a CLIP text encoder of two layers or more: it lacks {missing[0]}.")
    words, positions, inner = (state[key] for key in needed)
    (vocabulary, width), positions = words.shape, len(positions)
    if vocabulary < VOCABULARY or positions != TOKENS:
        raise ValueError(
            f"{name} has a text encoder of {vocabulary} words and {positions} positions; expected "
            f"{VOCABULARY} words and {TOKENS} positions."
        )
    if "num_attention_heads" not in config and width % 64:
        raise ValueError(
            f"{name} has a text encoder {width} wide and does not say how many heads it has. "
            "Give a diffusers folder: its config.json says it."
        )
    layers = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.layers."))
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": len(inner),
        "num_hidden_layers": layers - 1,
        "num_attention_heads": width // 64,
        "projection_dim": width,
    }
    return {**sizes, **config}


def _hash_into(digest, encoder: nn.Module) -> None:
    """Adds an encoder to a hash, its weights as float32: the same weights in any file give the same hash."""
    digest.update(f"{encoder.config.hidden_act} {encoder.config.num_attention_heads}".encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.float().contiguous().numpy())
