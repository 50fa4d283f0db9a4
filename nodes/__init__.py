"""The nodes, one file each: a schema and one call of the library."""

from comfy_api.latest import ComfyExtension, io

from .emotion_baseline import EmotionBaseline
from .emotion_grid import EmotionGrid
from .emotion_grid_image import EmotionGridImage
from .emotion_injection import EmotionInjection
from .emotion_map import EmotionMap
from .emotion_path import EmotionPath
from .emotion_preset import EmotionPreset
from .emotion_range import EmotionRange
from .emotional_clip import EmotionalCLIP
from .emotional_conditioning import EmotionalConditioning
from .fit_emotion_network import FitEmotionNetwork
from .load_emotion_network import LoadEmotionNetwork
from .load_miniature import LoadMiniature
from .read_emotion import ReadEmotion
from .regional_emotion import RegionalEmotion
from .rewrite_prompt import RewritePrompt
from .va_encoder import VAEncoder
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
            FitEmotionNetwork,
            EmotionalCLIP,
            EmotionRange,
        ]
