"""The miniature world's command line.

python -m trainer.miniature paint --out pictures
python -m trainer.miniature paint --out pictures --subject cat --setting snow --time dawn --steps 7
python -m trainer.miniature train --out runs/miniature
python -m trainer.miniature train --kind flow --out runs/flow
python -m trainer.miniature ablate --out runs/miniature
python -m trainer.miniature instant --out runs/miniature
python -m trainer.miniature network --out runs/miniature
python -m trainer.miniature scenes --out runs/miniature --table docs/miniature.md
python -m trainer.miniature measure --out runs/miniature --table docs/miniature.md
python -m trainer.miniature override --out runs/miniature --table docs/miniature.md
python -m trainer.miniature composition --out runs/miniature --table docs/miniature.md
python -m trainer.miniature range --out runs/miniature --table docs/miniature.md
python -m trainer.miniature export --out runs/miniature --to miniature
python -m trainer.miniature restore --from miniature --out runs/miniature
python -m trainer.miniature captions --out runs/rewritten.jsonl

A command that was interrupted goes on where it stopped when it is run again. What a command runs is imported when it is
called, so that painting pictures needs neither diffusers nor transformers.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emoticrafter.files import write_atomically
from trainer.core.command_line import quiet, status_of
from trainer.core.device import DEVICE_HELP, PRECISIONS, Machine
from trainer.core.markdown import put_between_marks
from trainer.core.rows import write_jsonl
from trainer.core.settings import count, option, read_commands, seed
from trainer.miniature.recipe import FLOW, TINY, TINY_FLOW, FlowRecipe, Recipe, is_tiny, read_recipe
from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.painter import paint
from trainer.world.scene import SETTINGS, SUBJECTS, TIMES, Scene

if TYPE_CHECKING:
    from trainer.tables.miniature import MeasureSettings

RUN = Path("runs/miniature")
FLOW_FOLDER = Path("miniature/flow")
UNET = "unet"
RECIPES = {UNET: (Recipe(), TINY), FLOW: (FlowRecipe(), TINY_FLOW)}
"""By the kind of a run: the recipe, and the one that learns nothing."""


# ---- painting --------------------------------------------------------------------------------------


def contact_sheet(scene: Scene, seed: int, steps: int = 5, size: int = 128) -> np.ndarray:
    """The scene over the plane: valence rises to the right, arousal upwards; uint8 [H, W, 3]."""
    values = np.linspace(-3, 3, steps)
    rows = [np.hstack([paint(scene, v, a, seed, size) for v in values]) for a in values[::-1]]
    return np.vstack(rows)


@dataclass(frozen=True)
class Paint:
    """Write contact sheets over valence and arousal."""

    out: Path = option("folder for the pictures")
    subject: str | None = option("default: every subject", None, choices=SUBJECTS)
    setting: str | None = option("default: another for each subject", None, choices=SETTINGS)
    time: str | None = option("default: another for each subject", None, choices=TIMES)
    steps: int = option("pictures along each axis (5)", 5, type=count)
    size: int = option("pixels a picture (128)", 128, type=count)
    seed: int = option("layout, hues and wording (0)", 0, type=seed)

    def run(self) -> None:
        """Writes one contact sheet per subject and prints what each shows."""
        self.out.mkdir(parents=True, exist_ok=True)
        for number, subject in enumerate([self.subject] if self.subject else SUBJECTS):
            setting = self.setting or SETTINGS[number % len(SETTINGS)]
            scene = Scene(subject, setting, self.time or TIMES[number % len(TIMES)])
            path = self.out / f"{scene.subject}-{scene.setting}-{scene.time}-{self.seed}.png"
            sheet = contact_sheet(scene, self.seed, self.steps, self.size)
            write_atomically(path, cv2.imencode(".png", sheet[:, :, ::-1])[1].tofile)
            print(f"{path}: {neutral_caption(scene, self.seed)}")
            for v, a in ((-3, 3), (3, 3), (-3, -3), (3, -3)):
                print(f"  V {v:+d} A {a:+d}: {emotional_caption(scene, v, a, self.seed)}")


# ---- training --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command on a run's folder."""

    out: Path = option("the run's folder (%(default)s)", RUN)
    device: str = option(DEVICE_HELP, "auto")
    precision: str = option("(%(default)s)", "auto", choices=PRECISIONS)
    compile: bool = option("compile what is trained with torch.compile", False)

    def machine(self) -> Machine:
        import torch

        quiet()
        machine = Machine.find(self.device, self.precision, self.compile)
        if machine.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        return machine

    def begun_recipe(self) -> Recipe:
        """The recipe of the run's folder; if it is of tiny sizes, that is said."""
        recipe = read_recipe(self.out)
        if is_tiny(recipe):
            tiny = "was begun with --tiny: tiny sizes: learns nothing"
            print(f"{self.out} {tiny}. Choose another --out for a real run.")
        return recipe


NUMBERS = [f for f in dataclasses.fields(FlowRecipe) if f.type in (int, float)]
Changes = dataclasses.make_dataclass(
    "Changes", [(f.name, f.type | None, option(f"default: {f.default}", None)) for f in NUMBERS], frozen=True
)
"""What is not None replaces a number of the recipe."""


