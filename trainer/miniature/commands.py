"""The miniature's subcommands that train, measure and export; `python -m trainer.miniature` adds them to its own.

What they run is imported when one is called, so that painting pictures needs neither diffusers nor transformers.
"""

import argparse
import dataclasses
from pathlib import Path

from trainer.core.options import count
from trainer.miniature.recipe import TINY, Recipe, is_tiny, read_recipe


def add_commands(commands) -> None:
    """Adds train, ablate, measure, override, export, restore and captions to argparse's subcommands."""
    _add_training(commands)
    _add_measuring(commands)
    _add_shipping(commands)
    command = commands.add_parser(
        "captions",
        help="write the painter's emotional captions of the held-out prompts, as rewritten prompts",
    )
    command.add_argument("--out", type=Path, required=True, help="the .jsonl file, for trainer.generate")
    command.set_defaults(run=captions_command)


def _add_training(commands) -> None:
    command = _command(commands, "train", "train all parts, going on from where they are", train_command)
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

    command = _command(commands, "ablate", "fit the emotion networks that are compared", ablate_command)
    command.add_argument("--networks", type=count, default=2, help="networks of every variant (%(default)s)")
    command.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="default: all")


def _add_measuring(commands) -> None:
    command = _command(
        commands, "measure", "draw held-out prompts over the plane and read them", measure_command
    )
    command.add_argument("--prompts", type=count, default=42, help="held-out prompts (%(default)s)")
    command.add_argument(
        "--seeds", type=count, default=2, help="pictures of every prompt and point (%(default)s)"
    )
    command.add_argument(
        "--networks", nargs="+", type=Path, metavar="FILE", help="default: the run's default-*"
    )
    command.add_argument("--table", type=Path, metavar="FILE", help="a document that gets the table")

    text = "draw emotional captions with the opposite value asked, and read what wins"
    command = _command(commands, "override", text, override_command)
    command.add_argument("--prompts", type=count, default=42, help="held-out scenes (%(default)s)")
    command.add_argument("--network", type=Path, metavar="FILE", help="default: the run's first")
    command.add_argument("--table", type=Path, metavar="FILE", help="a document that gets the table")


def _add_shipping(commands) -> None:
    command = _command(commands, "export", "write the weights for shipping", export_command)
    command.add_argument("--to", type=Path, default=Path("miniature"), help="folder (%(default)s)")
    command.add_argument("--network", type=Path, metavar="FILE", help="default: the run's first")

    command = commands.add_parser("restore", help="make a run's folder of the shipped weights")
    add = command.add_argument
    add("--from", type=Path, default=Path("miniature"), dest="shipped", help="what is shipped (%(default)s)")
    add("--out", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)")
    command.set_defaults(run=restore_command)


def _command(commands, name: str, text: str, run) -> argparse.ArgumentParser:
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
    recipe = _begun(args.out) if begun else TINY if args.tiny else Recipe()
    if args.tiny and not is_tiny(recipe):
        raise ValueError(
            f"{args.out} was begun without --tiny: leave it out to go on, or choose another --out."
        )
    if args.tiny and not begun:
        print(f"{args.out}: tiny sizes: learns nothing")
    names = [field.name for field in dataclasses.fields(Recipe)]
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    return dataclasses.replace(recipe, **given)


def _begun(out: Path) -> Recipe:
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

    ablate(args.out, _begun(args.out), _machine(args), args.networks, args.variants)


def measure_command(args: argparse.Namespace) -> None:
    from trainer.miniature.folders import needs
    from trainer.miniature.measure import Bench, find_networks, measure
    from trainer.miniature.table import table, write_table

    recipe, machine = _begun(args.out), _machine(args)
    needs(args.out, "autoencoder", "generator", "readers")
    networks = find_networks(args.out, args.networks)
    bench = Bench(args.out, recipe, machine, args.prompts, args.seeds)
    rows = measure(args.out, bench, networks, at_once=32 if machine.device.type == "cuda" else 2)
    text = f"{args.prompts} held-out prompts, 25 points, {args.seeds} seeds; {_drawn(recipe, machine)}\n\n{table(rows)}"
    print(text)
    if args.table:
        write_table(args.table, text)


def override_command(args: argparse.Namespace) -> None:
    from trainer.miniature.folders import needs
    from trainer.miniature.measure import Bench, find_networks
    from trainer.miniature.override import override
    from trainer.miniature.table import write_table

    recipe, machine = _begun(args.out), _machine(args)
    needs(args.out, "autoencoder", "generator", "readers")
    network, *_ = find_networks(args.out, [args.network] if args.network else None).values()
    bench = Bench(args.out, recipe, machine, args.prompts, seeds=1)
    text = f"{args.prompts} held-out scenes, 1 seed; {_drawn(recipe, machine)}\n\n{override(bench, network)}"
    print(text)
    if args.table:
        write_table(args.table, text, "override")


def _drawn(recipe: Recipe, machine) -> str:
    """How pictures are drawn, for people."""
    return (
        f"{recipe.sampler_steps} steps of euler, scheduler simple, guidance {recipe.guidance:g}. On a "
        f"{'GPU' if machine.device.type == 'cuda' else 'CPU'} in {'bfloat16' if machine.bfloat16 else 'float32'}."
    )


def export_command(args: argparse.Namespace) -> None:
    from trainer.miniature.export import export

    quiet()
    network = args.network or args.out / "emotion" / "default-0" / "network.safetensors"
    export(args.out, _begun(args.out), network, args.to)


def restore_command(args: argparse.Namespace) -> None:
    from trainer.miniature.restore import restore

    quiet()
    restore(args.shipped, args.out)
    print(f"{args.out}: next, python -m trainer.miniature measure --out {args.out}")


def captions_command(args: argparse.Namespace) -> None:
    from trainer.core.rows import write_jsonl
    from trainer.painters.miniature import emotional_captions
    from trainer.painters.plan import LEVELS

    rows = emotional_captions(LEVELS)
    write_jsonl(args.out, rows)
    print(f"{args.out}: {len(rows):,} captions")
