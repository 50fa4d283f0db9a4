"""Emotion Range."""

from collections.abc import Sequence

from comfy.samplers import KSampler
from comfy_api.latest import io, ui
from torch import Tensor

from ..emoticrafter.quoting import quoted
from ..emoticrafter.range import (
    DIRECTIONS,
    KEEP,
    MOST,
    Look,
    Ray,
    Sketch,
    ends,
    range_text,
    read_sketch,
    search_range,
    sketch,
)
from ..emoticrafter.va import Point, check_number
from . import inputs
from .networks import ManagedNetwork
from .node import Node
from .pictures_at_points import Drawing
from .points import Points, PointsType
from .progress import Shown
from .readers import emotion_reader, reader_names, reader_problem, reader_versions, subject_reader

LARGEST_SEED = 2**64 - 1
NO_READER = "none"
SAMPLERS, SCHEDULERS = KSampler.SAMPLERS, KSampler.SCHEDULERS


class EmotionRange(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterRange",
            display_name="Emotion Range",
            category=inputs.CATEGORY,
            **inputs.searched_as("limits", "safe", "measure", "rays"),
            description="Measures how far the point can go for this prompt: draws a few small pictures in eight "
            "directions, and finds where they stop changing or lose what the plain picture shows. 25 pictures by "
            "default, and none again until an input changes.",
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that draws, from a checkpoint."),
                io.Vae.Input("vae", tooltip="Its VAE."),
                io.Conditioning.Input("positive", tooltip="The prompt, from CLIP Text Encode, without emotion."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                inputs.network_input(),
                io.Latent.Input(
                    "latent_image",
                    tooltip="One empty latent. The smallest size at which the model draws well is enough, such as 512 "
                    "x 512 for SDXL.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=LARGEST_SEED,
                    control_after_generate=False,
                    tooltip="Of the noise that all pictures begin with.",
                ),
                io.Int.Input("steps", default=12, min=1, max=1000, tooltip="Of the sampler; few are enough."),
                io.Float.Input("cfg", default=7.0, min=0.0, max=100.0, step=0.1, round=0.01, tooltip="As in KSampler."),
                io.Combo.Input("sampler_name", options=SAMPLERS, tooltip="As in KSampler."),
                io.Combo.Input("scheduler", options=SCHEDULERS, tooltip="As in KSampler."),
                inputs.strength_input(),
                io.Int.Input(
                    "pictures",
                    default=3,
                    min=1,
                    max=MOST,
                    tooltip="In each of the eight directions: 3 are 25 pictures with the plain one, 6 are 49 and leave "
                    "nothing to guess.",
                ),
                inputs.slider(
                    "keep",
                    KEEP,
                    (0.0, 1.0),
                    "How much of the plain picture's shapes must stay: 0 as little as in an unrelated picture, 1 all "
                    "of them. Where less is left, the range ends.",
                ),
                io.Combo.Input(
                    "reader",
                    options=[NO_READER, *reader_names()],
                    default=NO_READER,
                    optional=True,
                    tooltip="What tells where the emotion stops moving: colours, or a reader of valence and arousal. "
                    "The miniature's also tells where the subject is lost, in place of shapes.",
                ),
                inputs.clip_vision_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image", tooltip="All pictures by direction, those beyond the range faded."
                ),
                PointsType.Output(display_name="points", tooltip="The eight ends of the range, for Emotion Map."),
                io.Float.Output(display_name="valence_min", tooltip="Its end towards misery, for Emotion Grid."),
                io.Float.Output(display_name="valence_max", tooltip="Its end towards joy."),
                io.Float.Output(display_name="arousal_min", tooltip="Its end towards sleep."),
                io.Float.Output(display_name="arousal_max", tooltip="Its end towards alarm."),
                io.String.Output(
                    display_name="text", tooltip="The range as text: a line for each direction, and why it ends there."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, reader: str | None = NO_READER) -> bool | str:
        return reader_problem(_chosen(reader))

    @classmethod
    def fingerprint_inputs(cls, reader: str | None = NO_READER, **others) -> str:
        return reader_versions(_chosen(reader))

    @classmethod
    def execute(
        cls,
        model,
        vae,
        positive: list,
        negative: list,
        network: ManagedNetwork,
        latent_image: dict,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        strength: float,
        pictures: int,
        keep: float,
        reader: str = NO_READER,
        clip_vision=None,
    ) -> io.NodeOutput:
        _check(pictures, sampler_name, scheduler, latent_image)
        look = sketch if reader == NO_READER else look_by(reader, clip_vision)
        shown = Shown(cls.hidden.unique_id, "pictures", 0, 1 + len(DIRECTIONS) * pictures)
        settings = (seed, steps, cfg, sampler_name, scheduler)
        drawing = Drawing(model, vae, positive, negative, network, strength, latent_image, *settings, shown)
        rays, image = measured(drawing, pictures, keep, look)
        shown.say(f"{drawing.done} pictures")
        text, places = range_text(rays), ends(rays)
        valence, arousal = zip(*places, strict=True)
        told = {"text": [text], "range": [list(place) for place in places], **ui.PreviewImage(image).as_dict()}
        bounds = (min(valence), max(valence), min(arousal), max(arousal))
        return io.NodeOutput(image, Points(valence, arousal), *bounds, text, ui=told)


def _chosen(reader: str | None) -> list[str | None]:
    return [] if reader == NO_READER else [reader]


def look_by(reader: str, clip_vision) -> Look:
    """What a reader sees of pictures (arguments and errors as `emotion_reader`)."""
    emotion, subjects = emotion_reader(reader, clip_vision), subject_reader(reader)

    def look(images: Tensor) -> Sketch:
        return read_sketch(images, emotion(images), subjects(images) if subjects else None)

    return look


def _check(pictures: int, sampler_name: str, scheduler: str, latent: dict) -> None:
    """Raises ValueError for what a link may bring, and for lists that only the browser checks."""
    check_number("pictures", pictures, 1, MOST)
    for name, value, known in (("sampler_name", sampler_name, SAMPLERS), ("scheduler", scheduler, SCHEDULERS)):
        if value not in known:
            raise ValueError(f"{name} is {quoted(value)}: expected one of {', '.join(known)}.")
    if (count := len(latent["samples"])) != 1:
        raise ValueError(f"latent_image holds {count} images: expected 1. Set batch_size to 1.")


def measured(drawing: Drawing, pictures: int, keep: float, look: Look) -> tuple[list[Ray], Tensor]:
    """The rays, and all their pictures as one image (numbers and errors as `search_range`)."""
    from ..emoticrafter.figures import drawing as figures  # loads parts of Pillow that ComfyUI has not
    from ..emoticrafter.figures.rays import draw_rays, small

    drawn = {}

    def draw(points: Sequence[Point]) -> Tensor:
        images = drawing.draw(points)
        drawn.update(zip(points, map(small, figures.to_pictures(images)), strict=True))
        return images

    rays = search_range(draw, pictures, keep, look)
    return rays, figures.to_images(draw_rays(rays, drawn))
