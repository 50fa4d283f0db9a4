"""Test-only nodes for ComfyUI: they report what a link carries, and make what no stock node makes."""

import copy
import gc
import hashlib
import json
import os
import tempfile

import comfy.cldm.cldm
import comfy.clip_vision
import comfy.controlnet
import comfy.hooks
import comfy.model_management
import comfy.ops
import torch


def fingerprint(tensor: torch.Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(raw.numpy().tobytes()).hexdigest()


def told(value) -> str:
    """Equal for two values exactly if they are the same: tensors by content, other objects by identity."""
    if isinstance(value, torch.Tensor):
        return f"{list(value.shape)} {value.dtype} {fingerprint(value)}"
    if value is None or isinstance(value, int | float | str | bool):
        return repr(value)
    return f"{type(value).__name__} at {id(value)}"


def reported(features, extra: dict) -> dict:
    report = {"shape": None, "extra": {key: told(value) for key, value in extra.items()}}
    if features is not None:
        report |= {"shape": list(features.shape), "dtype": str(features.dtype), "device": str(features.device)}
        report |= {"sha256": fingerprint(features), "sum": features.double().sum().item()}
    return report


class ProbeConditioning:
    """Reports every entry of a conditioning; `after` makes it wait for another node."""

    CATEGORY = "tests"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"conditioning": ("CONDITIONING",)}, "optional": {"after": ("*",)}}

    VALIDATE_INPUTS = classmethod(lambda cls, input_types: True)

    def report(self, conditioning, after=None):
        return {"ui": {"report": [reported(*entry) for entry in conditioning]}}


class ProbeNetwork:
    """Reports which networks two links carry, and what they are."""

    CATEGORY = "tests"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"first": ("EMOTION_NETWORK",), "second": ("EMOTION_NETWORK",)}}

    def report(self, first, second):
        weight = first.ready().input_projection.weight
        return {
            "ui": {
                "report": [
                    {
                        "same": first is second,
                        "dtype": str(weight.dtype),
                        "device": str(weight.device),
                        "sha256": fingerprint(weight),
                    }
                ]
            }
        }


class ProbeProcess:
    """Reports how many emotion networks live in the process."""

    CATEGORY = "tests"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    INPUT_TYPES = classmethod(lambda cls: {"required": {}, "optional": {"after": ("*",)}})
    VALIDATE_INPUTS = classmethod(lambda cls, input_types: True)
    IS_CHANGED = classmethod(lambda cls: float("nan"))

    def report(self, after=None):
        gc.collect()
        networks = sum(type(thing).__name__ == "EmotionNetwork" for thing in gc.get_objects())
        return {"ui": {"report": [{"networks": networks}]}}


class ProbeName:
    """A file name that is known only while the graph runs."""

    CATEGORY = "tests"
    FUNCTION = "give"
    RETURN_TYPES = ("COMBO",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"file_name": ("STRING", {})}})

    def give(self, file_name):
        return (file_name,)


class ProbeTruncate:
    """Passes a network on, and cuts a file short in between, as a download over it does."""

    CATEGORY = "tests"
    FUNCTION = "cut"
    RETURN_TYPES = ("EMOTION_NETWORK",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"network": ("EMOTION_NETWORK",), "path": ("STRING", {})}})

    def cut(self, network, path):
        os.truncate(path, 1)
        return (network,)


class ProbeValue:
    """Reports what a link carries, an item per run of a list."""

    CATEGORY = "tests"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    INPUT_TYPES = classmethod(lambda cls: {"required": {"value": ("*",)}})
    VALIDATE_INPUTS = classmethod(lambda cls, input_types: True)

    def report(self, value):
        return {"ui": {"report": [value]}}


class ProbeRuns:
    """Passes a network on, and notes the batch of each run of its V-A encoder and of its blocks."""

    CATEGORY = "tests"
    FUNCTION = "watch"
    RETURN_TYPES = ("EMOTION_NETWORK",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"network": ("EMOTION_NETWORK",)}})
    IS_CHANGED = classmethod(lambda cls: float("nan"))
    encoded, injected, hooks = [], [], []

    def watch(self, network):
        inner = network.ready()
        self.encoded.clear()
        self.injected.clear()
        self.hooks[:] = [
            inner.valence_encoder.register_forward_hook(lambda *given: self.encoded.append(len(given[-1]))),
            inner.blocks[0].register_forward_hook(lambda *given: self.injected.append(len(given[-1]))),
        ]
        return (network,)


