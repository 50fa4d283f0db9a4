"""Writes the report of a run: one self-contained HTML file, and its figures as PNGs.

    python -m trainer.report runs/paper

makes runs/paper/report.html and runs/paper/report/*.png. The figures show the data, too: --data gives the data folder
if it was moved.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from trainer.core.command_line import status_of
from trainer.core.settings import option, read_command


@dataclass(frozen=True)
class Report:
    """Write a run's report."""

    run: Path = option("the run's folder", positional=True)
    data: Path | None = option("the data folder, if it was moved", None)


def report(options: Report) -> None:
    """Writes a run's report and prints where it is."""
    from trainer.runs.report import write_report

    path = write_report(options.run, options.data)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB); figures in {options.run / 'report'}")


def main(arguments: list[str] | None = None) -> int:
    options = read_command("trainer.report", __doc__, Report, arguments)
    return status_of(lambda: report(options), "train")


if __name__ == "__main__":
    sys.exit(main())
