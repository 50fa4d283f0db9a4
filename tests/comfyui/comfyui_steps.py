"""Asks ComfyUI's own sampling code which entries of a conditioning apply at which step, and prints it as JSON.

Started by test_emotional_settings.py with ComfyUI's Python, in ComfyUI's folder: comfyui_steps.py REQUEST.json
REQUEST holds "conditionings", each a list of entries' dicts, and "steps", a list of numbers of steps. The answer
holds, for every scheduler and number of steps, the entries that apply at each step of each conditioning.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path.cwd()))
request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
sys.argv[1:] = ["--cpu"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_sampling  # noqa: E402
import comfy.samplers  # noqa: E402
import torch  # noqa: E402


class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
    """SDXL's."""


def applying(conditioning: list[dict], sigma: torch.Tensor) -> list[int]:
    found = [comfy.samplers.get_area_and_mult(entry, latent, sigma.reshape(1)) for entry in conditioning]
    return [index for index, entry in enumerate(found) if entry is not None]


sampling, latent = Sampling(), torch.zeros(1, 4, 2, 2)
conditionings = [
    [{**entry, "model_conds": {}, "uuid": index} for index, entry in enumerate(entries)]
    for entries in request["conditionings"]
]
for conditioning in conditionings:
    comfy.samplers.calculate_start_end_timesteps(SimpleNamespace(model_sampling=sampling), conditioning)
answer = []
for scheduler in comfy.samplers.SCHEDULER_NAMES:
    for steps in request["steps"]:
        sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, steps)[:-1]  # the last one is the end
        answer.append([[applying(conditioning, sigma) for sigma in sigmas] for conditioning in conditionings])
print(json.dumps(answer))
