"""Settings of the tables: which ones, of which networks, and how they are measured."""

from dataclasses import dataclass
from pathlib import Path

from trainer.core.rows import DataError
from trainer.tables.rows import OURS, TABLES


@dataclass(frozen=True)
class TablesSettings:
    """Settings of `make_tables`.

    Attributes:
        what: Words that name the tables: "1", "figure", "10".
        command: As it was typed; the tables say that they were made by it.
        out: Folder of pictures and results.
        document: Gets the tables between its marks, if given.
        prompts: The first so many; None for all.
        seeds: Pictures of every prompt and point.
        device: Where to fit, draw and measure.
        processes: That draw at once.
        fit: Whether missing networks are fitted, or left out.
        dry_run: Only say what is missing.
        run, baselines, shipped, networks: Of the miniature: the run, the baselines' runs, the weights that a missing
            run is restored from, and the networks of each row.
        sdxl, network, rewritten: Of SDXL: the model, NAME=FILE words of its networks, and the rewritten prompts.
        reader, backbone, clip, lpips, lpips_weights: What measures, as in `trainer.evaluate`.
        answers, key: People's answers to a study and its key, for table 3.
    """

    what: list[str]
    command: str
    out: Path
    document: Path | None
    prompts: int | None
    seeds: int
    device: str
    processes: int
    fit: bool
    dry_run: bool
    run: Path
    baselines: Path
    shipped: Path
    networks: int
    sdxl: str | None
    network: list[str]
    rewritten: Path | None
    reader: str | None
    backbone: str | None
    clip: str | None
    lpips: str | None
    lpips_weights: Path | None
    answers: Path | None
    key: Path | None

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
        if self.sdxl and not any(word.startswith(f"{OURS}=") for word in self.network):
            problems.append(f"--sdxl needs --network {OURS}=FILE, which the other rows are compared with")
        if not self.sdxl and (self.network or self.rewritten or self.reader):
            problems.append("--network, --rewritten and --reader are for --sdxl; the miniature has its own")
        if problems:
            raise DataError("These options cannot be used:\n" + "\n".join(f"  {text}" for text in problems))


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
