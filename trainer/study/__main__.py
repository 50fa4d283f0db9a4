"""User studies, from images to tables.

python -m trainer.study make images/manifest.jsonl --out study
python -m trainer.study analyse answers --key study/key.json

and to try both before asking people:

python -m trainer.study example --out pictures
python -m trainer.study rehearse --key study/key.json --out answers
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.core.command_line import say, status_of
from trainer.core.rows import read_text, replacing
from trainer.core.settings import option, read_commands
from trainer.study.key import load_key
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import minutes


@dataclass(frozen=True)
class Make:
    """Build the page."""

    manifest: Path = option("the images, JSON lines (see docs/study.md)", metavar="MANIFEST", positional=True)
    out: Path = option("folder for the study; must not exist yet")
    settings: StudySettings
    consent_file: Path | None = option(
        "your own consent text; {minutes} and {contact} are filled in", None, flag="--consent", metavar="TXT"
    )

    def run(self) -> None:
        text = read_text(self.consent_file) if self.consent_file else None
        key = make_study(self.manifest, self.out, replace(self.settings, consent=text))
        page, methods = self.out / "page" / "index.html", ", ".join(key.methods)
        say(f"{page}: {len(key.pictures)} pictures of {len(key.methods)} methods ({methods})")
        plans, tasks = key.participants, max(map(len, key.participants))
        print(f"  {len(plans)} plans of {tasks} tasks, about {minutes(plans)} minutes each")
        print(f"  try it: open {page} in a browser; participant 7's link ends in index.html?p=7")
        print(f"{self.out / 'key.json'}: keep it to yourself; it names the methods, and the analysis needs it")


@dataclass(frozen=True)
class Analyse:
    """Tables from the answers."""

    answers: Path = option("the participants' files", metavar="FOLDER", positional=True)
    key: Path = option("the study's key.json")
    numbers: Path | None = option("write every number here", None, flag="--json", metavar="JSON")
    tables: Path | None = option("write the tables here", None, flag="--markdown", metavar="MARKDOWN")
    failed_checks: int = option("attention checks that a person may fail (%(default)s)", 1, metavar="N")
    seed: int = option("of the bootstrap (%(default)s)", 0)

    def run(self) -> None:
        from trainer.study.analyse import analyse
        from trainer.study.answers import read_answers
        from trainer.study.report import as_markdown, as_text

        study = load_key(self.key)
        found = analyse(read_answers(self.answers, study, self.failed_checks), study, self.seed)
        say(as_text(found))
        if self.numbers:
            with replacing(self.numbers) as stream:
                json.dump(found, stream, ensure_ascii=False, indent=1, allow_nan=False)
        if self.tables:
            with replacing(self.tables) as stream:
                stream.write(as_markdown(found))


@dataclass(frozen=True)
class Example:
    """Paint pictures to try it with."""

    out: Path = option("folder for pictures and manifest")
    prompts: int = option("scenes (%(default)s)", 12)
    seed: int = option("(%(default)s)", 0)

    def run(self) -> None:
        from trainer.study.rehearsal import STRENGTHS, paint_example

        manifest = paint_example(self.out, self.prompts, seed=self.seed)
        shares = ", ".join(f"{name} {share:g}" for name, share in STRENGTHS.items())
        scenes = f"{self.prompts} scenes at 25 points"
        print(f"{manifest}: {scenes}; shares of the asked emotion that are painted: {shares}")


@dataclass(frozen=True)
class Rehearse:
    """Simulate answers to try the analysis with."""

    key: Path = option("the study's key.json")
    out: Path = option("folder for the answers")
    count: int = option("participants (%(default)s)", 24)
    seed: int = option("(%(default)s)", 0)

    def run(self) -> None:
        from trainer.study.rehearsal import rehearse

        paths = rehearse(load_key(self.key), self.out, self.count, self.seed)
        print(f"{self.out}: {len(paths)} files of simulated answers, marked as such")


COMMANDS = {"make": Make, "analyse": Analyse, "example": Example, "rehearse": Rehearse}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a user's mistake is told in one line, without a traceback."""
    command = read_commands("trainer.study", __doc__, COMMANDS, arguments)
    return status_of(command.run, "train,miniature")


if __name__ == "__main__":
    sys.exit(main())
