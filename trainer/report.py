"""Writes the report of a run: one self-contained HTML file, and its figures as PNGs.

    python -m trainer.report runs/paper

makes runs/paper/report.html, runs/paper/report/*.png and nulls.json beside them. A network whose error does not beat a
null (a constant, shuffled labels, the opposite emotion) is told so in the first line. The figures show the data, too:
--data gives the data folder if it was moved.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from trainer.core.command_line import say, status_of
from trainer.core.device import DEVICE_HELP
from trainer.core.settings import option, read_command


@dataclass(frozen=True)
class Report:
    """Write a run's report."""

    run: Path = option("the run's folder", positional=True)
    data: Path | None = option("the data folder, if it was moved", None)
    device: str = option(DEVICE_HELP, "auto")


def report(options: Report) -> None:
    """Writes a run's report; prints what its network fails to beat, then where the report is."""
    from trainer.runs.report import write_report

    path, verdict = write_report(options.run, options.data, options.device)
    if verdict:
        say(verdict)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB); figures in {options.run / 'report'}")


def main(arguments: list[str] | None = None) -> int:
    options = read_command("trainer.report", __doc__, Report, arguments)
    return status_of(lambda: report(options), "train")


if __name__ == "__main__":
    sys.exit(main())
