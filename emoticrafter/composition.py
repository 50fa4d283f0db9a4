"""How much of the plain picture's composition is kept, as the place where the emotion begins.

The first denoising steps lay a picture out. An emotion that begins later leaves more of them to the plain prompt, and
has fewer to be seen in. `python -m trainer.miniature composition` measures both, as the agreement of edges with the
plain picture and as what a reader sees; docs/miniature.md has the curves that the starts here are read from.
"""

from itertools import pairwise

from .encoders import CLIP_WINDOW, EncoderFacts

STARTS = {
    "SDXL": ((0.0, 0.0), (0.25, 0.35), (0.5, 0.5), (0.75, 0.75), (1.0, 1.0)),
    "Lumina 2": ((0.0, 0.0), (0.25, 0.1), (0.5, 0.25), (0.75, 0.45), (1.0, 1.0)),
}
"""By measured family: compositions, rising, and the start that keeps each, to a twentieth. A composition is a share of
the way that edges have from those of an emotion from the first step to those of the plain picture."""


def steps_that_keep(
    composition: float, steps: tuple[float, float], encoder: EncoderFacts | None
) -> tuple[float, float]:
    """Start and end of an emotion that keeps so much of the composition.

    Args:
        composition: 0 (as without it) to 1 (the plain picture).
        steps: Start and end that are asked for besides, as `inject_emotion` takes them; the later start counts.
        encoder: What the emotion's network was fitted to, None where its file does not say.

    Raises:
        ValueError: composition is not from 0 to 1, or the emotion would begin after its end.
    """
    if not 0 <= composition <= 1:
        raise ValueError(f"composition is {composition:g}: expected 0 (not kept) to 1 (the plain picture).")
    start, end = steps
    kept = start_that_keeps(composition, measured_family(encoder))
    if start <= end < kept:
        raise ValueError(
            f"composition {composition:g} begins the emotion at {kept:.2f} of the denoising, after its end at "
            f"{end:g} (end_percent): lower composition, or raise end_percent."
        )
    return max(start, kept), end


def start_that_keeps(composition: float, family: str) -> float:
    """The start that keeps so much, 0 to 1, of a family of STARTS; between the measured places on a straight line."""
    for (low, first), (high, last) in pairwise(STARTS[family]):
        if composition <= high:
            return first + (last - first) * (composition - low) / (high - low)
    return 1.0


def measured_family(encoder: EncoderFacts | None) -> str:
    """The family of STARTS that stands for a network's.

    Models that read CLIP's windows alone (Stable Diffusion 1.x, 2.x, SDXL) remove noise as the first miniature does; a
    file that does not say what it is for is for SDXL. All others match flows, as the second miniature does.
    """
    if encoder is None:
        return "SDXL"
    if encoder.family in STARTS:
        return encoder.family
    return "SDXL" if encoder.known and encoder.known.window == CLIP_WINDOW else "Lumina 2"
