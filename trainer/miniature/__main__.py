"""The miniature world's command line.

python -m trainer.miniature paint --out pictures
python -m trainer.miniature paint --out pictures --subject cat --setting snow --time dawn --steps 7
python -m trainer.miniature train --out runs/miniature
python -m trainer.miniature ablate --out runs/miniature
python -m trainer.miniature measure --out runs/miniature --table docs/miniature.md
python -m trainer.miniature override --out runs/miniature --table docs/miniature.md
python -m trainer.miniature export --out runs/miniature --to miniature
python -m trainer.miniature restore --from miniature --out runs/miniature
python -m trainer.miniature captions --out runs/rewritten.jsonl

A command that was interrupted goes on where it stopped when it is run again. What a command runs is imported when it is
called, so that painting pictures needs neither diffusers nor transformers.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np

from emoticrafter.files import write_atomically
from trainer.core.command_line import quiet, status_of
from trainer.core.markdown import put_between_marks
from trainer.core.rows import write_jsonl
from trainer.core.settings import count, seed
from trainer.miniature.recipe import TINY, Recipe, is_tiny, read_recipe
from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.painter import paint
from trainer.world.scene import SETTINGS, SUBJECTS, TIMES, Scene


def contact_sheet(scene: Scene, seed: int, steps: int = 5, size: int = 128) -> np.ndarray:
    """The scene over the plane: valence rises to the right, arousal upwards; uint8 [H, W, 3]."""
    values = np.linspace(-3, 3, steps)
    rows = [np.hstack([paint(scene, v, a, seed, size) for v in values]) for a in values[::-1]]
    return np.vstack(rows)


def save_png(picture: np.ndarray, path: Path) -> None:
    """Writes RGB uint8 [H, W, 3]."""
    content = cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def paint_command(args: argparse.Namespace) -> None:
    """Writes one contact sheet per subject and prints what each shows."""
    args.out.mkdir(parents=True, exist_ok=True)
    for number, subject in enumerate([args.subject] if args.subject else SUBJECTS):
        scene = Scene(
            subject, args.setting or SETTINGS[number % len(SETTINGS)], args.time or TIMES[number % len(TIMES)]
        )
        path = args.out / f"{scene.subject}-{scene.setting}-{scene.time}-{args.seed}.png"
        save_png(contact_sheet(scene, args.seed, args.steps, args.size), path)
        print(f"{path}: {neutral_caption(scene, args.seed)}")
        for valence, arousal in ((-3, 3), (3, 3), (-3, -3), (3, -3)):
            print(f"  V {valence:+d} A {arousal:+d}: {emotional_caption(scene, valence, arousal, args.seed)}")


def add_training(commands) -> None:
    command = add_command(commands, "train", "train all parts, going on from where they are", train_command)
    command.add_argument(
        "--stages", nargs="+", metavar="STAGE", help="pictures, autoencoder ... (default: all)"
    )
    command.add_argument("--tiny", action="store_true", help="sizes that learn nothing, to see that all runs")
    group = command.add_argument_group("recipe", "of a new run; one that was begun keeps its own")
    for field in dataclasses.fields(Recipe):
        if field.type in (int, float):
            flag = "--" + field.name.replace("_", "-")
            text = f"default: {field.default}"
            group.add_argument(flag, type=field.type, metavar=field.name.upper(), help=text)

    command = add_command(commands, "ablate", "fit the emotion networks that are compared", ablate_command)
    command.add_argument("--networks", type=count, default=2, help="networks of every variant (%(default)s)")
    command.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="default: all")


def add_shipping(commands) -> None:
    command = add_command(commands, "export", "write the weights for shipping", export_command)
    command.add_argument("--to", type=Path, default=Path("miniature"), help="folder (%(default)s)")
    command.add_argument("--network", type=Path, metavar="FILE", help="default: the run's first")

    command = commands.add_parser("restore", help="make a run's folder of the shipped weights")
    add = command.add_argument
    add("--from", type=Path, default=Path("miniature"), dest="shipped", help="what is shipped (%(default)s)")
    add("--out", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)")
    command.set_defaults(run=restore_command)


def add_command(commands, name: str, text: str, run) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    add = command.add_argument
    add("--out", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (%(default)s)")
    add("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="(%(default)s)")
    add("--compile", action="store_true", help="compile what is trained with torch.compile")
    command.set_defaults(run=run)
    return command


def _machine(args: argparse.Namespace):
    import torch

    from trainer.core.device import Machine

    quiet()
    machine = Machine.find(args.device, args.precision, args.compile)
    if machine.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    return machine


def _recipe(args: argparse.Namespace) -> Recipe:
    """The recipe of the run's folder, or of a new run, with the given settings in it.

    Raises:
        ValueError: --tiny, for a run that was begun without.
    """
    begun = (args.out / "recipe.json").is_file()
    recipe = begun_recipe(args.out) if begun else TINY if args.tiny else Recipe()
    if args.tiny and not is_tiny(recipe):
        raise ValueError(
            f"{args.out} was begun without --tiny: leave it out to go on, or choose another --out."
        )
    if args.tiny and not begun:
        print(f"{args.out}: tiny sizes: learns nothing")
    names = [field.name for field in dataclasses.fields(Recipe)]
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    return dataclasses.replace(recipe, **given)


def begun_recipe(out: Path) -> Recipe:
    """The recipe of a run's folder; if it is of tiny sizes, that is said."""
    recipe = read_recipe(out)
    if is_tiny(recipe):
        print(
            f"{out} was begun with --tiny: tiny sizes: learns nothing. Choose another --out for a real run."
        )
    return recipe


