"""The second stage: a fitted emotion network goes on learning, through a frozen model that paints.

    python -m trainer.pictures --network runs/miniature/emotion/default-0/network.safetensors \\
        --miniature runs/miniature --teacher words --out runs/words-0

The features of neutral prompts go through the network with V and A, then through the model, which says how a noisy
picture moves. It is to move as the teacher says: with `words` as the model itself has it under the prompt with the mood
in it, so that no picture needs a label; with `labels` towards a picture that is known to have this V and A. With
`reader`, whole pictures are drawn, in which a reader is to see this V and A (trainer/pictures/seen.py). Only the
network learns.

The loop is that of all small fits (trainer/runs/run.py). The run's folder holds recipe.json and source.json (what it
was begun with), metrics.jsonl, the checkpoint last.safetensors, and in the end network.safetensors.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from emoticrafter import load_network, save_network
from emoticrafter.encoders import make_room
from emoticrafter.field import EmotionField
from emoticrafter.files import file_sha256
from emoticrafter.fingerprint import check_encoder
from emoticrafter.fit.network import learnable, scale_residual
from emoticrafter.network import EmotionNetwork
from emoticrafter.weights import read_metadata
from trainer.core.checkpoint import checkpoint_path
from trainer.core.command_line import TrainingError, say
from trainer.core.device import Machine
from trainer.core.processes import Processes
from trainer.miniature.recipe import keep
from trainer.pictures.lessons import Batch, Lessons, draw
from trainer.pictures.models import Model, Noise, Text, spread
from trainer.pictures.rated import SHOWN, Pictures, keep_source
from trainer.pictures.seen import Watcher, drawn, widened
from trainer.pictures.settings import Settings
from trainer.runs.run import fit, small_schedule
from trainer.runs.stops import is_out_of_memory, more_parts

Network = EmotionNetwork | EmotionField
NEARNESS = 0.6
"""With a reader: what a squared change of the features counts beside a squared error of valence and arousal."""


@dataclass
class Beginning:
    """A network that is to go on learning.

    Attributes:
        network: Or a field; see `begin`.
        sha256: Of its file.
        training: What the file says of its training: the first stage's, and under "stages" what came after it.
    """

    network: Network
    sha256: str
    training: dict


@dataclass
class Stage:
    """What goes into a fit.

    Attributes:
        model: What is learned through.
        beginning: What learns.
        pictures: For the model.
        lessons: Which of them are learned, with what prompts.
        watcher: With a reader as the teacher: it, and what it is to see.
    """

    model: Model
    beginning: Beginning
    pictures: Pictures
    lessons: Lessons
    watcher: Watcher | None = None


# --- the start -------------------------------------------------------------------------------------------------------


def begin(path: Path, model: Model) -> Beginning:
    """Reads a network or field, ready to learn: without dropout, and with the field in a network as it is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be used, or was fitted to the text of another model.
    """
    fitted = load_network(path, model.device, torch.float32)
    _check_fit(fitted, path, model)
    training = read_metadata(path)["training"] if path.suffix == ".safetensors" else {}
    return Beginning(learnable(fitted).to(model.device), file_sha256(path), training)


def _check_fit(network: Network, path: Path, model: Model) -> None:
    mine, its = (_reads(one) for one in (network, model))
    if mine != its:
        raise ValueError(
            f"{path} reads text {mine}, and the text of {model.name} is {its}: expected a network that was fitted to "
            "this model."
        )
    if network.encoder is None:
        return
    text, name = model.read(["a house by the sea", "two people at a table"]), f"What {model.name} reads"
    beside = {} if text.pooled is None else {"pooled_output": text.pooled}
    if doubt := check_encoder(text.features, text.mask, beside, network.encoder, network.window, name):
        say(f"note: {doubt}")


def _reads(one: Network | Model) -> str:
    return f"{one.feature_width} wide, {f'in windows of {one.window}' if one.window else 'in one piece'}"


# --- the loss --------------------------------------------------------------------------------------------------------


def make_loss(settings: Settings, stage: Stage) -> Callable[[nn.Module, Batch], Tensor]:
    """The share of a step's loss, for `fit`: the network is all that has a gradient."""
    if stage.watcher:
        return _watched(settings, stage.model, stage.watcher, stage.beginning.network)
    model = stage.model

    def loss(network: nn.Module, part: Batch) -> Tensor:
        device = model.device
        latents, noise = part.latents.to(device).float(), part.noise.to(device)
        at = model.noise(part.share.to(device))
        # alpha x + sigma noise: [B, 4, H, W]
        noisy = spread(at.alpha) * latents + spread(at.sigma) * noise
        plain = model.read(part.neutral)
        with model.attention():
            moved = model.velocity(noisy, at, steered(network, plain, part.valence.to(device), part.arousal.to(device)))
            if settings.teacher == "words":
                wanted = under_words(model, noisy, at, plain, part)
                error = (moved - wanted).square().mean((1, 2, 3))
            else:
                moved = guided(model, noisy, at, moved, settings.guidance)
                error = (moved - model.wanted(latents, noise, at)).square().mean((1, 2, 3))
                error = error * weights(at, settings.snr_limit)
        return error.sum() / settings.batch

    return loss


