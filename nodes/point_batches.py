"""The optional inputs and the outputs of Emotion Grid and Emotion Path: many points at once."""

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..emoticrafter.latents import latent_per_point
from ..emoticrafter.va import Point
from .inputs import EmotionNetworkType, EmotionType
from .networks import ManagedNetwork, encode
from .points import Points, PointsType


def batch_inputs() -> list[io.Input]:
    return [
        EmotionNetworkType.Input(
            "network", optional=True, tooltip="From Load Emotion Network. Only the emotion output needs it."
        ),
        io.Latent.Input(
            "latent",
            optional=True,
            tooltip="One latent, repeated for every point with the same noise. Only the latents output needs it.",
        ),
    ]


def batch_outputs() -> list[io.Output]:
    return [
        EmotionType.Output(
            display_name="emotion",
            tooltip="All points as one batch, for Emotion Injection: with a batch of latents, one emotion per "
            "image. If the batch sizes differ, ComfyUI drops or repeats emotions without a message: connect "
            "latents, too.",
        ),
        io.Float.Output(
            display_name="valences",
            is_output_list=True,
            tooltip="A list: what is connected runs once per point, with the same seed.",
        ),
        io.Float.Output(display_name="arousals", is_output_list=True, tooltip="A list that goes with valences."),
        PointsType.Output(display_name="points", tooltip="The points, for nodes that show them."),
        io.Int.Output(display_name="count", tooltip="How many points: for batch_size of Empty Latent Image."),
        io.Latent.Output(
            display_name="latents",
            tooltip="The latent once per point, for a sampler: the same noise for all, so only the emotion differs.",
        ),
    ]


def batch_output(
    name: str, points: list[Point], columns: int, network: ManagedNetwork | None, latent: dict | None
) -> io.NodeOutput:
    valences, arousals = zip(*points, strict=True)
    if network is None:
        emotion = _missing(name, "network", "Load Emotion Network", "emotion")
    else:
        emotion = encode(network, torch.tensor(valences), torch.tensor(arousals))
    if latent is None:
        latents = _missing(name, "latent", "Empty Latent Image", "latents")
    else:
        latents = latent_per_point(latent, len(points))
    shown = Points(valences, arousals, columns)
    return io.NodeOutput(emotion, list(valences), list(arousals), shown, len(points), latents)


def _missing(name: str, input_id: str, source: str, output: str) -> ExecutionBlocker:
    """Stops whatever depends on one output, and nothing else."""
    return ExecutionBlocker(
        f"{name} gives no {output}, because nothing is connected to its {input_id} input. Connect {source} there."
    )
