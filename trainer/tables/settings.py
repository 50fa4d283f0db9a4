"""Settings of the tables: which ones, of which networks, and how they are measured."""

from dataclasses import dataclass
from pathlib import Path

from trainer.core.device import DEVICE_HELP
from trainer.core.rows import DataError, refuse_options
from trainer.core.settings import option
from trainer.evaluation.scoring import LPIPS
from trainer.tables.rows import GIVEN, OURS, PICTURES, TABLES

MINIATURE, SDXL, BOTH = "on the miniature", "on SDXL", "on both"


@dataclass(frozen=True)
class TablesSettings:
    """Settings of `make_tables`; `command` is as it was typed: the tables say that they were made by it."""

    what: list[str] = option(
        "1, 2, 3, 4, figure 10, settings; several are made together", metavar="TABLE", positional=True
    )
    out: Path = option("pictures and results (%(default)s)", Path("runs/tables"))
    document: Path | None = option(
        "a document that gets the tables between its marks", None, flag="--table", metavar="FILE"
    )
    prompts: int | None = option("only the first N prompts (default: 42, or SDXL's 132)", None, metavar="N")
    seeds: int = option("pictures of every prompt and point (%(default)s)", 1)
    device: str = option(DEVICE_HELP, "auto")
    processes: int = option("processes that draw at once (%(default)s)", 1, metavar="N")
    fit: bool = option("leave out networks that are not fitted", True, flag="--no-fit", action="store_false")
    dry_run: bool = option("only say what is missing, how long it takes and how large it is", False)

    run: Path = option("the run's folder (%(default)s)", Path("runs/miniature"), MINIATURE)
    baselines: Path = option("the baselines' runs (%(default)s)", Path("runs/baselines"), MINIATURE)
    shipped: Path = option("weights to restore a run from (%(default)s)", Path("miniature"), MINIATURE)
    networks: int = option("networks of each row, seeds of the fit (%(default)s)", 3, MINIATURE)

    sdxl: str | None = option("diffusers folder, hub id or .safetensors", None, SDXL, metavar="MODEL")
    network: list[str] = option(
        f"a fitted network; several of a name are several seeds. Names: {', '.join(GIVEN)}. ours has the paper's form, "
        "deviation corrects an instant field, and pictures has learned from pictures",
        [],
        SDXL,
        metavar="NAME=FILE",
        action="extend",
        type=str,
    )
    rewritten: Path | None = option("of python -m trainer.baselines rewrite", None, SDXL, metavar="FILE")
    reader: str | None = option("reads valence and arousal (see trainer.evaluate)", None, SDXL, metavar="FILE")
    backbone: str | None = option("the reader's image model", None, SDXL, metavar="ID")
    lpips: str | None = option("network of LPIPS (alex)", None, SDXL, choices=LPIPS)
    lpips_weights: Path | None = option("its weights", None, SDXL, metavar="FILE")

    clip: str | None = option("CLIP for CLIPScore and CLIP-IQA (none on the miniature)", None, BOTH, metavar="ID")
    answers: Path | None = option("table 3: people's files, with --key", None, BOTH, metavar="FOLDER")
    key: Path | None = option("table 3: the study's key.json", None, BOTH, metavar="FILE")

    command: str = ""

    @property
    def images(self) -> Path:
        """The folder of all tables' pictures."""
        return self.out / "images"

    @property
    def manifest(self) -> Path:
        return self.images / "manifest.jsonl"

    def check(self) -> None:
        """Raises DataError with everything that is wrong."""
        problems = [
            f"--{name} {value}: expected at least 1"
            for name in ("prompts", "seeds", "networks", "processes")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if bool(self.answers) != bool(self.key):
            problems.append("--answers and --key go together: people's files, and what they were asked")
        if self.sdxl and not self.reader:
            problems.append("--sdxl needs --reader, which reads valence and arousal off pictures")
        if self.sdxl and not any(word.startswith((f"{OURS}=", f"{PICTURES}=")) for word in self.network):
            problems.append(
                f"--sdxl needs --network {OURS}=FILE or {PICTURES}=FILE, which other rows are compared with"
            )
        if not self.sdxl and (self.network or self.rewritten or self.reader):
            problems.append("--network, --rewritten and --reader are for --sdxl; the miniature has its own")
        refuse_options(problems)


def table_names(words: list[str]) -> list[str]:
    """The tables that the words name: "1" and "figure 10".

    Raises:
        DataError: A word names no table.
    """
    joined = " ".join(words).replace("figure 10", "figure-10").replace("table ", "").split()
    names = [{"figure-10": "figure 10"}.get(w, w if w == "settings" else f"table {w}") for w in joined]
    if unknown := [name for name in names if name not in TABLES]:
        raise DataError(
            f"{unknown[0].removeprefix('table ')!r} is not a table: expected 1, 2, 3, 4, figure 10 or settings."
        )
    return list(dict.fromkeys(names))
