"""Load Miniature."""

from comfy_api.latest import io

from .inputs import CATEGORY, EmotionNetworkType, searched_as
from .miniature_model import files_version, load_miniature
from .node import Node


class LoadMiniature(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterMiniature",
            display_name="Load Miniature",
            category=f"{CATEGORY}/miniature",
            **searched_as("demo", "tiny model", "try"),
            description="A tiny text-to-image model built like SDXL, with its own emotion network, to try the "
            "nodes without a download. It is not SDXL: it draws 128 x 128 pictures of a small painted world.",
            inputs=[],
            outputs=[
                io.Model.Output("model", display_name="MODEL", tooltip="The miniature's UNet, for a KSampler."),
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
    def fingerprint_inputs(cls) -> str:
        return files_version()

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*load_miniature())
