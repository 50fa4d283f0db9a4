"""User studies, from images to tables.

python -m trainer.study make images/manifest.jsonl --out study
python -m trainer.study analyse answers --key study/key.json

and to try both before asking people:

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


def make(manifest: Path, out: Path, settings: StudySettings) -> None:
    """Builds the page and prints what to do with it."""
    key = make_study(manifest, out, settings)
    page = out / "page" / "index.html"
    print(f"{page}: {len(key.pictures)} pictures of {len(key.methods)} methods ({', '.join(key.methods)})")
    tasks = max(map(len, key.participants))
    print(f"  {len(key.participants)} plans of {tasks} tasks, about {minutes(key.participants)} minutes each")
    print(f"  try it: open {page} in a browser; participant 7's link ends in index.html?p=7")
    print(f"{out / 'key.json'}: keep it to yourself; it names the methods, and the analysis needs it")


def analyse(
    answers: Path,
    key: Path,
    failed_checks: int = 1,
    seed: int = 0,
    numbers: Path | None = None,
    tables: Path | None = None,
) -> None:
    """Reads the answers, prints the tables and writes numbers (JSON) and tables (Markdown) where asked."""
    from trainer.study.analyse import analyse
    from trainer.study.answers import read_answers
    from trainer.study.report import as_markdown, as_text

    study = load_key(key)
    found = analyse(read_answers(answers, study, failed_checks), study, seed)
    print(as_text(found))
    if numbers:
        with replacing(numbers) as stream:
            json.dump(found, stream, ensure_ascii=False, indent=1, allow_nan=False)
    if tables:
        with replacing(tables) as stream:
            stream.write(as_markdown(found))


def example(out: Path, prompts: int, seed: int) -> None:
    """Paints pictures for a study."""
    from trainer.study.rehearsal import STRENGTHS, paint_example

    manifest = paint_example(out, prompts, seed=seed)
    shares = ", ".join(f"{name} {share:g}" for name, share in STRENGTHS.items())
    print(
        f"{manifest}: {prompts} scenes at 25 points; shares of the asked emotion that are painted: {shares}"
    )


def rehearse(key: Path, out: Path, count: int, seed: int) -> None:
    """Has simulated participants answer."""
    from trainer.study.rehearsal import rehearse

    paths = rehearse(load_key(key), out, count, seed)
    print(f"{out}: {len(paths)} files of simulated answers, marked as such")


# ---- the command line ------------------------------------------------------------------------------

AMOUNTS = {
    "order": "series of five to put in order, along each axis",
    "estimate": "pictures to estimate",
    "consistency": "pictures to rate against their prompt",
    "smoothness": "series to rate",
}


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("python -m trainer.study", description=__doc__, formatter_class=raw)
    commands = top.add_subparsers(required=True, metavar="command", dest="command")
    _make_options(commands.add_parser("make", help="build the page"))
    _analyse_options(commands.add_parser("analyse", help="tables from the answers"))
    add = commands.add_parser("example", help="paint pictures to try it with").add_argument
    add("--out", type=Path, required=True, help="folder for pictures and manifest")
    add("--prompts", type=int, default=12, help="scenes (%(default)s)")
    add("--seed", type=int, default=0, help="(%(default)s)")
    add = commands.add_parser("rehearse", help="simulate answers to try the analysis with").add_argument
    add("--key", type=Path, required=True, help="the study's key.json")
    add("--out", type=Path, required=True, help="folder for the answers")
    add("--count", type=int, default=24, help="participants (%(default)s)")
    add("--seed", type=int, default=0, help="(%(default)s)")
    return top


def _make_options(parser: argparse.ArgumentParser) -> None:
    add, default = parser.add_argument, StudySettings()
    add("manifest", type=Path, metavar="MANIFEST", help="the images, JSON lines (see docs/study.md)")
    add("--out", type=Path, required=True, help="folder for the study; must not exist yet")
    add("--participants", type=int, default=default.participants, help="plans to make (%(default)s)")
    add("--seed", type=int, default=default.seed, help="draws pictures, orders and names (%(default)s)")
    for field in fields(Amounts):
        text = f"{AMOUNTS[field.name]}, for each method (%(default)s)"
        add(f"--{field.name}", type=int, default=field.default, metavar="N", help=text)
    add("--title", default=default.title, help="heading of the page (%(default)s)")
    add("--contact", default=default.contact, help="whom participants ask and send the file to (%(default)s)")
    consent = "your own consent text; {minutes} and {contact} are filled in"
    add("--consent", type=Path, metavar="TXT", help=consent)
    add("--image-size", type=int, default=default.image_size, help="longer side in pixels (%(default)s)")
    add("--single-file", action="store_true", help="put the pictures into the HTML file")


def _analyse_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("answers", type=Path, metavar="FOLDER", help="the participants' files")
    add("--key", type=Path, required=True, help="the study's key.json")
    add("--json", type=Path, dest="numbers", metavar="JSON", help="write every number here")
    add("--markdown", type=Path, dest="tables", metavar="MARKDOWN", help="write the tables here")
    checks = "attention checks that a person may fail (%(default)s)"
    add("--failed-checks", type=int, default=1, metavar="N", help=checks)
    add("--seed", type=int, default=0, help="of the bootstrap (%(default)s)")


def _run(command: str, values: dict) -> None:
    if command == "make":
        amounts = Amounts(**{field.name: values.pop(field.name) for field in fields(Amounts)})
        manifest, out, consent = (values.pop(name) for name in ("manifest", "out", "consent"))
        text = read_utf8(consent) if consent else None
        make(manifest, out, StudySettings(amounts=amounts, consent=text, **values))
    else:
        {"analyse": analyse, "example": example, "rehearse": rehearse}[command](**values)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a user's mistake is told in one line, without a traceback."""
    values = vars(parser().parse_args(arguments))
    command = values.pop("command")
    return status_of(lambda: _run(command, values), "train,miniature")


if __name__ == "__main__":
    sys.exit(main())
