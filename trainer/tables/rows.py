"""Which rows and figures each table has."""

from dataclasses import dataclass

from trainer.baselines.settings import TOKENS as BASELINES

OURS, REWRITING, PLAIN, TRUTH, INSTANT = "ours", "rewriting", "plain", "truth", "instant"
INSTANT_PAIRS = 2000
"""Pairs that the instant field is fitted to."""

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
"""Rows that are emotion networks, and which variant of trainer.miniature.emotion each is."""

STRONGER = "ours-1.25"
STRENGTHS = {STRONGER: 1.25}
"""Rows that are the networks of ours, drawn with another strength: the one at which the miniature's pictures reach as
far as rewriting's. Only on the miniature."""

FITTED = (*VARIANTS, "scale-1.0", *BASELINES)
"""Rows with networks of their own, emotion networks and baselines. Ours has scale 1.0 on the miniature already."""

NETWORKS = (*FITTED, *STRENGTHS)
"""Rows that are drawn by networks of several seeds."""

GIVEN = (*FITTED, INSTANT)
"""Rows whose networks can be given as files. The instant field has no seed: it follows from its pairs."""

TITLES = {
    OURS: "ours",
    STRONGER: "ours, strength 1.25",
    "cross-attention": "cross attention",
    "time-embedding": "time embedding",
    "textual-inversion": "textual inversion",
    REWRITING: "rewriting",
    PLAIN: "plain prompts",
    TRUTH: "truth",
    INSTANT: "instant field",
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
        rows: Names from TITLES; the first network row that is `ours` is what the others are tested against.
        figures: Columns, of those that were measured.
        controls: Whether always 0 and ours with shuffled and with negated labels are rows, too.
        pairs: Rows that are compared with another row than ours, and that row.
    """

    title: str
    rows: tuple[str, ...]
    figures: tuple[str, ...] = (*FOLLOWED, *CONTENT, *AGAIN)
    controls: bool = True
    pairs: tuple[tuple[str, str], ...] = ()


TABLES = {
    "table 1": Table("Five methods", (TRUTH, *BASELINES, REWRITING, INSTANT, OURS, STRONGER, PLAIN)),
    "table 2": Table(
        "LPIPS-Continuous, and whether anything changes at all",
        (TRUTH, OURS, STRONGER, INSTANT, REWRITING, *BASELINES, PLAIN),
        (*SMOOTH, "V slope", "A slope", "V range", "A range"),
        controls=False,
        pairs=((STRONGER, REWRITING), (STRONGER, "textual-inversion"), (STRONGER, "cross-attention")),
    ),
    "table 3": Table("User study", (OURS, REWRITING)),
    "table 4": Table("Density weighting", (TRUTH, OURS, "unweighted", "power-2", PLAIN)),
    "figure 10": Table("Scale factor", (TRUTH, OURS, "scale-1.0", "scale-1.5", "scale-2.0", PLAIN)),
    "settings": Table(
        "Settings: the published block order, the paper's recipe, the improvements to both recipes",
        (TRUTH, OURS, "published-block", "improved", "paper", "paper-improved", PLAIN),
        (*FOLLOWED, *CONTENT, *AGAIN, "LPIPS-Continuous"),
        pairs=(("paper-improved", "paper"),),
    ),
}
