"""ComfyUI's own text encoders at small size with random weights, one for each family of `emoticrafter/encoders.py`.

Import it in a process that has ComfyUI on its path (`start_comfyui`). Tokenizers whose files ComfyUI does not ship get
small ones of their own: they come with the weights there, too.
"""

import io
import sys
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace

import torch

from scripts.installation import comfyui_folder

WIDTH = 64
"""Of the small encoders' layers."""
SENTENCES = (
    "a house by the sea, oil on canvas",
    "an old cat sleeps on the stairs of a small town",
    "two boats in the fog at dawn",
    "the quick brown fox jumps over the lazy dog",
    "a street at night after the rain, with lamps",
)


def start_comfyui() -> None:
    """Puts ComfyUI on the path and sets it up for the processor, as its main.py does."""
    sys.path.insert(0, str(comfyui_folder()))
    arguments, sys.argv[1:] = sys.argv[1:], ["--cpu"]
    import_module("comfy.options").enable_args_parsing()
    import_module("comfy.cli_args")
    sys.argv[1:] = arguments


def small_clip(name: str, seed: int = 0):
    """The CLIP of a family, by its `Family.name`, as Load CLIP would give it.

    Raises:
        KeyError: There is none for the name.
        ImportError: This ComfyUI does not have the encoder.
    """
    try:
        encoder, tokenizer, sizes, data = ENCODERS[name]()
    except AttributeError as error:
        raise ImportError(f"This ComfyUI does not have the text encoder of {name}: {error}") from error
    target = SimpleNamespace(params={}, clip=encoder, tokenizer=tokenizer)
    options = {**sizes, "dtype": torch.float32, "initial_device": torch.device("cpu")}
    clip = import_module("comfy.sd").CLIP(target, tokenizer_data=data, model_options=options)
    fill(clip.cond_stage_model, seed)
    return clip


@torch.no_grad()
def fill(module: torch.nn.Module, seed: int = 0) -> None:
    """Gives every weight random numbers of a usual size: ComfyUI's layers start with whatever memory holds."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        if ".visual." in name:  # pictures in the prompt: large, and never looked at here
            continue
        if weight.ndim < 2:
            # norms around 1, and biases around 0, with some channels that stand out, as in trained models
            weight.normal_(0, 0.3, generator=generator)
            weight.add_(float(name.endswith("weight") or name.endswith("scale")))
        else:
            fan_in = 1 if "embed" in name or "shared" in name else weight[0].numel()
            weight.normal_(0, fan_in**-0.5, generator=generator)


# ---- sizes and tokenizers ----------------------------------------------------------------------------

_LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}
_CLIP = {"hidden_size": WIDTH, "num_attention_heads": 1, "num_hidden_layers": 3, "intermediate_size": 2 * WIDTH}
_CLIPS = {"clip_l_model_config": _CLIP, "clip_g_model_config": _CLIP}
_LANGUAGE_MODELS = ("gemma2_2b", "qwen3_4b", "qwen3_06b", "qwen25_7b", "mistral3_24b", "qwen3vl_4b", "qwen3vl_8b")
_T5 = {"d_model": WIDTH, "d_ff": 2 * WIDTH, "d_kv": 32, "num_heads": 2, "num_layers": 2}


def _module(name: str):
    return import_module(f"comfy.text_encoders.{name}")


def _of(path: str):
    module, name = path.rsplit(".", 1)
    return getattr(import_module(module), name)


def _sentencepiece() -> dict[str, torch.Tensor]:
    """A tokenizer as the checkpoints of Gemma and UMT5 carry it, bytes as a tensor."""
    from sentencepiece import SentencePieceTrainer

    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=written,
        vocab_size=300,
        byte_fallback=True,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    return {"spiece_model": torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)}


def _mistral_tokenizer(_data: object = None) -> dict:
    """Single bytes and the markers of Mistral's chat template.

    It stands in for the tokenizer that the checkpoint carries, which the packaged ComfyUI cannot read with today's
    transformers.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    markers = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({text: number for number, text in enumerate(markers + letters)}, []))
    tokenizer.add_special_tokens(markers)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return {"tokenizer_object": tokenizer}


def _mistral(here) -> tuple:
    from transformers import PreTrainedTokenizerFast

    here.load_mistral_tokenizer = _mistral_tokenizer
    here.MistralTokenizerClass.from_pretrained = staticmethod(
        lambda _path, tokenizer_object, **_: PreTrainedTokenizerFast(tokenizer_object=tokenizer_object)
    )
    return here.flux2_te()


# ---- the encoders: class, tokenizer, sizes, what comes with the weights ------------------------------


def _clip(encoder: str, tokenizer: str) -> Callable:
    return lambda: (_of(f"comfy.{encoder}"), _of(f"comfy.{tokenizer}"), _CLIPS, {})


def _llama(
    module: str, encoder: Callable, tokenizer: str, sizes: dict | None = None, data: Callable = dict
) -> Callable:
    def make():
        here = _module(module)
        options = {f"{name}_model_config": _LLAMA | (sizes or {}) for name in _LANGUAGE_MODELS}
        return encoder(here), getattr(here, tokenizer), options, data()

    return make


def _t5(module: str, encoder: Callable, tokenizer: str, sizes: dict | None = None, data: Callable = dict) -> Callable:
    def make():
        here = _module(module)
        options = {f"{name}_model_config": _T5 | (sizes or {}) for name in ("t5xxl", "umt5xxl")}
        return encoder(here), getattr(here, tokenizer), _CLIPS | options | {"llama_model_config": _LLAMA}, data()

    return make


ENCODERS = {
    "Stable Diffusion 1.x": _clip("sd1_clip.SD1ClipModel", "sd1_clip.SD1Tokenizer"),
    "SDXL": _clip("sdxl_clip.SDXLClipModel", "sdxl_clip.SDXLTokenizer"),
    # its CLIPs are padded to T5's full width
    "Stable Diffusion 3": _t5("sd3_clip", lambda m: m.sd3_clip(), "SD3Tokenizer", {"d_model": 4096, "num_layers": 1}),
    "Flux.1": _t5("flux", lambda m: m.flux_clip(), "FluxTokenizer"),
    "Chroma": _t5("pixart_t5", lambda m: m.pixart_te(), "PixArtTokenizer"),
    "Lumina 2": _llama("lumina2", lambda m: m.te(), "LuminaTokenizer", {"vocab_size": 600}, _sentencepiece),
    "Z-Image": _llama("z_image", lambda m: m.te(), "ZImageTokenizer"),
    "Qwen-Image": _llama("qwen_image", lambda m: m.te(), "QwenImageTokenizer"),
    "Flux.2": _llama("flux", _mistral, "Flux2Tokenizer", {"vocab_size": 600, "num_hidden_layers": 31}),
    "Flux.2 Klein 4B": _llama(
        "flux", lambda m: m.klein_te(model_type="qwen3_4b"), "KleinTokenizer", {"num_hidden_layers": 28}
    ),
    "Wan": _t5("wan", lambda m: m.te(), "WanT5Tokenizer", {"vocab_size": 600}, _sentencepiece),
    "HunyuanImage": _llama(
        "hunyuan_image", lambda m: m.te(byt5=False), "HunyuanImageTokenizer", {"num_hidden_layers": 4}
    ),
    "HiDream-I1": _t5("hidream", lambda m: m.hidream_clip(), "HiDreamTokenizer"),
    "Anima": _llama("anima", lambda m: m.te(), "AnimaTokenizer"),
    "Krea 2": _llama("krea2", lambda m: m.te(), "Krea2Tokenizer", {"num_hidden_layers": 36}),
}  # fmt: skip
