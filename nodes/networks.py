"""Finds files in the model folders, and loads networks under ComfyUI's memory management."""

import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import comfy.model_management as memory
import comfy.model_patcher
import folder_paths
import torch

from ..emoticrafter import EmotionFeatures, load_network
from ..emoticrafter.conditioning import inject_emotion
from ..emoticrafter.encoders import EncoderFacts
from ..emoticrafter.names import advice_on, listed_name
from ..emoticrafter.quoting import is_showable, quoted, shown
from ..emoticrafter.weights.files import DTYPES, SUFFIXES, dtype_name, some
from .notices import warn_of_encoder, warn_of_unreached

FOLDER = "emoticrafter"
LONGEST_PATH = 300
AUTO = "auto"
T = TypeVar("T")

log = logging.getLogger("emoticrafter")


def make_patcher(model: torch.nn.Module, load_device: torch.device, offload_device: torch.device):
    """The ModelPatcher that ComfyUI itself would put round a model.

    Looked up at each call, since ComfyUI chooses it after this module may have been imported: where DynamicVRAM is
    on, it is a class that loads without pushing other models out of video memory. Older releases have one class.
    """
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return kind(model, load_device=load_device, offload_device=offload_device)


class ManagedNetwork:
    """A network that ComfyUI moves between devices; EMOTION_NETWORK links carry one of an EmotionNetwork."""

    def __init__(self, network: torch.nn.Module):
        # Treated as a text encoder: with little video memory it runs on the CPU, where one prompt takes a fraction of
        # a second.
        load_device, offload_device = memory.text_encoder_device(), memory.text_encoder_offload_device()
        self.patcher = make_patcher(network.requires_grad_(False), load_device, offload_device)

    @property
    def encoder(self) -> EncoderFacts | None:
        """The text encoder that an emotion network was fitted to, None where its file does not say."""
        return self.patcher.model.encoder

    def ready(self) -> torch.nn.Module:
        """The network, on the device where it will run."""
        # Whole or not at all: unlike ComfyUI's own layers, its layers cannot be cast one by one. With DynamicVRAM the
        # option has no effect, and layers that are not ComfyUI's are always loaded whole.
        memory.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model


class Emotion(NamedTuple):
    """Carried by EMOTION links: the features, and the network that made them and can read them."""

    network: ManagedNetwork
    features: EmotionFeatures


def encode(network: ManagedNetwork, valence: float | torch.Tensor, arousal: float | torch.Tensor) -> Emotion:
    """One emotion, or a batch of them: a value or [B] of each axis."""
    features = network.ready().encode(valence, arousal)
    device = memory.intermediate_device()
    return Emotion(network, EmotionFeatures(*(tokens.to(device) for tokens in features)))


def inject(conditioning: list, emotion: Emotion, strength: float, **settings) -> list:
    """The conditioning with the emotion (settings and errors as `inject_emotion`)."""
    network = emotion.network.ready()
    if strength:
        warn_of_unreached(conditioning)
        warn_of_encoder(conditioning, network)
    return inject_emotion(conditioning, network, emotion.features, strength, **settings)


# What is in use, by file version and more: two loaders of one file share one network, and nothing stays once no graph
# holds it.
_in_use: weakref.WeakValueDictionary[tuple, object] = weakref.WeakValueDictionary()


def shared(key: tuple, make: Callable[[], T]) -> T:
    """What `make` returns, or what it returned for the same key if that is still in use."""
    found = _in_use.get(key)
    if found is None:
        found = _in_use[key] = make()
    return found


def share_network(path: str, dtype: str) -> ManagedNetwork:
    """Loads a network file, or returns the one that is already loaded.

    Raises:
        ValueError: It is not an emotion network (see `emoticrafter.load_network`), or `dtype` is not known.
    """
    torch_dtype = _torch_dtype(dtype)

    def load() -> ManagedNetwork:
        log.info("[EmotiCrafter] Loading %s as %s", path, dtype_name(torch_dtype))
        return ManagedNetwork(load_network(path, memory.text_encoder_offload_device(), torch_dtype))

    return shared((path, version_of(path), torch_dtype), load)


