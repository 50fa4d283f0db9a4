"""The miniature's subcommands that train and export; `python -m trainer.miniature` adds them to its own.

What they run is imported when one is called, so that painting pictures needs neither diffusers nor transformers.
"""

import argparse
import dataclasses
from pathlib import Path

from trainer.core.options import count
from trainer.miniature.recipe import TINY, Recipe, is_tiny, read_recipe


def add_commands(commands) -> None:
    """Adds train, ablate, export and restore to argparse's subcommands."""
    _add_training(commands)
    _add_shipping(commands)


def _add_training(commands) -> None:
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


def _add_shipping(commands) -> None:
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


def quiet() -> None:
    """Keeps diffusers and transformers from noting every file they read: that would bury the progress."""
    import diffusers
    import transformers

    diffusers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


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
    export(args.out, begun_recipe(args.out), network, args.to)


def restore_command(args: argparse.Namespace) -> None:
    from trainer.miniature.restore import restore

    quiet()
    restore(args.shipped, args.out)
    print(f"{args.out}: next, python -m trainer.miniature measure --out {args.out}")
