"""Prompts of the held-out scenes, which neither the generator nor the emotion networks learn from."""

from collections.abc import Sequence
from pathlib import Path

from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.scene import all_scenes


def held_out_prompts(limit: int | None = None) -> list[str]:
    """A neutral caption of each of the 42 scenes, or of the first ones."""
    return [neutral_caption(scene, number) for number, scene in enumerate(all_scenes("held-out"))][:limit]


def emotional_captions(points: Sequence[tuple[float, float]]) -> list[dict]:
    """The painter's own emotional captions of all scenes at these points, as rows of `trainer.baselines rewrite`.

    They say exactly what the generator was taught: an upper bound of what rewriting could do here.
    """
    return [
        {
            "prompt": neutral_caption(scene, number),
            "valence": valence,
            "arousal": arousal,
            "rewritten": emotional_caption(scene, valence, arousal, number),
        }
        for number, scene in enumerate(all_scenes("held-out"))
        for valence, arousal in points
    ]


def instant_path(run: Path, pairs: int) -> Path:
    """The file of the field that is fitted to so many pairs, without training."""
    return run / "emotion" / f"instant-{pairs}" / "network.safetensors"


def default_network(run: Path) -> Path:
    """The network that a run's emotion stage fits first."""
    return run / "emotion" / "default-0" / "network.safetensors"