@dataclass(frozen=True)
class Train(Command):
    """Train all parts, going on from where they are."""

    stages: list[str] | None = option("pictures, autoencoder ... (default: all)", None, metavar="STAGE")
    kind: str = option("of a new run: the first miniature, or the second (%(default)s)", UNET, choices=tuple(RECIPES))
    shipped: Path = option("the first miniature, for the second (%(default)s)", Path("miniature"), flag="--from")
    tiny: bool = option("sizes that learn nothing, to see that all runs", False)
    changes: Changes = option("of a new run; one that was begun keeps its own", Changes(), group="recipe")

    def run(self) -> None:
        from trainer.miniature.pipeline import train

        train(self.out, self.recipe(), self.machine(), self.stages or (), self.shipped)

    def recipe(self) -> Recipe:
        """The recipe of the run's folder, or of a new run, with the given settings in it.

        Raises:
            ValueError: --tiny, for a run that was begun without.
        """
        begun = (self.out / "recipe.json").is_file()
        recipe = self.begun_recipe() if begun else RECIPES[self.kind][self.tiny]
        if self.tiny and not is_tiny(recipe):
            raise ValueError(f"{self.out} was begun without --tiny: leave it out to go on, or choose another --out.")
        if self.tiny and not begun:
            print(f"{self.out}: tiny sizes: learns nothing")
        given = {name: value for name, value in vars(self.changes).items() if value is not None}
        if foreign := [name for name in given if not hasattr(recipe, name)]:
            raise ValueError(f"--{foreign[0].replace('_', '-')} is of --kind flow: leave it out, or add that.")
        return dataclasses.replace(recipe, **given)


@dataclass(frozen=True)
class Ablate(Command):
    """Fit the emotion networks that are compared."""

    networks: int = option("networks of every variant (%(default)s)", 2, type=count)
    variants: list[str] = option("default: all", [], metavar="NAME")

    def run(self) -> None:
        from trainer.miniature.pipeline import ablate

        ablate(self.out, self.begun_recipe(), self.machine(), self.networks, self.variants)


@dataclass(frozen=True)
class Instant(Command):
    """Fit a field to the run's text encoders, without training (see Fit Emotion Network)."""

    pairs: int = option("pairs of captions to learn from (%(default)s)", 2000, type=count)

    def run(self) -> None:
        from trainer.miniature.emotion import fit_instantly
        from trainer.miniature.folders import needs

        quiet()
        needs(self.out, "generator")
        path = fit_instantly(self.begun_recipe(), self.out, self.pairs)
        print(f"{path}: next, python -m trainer.miniature measure --out {self.out} --networks {path}")


@dataclass(frozen=True)
class Network(Command):
    """Fit a network that corrects an instant field (see Fit Emotion Network)."""

    pairs: int = option("pairs of captions to learn from (%(default)s)", 2000, type=count)
    steps: int = option("(%(default)s)", 600, type=count)
    seed: int = option("of weights and batches (%(default)s)", 0, type=seed)

    def run(self) -> None:
        from trainer.miniature.emotion import fit_network
        from trainer.miniature.folders import needs

        machine = self.machine()
        needs(self.out, "generator")
        path = fit_network(self.begun_recipe(), self.out, self.pairs, self.steps, machine, self.seed)
        print(f"{path}: next, python -m trainer.miniature measure --out {self.out} --networks {path}")


# ---- shipping --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Export(Command):
    """Write the weights for shipping."""

    to: Path | None = option("folder (default: miniature, or miniature/flow for the second)", None)
    network: Path | None = option("default: the run's, from pictures if there is one", None, metavar="FILE")

    def run(self) -> None:
        from trainer.miniature.export import export
        from trainer.miniature.held_out import best_network

        quiet()
        recipe = self.begun_recipe()
        to = self.to or (FLOW_FOLDER if isinstance(recipe, FlowRecipe) else Path("miniature"))
        export(self.out, recipe, self.network or best_network(self.out), to)


@dataclass(frozen=True)
class Restore:
    """Make a run's folder of the shipped weights."""

    shipped: Path = option("what is shipped (%(default)s)", Path("miniature"), flag="--from")
    out: Path = option("the run's folder (%(default)s)", RUN)

    def run(self) -> None:
        from trainer.miniature.restore import restore

        quiet()
        restore(self.shipped, self.out)
        print(f"{self.out}: next, python -m trainer.miniature measure --out {self.out}")


# ---- measuring -------------------------------------------------------------------------------------