class ProbeRunsReport:
    """Reports what ProbeRuns noted up to the arrival of `after`, and ends the noting."""

    CATEGORY = "tests"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    INPUT_TYPES = classmethod(lambda cls: {"required": {"after": ("*",)}})
    VALIDATE_INPUTS = classmethod(lambda cls, input_types: True)
    IS_CHANGED = classmethod(lambda cls: float("nan"))

    def report(self, after):
        for hook in ProbeRuns.hooks:
            hook.remove()
        return {"ui": {"report": [{"encoded": list(ProbeRuns.encoded), "injected": list(ProbeRuns.injected)}]}}


class ProbeControlNet:
    """An untrained ControlNet with the sizes of a model's UNet."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CONTROL_NET",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"model": ("MODEL",)}})

    def make(self, model):
        sizes = {k: v for k, v in model.model.model_config.unet_config.items() if k != "out_channels"}
        operations = comfy.ops.disable_weight_init
        network = comfy.cldm.cldm.ControlNet(**sizes, hint_channels=3, operations=operations)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                drawn = torch.randn(weight.shape, generator=generator)
                if weight.ndim > 1:
                    weight.copy_(drawn * weight[0].numel() ** -0.5)
                else:
                    weight.fill_(0.0 if name.endswith("bias") else 1.0)
        device = comfy.model_management.get_torch_device()
        return (comfy.controlnet.ControlNet(network, load_device=device),)


class ProbeClipVision:
    """An untrained CLIP vision model in ComfyUI's class, whose image features are `width` wide."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CLIP_VISION",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"width": ("INT", {"default": 24})}})

    def make(self, width):
        sizes = {
            "hidden_act": "quick_gelu",
            "hidden_size": 32,
            "image_size": 64,
            "intermediate_size": 64,
            "model_type": "clip_vision_model",
            "num_attention_heads": 2,
            "num_channels": 3,
            "num_hidden_layers": 2,
            "patch_size": 32,
            "projection_dim": width,
        }
        with tempfile.TemporaryDirectory() as folder:
            config = os.path.join(folder, "config.json")  # noqa: PTH118
            with open(config, "w") as file:  # noqa: PTH123
                json.dump(sizes, file)
            vision = comfy.clip_vision.ClipVisionModel(config)
        generator = torch.Generator().manual_seed(8)
        with torch.no_grad():
            for weight in vision.model.parameters():
                weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
        return (vision,)


class ProbeInterleavingCLIP:
    """A CLIP that gives every token's key and value in turn, as NegPip's node makes one."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CLIP",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"clip": ("CLIP",)}})

    def make(self, clip):
        clip = clip.clone()
        for name in ("clip_l", "clip_g"):
            encode = clip.patcher.get_model_object(f"{name}.encode_token_weights")
            clip.patcher.add_object_patch(f"{name}.encode_token_weights", self.interleaving(encode))
        return (clip,)

    @staticmethod
    def interleaving(encode):
        def encode_token_weights(pairs):
            features, *others = encode(pairs)
            return (features.repeat_interleave(2, dim=1), *others)

        return encode_token_weights


class ProbeNarrowCLIP:
    """A CLIP of another width: CLIP-G's features alone."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CLIP",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"clip": ("CLIP",)}})

    def make(self, clip):
        clip = clip.clone()
        encode = clip.patcher.get_model_object("encode_token_weights")
        clip.patcher.add_object_patch("encode_token_weights", lambda pairs: self.narrow(*encode(pairs)))
        return (clip,)

    @staticmethod
    def narrow(features, *others):
        return (features[..., -1280:], *others)


