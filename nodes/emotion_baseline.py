"""Emotion Baseline."""

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..emoticrafter.research.baselines import TextualInversion, load_baseline
from . import networks
from .baseline_patches import encode_plain, encode_with_words, patched
from .inputs import CATEGORY, arousal_input, searched_as, strength_input, valence_input
from .node import Node

FOLDER = "emoticrafter_baselines"
NO_CLIP = "nothing is connected to its clip input. Connect the CLIP that goes with the model."

networks.register_folder(FOLDER)


class EmotionBaseline(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterBaseline",
            display_name="Emotion Baseline",
            category=f"{CATEGORY}/research",
            **searched_as("baseline"),
            description="Gives a picture an emotion by one of the methods that the paper compares with: cross "
            "attention, time embedding or textual inversion. One graph serves all three; the file decides which.",
            inputs=[
                io.Model.Input("model", tooltip="The model that the baseline was fitted to."),
                io.Combo.Input(
                    "baseline_name",
                    options=networks.network_names(FOLDER),
                    tooltip="A file in models/emoticrafter_baselines, written by python -m trainer.baselines train.",
                ),
                valence_input(),
                arousal_input(),
                strength_input(),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    tooltip="The positive prompt, without emotion. Textual inversion adds its learned words to it.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Encodes the text. Textual inversion needs it; the others need it only if the positive "
                    "output is used.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with the emotion, for a KSampler; with textual inversion, the unchanged model.",
                ),
                io.Conditioning.Output(
                    display_name="positive",
                    tooltip="The text, for the KSampler's positive input; with textual inversion, it carries the "
                    "emotion.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, baseline_name: str | None = None) -> bool | str:
        return networks.name_problem(baseline_name, FOLDER, "baseline")

    @classmethod
    def fingerprint_inputs(cls, baseline_name: str | None, **_others) -> str:
        return networks.chosen_version(baseline_name, FOLDER)

    @classmethod
    def execute(
        cls, model, baseline_name: str, valence: float, arousal: float, strength: float, text: str, clip=None
    ) -> io.NodeOutput:
        baseline = load_baseline(networks.find_network(baseline_name, FOLDER, "baseline"))
        if isinstance(baseline, TextualInversion):
            if clip is None:
                raise ValueError(f"{baseline_name} is a textual inversion, which adds words to the text, and {NO_CLIP}")
            return io.NodeOutput(model, encode_with_words(clip, baseline, text, valence, arousal, strength))
        positive = encode_plain(clip, text) if clip else ExecutionBlocker(f"Emotion Baseline has no text, as {NO_CLIP}")
        return io.NodeOutput(patched(model, baseline, valence, arousal, strength), positive)