class Measuring(Command):
    """A command that draws and reads held-out prompts, and shows a table."""

    def settings(self, seeds: int) -> "MeasureSettings":
        """What is drawn.

        Raises:
            FileNotFoundError: The run is not begun, or lacks what pictures are drawn and read with.
        """
        from trainer.miniature.folders import needs
        from trainer.miniature.held_out import held_out_prompts
        from trainer.tables.miniature import MeasureSettings

        self.begun_recipe()
        quiet()
        needs(self.out, "autoencoder", "generator", "readers")
        most = len(held_out_prompts())
        if self.prompts > most:
            print(f"note: there are {most} held-out prompts; --seeds draws more pictures of each")
        return MeasureSettings(self.out, min(self.prompts, most), seeds, self.device, self.precision)

    def show(self, text: str, name: str) -> None:
        print(text)
        if self.table:
            second = isinstance(read_recipe(self.out), FlowRecipe)
            put_between_marks(self.table, text, f"flow-{name}" if second else name, "# The miniature, measured")


@dataclass(frozen=True)
class Measure(Measuring):
    """Draw held-out prompts over the plane and read them."""

    prompts: int = option("held-out prompts (%(default)s)", 42, type=count)
    seeds: int = option("pictures of every prompt and point (%(default)s)", 2, type=count)
    networks: list[Path] = option("default: the run's default-*", [], metavar="FILE")
    strength: float = option("of the emotion (%(default)s)", 1.0)
    table: Path | None = option("a document that gets the table", None, metavar="FILE")

    def run(self) -> None:
        from trainer.tables.miniature import find_networks, measure

        settings = self.settings(self.seeds)
        self.show(measure(settings, find_networks(self.out, self.networks), self.strength), "measured")


@dataclass(frozen=True)
class Override(Measuring):
    """Draw emotional captions with the opposite value asked, and read what wins."""

    prompts: int = option("held-out scenes (%(default)s)", 42, type=count)
    network: Path | None = option("default: the run's, from pictures if there is one", None, metavar="FILE")
    table: Path | None = option("a document that gets the table", None, metavar="FILE")

    def run(self) -> None:
        from trainer.miniature.held_out import best_network
        from trainer.tables.miniature import find_networks
        from trainer.tables.override import override

        settings = self.settings(seeds=1)
        [network] = find_networks(self.out, [self.network or best_network(self.out)]).values()
        self.show(override(settings, network), "override")


@dataclass(frozen=True)
class Composition(Measuring):
    """Begin the emotion later and later, and read what stays of both picture and emotion."""

    prompts: int = option("held-out prompts (%(default)s)", 14, type=count)
    seeds: int = option("pictures of every prompt and point (%(default)s)", 1, type=count)
    network: Path | None = option("default: the run's first", None, metavar="FILE")
    table: Path | None = option("a document that gets the table", None, metavar="FILE")

    def run(self) -> None:
        from trainer.tables.composition import composition
        from trainer.tables.miniature import find_networks

        settings = self.settings(self.seeds)
        network, *_ = find_networks(self.out, [self.network] if self.network else []).values()
        self.show(composition(settings, network), "composition")


@dataclass(frozen=True)
class Range(Measuring):
    """Compare the search for the range with a dense grid (see Emotion Range)."""

    prompts: int = option("held-out scenes (%(default)s)", 20, type=count)
    network: Path | None = option("default: the run's first", None, metavar="FILE")
    strength: float = option("of the emotion; at 1 most rays go to the edge (%(default)s)", 2.0)
    table: Path | None = option("a document that gets the tables", None, metavar="FILE")

    def run(self) -> None:
        from trainer.tables.miniature import find_networks
        from trainer.tables.range import measure_range

        settings = self.settings(seeds=1)
        network, *_ = find_networks(self.out, [self.network] if self.network else []).values()
        self.show(measure_range(settings, network, self.strength), "range")


@dataclass(frozen=True)
class Scenes(Measuring):
    """Compare field and network where a mood looks different from scene to scene."""

    prompts: int = option("held-out scenes (%(default)s)", 42, type=count)
    pairs: int = option("pairs of captions to learn from (%(default)s)", 2000, type=count)
    steps: int = option("of the network's fit (%(default)s)", 600, type=count)
    table: Path | None = option("a document that gets the table", None, metavar="FILE")

    def run(self) -> None:
        from trainer.tables.scenes import compare

        machine = self.machine()
        self.show(compare(self.settings(seeds=1), self.begun_recipe(), machine, self.pairs, self.steps), "scenes")


@dataclass(frozen=True)
class Captions:
    """Write the painter's emotional captions of the held-out prompts, as rewritten prompts."""

    out: Path = option("the .jsonl file, for trainer.generate")

    def run(self) -> None:
        from trainer.miniature.held_out import emotional_captions
        from trainer.painters.plan import grid

        rows = emotional_captions(grid())
        write_jsonl(self.out, rows)
        print(f"{self.out}: {len(rows):,} captions")


COMMANDS = (
    Paint,
    Train,
    Ablate,
    Instant,
    Network,
    Export,
    Restore,
    Measure,
    Override,
    Composition,
    Range,
    Scenes,
    Captions,
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; everything that a user can put right is said in a line, without a traceback."""
    commands = {command.__name__.lower(): command for command in COMMANDS}
    command = read_commands("trainer.miniature", "The miniature world.", commands, arguments)
    return status_of(command.run, "train,eval,miniature")


if __name__ == "__main__":
    sys.exit(main())
