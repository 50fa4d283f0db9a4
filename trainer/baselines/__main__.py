"""The baselines' command line.

python -m trainer.baselines train --method cross-attention --miniature runs/miniature --out runs/cross-attention-0
python -m trainer.baselines train --method time-embedding --sdxl sdxl --manifest pictures/manifest.jsonl --out runs/time
python -m trainer.baselines words --network words.safetensors --valence 2 --arousal -1 --out calm.safetensors
python -m trainer.baselines rewrite --prompts prompts.txt --model llama3.1 --out rewritten.jsonl

An interrupted command goes on where it stopped when it is run again. Heavy imports happen inside the commands, so that
--help is quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from trainer.baselines.settings import Settings
from trainer.core.command_line import quiet, status_of


def parser() -> argparse.ArgumentParser:
    """The command line; each subcommand stores its function as `run`."""
    top = argparse.ArgumentParser(prog="python -m trainer.baselines", description="The paper's baselines.")
    commands = top.add_subparsers(required=True, metavar="command")
    _add_train(commands)
    _add_words(commands)
    _add_rewrite(commands)
    return top


def _add_train(commands) -> None:
    command = commands.add_parser("train", help="fit one baseline to a frozen base model")
    add = command.add_argument
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--miniature", type=Path, metavar="RUN", help="a run of python -m trainer.miniature")
    source.add_argument("--sdxl", type=Path, metavar="FOLDER", help="SDXL in diffusers' layout")
    add("--manifest", type=Path, metavar="FILE", help="with --sdxl: the pictures (see trainer/manifest.py)")
    add("--resolution", type=int, default=1024, help="with --sdxl: pixels of a side (%(default)s)")
    add("--out", type=Path, required=True, help="the folder of this run")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (%(default)s)")
    add("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="(%(default)s)")
    group = command.add_argument_group("settings", "of a new run; one that was begun has to keep its own")
    for field in dataclasses.fields(Settings):
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(field.default),
            default=field.default,
            required=field.name == "method",
            choices=field.metadata["choices"] or None,
            help=f"{field.metadata['help']} ({field.default})",
        )
    command.set_defaults(run=train_command)


def train_command(args: argparse.Namespace) -> None:
    if bool(args.sdxl) != bool(args.manifest):
        raise ValueError("--sdxl and --manifest go together: a model, and the pictures to fit to.")
    settings = Settings(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Settings)})
    from trainer.baselines.base import from_manifest, from_miniature
    from trainer.baselines.train import train
    from trainer.core.device import Machine
    from trainer.core.lock import alone

    quiet()
    machine = Machine.find(args.device, args.precision)
    with alone(args.out):
        if args.miniature:
            base, pictures = from_miniature(args.miniature, machine)
        else:
            base, pictures = from_manifest(args.sdxl, args.manifest, args.resolution, args.out, machine)
        train(settings, base, pictures, args.out, machine)


def _add_words(commands) -> None:
    command = commands.add_parser(
        "words",
        help="write the learned words of textual inversion as an embedding that any program for SDXL reads",
    )
    add = command.add_argument
    add("--network", type=Path, required=True, help="a fitted textual inversion")
    add("--valence", type=float, required=True, help="-3 to 3")
    add("--arousal", type=float, required=True, help="-3 to 3")
    add("--out", type=Path, required=True, help="the file, for ComfyUI's models/embeddings")
    command.set_defaults(run=words_command)


def words_command(args: argparse.Namespace) -> None:
    from emoticrafter.research.baselines import TextualInversion, load_baseline, save_words

    baseline = load_baseline(args.network)
    if not isinstance(baseline, TextualInversion):
        raise ValueError(f"{args.network} is a {baseline.method}: only textual-inversion has learned words.")
    save_words(baseline, args.valence, args.arousal, args.out)
    prompt = baseline.config.template.replace("{prompt}", "a dog on a beach")
    print(f"{args.out}\nIn ComfyUI: {prompt.replace('{emotion}', f'embedding:{args.out.stem}')}")


def _add_rewrite(commands) -> None:
    command = commands.add_parser("rewrite", help="have a language model rewrite prompts over the plane")
    add = command.add_argument
    add("--prompts", type=Path, required=True, help="a text file with a prompt a line")
    add("--out", type=Path, required=True, help="the .jsonl file; answers are kept beside it as they come")
    add("--base-url", default="", help="a server on this computer; default: EMOTICRAFTER_CHAT_URL")
    add("--model", default="", help="default: EMOTICRAFTER_CHAT_MODEL")
    add("--side", type=int, default=5, help="points of the plane along each axis (%(default)s)")
    add("--seed", type=int, default=0, help="sent with every question if it is not 0 (%(default)s)")
    add("--timeout", type=float, default=120, help="seconds for one answer (%(default)s)")
    command.set_defaults(run=rewrite_command)


def rewrite_command(args: argparse.Namespace) -> None:
    from emoticrafter.language.rewriting import chat_settings
    from trainer.baselines.rewrite import rewrite_all

    settings = chat_settings(args.base_url, args.model, args.timeout, os.environ)
    rewrite_all(args.prompts, args.out, settings, args.side, args.seed)


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand; everything that a user can put right is said in a line, without a traceback."""
    args = parser().parse_args(argv)
    return status_of(lambda: args.run(args), "eval", RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
