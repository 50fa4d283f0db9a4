"""Where the networks of a table's rows are, and what makes them if they are not there: the miniature's, or given files.

On the miniature, networks lie where their own commands put them: runs/miniature/emotion/<variant>-<seed> and
runs/baselines/<method>-<seed>. What is missing is fitted by those commands' code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.files import file_sha256
from emoticrafter.research.baselines import METHODS as BASELINES
from emoticrafter.research.baselines import baseline_training
from trainer.core.rows import DataError
from trainer.tables.rows import FITTED, NETWORKS, OURS, REWRITING, STRENGTHS, VARIANTS


@dataclass(frozen=True)
class Drawing:
    """The pictures of one method in the folder of pictures.

    Attributes:
        row: The row of the table that they belong to.
        method: Their name in the manifest: the row's, with the network's number behind it.
        network: What draws them; None for plain and rewritten prompts.
        seed: Of the network's fit, or its place among the given files.
    """

    row: str
    method: str
    network: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Miniature:
    """A run of the miniature and the baselines that were fitted to it.

    Attributes:
        run: The run's folder.
        baselines: The folder of the baselines' runs.
        networks: How many networks each row has, of seeds 0, 1 …
    """

    run: Path
    baselines: Path
    networks: int

    def drawings(self, row: str) -> list[Drawing]:
        """What the row consists of, whether it is there or not."""
        if row not in NETWORKS:
            return [Drawing(row, row)]
        if fitted_as(row) not in VARIANTS and row not in BASELINES:
            return []
        return [
            Drawing(row, method_name(row, seed), self.network(row, seed), seed)
            for seed in range(self.networks)
        ]

    def network(self, row: str, seed: int) -> Path:
        folder = (
            self.baselines / f"{row}-{seed}"
            if row in BASELINES
            else self.run / "emotion" / f"{VARIANTS[fitted_as(row)]}-{seed}"
        )
        return folder / "network.safetensors"

    def is_there(self, drawing: Drawing) -> bool:
        """Whether the network is fitted: an emotion network's file is there before its training has ended."""
        if drawing.network is None:
            return True
        finished = drawing.row in BASELINES or drawing.network.with_name("finished").exists()
        return finished and drawing.network.is_file()

    def painter(self, drawing: Drawing, rewritten: Path) -> list[str]:
        """The arguments of trainer.generate."""
        words = ["miniature", "--run", str(self.run)]
        return words + _source(drawing, rewritten)


@dataclass(frozen=True)
class Sdxl:
    """SDXL and networks that were fitted to it.

    Attributes:
        model: A diffusers folder, hub id or checkpoint.
        files: Networks by row.
        rewritten: The rewritten prompts, if there are any.
    """

    model: str
    files: dict[str, list[Path]]
    rewritten: Path | None

    def drawings(self, row: str) -> list[Drawing]:
        if row not in NETWORKS:
            return [] if row == REWRITING and not self.rewritten else [Drawing(row, row)]
        return [
            Drawing(row, method_name(row, seed), path, seed)
            for seed, path in enumerate(self.files.get(row, []))
        ]

    def is_there(self, drawing: Drawing) -> bool:
        return drawing.network is None or drawing.network.is_file()

    def painter(self, drawing: Drawing, rewritten: Path) -> list[str]:
        return ["sdxl", "--model", self.model, *_source(drawing, rewritten)]


def _source(drawing: Drawing, rewritten: Path) -> list[str]:
    if drawing.network:
        strength = STRENGTHS.get(drawing.row)
        words = ["--network", str(drawing.network)]
        return words + (["--strength", str(strength)] if strength else [])
    return ["--rewritten", str(rewritten)] if drawing.row == REWRITING else ["--plain"]


def fitted_as(row: str) -> str:
    """The row whose networks this row has."""
    return OURS if row in STRENGTHS else row


def method_name(row: str, seed: int) -> str:
    """The name of a row's pictures in the manifest, which takes no dots."""
    return f"{row.replace('.', '_')}-{seed}"


def given_networks(words: list[str]) -> dict[str, list[Path]]:
    """Reads NAME=FILE arguments.

    Raises:
        DataError: another form, an unknown name, a file that is not there.
    """
    found: dict[str, list[Path]] = {}
    problems = []
    for word in words:
        name, _, file = word.partition("=")
        if name not in FITTED or not file:
            problems.append(f"--network {word}: expected NAME=FILE with NAME one of {', '.join(FITTED)}")
        elif not Path(file).is_file():
            problems.append(f"--network {word}: {file} is not there")
        else:
            found.setdefault(name, []).append(Path(file))
    if problems:
        raise DataError("\n".join(problems))
    return found


def check_base(source: Miniature, drawings: list[Drawing]) -> None:
    """Raises DataError if a baseline was fitted to another run than the one whose pictures are compared."""
    weights = source.run / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
    own = file_sha256(weights) if weights.is_file() else None
    for drawing in drawings:
        if drawing.row in BASELINES and source.is_there(drawing):
            fitted_to = baseline_training(drawing.network).get("base", {}).get("unet_sha256")
            if fitted_to != own:
                raise DataError(
                    f"{drawing.network} was fitted to another generator than that of {source.run}: give another "
                    "--baselines folder, in which baselines of this run are fitted."
                )


def scales_of(drawings: list[Drawing]) -> dict[str, float]:
    """The scale factor that the networks of each row were trained with, as their files say.

    Raises:
        DataError: a file does not say it.
    """
    from emoticrafter.weights import read_metadata

    found = {}
    for drawing in drawings:
        if drawing.row in FITTED and drawing.row not in found:
            try:
                found[drawing.row] = float(read_metadata(drawing.network)["training"]["scale"])
            except (LookupError, TypeError, ValueError) as error:
                raise DataError(
                    f"{drawing.network} does not say with which scale it was trained: figure 10 needs networks of "
                    "python -m trainer.train."
                ) from error
    return found


# ---- making what is missing ------------------------------------------------------------------------


def once(drawings: Sequence[Drawing]) -> list[Drawing]:
    """The first drawing of each network: some rows have the same ones."""
    return list({drawing.network: drawing for drawing in reversed(drawings)}.values())[::-1]


def fit(source: Miniature, drawings: list[Drawing], device: str) -> None:
    """Fits networks one after the other; an interrupted fit goes on when it is called again."""
    from trainer.core.device import Machine

    machine, base = Machine.find(device), None
    missing = once(drawings)
    for number, drawing in enumerate(missing, start=1):
        print(f"fit {number} of {len(missing)}: {drawing.network}", flush=True)
        if drawing.row in BASELINES:
            base = base or _base(source.run, machine)
            _fit_baseline(drawing, base, machine)
        else:
            _fit_network(source.run, drawing, machine)


def _base(run: Path, machine):
    from trainer.baselines.base import from_miniature

    return from_miniature(run, machine)


def _fit_baseline(drawing: Drawing, base, machine) -> None:
    from trainer.baselines.settings import Settings
    from trainer.baselines.train import train

    train(Settings(method=drawing.row, seed=drawing.seed), *base, drawing.network.parent, machine)


def _fit_network(run: Path, drawing: Drawing, machine) -> None:
    from trainer.miniature.pipeline import Run, emotion
    from trainer.miniature.recipe import read_recipe

    emotion(Run(run, read_recipe(run), machine), VARIANTS[fitted_as(drawing.row)], drawing.seed)