class ProbeCountingCLIP:
    """Counts what a CLIP encodes, for ProbeCount."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CLIP",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"clip": ("CLIP",)}})
    encoded: list[object] = []  # noqa: RUF012 - shared with ProbeCount

    def make(self, clip):
        self.encoded.clear()
        clip = clip.clone()
        encode = clip.patcher.get_model_object("encode_token_weights")
        clip.patcher.add_object_patch("encode_token_weights", lambda pairs: self.encoded.append(1) or encode(pairs))
        return (clip,)


class ProbeCount:
    """Reports what ProbeCountingCLIP has counted up to the arrival of `after`."""

    CATEGORY = "tests"
    FUNCTION = "report"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    INPUT_TYPES = classmethod(lambda cls: {"required": {"after": ("*",)}})
    VALIDATE_INPUTS = classmethod(lambda cls, input_types: True)

    def report(self, after):
        return {"ui": {"report": [len(ProbeCountingCLIP.encoded)]}}


class ProbeClipAfter:
    """Passes a CLIP on once another node has run."""

    CATEGORY = "tests"
    FUNCTION = "wait"
    RETURN_TYPES = ("CLIP",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {"clip": ("CLIP",), "after": ("*",)}})
    VALIDATE_INPUTS = classmethod(lambda cls, input_types: True)

    def wait(self, clip, after):
        return (clip,)


def encode_joined(clip, text):
    """As BREAK does: the windows of several texts in one call."""
    parts = [clip.tokenize(part) for part in text.split("BREAK")]
    tokens = {name: [window for part in parts for window in part[name]] for name in parts[0]}
    return clip.encode_from_tokens(tokens, return_pooled=True)


def encode_as_dict(clip, text):
    found = clip.encode_from_tokens(clip.tokenize(text), return_pooled=True, return_dict=True)
    return found.pop("cond"), found


def encode_to_attend(clip, text):
    """As attention couple does: a prompt of its own for a part of the picture, inside a hook."""
    features, pooled = clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)
    [[part, _]] = clip.encode_from_tokens_scheduled(clip.tokenize("a storm"))
    return features, {"pooled_output": pooled, "part": part}


WAYS = {
    "encode": lambda clip, text: (clip.encode(text), {}),
    "features": lambda clip, text: (clip.encode_from_tokens(clip.tokenize(text)), {}),
    "pooled": lambda clip, text: clip.encode_from_tokens(clip.tokenize(text), return_pooled=True),
    "unprojected": lambda clip, text: clip.encode_from_tokens(clip.tokenize(text), return_pooled="unprojected"),
    "dict": encode_as_dict,
    "scheduled": lambda clip, text: clip.encode_from_tokens_scheduled(clip.tokenize(text))[0],
    "clone": lambda clip, text: encode_as_dict(clip.clone().clone(), text),
    "copy": lambda clip, text: encode_as_dict(copy.copy(clip), text),
    "joined": encode_joined,
    "couple": encode_to_attend,
    "whole": lambda clip, text: loaded(clip).encode_token_weights(clip.tokenize(text)),
    "parts": lambda clip, text: encode_parts(loaded(clip), clip.tokenize(text)),
    "embedding": lambda clip, text: encode_parts(loaded(clip), with_embedding(clip.tokenize(text))),
}
"""How packs encode a text with a CLIP: features, and a dict or a pooled vector."""


def with_embedding(tokens):
    """The first word as a textual inversion."""
    for letter, width in (("l", 768), ("g", 1280)):
        tokens[letter][0][1] = (torch.ones(width), 1.0)
    return tokens


def loaded(clip):
    clip.load_model()
    clip.cond_stage_model.reset_clip_options()
    return clip.cond_stage_model


def encode_parts(model, tokens):
    """As packs do that weigh words in their own way: each encoder of the CLIP for itself."""
    first, _ = model.clip_l.encode_token_weights(tokens["l"])
    second, pooled = model.clip_g.encode_token_weights(tokens["g"])
    return torch.cat([first, second], dim=-1), pooled


class ProbeEncode:
    """Encodes a text as other packs do, not through CLIP Text Encode."""

    CATEGORY = "tests"
    FUNCTION = "encode"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"clip": ("CLIP",), "text": ("STRING", {}), "way": (sorted(WAYS),)}}

    def encode(self, clip, text, way):
        features, extra = WAYS[way](clip, text)
        return ([[features, extra if isinstance(extra, dict) else {"pooled_output": extra}]],)


class CoupleHook(comfy.hooks.TransformerOptionsHook):
    """Holds the prompts of parts of the picture, as packs for attention couple do."""

    def __init__(self, conds):
        super().__init__()
        self.conds = conds


class ProbeCouple:
    """Hangs a hook with prompts of its own on every entry of a conditioning."""

    CATEGORY = "tests"
    FUNCTION = "couple"
    RETURN_TYPES = ("CONDITIONING",)
    INPUT_TYPES = classmethod(lambda cls: {"required": dict.fromkeys(("conditioning", "part"), ("CONDITIONING",))})

    def couple(self, conditioning, part):
        group = comfy.hooks.HookGroup()
        group.add(CoupleHook([features for features, _ in part]))
        return ([[features, {**extra, "hooks": group}] for features, extra in conditioning],)


class RandomConditioning:
    """A conditioning without a text encoder."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        whole = {name: ("INT", {"default": 1}) for name in ("seed", "batch", "windows")}
        return {"required": whole}

    def make(self, seed, batch, windows):
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(batch, 77 * windows, 2048, generator=generator)
        return ([[features, {"pooled_output": torch.randn(batch, 1280, generator=generator)}]],)


