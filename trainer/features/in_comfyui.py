"""Encodes texts with ComfyUI's own loader. This file runs in ComfyUI's Python; `comfyui.py` beside it starts it.

Its one argument is a JSON object: "comfyui" and "library" (the folders of ComfyUI and of emoticrafter), "clips",
"type", "device" and "dtype". It answers with a line of JSON: {"ready": what the encoder is} or {"error": why not}. Then
each line {"texts": [...]} on its standard input is answered by {"bytes": n, "longer": k} and a safetensors file of n
bytes: "features" [sum of T, D] and "tokens" [B], T of each text. Whatever ComfyUI prints goes to standard error.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import signal
import sys
from pathlib import Path

MOST_LACKING = 0.1
"""The share of an encoder's weights that a file may lack, such as a projection that is not used."""


class Refused(Exception):
    """Something that the user can put right; the text says what."""


def main() -> None:
    """Loads the CLIP, then answers until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this ends it
    answers = _own_output()
    try:
        asked = json.loads(sys.argv[1])
        encode, told = _prepare(asked)
        _answer(answers, {"ready": told})
        for line in sys.stdin.buffer:
            data, longer = encode(json.loads(line)["texts"])
            _answer(answers, {"bytes": len(data), "longer": longer}, data)
    except Exception as error:
        _answer(answers, {"error": _in_one_line(error)})
        sys.exit(1)


def _own_output():
    """Standard output for the answers alone; what others print there goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(stream, told: dict, data: bytes = b"") -> None:
    stream.write(json.dumps(told).encode() + b"\n" + data)
    stream.flush()


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, (Refused, ValueError)) and text else f"{type(error).__name__}: {text}"


# ---- ComfyUI ---------------------------------------------------------------------------------------


def _prepare(asked: dict) -> tuple:
    """The function that encodes, and what is told of the encoder."""
    _import_library(asked["library"])
    _start_comfyui(asked["comfyui"], asked["device"])
    files = [_file(name, asked["comfyui"]) for name in asked["clips"]]  # before what takes seconds
    clip = _load(files, asked["type"])
    import torch

    from emoticrafter.fit.text_encoder import UNLIKE, make_encoder

    with torch.inference_mode():
        encoder = make_encoder(clip)
        features, _ = encoder.encode(UNLIKE[0])
    told = {
        "files": {file.name: _sha256(file) for file in files},
        "version": _version(),
        "facts": {name: getattr(encoder, name) for name in ("family", "head", "tail", "window", "padded")},
        "width": features.shape[1],
        "tokens": encoder.tokens,
    }
    dtype, escapes = getattr(torch, asked["dtype"]), _reads_weights(clip)
    return lambda texts: _encode(encoder, texts, dtype, escapes), told


