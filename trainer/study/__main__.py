"""User studies, from images to tables.

python -m trainer.study make images/manifest.jsonl --out study
python -m trainer.study analyse answers --key study/key.json

and to try both out before asking people:

python -m trainer.study example --out pictures
python -m trainer.study rehearse --key study/key.json --out answers
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

from trainer.core.command_line import status_of
from trainer.core.rows import read_utf8, replacing
from trainer.study.key import load_key
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import Amounts, minutes


def make(args: argparse.Namespace) -> None:
    """Builds the page and prints what to do with it."""
    settings = StudySettings(
        seed=args.seed,
        participants=args.participants,
        amounts=Amounts(args.order, args.estimate, args.consistency, args.smoothness),
        title=args.title,
        contact=args.contact,
        consent=read_utf8(args.consent) if args.consent else None,
        image_size=args.image_size,
        single_file=args.single_file,
    )
    key = make_study(args.manifest, args.out, settings)
    page = args.out / "page" / "index.html"
    print(f"{page}: {len(key.pictures)} pictures of {len(key.methods)} methods ({', '.join(key.methods)})")
    tasks = max(map(len, key.participants))
    print(f"  {len(key.participants)} plans of {tasks} tasks, about {minutes(key.participants)} minutes each")
    print(f"  try it: open {page} in a browser; participant 7's link ends in index.html?p=7")
    print(f"{args.out / 'key.json'}: keep it to yourself; the analysis needs it, and it names the methods")


def analyse(args: argparse.Namespace) -> None:
    """Reads the answers, prints the tables and writes them where asked."""
    from trainer.study.analyse import analyse
    from trainer.study.answers import read_answers
    from trainer.study.report import as_markdown, as_text

    key = load_key(args.key)
    found = analyse(read_answers(args.answers, key, args.failed_checks), key, args.seed)
    print(as_text(found))
    if args.json:
        with replacing(args.json) as stream:
            json.dump(found, stream, ensure_ascii=False, indent=1, allow_nan=False)
    if args.markdown:
        with replacing(args.markdown) as stream:
            stream.write(as_markdown(found))


def example(args: argparse.Namespace) -> None:
    """Paints pictures to make a study of."""
    from trainer.study.rehearsal import STRENGTHS, paint_example

    manifest = paint_example(args.out, args.prompts, seed=args.seed)
    shares = ", ".join(f"{name} {share:g}" for name, share in STRENGTHS.items())
    print(
        f"{manifest}: {args.prompts} scenes at 25 points; shares of the asked emotion that are painted: {shares}"
    )


def rehearse(args: argparse.Namespace) -> None:
    """Has simulated participants answer."""
    from trainer.study.rehearsal import rehearse

    paths = rehearse(load_key(args.key), args.out, args.count, args.seed)
    print(f"{args.out}: {len(paths)} files of simulated answers, marked as such")


# ----------------------------------------------------------------------------------------------------
# The command line
# ----------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line; each subcommand stores its function as `run`."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("python -m trainer.study", description=__doc__, formatter_class=raw)
    commands = top.add_subparsers(required=True, metavar="command")
    _make_options(commands.add_parser("make", help="build the page"))
    _analyse_options(commands.add_parser("analyse", help="tables from the answers"))
    painted = commands.add_parser("example", help="paint pictures to try it out with")
    painted.add_argument("--out", type=Path, required=True, help="folder for pictures and manifest")
    painted.add_argument("--prompts", type=int, default=12, help="scenes (%(default)s)")
    painted.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    painted.set_defaults(run=example)
    simulated = commands.add_parser("rehearse", help="simulated answers to try the analysis with")
    simulated.add_argument("--key", type=Path, required=True, help="the study's key.json")
    simulated.add_argument("--out", type=Path, required=True, help="folder for the answers")
    simulated.add_argument("--count", type=int, default=24, help="participants (%(default)s)")
    simulated.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    simulated.set_defaults(run=rehearse)
    return top


AMOUNTS = {
    "order": "series of five to put in order, along each axis",
    "estimate": "pictures to estimate",
    "consistency": "pictures to rate against their prompt",
    "smoothness": "series to rate",
}


def _make_options(parser: argparse.ArgumentParser) -> None:
    add, default = parser.add_argument, StudySettings()
    add("manifest", type=Path, metavar="MANIFEST", help="the images, JSON lines (see docs/study.md)")
    add("--out", type=Path, required=True, help="folder for the study; must not be there yet")
    add("--participants", type=int, default=default.participants, help="plans to make (%(default)s)")
    add("--seed", type=int, default=default.seed, help="draws pictures, orders and names (%(default)s)")
    for field in fields(Amounts):
        text = f"{AMOUNTS[field.name]}, for each method (%(default)s)"
        add(f"--{field.name}", type=int, default=field.default, metavar="N", help=text)
    add("--title", default=default.title, help="head of the page (%(default)s)")
    add("--contact", default=default.contact, help="whom participants ask and send the file to (%(default)s)")
    add(
        "--consent",
        type=Path,
        metavar="TXT",
        help="your own consent text; {minutes} and {contact} are filled in",
    )
    add("--image-size", type=int, default=default.image_size, help="longer side in pixels (%(default)s)")
    add("--single-file", action="store_true", help="pictures inside the HTML file")
    parser.set_defaults(run=make)


def _analyse_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("answers", type=Path, metavar="FOLDER", help="the participants' files")
    add("--key", type=Path, required=True, help="the study's key.json")
    add("--json", type=Path, help="write every number here")
    add("--markdown", type=Path, help="write the tables here")
    add(
        "--failed-checks",
        type=int,
        default=1,
        metavar="N",
        help="attention checks one may fail (%(default)s)",
    )
    add("--seed", type=int, default=0, help="of the bootstrap (%(default)s)")
    parser.set_defaults(run=analyse)


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; everything that a user can put right is said in a line, without a traceback."""
    args = parser().parse_args(arguments)
    return status_of(lambda: args.run(args), "train,miniature")


if __name__ == "__main__":
    sys.exit(main())