class OddConditioning:
    """A conditioning as other packs and other models make them."""

    CATEGORY = "tests"
    FUNCTION = "make"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "conditioning": ("CONDITIONING",),
                "kind": (sorted(ODDITIES),),
                "number": ("INT", {"default": 0}),
            }
        }

    def make(self, conditioning, kind, number):
        return ([list(ODDITIES[kind](features, dict(extra), number)) for features, extra in conditioning],)


def with_value(features, extra, number):
    features = features.clone()
    features[0, 5, 7] = {0: float("nan"), 1: float("inf"), -1: float("-inf")}[number]
    return features, extra


def batch(features, extra, number):
    """Every prompt of the batch is a little different."""
    scale = torch.linspace(0.9, 1.1, number)
    pooled = extra["pooled_output"] * scale[:, None]
    return features * scale[:, None, None], {**extra, "pooled_output": pooled}


def every_key(features, extra, number):
    """The keys that no stock node of a small graph sets; objects are compared by identity."""
    gligen = ("position", object(), [(torch.ones(1, 768), 8, 8, 0, 0)])
    return features, {
        **extra,
        "gligen": gligen,
        "unclip_conditioning": [{"clip_vision_output": object(), "strength": 1.0, "noise_augmentation": 0.0}],
        "attention_mask": torch.ones(1, features.shape[1]),
        "cross_attn_controlnet": features.clone(),
        "pooled_output_controlnet": extra["pooled_output"].clone(),
        "guidance": 3.5,
        "concat_latent_image": torch.zeros(1, 4, 8, 8),
        "default": True,
        "a key of a pack to come": {"nested": [1, 2]},
    }


def interleaved(features, extra, number):
    """Keys and values in turn, the value of token `number` turned round."""
    values = features.clone()
    values[:, number] *= -1
    return torch.stack([features, values], dim=2).flatten(1, 2), extra


ODDITIES = {
    "no features": lambda features, extra, number: (None, extra),
    "width": lambda features, extra, number: (torch.randn(1, 77, number), extra),
    "tokens": lambda features, extra, number: (torch.randn(1, number, 2048), extra),
    "flat": lambda features, extra, number: (features[0], extra),
    "value": with_value,
    "no pooled": lambda features, extra, number: (features, {}),
    "pooled None": lambda features, extra, number: (features, {"pooled_output": None}),
    "half": lambda features, extra, number: (features.half(), extra),
    "bfloat16": lambda features, extra, number: (features.bfloat16(), extra),
    "batch": batch,
    "every key": every_key,
    "interleaved": interleaved,
    "keys": lambda features, extra, number: (features[:, 0::2], extra),
    "values": lambda features, extra, number: (features[:, 1::2], extra),
}

NODES = (
    ProbeConditioning,
    ProbeNetwork,
    ProbeProcess,
    ProbeName,
    ProbeTruncate,
    ProbeControlNet,
    ProbeClipVision,
    ProbeInterleavingCLIP,
    ProbeCouple,
    ProbeNarrowCLIP,
    ProbeCountingCLIP,
    ProbeCount,
    ProbeClipAfter,
    ProbeEncode,
    ProbeValue,
    ProbeRuns,
    ProbeRunsReport,
    RandomConditioning,
    OddConditioning,
)
NODE_CLASS_MAPPINGS = {node.__name__: node for node in NODES}