def _import_library(folder: str) -> None:
    """Makes `emoticrafter` importable, and nothing else beside it: packages there may be another Python's."""
    here = Path(__file__).resolve().parent  # whose files have everyday names
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    start = Path(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location("emoticrafter", start, submodule_search_locations=[folder])
    sys.modules["emoticrafter"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["emoticrafter"])


def _start_comfyui(folder: str, device: str) -> None:
    """Sets ComfyUI up as its main.py does, with its folders of models, without custom nodes."""
    sys.path.insert(0, folder)
    try:
        import torch

        sys.argv[1:] = ["--cpu"] if _on_processor(torch, device) else []
        import comfy.options

        comfy.options.enable_args_parsing()
        import utils.extra_config
    except ImportError as error:
        raise _wrong_python(folder, error) from error
    extra = Path(folder, "extra_model_paths.yaml")
    if extra.is_file():
        utils.extra_config.load_extra_path_config(str(extra))


def _wrong_python(folder: str, error: ImportError) -> Refused:
    return Refused(
        f"{sys.executable} cannot run the ComfyUI in {folder} ({error}): give the Python that runs it with "
        "--comfyui-python"
    )


def _on_processor(torch, device: str) -> bool:
    found = torch.cuda.is_available() or torch.backends.mps.is_available()
    found = found or (hasattr(torch, "xpu") and torch.xpu.is_available())
    if device not in ("auto", "cpu") and not found:
        raise Refused(f"--device is {device}, and ComfyUI's Python ({sys.executable}) finds no GPU: give auto or cpu")
    return device == "cpu" or not found


def _file(name: str, folder: str) -> Path:
    import folder_paths

    if Path(name).is_absolute():
        if not Path(name).is_file():
            raise Refused(f"--clip: there is no file {name}")
        return Path(name)
    kind = "text_encoders" if "text_encoders" in folder_paths.folder_names_and_paths else "clip"
    found = folder_paths.get_full_path(kind, name)
    if found is None:
        there = sorted(folder_paths.get_filename_list(kind))
        listed = ", ".join(there[:8]) + (" ..." if there[8:] else "") or "nothing"
        raise Refused(f"--clip: there is no {name} in the {kind} folder of {folder}, which has {listed}")
    return Path(found)


def _load(files: list[Path], kind: str):
    """The CLIP, as Load CLIP and DualCLIPLoader give it."""
    try:
        import comfy.sd
    except ImportError as error:
        raise _wrong_python(sys.path[0], error) from error
    # ComfyUI's own loaders take what is no name here, such as sdxl, for the first one
    known = {"sdxl": comfy.sd.CLIPType.STABLE_DIFFUSION} | {one.name.lower(): one for one in comfy.sd.CLIPType}
    if kind not in known:
        raise Refused(f"--clip-type is {kind}: this ComfyUI knows {', '.join(sorted(known))}")
    before, names = _weights_before_loading(comfy.sd.CLIP), " and ".join(file.name for file in files)
    try:
        # without a folder of embeddings: a word is taken as written
        clip = comfy.sd.load_clip([str(file) for file in files], embedding_directory=None, clip_type=known[kind])
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise Refused(
            f"ComfyUI cannot load {names} as {kind} ({type(error).__name__}: {why}): give the files and the "
            "--clip-type of its own Load CLIP"
        ) from error
    weights = _weights(clip)
    lacking = sum(before.get(name) == weight for name, weight in weights.items())
    if lacking > MOST_LACKING * len(weights):
        raise Refused(
            f"{names} lacks {lacking} of {len(weights)} weights of the text encoder that ComfyUI builds for {kind}: "
            "give the files and the --clip-type of its own Load CLIP"
        )
    return clip


def _weights_before_loading(clip_class: type) -> dict:
    """Gets `_weights` of a CLIP before its files are read: ComfyUI only logs what they lack, and goes on without it."""
    before, load = {}, clip_class.load_sd

    def noted(clip, *arguments, **options):
        if not before:
            before.update(_weights(clip))
        return load(clip, *arguments, **options)

    clip_class.load_sd = noted
    return before


def _weights(clip) -> dict[str, tuple]:
    """The weights that read text, not pictures, each with what changes when a file fills it."""
    named = clip.cond_stage_model.named_parameters()
    return {name: (id(of), of._version) for name, of in named if "visual." not in name and "vision" not in name}


def _version() -> str:
    with contextlib.suppress(Exception):
        from comfyui_version import __version__

        return __version__
    return "of unknown version"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


# ---- encoding --------------------------------------------------------------------------------------


def _reads_weights(clip) -> bool:
    """Whether (word) is a weight to this tokenizer, so that parentheses need a backslash to be themselves."""
    batches = clip.tokenize("a (b) c").values()
    return any(weight != 1.0 for batch in batches for row in batch for _, weight, *_ in row)


def _encode(encoder, texts: list[str], dtype, escapes: bool) -> tuple[bytes, int]:
    """The features of texts as a safetensors file, and how many were cut to the encoder's length."""
    import torch
    from safetensors.torch import save

    rows, longer, tokens = [], 0, encoder.tokens
    with torch.inference_mode():
        for text in texts:
            features, mask = encoder.encode(re.sub(r"(?<!\\)([()])", r"\\\1", text) if escapes else text)
            features = features if mask is None else features[mask]  # what is masked is neither read nor changed
            longer += tokens is not None and len(features) > tokens
            rows.append(features[:tokens].to("cpu", dtype))
    lengths = torch.tensor([len(row) for row in rows])
    return save({"features": torch.cat(rows).contiguous(), "tokens": lengths}), int(longer)


if __name__ == "__main__":
    main()