def _watched(
    settings: Settings, model: Model, watcher: Watcher, beginning: Network
) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss by what a reader sees, and by how far the features leave those that the fit begins with."""
    first = copy.deepcopy(beginning).requires_grad_(False)

    def loss(network: nn.Module, part: Batch) -> Tensor:
        at = tuple(widened(of.to(model.device)) for of in (part.valence, part.arousal))
        plain = model.read(part.neutral)
        text = steered(network, plain, *at)
        moved = mean_square(text.features - steered(first, plain, *at).features, text.mask)
        with model.attention():
            latents = drawn(model, text, part.noise.to(model.device), watcher.guidance)
        wrong = (watcher.seen(latents) - watcher.wanted(*at)).square().mean(1)
        return (wrong + NEARNESS * moved).sum() / settings.batch

    return loss


def mean_square(features: Tensor, mask: Tensor | None) -> Tensor:
    """Over the tokens that count, which padding to the longest of a part does not change: [B, T, D] to [B]."""
    squares = features.square().mean(2)
    return squares.mean(1) if mask is None else (squares * mask).sum(1) / mask.sum(1)


def steered(network: nn.Module, text: Text, valence: Tensor, arousal: Tensor) -> Text:
    """The text with the emotion: valence and arousal are [B]."""
    tail = network.encoder.tail if network.encoder else 0
    features, mask = make_room(text.features, text.mask, network.added_tokens, tail)
    return text._replace(features=network(features, valence, arousal, mask), mask=mask)


@torch.no_grad()
def under_words(model: Model, noisy: Tensor, at: Noise, plain: Text, part: Batch) -> Tensor:
    """The velocity that the model has under the emotional prompts, [B, 4, H, W]."""
    said = model.read(part.emotional)
    if said.pooled is not None:
        # A mood alone has no content, of which the pooled vector tells.
        bare = torch.tensor([not prompt for prompt in part.neutral], device=model.device)
        said = said._replace(pooled=torch.where(bare[:, None], plain.pooled, said.pooled))
    return model.velocity(noisy, at, said)


@torch.no_grad()
def _of_nothing(model: Model, noisy: Tensor, at: Noise) -> Tensor:
    return model.velocity(noisy, at, model.read([""] * len(noisy)))


def guided(model: Model, noisy: Tensor, at: Noise, moved: Tensor, guidance: float) -> Tensor:
    """The velocity as a guided sampler would have it, [B, 4, H, W].

    Guidance enlarges what tells the prompt from none, u + w (v - u), and with it the emotion. What learns without it
    overshoots under it.
    """
    if guidance == 1:
        return moved
    nothing = _of_nothing(model, noisy, at)
    return nothing + guidance * (moved - nothing)


def weights(at: Noise, limit: float) -> Tensor:
    """What the velocity's error weighs at each noise level, [B]: as the picture's would by its signal-to-noise ratio.

    The ratio counts up to `limit` (Hang et al. 2023, arXiv 2303.09556), as in `denoising_loss`; 0: all weigh 1.
    """
    if not limit:
        return torch.ones_like(at.sigma)
    # the picture's error is sigma times the velocity's
    return (at.alpha / at.sigma).square().clamp(max=limit) * at.sigma.square()


# --- the run ---------------------------------------------------------------------------------------------------------


def train(
    settings: Settings,
    stage: Stage,
    out: Path,
    machine: Machine,
    accumulate: int = 1,
    processes: Processes | None = None,
) -> Path:
    """Fits a network, going on from where the folder stands; a finished one is not touched.

    Args:
        settings: Of the fit.
        stage: What is fitted to what.
        out: The run's folder.
        machine: To compute on.
        accumulate: Parts that a process computes its share of a batch in, to save memory.
        processes: That fit together and have met. Their number and that of the parts change nothing but rounding.

    Returns:
        The file.

    Raises:
        ValueError: The folder was begun with other settings, another network, model or reader, or other pictures.
        TrainingError: Memory ends, a loss is not finite, the checkpoint is damaged, or the disk is full.
    """
    processes, path = processes or Processes(), out / "network.safetensors"
    settings = replace(settings, begun=stage.beginning.sha256[:SHOWN], told=stage.lessons.told)
    with processes.first_before():
        _begin_folder(settings, stage, out)
    if path.is_file():
        say(f"{path} is finished.")
        return path
    say(_overview(settings, stage, machine, processes))

    def parts(step: int) -> list[Batch]:
        """This process's share of a step."""
        batch = draw(settings, stage.pictures, stage.lessons, step)
        return batch.parts(processes.count)[processes.rank].parts(accumulate)

    loss = make_loss(settings, stage)
    schedule = small_schedule(settings.steps, settings.lr, settings.ema, seed=settings.seed)
    try:
        trained = fit(stage.beginning.network, loss, schedule, machine, out, settings.batch, parts, processes)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(settings, accumulate, machine, out, processes.count) from error
    if processes.first:
        if settings.residual_scale != 1:
            scale_residual(trained, settings.residual_scale)
        save_network(trained, path, told(settings, stage))
        say(str(path))
    return path


