"""What an encoding with the Emotional CLIP costs beside the plain one and the network's time.

    python -m benchmarks.emotional_clip                # three minutes (scripts/comfyui.py install), 5 GB of memory
    python -m benchmarks.emotional_clip --layers 4     # smaller text encoders: half a minute, 2 GB

ComfyUI's own SDXL encoders (CLIP-L and CLIP-G) and a network of the published size, with random weights, on one thread.
In turn are timed the plain encoding, the network on its result, and the encoding with the Emotional CLIP. Times are the
thread's own, so other work on the machine counts little; the ratio is that of medians.
"""

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable

import torch

from scripts.installation import ROOT
from scripts.small_encoders import fill, start_comfyui

PROMPTS = {
    "1 window": "a wooden house by a lake at dusk, oil on canvas",
    "3 windows": " ".join(f"bird {number}" for number in range(60)),
}
EMOTION = 2.0, 1.5


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emotional_clip", description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, help="of each text encoder; by default as published, 12 and 32")
    parser.add_argument("--repeats", type=int, default=7, help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start_comfyui()
    importlib.import_module("utils.extra_config")  # before another `utils` comes onto the path
    nodes = importlib.import_module("nodes")
    networks, emotional_clip, library = load_pack("nodes.networks", "nodes.emotional_clip", "emoticrafter.network")
    clip = make_clip(options.layers)
    network = networks.ManagedNetwork(library.EmotionNetwork(library.NetworkConfig()))
    emotion = networks.encode(network, *EMOTION)
    emotional = emotional_clip.EmotionalCLIP.execute(clip, network, *EMOTION, 1.0).args[0]
    print("| prompt | plain, ms | network, ms | Emotional CLIP, ms | ratio to the sum |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, text in PROMPTS.items():
        [conditioning] = nodes.CLIPTextEncode().encode(clip, text)
        forms = {
            "plain": lambda text=text: nodes.CLIPTextEncode().encode(clip, text),
            "network": lambda given=conditioning: networks.inject(given, emotion, 1.0),
            "emotional": lambda text=text: nodes.CLIPTextEncode().encode(emotional, text),
        }
        plain, alone, both = timed(forms, options.repeats).values()
        print(f"| {name} | {plain:.0f} | {alone:.0f} | {both:.0f} | {both / (plain + alone):.3f} |")


def load_pack(*names: str) -> list:
    """Modules of the pack, as ComfyUI would have loaded it."""
    spec = importlib.util.spec_from_file_location("pack", ROOT / "__init__.py")
    sys.modules["pack"] = importlib.util.module_from_spec(spec)
    return [importlib.import_module(f"pack.{name}") for name in names]


def make_clip(layers: int | None):
    sizes = {} if layers is None else {"num_hidden_layers": layers}
    target = importlib.import_module("comfy.supported_models").SDXL({}).clip_target()
    options = {"dtype": torch.float32, "clip_l_model_config": sizes, "clip_g_model_config": sizes}
    clip = importlib.import_module("comfy.sd").CLIP(target, model_options=options)
    fill(clip.cond_stage_model)
    return clip


def timed(forms: dict[str, Callable], repeats: int) -> dict[str, float]:
    """The median of the thread's milliseconds of each, called in turn; the first round does not count."""
    spent = {name: [] for name in forms}
    for _ in range(repeats + 1):
        for name, call in forms.items():
            began = time.thread_time()
            call()
            spent[name].append(1000 * (time.thread_time() - began))
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


if __name__ == "__main__":
    main()
