"""Prompts of the held-out scenes, which neither the generator nor the emotion networks learn from."""

from collections.abc import Callable, Sequence
from pathlib import Path

from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.scene import Scene, all_scenes

PICTURES = "pictures"
"""The name in a run of the network that went on learning from pictures."""

Caption = Callable[[Scene, float, float, int], str]


def held_out_prompts(limit: int | None = None) -> list[str]:
    """A neutral caption of each of the 42 scenes, or of the first ones."""
    return [neutral_caption(scene, number) for number, scene in enumerate(all_scenes("held-out"))][:limit]


def emotional_captions(points: Sequence[tuple[float, float]], caption: Caption = emotional_caption) -> list[dict]:
    """The painter's own emotional captions of all scenes at these points, as rows of `trainer.baselines rewrite`.

    They say exactly what the generator was taught: an upper bound of what rewriting could do here.

    Args:
        points: Valence and arousal.
        caption: Words them: `emotional_caption`, or `scene_caption`.
    """
    return [
        {
            "prompt": neutral_caption(scene, number),
            "valence": valence,
            "arousal": arousal,
            "rewritten": caption(scene, valence, arousal, number),
        }
        for number, scene in enumerate(all_scenes("held-out"))
        for valence, arousal in points
    ]


def fitted_path(run: Path, name: str) -> Path:
    """The file of a network or field of a run."""
    return run / "emotion" / name / "network.safetensors"


def instant_path(run: Path, pairs: int) -> Path:
    """The file of the field that is fitted to so many pairs, without training."""
    return fitted_path(run, f"instant-{pairs}")


def default_network(run: Path) -> Path:
    """The network that a run's emotion stage fits first."""
    return fitted_path(run, "default-0")


def best_network(run: Path) -> Path:
    """The network that is shipped and shown: the one that learned from pictures, or else the run's first."""
    path = fitted_path(run, PICTURES)
    return path if path.is_file() else default_network(run)
