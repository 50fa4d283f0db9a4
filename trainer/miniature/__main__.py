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

A command that was interrupted goes on where it stopped when it is run again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from emoticrafter.files import write_atomically
from trainer.core.command_line import status_of
from trainer.core.options import count, seed
from trainer.miniature.commands import add_commands
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
    add_commands(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand; everything that a user can put right is said in a line, without a traceback."""
    args = parser().parse_args(argv)
    return status_of(lambda: args.run(args), "train,eval,miniature")


if __name__ == "__main__":
    sys.exit(main())
