"""The node pack: each node is a schema and one call of the library."""

from comfy_api.latest import ComfyExtension, io

from .emotion import EmotionalConditioning, EmotionInjection, VAEncoder
from .grid_and_path import EmotionGrid, EmotionPath
from .loader import LoadEmotionNetwork
from .miniature import LoadMiniature
from .preset import EmotionPreset
from .regional import RegionalEmotion
from .rewrite import RewritePrompt
from .valence_arousal import ValenceArousal


class EmotiCrafterExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadEmotionNetwork,
            VAEncoder,
            EmotionInjection,
            EmotionalConditioning,
            ValenceArousal,
            EmotionPreset,
            EmotionGrid,
            EmotionPath,
            RegionalEmotion,
            RewritePrompt,
            LoadMiniature,
        ]
