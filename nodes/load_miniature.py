"""Load Miniature."""

from comfy_api.latest import io

from .inputs import CATEGORY, EmotionNetworkType, searched_as
from .miniature_model import FILES, SDXL, files_version, load_miniature
from .node import Node


class LoadMiniature(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterMiniature",
            display_name="Load Miniature",
            category=f"{CATEGORY}/miniature",
            **searched_as("demo", "tiny model", "try"),
            description="A tiny text-to-image model built like SDXL or Lumina 2, with its own emotion network, to try "
            "the nodes without a download. It draws 128 x 128 pictures of a small painted world, and nothing else.",
            inputs=[
                io.Combo.Input(
                    "plan",
                    options=list(FILES),
                    default=SDXL,
                    optional=True,
                    tooltip="The model that it is built like. SDXL: a UNet and two CLIP text encoders. Lumina 2: a "
                    "flow-matching transformer and a causal language model, whose prompts are not padded.",
                )
            ],
            outputs=[
                io.Model.Output("model", display_name="MODEL", tooltip="The miniature's model, for a KSampler."),
                io.Clip.Output("clip", display_name="CLIP", tooltip="Its text encoders, for CLIP Text Encode."),
                io.Vae.Output("vae", display_name="VAE", tooltip="Its autoencoder, for VAE Decode and VAE Encode."),
                EmotionNetworkType.Output(
                    "network",
                    display_name="EMOTION_NETWORK",
                    tooltip="Its emotion network, which knows only this CLIP's text.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, plan: str | None = SDXL) -> str:
        return files_version(plan=plan or SDXL)  # None while a linked plan is not known

    @classmethod
    def execute(cls, plan: str = SDXL) -> io.NodeOutput:
        return io.NodeOutput(*load_miniature(plan=plan))
