"""Where the networks of a table's rows are and what draws with them: the miniature's, or given files.

On the miniature, networks lie where their own commands put them: runs/miniature/emotion/<variant>-<seed> and
runs/baselines/<method>-<seed>.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.research.baselines import METHODS as BASELINES
from emoticrafter.weights import read_metadata
from trainer.core.prompts import read_prompts
from trainer.core.rows import DataError
from trainer.miniature.held_out import emotional_captions, fitted_path, held_out_prompts, instant_path
from trainer.miniature.recipe import Recipe, read_recipe
from trainer.painters.plan import PROMPTS, Words, grid, read_rewritten, words_of
from trainer.painters.settings import MiniatureSettings, PainterSettings, RangedSettings, SdxlSettings, TruthSettings
from trainer.tables.rows import (
    BEGINNINGS,
    DEVIATION,
    DEVIATION_PAIRS,
    GIVEN,
    INSTANT,
    INSTANT_PAIRS,
    INSTANT_RANGE,
    LABELS,
    NETWORKS,
    PICTURES,
    REWRITING,
    STRENGTHS,
    TRUTH,
    VARIANTS,
)

FOLDERS = {**VARIANTS, DEVIATION: f"network-{DEVIATION_PAIRS}", LABELS: LABELS, PICTURES: PICTURES}
"""Where a row's networks are in a run of the miniature, in front of their seed."""


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
    batch = 25  # pictures drawn together

    def drawings(self, row: str) -> list[Drawing]:
        """The row's, whether they are fitted or not."""
        if row in (INSTANT, INSTANT_RANGE):
            return [Drawing(row, row, instant_path(self.run, INSTANT_PAIRS))]
        if row not in NETWORKS:
            return [Drawing(row, row)]
        if row not in (*FOLDERS, *BASELINES):
            return []
        return [Drawing(row, method_name(row, seed), self.network(row, seed), seed) for seed in range(self.networks)]

    def network(self, row: str, seed: int) -> Path:
        if row in BASELINES:
            return self.baselines / f"{row}-{seed}" / "network.safetensors"
        return fitted_path(self.run, f"{FOLDERS[row]}-{seed}")

    def is_fitted(self, drawing: Drawing) -> bool:
        """Whether the network is fitted: the file of trainer.train's exists before its training has ended."""
        if drawing.network is None:
            return True
        finished = drawing.row not in VARIANTS or drawing.network.with_name("finished").exists()
        return finished and drawing.network.is_file()

    def missing(self, drawings: Sequence[Drawing]) -> list[Drawing]:
        """Those whose networks are not fitted, each network once, behind the ones that it begins with."""
        return once([each for drawing in drawings for each in self._chain(drawing)])

    def _chain(self, drawing: Drawing) -> list[Drawing]:
        if self.is_fitted(drawing):
            return []
        before = BEGINNINGS.get(drawing.row)
        return [*(self._chain(self.drawings(before)[drawing.seed]) if before else ()), drawing]

    @property
    def has_generator(self) -> bool:
        return (self.run / "generator").is_dir()

    @property
    def pixels(self) -> int:
        """Of a picture; of the default recipe before the run is begun."""
        begun = (self.run / "recipe.json").is_file()
        return (read_recipe(self.run) if begun else Recipe()).picture_size ** 2

    def painter(self, drawing: Drawing) -> PainterSettings:
        if drawing.row == TRUTH:
            return TruthSettings(self.run)
        painter = MiniatureSettings(self.run, drawing.network, STRENGTHS.get(drawing.row, 1.0))
        return RangedSettings(painter, at_once=self.batch) if drawing.row == INSTANT_RANGE else painter

    def prompts(self, limit: int | None) -> list[str]:
        return held_out_prompts(limit)

    def words(self) -> Words:
        """The painter's own captions stand for rewritten prompts."""
        return words_of(emotional_captions(grid()))


@dataclass(frozen=True)
class Sdxl:
    """SDXL and networks that were fitted to it.

    Attributes:
        model: A diffusers folder, hub id or checkpoint.
        files: Networks by row.
        rewritten: The rewritten prompts, if given.
    """

    model: str
    files: dict[str, list[Path]]
    rewritten: Path | None
    batch = 5

    def drawings(self, row: str) -> list[Drawing]:
        if row == TRUTH or (row == REWRITING and not self.rewritten):
            return []
        if row not in (*NETWORKS, INSTANT, INSTANT_RANGE):
            return [Drawing(row, row)]
        files = self.files.get(INSTANT if row == INSTANT_RANGE else row, [])
        return [Drawing(row, method_name(row, seed), path, seed) for seed, path in enumerate(files)]

    def is_fitted(self, drawing: Drawing) -> bool:
        return drawing.network is None or drawing.network.is_file()

    def painter(self, drawing: Drawing) -> PainterSettings:
        painter = SdxlSettings(self.model, drawing.network, strength=STRENGTHS.get(drawing.row, 1.0))
        return RangedSettings(painter, at_once=self.batch) if drawing.row == INSTANT_RANGE else painter

    def prompts(self, limit: int | None) -> list[str]:
        return read_prompts(PROMPTS, limit)

    def words(self) -> Words:
        return read_rewritten(self.rewritten)


def method_name(row: str, seed: int) -> str:
    """The name of a row's pictures in the manifest, which takes no dots."""
    return f"{row.replace('.', '_')}-{seed}"


def given_networks(words: list[str]) -> dict[str, list[Path]]:
    """Reads NAME=FILE arguments.

    Raises:
        DataError: Another form, an unknown name, a missing file.
    """
    found: dict[str, list[Path]] = {}
    problems = []
    for word in words:
        name, _, file = word.partition("=")
        if name not in GIVEN or not file:
            problems.append(f"--network {word}: expected NAME=FILE with NAME one of {', '.join(GIVEN)}")
        elif not Path(file).is_file():
            problems.append(f"--network {word}: {file} does not exist")
        else:
            found.setdefault(name, []).append(Path(file))
    if problems:
        raise DataError("\n".join(problems))
    return found


def scales_of(drawings: list[Drawing]) -> dict[str, float]:
    """The scale factor that the networks of each row were trained with, as their files say.

    Raises:
        DataError: A file does not say it.
    """
    found = {}
    for drawing in drawings:
        if drawing.row in NETWORKS and drawing.row not in found:
            try:
                found[drawing.row] = float(read_metadata(drawing.network)["training"]["scale"])
            except (LookupError, TypeError, ValueError) as error:
                raise DataError(
                    f"{drawing.network} does not say with which scale it was trained: figure 10 needs networks of "
                    "python -m trainer.train."
                ) from error
    return found


def once(drawings: Sequence[Drawing]) -> list[Drawing]:
    """The first drawing of each network: some rows have the same ones."""
    found: dict[Path | None, Drawing] = {}
    for drawing in drawings:
        found.setdefault(drawing.network, drawing)
    return list(found.values())
