"""Load Emotion Network."""

from comfy_api.latest import io

from . import networks
from .inputs import CATEGORY, EmotionNetworkType, searched_as
from .node import Node

networks.register_folder()


class LoadEmotionNetwork(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterLoader",
            display_name="Load Emotion Network",
            category=CATEGORY,
            **searched_as("loader", "weights"),
            description="Loads an emotion network from models/emoticrafter. One network serves a whole graph.",
            inputs=[
                io.Combo.Input(
                    "network_name",
                    options=networks.network_names(),
                    tooltip="A .safetensors or published .pth file in models/emoticrafter, or in a folder that "
                    "extra_model_paths.yaml names.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[networks.AUTO, *networks.DTYPES],
                    default=networks.AUTO,
                    tooltip="The precision to compute in. auto: float16 on most GPUs, float32 on a CPU.",
                ),
            ],
            outputs=[
                EmotionNetworkType.Output("network", display_name="EMOTION_NETWORK", tooltip="The emotion network.")
            ],
        )

    @classmethod
    def validate_inputs(cls, network_name: str | None = None) -> bool | str:
        return networks.name_problem(network_name)

    @classmethod
    def fingerprint_inputs(cls, network_name: str, dtype: str) -> str:
        return networks.chosen_version(network_name)

    @classmethod
    def execute(cls, network_name: str, dtype: str) -> io.NodeOutput:
        return io.NodeOutput(networks.share_network(networks.find_network(network_name), dtype))