def _torch_dtype(name: str) -> torch.dtype:
    if name == AUTO:
        device = memory.text_encoder_device()
        if memory.should_use_fp16(device):
            return torch.float16
        return torch.bfloat16 if memory.should_use_bf16(device) else torch.float32
    if not isinstance(name, str) or name not in DTYPES:  # only the browser checks the list
        raise ValueError(f"dtype is {quoted(name)}: expected one of {', '.join([AUTO, *DTYPES])}.")
    return DTYPES[name]


def register_folder(folder: str = FOLDER) -> None:
    """Registers models/<folder>, beside what extra_model_paths.yaml names, for network files only."""
    default = Path(folder_paths.models_dir) / folder
    folder_paths.add_model_folder_path(folder, str(default))
    paths, _every_extension = folder_paths.folder_names_and_paths[folder]
    folder_paths.folder_names_and_paths[folder] = (paths, set(SUFFIXES))
    try:
        default.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("[EmotiCrafter] %s cannot be created: %s", default, error)


def network_names(folder: str = FOLDER) -> list[str]:
    """The files that a list offers: ComfyUI's menus run the HTML in a name."""
    return [name for name in folder_paths.get_filename_list(folder) if is_showable(name)]


def name_problem(name: str | None, folder: str = FOLDER, kind: str = "network") -> bool | str:
    """A node's answer to ComfyUI's question whether a file can be chosen: True, or why not."""
    if name is None:  # linked, so known only when it runs; or missing, which ComfyUI reports
        return True
    try:
        find_network(name, folder, kind)
    except FileNotFoundError as error:
        return str(error)
    return True


def chosen_version(name: str | None, folder: str = FOLDER) -> str:
    """The version of the file that a list offers; of all of them while a linked name is not known."""
    return " ".join(file_version(one, folder) for one in (network_names(folder) if name is None else [name]))


def file_version(name: str, folder: str = FOLDER) -> str:
    """`version_of` a file of the model folders."""
    listed = listed_name(name, folder_paths.get_filename_list(folder)) or name
    path = folder_paths.get_full_path(folder, listed)
    return "missing" if path is None else version_of(path)


def version_of(path: str) -> str:
    """Tells one version of a file from the next, without reading it."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - ComfyUI hands out plain strings
    except FileNotFoundError:
        return "missing"
    return f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"


def find_network(name: str, folder: str = FOLDER, kind: str = "network") -> str:
    """The path of a network file in the model folders.

    Args:
        name: As the folder lists it, or as another system writes that.
        folder: One that `register_folder` has registered.
        kind: For the error: an emotion `kind`.

    Raises:
        FileNotFoundError: It is missing, or its name cannot be read; says which folders were searched, and what
            to do.
    """
    names = folder_paths.get_filename_list(folder)
    if listed := listed_name(name, names):
        if not is_showable(listed):
            raise FileNotFoundError(f"{quoted(listed)} {_oddity(listed)}: rename it.")
        if path := folder_paths.get_full_path(folder, listed):
            return path
        link = any(Path(path, listed).is_symlink() for path in folder_paths.get_folder_paths(folder))
        problem = f"{quoted(listed)} is {'a broken symlink' if link else 'not a regular file'}."
    else:
        problem = f"There is no emotion {kind} {quoted(name)}.{advice_on(name, names)}"
    searched = "; ".join(
        f"{shown(path, LONGEST_PATH)} ({_state(Path(path))})" for path in folder_paths.get_folder_paths(folder)
    )
    found = f"Found: {some([shown(one) for one in names])}." if names else f"No {kind} file was found."
    raise FileNotFoundError(
        f"{problem} Searched for .safetensors and .pth in: {searched}. {found} Put the file into one of these "
        "folders and press R to refresh the lists; the README tells how to get one."
    )


def _oddity(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    return "holds a sign that a menu cannot show safely, such as <"


def _state(folder: Path) -> str:
    if not folder.exists():
        return "not there"
    if not folder.is_dir():
        return "not a folder"
    return "searched" if os.access(folder, os.R_OK | os.X_OK) else "not readable"
