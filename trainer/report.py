"""Writes the report of a run: one self-contained HTML file, and its figures as PNGs.

    python -m trainer.report runs/paper

makes runs/paper/report.html and runs/paper/report/*.png. The figures show the data, too: --data gives the data folder
if it was moved.
"""

import argparse
import sys
from pathlib import Path

from trainer.core.command_line import status_of


def report(run: Path, data: Path | None) -> None:
    """Writes a run's report and prints where it is."""
    from trainer.runs.report import write_report

    path = write_report(run, data)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB); figures in {run / 'report'}")


def main(arguments: list[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m trainer.report", description=__doc__, formatter_class=raw)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--data", type=Path, help="the data folder, if it was moved")
    options = parser.parse_args(arguments)
    return status_of(lambda: report(options.run, options.data), "train")


if __name__ == "__main__":
    sys.exit(main())
