"""Valence-Arousal."""

from comfy_api.latest import io

from .inputs import CATEGORY, arousal_input, searched_as, valence_input


class ValenceArousal(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterValenceArousal",
            display_name="Valence-Arousal",
            category=CATEGORY,
            **searched_as("pad", "slider", "2D"),
            description="One point of the valence-arousal plane, to share between any number of nodes.",
            inputs=[valence_input(), arousal_input()],
            outputs=[
                io.Float.Output(
                    display_name="valence", tooltip="Pleasantness, -3 to 3: for a valence input."
                ),
                io.Float.Output(display_name="arousal", tooltip="Intensity, -3 to 3: for an arousal input."),
            ],
        )

    @classmethod
    def execute(cls, valence: float, arousal: float) -> io.NodeOutput:
        return io.NodeOutput(valence, arousal)
