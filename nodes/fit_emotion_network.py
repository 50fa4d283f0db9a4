"""Fit Emotion Network."""

import json
import logging
import os
import re
import tempfile
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..emoticrafter.files import text_sha256
from ..emoticrafter.fit.network import SIZES
from ..emoticrafter.fit.pairs import SUFFIXES, Pair, read_pairs
from ..emoticrafter.fit.scenes import draw_pairs
from ..emoticrafter.fit.text_encoder import make_encoder, probe
from ..emoticrafter.quoting import is_showable, quoted, shown
from ..emoticrafter.va import check_number
from ..emoticrafter.weights import read_metadata, save_network
from . import fitting, networks
from .distilling import probe_model
from .inputs import CATEGORY, EmotionNetworkType, searched_as
from .miniature_model import FOLDER as MINIATURE
from .miniature_model import GET_THEM
from .node import Node
from .steered_clip import plain_clip

INSTANT, NETWORK = "instant", "network"
METHODS = (INSTANT, NETWORK)
BUILT_IN, OF_THE_MINIATURE = "built in", "miniature"
MOST_MINUTES, LARGEST_SEED = 600.0, 2**31 - 1
PAIRS = 2000
"""What is drawn for "built in"; more change a field little."""
SAME = 0.02
"""Two probes of one encoder differ by less, relative to their size: in another precision, on another card."""
NAME = re.compile(r"[\w][\w .+-]{0,79}")
LONGEST_NAME = 180
"""Bytes: file systems take 255, with the ending and what a temporary file adds."""
SHOWN_AS = {key: key for key in ("method", "size", "minutes", "model", "latent")} | {
    "encoder": "clip",
    "probe": "clip",
    "pairs": "pairs or seed",
    "seed": "pairs or seed",
}
"""What a file records of a fit -> the inputs that it comes from; the seed draws the pairs that are built in."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\..*)?", re.IGNORECASE)  # devices on Windows

log = logging.getLogger("emoticrafter")


class FitEmotionNetwork(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterFit",
            display_name="Fit Emotion Network",
            category=CATEGORY,
            **searched_as("train", "any model", "steering", "Flux", "Z-Image", "Qwen-Image"),
            description="Makes an emotion network for the model that you have: it reads pairs of prompts, plain and "
            "with a mood, through your CLIP and learns what a mood changes. Nothing is downloaded. The result is a "
            "file in models/emoticrafter, which Load Emotion Network lists at once.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of your model, with the LoRAs that you want to keep."),
                io.String.Input(
                    "name",
                    default="my_model",
                    tooltip="The file's name, without its ending: letters, digits, blanks and . _ - +. A file that "
                    "is there is kept; with the same inputs it is loaded instead of fitted again.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=INSTANT,
                    tooltip="instant: the mean difference that a mood makes, over valence and arousal. Seconds on a "
                    "GPU, a minute or more on a processor. network: then a network learns how a mood differs from "
                    "scene to scene, which takes some minutes.",
                ),
                io.Combo.Input(
                    "pairs",
                    options=_sources(),
                    default=BUILT_IN,
                    tooltip="What it learns from. built in: 2000 pairs of everyday scenes, of which most show nobody. "
                    "miniature: those of the painted world. Or a file of your own in models/emoticrafter/pairs.",
                ),
                io.Combo.Input(
                    "size",
                    options=list(SIZES),
                    default="medium",
                    tooltip="Of the network: small, medium, or full as in the paper, which needs a GPU. Nothing to the "
                    "instant method.",
                ),
                io.Float.Input(
                    "minutes",
                    default=6.0,
                    min=0.0,
                    max=MOST_MINUTES,
                    step=0.5,
                    tooltip="A network learns for 600 steps, or for fewer where they would take longer than this, "
                    "after the pairs are encoded; 0 is no limit. Nothing to the instant method. As long again with a "
                    "model.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=LARGEST_SEED,
                    control_after_generate=False,
                    tooltip="Decides the pairs that are built in, and where a network begins.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="What was fitted then learns on from this model: how it paints each scene under words with "
                    "a mood in them. No pictures are needed. It takes the memory of a sampling and as much again.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The size of the pictures that it learns from, from an empty latent; goes with model. "
                    "Smaller than you paint is faster: 512 x 512 for a model of 1024.",
                ),
            ],
            outputs=[
                EmotionNetworkType.Output(
                    "network",
                    display_name="EMOTION_NETWORK",
                    tooltip="The network, for Emotional Conditioning. It knows only the text of this CLIP.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None, pairs: str | None = None) -> bool | str:
        try:
            if name is not None:
                target_path(name)
            if pairs not in (None, BUILT_IN):
                _pairs_file(pairs)
        except (ValueError, OSError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, pairs: str | None, **inputs) -> str:
        return (
            str(pairs)
            if pairs in (None, BUILT_IN, OF_THE_MINIATURE)
            else networks.version_of(str(_pairs_folder() / pairs))
        )

    @classmethod
    def execute(
        cls,
        clip,
        name: str,
        method: str,
        pairs: str,
        size: str,
        minutes: float,
        seed: int,
        model=None,
        latent: dict | None = None,
    ) -> io.NodeOutput:
        path = target_path(name)
        for what, value, known in (("method", method, METHODS), ("size", size, SIZES)):
            if value not in known:
                raise ValueError(f"{what} is {quoted(value)}: expected one of {', '.join(known)}.")
        check_number("minutes", minutes, 0, MOST_MINUTES)  # a link may bring any number
        check_number("seed", seed, 0, LARGEST_SEED)
        if (model is None) != (latent is None):
            raise ValueError(
                "model and latent go together: connect both, an empty latent for the size of the pictures that are "
                "learned from, or neither."
            )
        learned = _learned_from(pairs, seed)
        encoder = make_encoder(plain_clip(clip))
        read = {"pairs": _sha256_of(learned), "encoder": encoder.family, "probe": probe(encoder)}
        wanted = {"method": method} | read
        if method == NETWORK:
            wanted |= {"size": size, "minutes": minutes, "seed": seed}
        if model is not None:
            shape = list(latent["samples"].shape[2:])
            wanted |= {"model": probe_model(model), "latent": shape, "minutes": minutes, "seed": seed}
        if os.path.lexists(path):  # a broken link, too, is somebody's
            _check_same(path, wanted)
            log.info("[EmotiCrafter] %s was fitted with the same inputs: loading it", path)
        else:
            told = {"data": f"{len(learned):,} pairs, {pairs}", "seed": seed}
            _check_folder(path.parent)
            key, node_id = json.dumps(read), cls.hidden.unique_id

            def fit():
                if method == INSTANT:
                    return fitting.fit_field(encoder, learned, key, node_id), {}
                return fitting.fit_network(encoder, learned, key, size, seed, minutes, node_id)

            if model is None:
                fitted, more = fit()
            else:
                whole = json.dumps(wanted)
                first, more = fitting.first_stage(whole, fit)
                teacher, texts = fitting.Teacher(model, latent), plain_clip(clip)
                fitted, later = fitting.learn_on(first, teacher, texts, learned, whole, seed, minutes, node_id)
                more = {**more, "learned_from_model": later}
            told |= more
            if os.path.lexists(path):
                raise ValueError(f"{path.name} was made by another fit meanwhile: it is kept. Run this one again.")
            save_network(fitted, path, {"fit": wanted, **told})
            fitting.forget()
            log.info("[EmotiCrafter] Wrote %s", path)
        return io.NodeOutput(networks.share_network(str(path), networks.AUTO))


def target_path(name: str) -> Path:
    """Where the network is saved: in the first folder of models/emoticrafter.

    Raises:
        ValueError: The name cannot be a file's.
    """
    name = name.strip().removesuffix(".safetensors")
    is_short = len(os.fsencode(name)) <= LONGEST_NAME if is_showable(name) else False
    if not is_short or not NAME.fullmatch(name) or RESERVED.fullmatch(name) or name.endswith("."):
        raise ValueError(
            f"name is {quoted(name)}: expected 1 to 80 letters, digits, blanks and . _ - +, beginning with a letter or "
            "a digit, without folders."
        )
    return Path(folder_paths.get_folder_paths(networks.FOLDER)[0]) / f"{name}.safetensors"


def _check_same(path: Path, wanted: dict) -> None:
    """Raises ValueError if a file that is there comes from other inputs, and names these."""
    try:
        own = dict(read_metadata(path)["training"]["fit"])
        own_probe, new_probe = own["probe"], wanted["probe"]
        apart = sum((x - y) ** 2 for x, y in zip(own_probe, new_probe, strict=True)) ** 0.5
        if apart <= SAME * sum(x**2 for x in new_probe) ** 0.5:
            own["probe"] = new_probe
        if own == wanted:
            return
        why = f"was fitted with other inputs ({', '.join(_changed(own, wanted))})"
    except (ValueError, KeyError, TypeError, ArithmeticError, OSError):
        why = "is there already, and this node did not make it"
    raise ValueError(f"{path.name} {why}: it is kept. Choose another name, or delete {path}.")


def _changed(own: dict, wanted: dict) -> list[str]:
    """The node's inputs by which two fits differ, as people know them."""
    keys = {key for key in own | wanted if own.get(key) != wanted.get(key)}
    if keys & {"method", "model"}:  # the other settings belong to one of the two fits alone
        keys -= {"size", "minutes", "seed", "latent"}
    return sorted({SHOWN_AS.get(key, "others") for key in keys})


