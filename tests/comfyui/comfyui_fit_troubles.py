"""Drives the fits of Fit Emotion Network into trouble, with an encoder that is a function, and prints JSON.

Started by test_fit.py with ComfyUI's Python, in ComfyUI's folder: comfyui_fit_troubles.py FOLDER
"""

import errno
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

from pack import import_node_module

folder = Path(sys.argv[1])
fitting = import_node_module("fitting", folder)
import comfy.model_management as memory  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from server import PromptServer  # noqa: E402

said = []
PromptServer.instance = SimpleNamespace(send_progress_text=lambda text, node_id: said.append(text))
folder_paths.set_temp_directory(str(folder / "temp"))
Pair, Encoder = fitting.Pair, fitting.Encoder
TOKENS = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))


def encode(text: str) -> tuple[torch.Tensor, None]:
    return TOKENS[torch.tensor([28, *(ord(word[0]) % 26 for word in text.split()), 29])].half(), None


encoder = Encoder(encode, "a toy", 1, 1, None, False)
scenes = [f"{one} {other}" for one in "abcdefghij" for other in "klmnop"]
pairs = [Pair(scene, f"{scene} {mood}", v, v) for scene in scenes for mood, v in (("joy", 3.0), ("rage", -3.0))]


def fit(key: str, some: list = pairs, minutes: float = 0.0):
    with torch.inference_mode():  # as ComfyUI runs nodes
        return fitting.fit_network(encoder, some, key, "small", 0, minutes, "1")


def refusal(key: str) -> str:
    try:
        fit(key)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def stop_at(what: str, count: int) -> None:
    """The user stops it when it has told of so many pairs or steps."""

    def check():
        if calls[0] == count:
            raise memory.InterruptProcessingException
        calls[0] += 1

    calls = [0]
    memory.throw_exception_if_processing_interrupted = check
    try:
        fit(what)
        raise AssertionError("it was not stopped")
    except memory.InterruptProcessingException:
        memory.throw_exception_if_processing_interrupted = lambda: None


fitting.STEPS, fitting.SIZES["small"] = 10, type(fitting.SIZES["small"])(64, 1, 2, 8)
told = {}

# a folder that is not there, one scene, hardly any time
shutil.rmtree(folder / "temp", ignore_errors=True)
told["few"] = fit("few", pairs[:1], 1e-6)[1]
told["few is said"] = said[-1]

# stopped at the last pair, at the first step, in the middle; what is learned goes on
stop_at("stopped", len(pairs) - 1)
stop_at("stopped", 0)
stop_at("stopped", 7)
known = fitting._kept["network"][1].step
network, whole = fit("stopped")
told["stopped"] = [known, whole["steps"], whole["encoded_pairs"]]
# not saved, so again: at once, and the same
again, _ = fit("stopped")
told["again"] = all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
told["a copy"] = network is not fitting._kept["network"][1].network

# stopped in the middle, then another one among its pairs, then the first again
fitting.forget()
stop_at("stopped", 5)
stop_at("between", 3)
held = fitting._kept.get("network")
told["after another"] = [held, fit("stopped")[1]["steps"]]

# more minutes than before
fitting.forget()
told["short"] = fit("stopped", minutes=1e-6)[1]["steps"]
told["longer"] = fit("stopped", minutes=60.0)[1]["steps"]

# a loss that is no number, once
fitting.forget()
advance = fitting.NetworkFit.advance


def diverge(self):
    if self.step == 3:
        for tensor in self._fit.parameters:
            tensor.data.fill_(torch.nan)
    return advance(self)


fitting.NetworkFit.advance = diverge
told["diverged"] = refusal("stopped")
fitting.NetworkFit.advance = advance
told["after it"] = fit("stopped")[1]["steps"]

# memory ends while the scenes held out are looked at
fitting.forget()
look, halves = fitting.NetworkFit.held_out_loss, []


def short_of_memory(self, network):
    if self.at_once > 8:
        halves.append(self.at_once)
        raise memory.OOM_EXCEPTION("none left")
    return look(self, network)


fitting.NetworkFit.held_out_loss = short_of_memory
told["memory"] = [fit("stopped")[1]["steps"], halves]
fitting.NetworkFit.held_out_loss = look


# a full disk
class Full:
    def __getattr__(self, name):
        return lambda *of: None

    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


fitting._temporary_file, made = Full, fitting._temporary_file
told["full"] = refusal("full")
fitting._temporary_file = made
print(json.dumps(told))