def train_command(args: argparse.Namespace) -> None:
    from trainer.miniature.pipeline import STAGES, train

    train(args.out, _recipe(args), _machine(args), args.stages or STAGES)


def ablate_command(args: argparse.Namespace) -> None:
    from trainer.miniature.pipeline import ablate

    ablate(args.out, begun_recipe(args.out), _machine(args), args.networks, args.variants)


def export_command(args: argparse.Namespace) -> None:
    from trainer.miniature.export import export

    quiet()
    network = args.network or args.out / "emotion" / "default-0" / "network.safetensors"
    size = export(args.out, begun_recipe(args.out), network, args.to)
    print(f"{args.to}: {size / 1e6:.1f} MB")


def restore_command(args: argparse.Namespace) -> None:
    from trainer.miniature.restore import restore

    quiet()
    restore(args.shipped, args.out)
    print(f"{args.out}: next, python -m trainer.miniature measure --out {args.out}")


def add_measuring(commands) -> None:
    """Adds measure, override and captions to argparse's subcommands."""
    text = "draw held-out prompts over the plane and read them"
    add = add_command(commands, "measure", text, measure_command).add_argument
    add("--prompts", type=count, default=42, help="held-out prompts (%(default)s)")
    add("--seeds", type=count, default=2, help="pictures of every prompt and point (%(default)s)")
    add("--networks", nargs="+", type=Path, default=[], metavar="FILE", help="default: the run's default-*")
    add("--table", type=Path, metavar="FILE", help="a document that gets the table")

    text = "draw emotional captions with the opposite value asked, and read what wins"
    add = add_command(commands, "override", text, override_command).add_argument
    add("--prompts", type=count, default=42, help="held-out scenes (%(default)s)")
    add("--network", type=Path, metavar="FILE", help="default: the run's first")
    add("--table", type=Path, metavar="FILE", help="a document that gets the table")

    text = "write the painter's emotional captions of the held-out prompts, as rewritten prompts"
    command = commands.add_parser("captions", help=text)
    command.add_argument("--out", type=Path, required=True, help="the .jsonl file, for trainer.generate")
    command.set_defaults(run=captions_command)


def measure_command(args: argparse.Namespace) -> None:
    from trainer.tables.miniature import MeasureSettings, find_networks, measure

    _ready(args.out)
    networks = find_networks(args.out, args.networks)
    settings = MeasureSettings(args.out, _prompts(args), args.seeds, args.device, args.precision)
    _show(measure(settings, networks), args.table, "measured")


def override_command(args: argparse.Namespace) -> None:
    from trainer.tables.miniature import MeasureSettings, find_networks
    from trainer.tables.override import override

    _ready(args.out)
    network, *_ = find_networks(args.out, [args.network] if args.network else []).values()
    settings = MeasureSettings(args.out, _prompts(args), 1, args.device, args.precision)
    _show(override(settings, network), args.table, "override")


def _ready(run: Path) -> None:
    """Raises FileNotFoundError for a run that is not begun, or lacks what pictures are drawn and read with."""
    from trainer.miniature.folders import needs

    begun_recipe(run)
    quiet()
    needs(run, "autoencoder", "generator", "readers")


def _prompts(args: argparse.Namespace) -> int:
    from trainer.miniature.held_out import held_out_prompts

    most = len(held_out_prompts())
    if args.prompts > most:
        print(f"note: there are {most} held-out prompts; --seeds draws more pictures of each")
    return min(args.prompts, most)


def _show(text: str, document: Path | None, name: str) -> None:
    print(text)
    if document:
        put_between_marks(document, text, name, "# The miniature, measured")


def captions_command(args: argparse.Namespace) -> None:
    from trainer.miniature.held_out import emotional_captions
    from trainer.painters.plan import grid

    rows = emotional_captions(grid())
    write_jsonl(args.out, rows)
    print(f"{args.out}: {len(rows):,} captions")


def parser() -> argparse.ArgumentParser:
    """The command line; each subcommand stores its function as `run`."""
    top = argparse.ArgumentParser(prog="python -m trainer.miniature", description="The miniature world.")
    commands = top.add_subparsers(required=True, metavar="command")
    sheet = commands.add_parser("paint", help="write contact sheets over valence and arousal")
    sheet.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    sheet.add_argument("--subject", choices=SUBJECTS, help="default: every subject")
    sheet.add_argument("--setting", choices=SETTINGS, help="default: another for each subject")
    sheet.add_argument("--time", choices=TIMES, help="default: another for each subject")
    sheet.add_argument("--steps", type=count, default=5, help="pictures along each axis (5)")
    sheet.add_argument("--size", type=count, default=128, help="pixels a picture (128)")
    sheet.add_argument("--seed", type=seed, default=0, help="layout, hues and wording (0)")
    sheet.set_defaults(run=paint_command)
    add_training(commands)
    add_shipping(commands)
    add_measuring(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand; everything that a user can put right is said in a line, without a traceback."""
    args = parser().parse_args(argv)
    return status_of(lambda: args.run(args), "train,eval,miniature")


if __name__ == "__main__":
    sys.exit(main())
