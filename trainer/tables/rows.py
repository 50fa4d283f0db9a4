"""Which rows and figures each table has."""

from dataclasses import dataclass

from trainer.baselines.settings import TOKENS as BASELINES

OURS, REWRITING, PLAIN, TRUTH, INSTANT = "ours", "rewriting", "plain", "truth", "instant"
INSTANT_RANGE = "instant-range"
DEVIATION, LABELS, PICTURES = "deviation", "labels", "pictures"
"""Networks that correct a field: by captions alone, then by labels of pictures, then by a reader."""
INSTANT_PAIRS = 2000
"""Pairs that the instant field is fitted to."""
BEGINNINGS = {LABELS: DEVIATION, PICTURES: LABELS}
"""Rows whose networks learn on from those of another."""
DEVIATION_PAIRS = 5700
"""Pairs of the network that corrects a field: all that the others learn from, too."""
STRENGTHS = {DEVIATION: 0.9}
"""Rows that are drawn with another strength than 1: guidance enlarges this one's emotion, and content suffers."""

VARIANTS = {
    OURS: "default",
    "unweighted": "unweighted",
    "power-2": "power-2",
    "scale-1.5": "scale-1.5",
    "scale-2.0": "scale-2.0",
    "published-block": "published-block",
    "paper": "paper",
    "paper-improved": "paper-improved",
    "improved": "improved",
}
"""Rows that are emotion networks of the paper's form, and which variant of trainer.miniature.emotion each is."""

NETWORKS = (*VARIANTS, "scale-1.0", DEVIATION, LABELS, PICTURES, *BASELINES)
"""Rows that are drawn by networks of several seeds. Ours has scale 1.0 on the miniature already."""

GIVEN = (*NETWORKS, INSTANT)
"""Rows whose networks can be given as files. The instant field has no seed: it follows from its pairs."""

TITLES = {
    PICTURES: "ours",
    LABELS: "ours, labels without the reader",
    DEVIATION: "ours, captions alone, strength 0.9",
    OURS: "ours, the paper's form",
    "cross-attention": "cross attention",
    "time-embedding": "time embedding",
    "textual-inversion": "textual inversion",
    REWRITING: "rewriting",
    PLAIN: "plain prompts",
    TRUTH: "truth",
    INSTANT: "instant field",
    INSTANT_RANGE: "instant field, range searched",
    "unweighted": "unweighted (power 0)",
    "power-2": "density power 2",
    "scale-1.0": "scale 1.0",
    "scale-1.5": "scale 1.5",
    "scale-2.0": "scale 2.0",
    "published-block": "published block order",
    "paper": "paper's recipe",
    "paper-improved": "paper's recipe, improved",
    "improved": "ours, improved",
}

FOLLOWED = ("V-Error", "A-Error", "V tau", "A tau", "V slope", "A slope", "V range", "A range")
CONTENT = ("content", "CLIPScore", "CLIP-IQA")
AGAIN = ("V-Error 2", "A-Error 2")
"""Of the second reader."""
SMOOTH = ("LPIPS-V", "LPIPS-A", "LPIPS-Continuous")


@dataclass(frozen=True)
class Table:
    """What a command measures.

    Attributes:
        title: Of the table.
        rows: Names from TITLES.
        figures: Columns, of those that were measured.
        controls: Whether always 0 and ours with shuffled and with negated labels are rows, too.
        pairs: Rows that are compared with another row than ours, and that row.
        reference: What the others are tested against, if it is drawn; else it is `ours`.
    """

    title: str
    rows: tuple[str, ...]
    figures: tuple[str, ...] = (*FOLLOWED, *CONTENT, *AGAIN)
    controls: bool = True
    pairs: tuple[tuple[str, str], ...] = ()
    reference: str = OURS


BY_CAPTIONS = tuple((DEVIATION, row) for row in (OURS, INSTANT, REWRITING, "cross-attention", "textual-inversion"))
"""What learns from captions alone, against what learns from no more and against what learns from pictures."""

TABLES = {
    "table 1": Table(
        "Five methods",
        (TRUTH, *BASELINES, REWRITING, INSTANT, INSTANT_RANGE, OURS, DEVIATION, LABELS, PICTURES, PLAIN),
        pairs=BY_CAPTIONS,
        reference=PICTURES,
    ),
    "table 2": Table(
        "LPIPS-Continuous, and whether anything changes at all",
        (TRUTH, PICTURES, LABELS, DEVIATION, OURS, INSTANT, INSTANT_RANGE, REWRITING, *BASELINES, PLAIN),
        (*SMOOTH, "V slope", "A slope", "V range", "A range"),
        controls=False,
        pairs=BY_CAPTIONS,
        reference=PICTURES,
    ),
    "table 3": Table("User study", (PICTURES, OURS, REWRITING), reference=PICTURES),
    "table 4": Table("Density weighting", (TRUTH, OURS, "unweighted", "power-2", PLAIN)),
    "figure 10": Table("Scale factor", (TRUTH, OURS, "scale-1.0", "scale-1.5", "scale-2.0", PLAIN)),
    "settings": Table(
        "Settings: the published block order, the paper's recipe, the improvements to both recipes",
        (TRUTH, OURS, "published-block", "improved", "paper", "paper-improved", PLAIN),
        (*FOLLOWED, *CONTENT, *AGAIN, "LPIPS-Continuous"),
        pairs=(("paper-improved", "paper"),),
    ),
}
