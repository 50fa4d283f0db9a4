"""The node pack: each node is a schema and one call of the library."""

from comfy_api.latest import ComfyExtension, io

from .baseline import EmotionBaseline
from .emotion import EmotionalConditioning, EmotionInjection, VAEncoder
from .emotion_map import EmotionMap
from .grid_and_path import EmotionGrid, EmotionPath
from .grid_image import EmotionGridImage
from .loader import LoadEmotionNetwork
from .miniature import LoadMiniature
from .preset import EmotionPreset
from .read_emotion import ReadEmotion
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
            EmotionGridImage,
            ReadEmotion,
            EmotionMap,
            RegionalEmotion,
            RewritePrompt,
            LoadMiniature,
            EmotionBaseline,
        ]