# ---- pairs -------------------------------------------------------------------------------------------


def _pairs_folder() -> Path:
    return Path(folder_paths.get_folder_paths(networks.FOLDER)[0]) / "pairs"


def _sources() -> list[str]:
    brought = [OF_THE_MINIATURE] if (MINIATURE / "pairs.csv").is_file() else []  # the registry's package has none
    return [BUILT_IN, *brought, *filter(is_showable, sorted(path.name for path in _own_files()))]


def _own_files() -> list[Path]:
    folder = _pairs_folder()
    try:
        return [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    except OSError:  # not there, or not readable
        return []


def _pairs_file(name: str) -> Path:
    if name == OF_THE_MINIATURE:
        path = MINIATURE / "pairs.csv"
        if not path.is_file():
            raise FileNotFoundError(f"The miniature lacks {path.name} in {MINIATURE}. {GET_THEM}")
        return path
    # as the folder lists it: a name from outside may be of any type, too long for the system, or lead elsewhere
    path = next((path for path in _own_files() if path.name == name), None)
    if path is None:
        folder = shown(str(_pairs_folder()), networks.LONGEST_PATH)
        raise FileNotFoundError(
            f"There is no file of pairs {quoted(name)} in {folder}: put it there (CSV or JSON lines with neutral, "
            "emotional, valence and arousal) and press R to refresh the lists."
        )
    return path


def _learned_from(source: str, seed: int) -> list[Pair]:
    if source == BUILT_IN:
        return draw_pairs(PAIRS, seed)
    return read_pairs(_pairs_file(source))


def _sha256_of(pairs: list[Pair]) -> str:
    return text_sha256(json.dumps(pairs))


def _check_folder(folder: Path) -> None:
    """Raises OSError before the fit, not after it, where nothing can be written."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