def _begin_folder(settings: Settings, stage: Stage, out: Path) -> None:
    """Notes in a run's folder what it is begun with, or checks that it is the same; refuses what cannot be learned."""
    if settings.residual_scale != 1:
        scale_residual(copy.deepcopy(stage.beginning.network), 1.0)  # refused before the fit, not after it
    keep(settings, out)
    reader = {"reader": stage.watcher.fingerprint[:SHOWN]} if stage.watcher else {}
    keep_source(stage.pictures.source | reader, out)


def _overview(settings: Settings, stage: Stage, machine: Machine, processes: Processes) -> str:
    count = sum(weight.numel() for weight in stage.beginning.network.parameters() if weight.requires_grad)
    return (
        f"{settings.teacher}: {count:,} parameters learn through {stage.model.name}; {stage.pictures.name} pictures; "
        f"on {machine.device} in {'bfloat16' if machine.bfloat16 else 'float32'}"
        + (f", {processes.count} processes" if processes.count > 1 else "")
    )


def told(settings: Settings, stage: Stage) -> dict:
    """How a network was trained, for its file: what its beginning says, and this stage."""
    first = stage.beginning.training
    this = {
        "settings": settings.as_json(),
        "model": {"name": stage.model.name, "sha256": stage.model.fingerprint},
        "pictures": stage.pictures.name,
    }
    if stage.watcher:
        this["reader"] = stage.watcher.fingerprint
    return {**first, "stages": [*first.get("stages", []), this]}


def out_of_memory(
    settings: Settings, accumulate: int, machine: Machine, out: Path, processes: int = 1
) -> TrainingError:
    """The error for a step that does not fit the memory."""
    share = settings.batch // processes
    more = more_parts(share, accumulate)
    kind = "GPU" if machine.device.type == "cuda" else "main"
    advice = "Add --gradient-checkpointing, or use a smaller --resolution in a new --out"
    if more:
        advice = f"Add --accumulate {more}, which gives the same result, or --gradient-checkpointing"
    kept = f" The checkpoint in {out} is kept: the same command goes on there." if checkpoint_path(out).exists() else ""
    return TrainingError(f"The {kind} memory cannot hold {share // accumulate} pictures at a time. {advice}.{kept}")
