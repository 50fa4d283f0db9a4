"""Makes the data folder that training reads: ``pairs.jsonl``, then ``features/``.

    python -m trainer.prepare --out data/findingemo --encoder sd_xl_base_1.0.safetensors
    python -m trainer.prepare --pairs prompt_mapping.csv --out data/emoticrafter
    python -m trainer.prepare --pairs my.csv --scale=1..9 --out data/mine --pairs-only

Pairs from pictures, and pairs that people have verified:

    python -m trainer.prepare images --oasis OASIS.csv --folder pictures --out images.jsonl
    python -m trainer.prepare write-prompts images.jsonl --folder pictures --out written.jsonl --base-url U --model M
    python -m trainer.prepare caption-pairs images.jsonl --out written.jsonl
    python -m trainer.prepare review-export written.jsonl --out review.csv
    python -m trainer.prepare review-import written.jsonl anna.csv ben.csv chen.csv --out verified.jsonl
    python -m trainer.prepare --pairs verified.jsonl --out data/oasis

Every command explains itself with --help. An interrupted command goes on where it stopped when it is run again.
"""

from __future__ import annotations

import sys

from trainer.core.command_line import status_of
from trainer.data.data_folder import prepare
from trainer.data.picture_commands import captions, images, write
from trainer.data.review_commands import review_export, review_import

COMMANDS = {
    "images": images,
    "caption-pairs": captions,
    "write-prompts": write,
    "review-export": review_export,
    "review-import": review_import,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; everything that a user can put right is said in a line, without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if broken := [argument for argument in arguments if "\0" in argument]:
        print(f"error: {broken[0]!r} holds a NUL character, which no path or option can", file=sys.stderr)
        return 2
    if not arguments or arguments[0].startswith("-"):
        return status_of(lambda: prepare(arguments, _others()), "train")
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return status_of(lambda: COMMANDS[name](rest), "train")


def _others() -> str:
    return "\n".join(
        f"  {name:<15}{command.__doc__.partition(chr(10))[0]}" for name, command in COMMANDS.items()
    )


if __name__ == "__main__":
    sys.exit(main())
