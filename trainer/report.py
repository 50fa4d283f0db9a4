"""Writes the report of a run: one HTML file that holds all it shows, and the figures as PNGs.

    python -m trainer.report runs/paper

It makes runs/paper/report.html and runs/paper/report/*.png. The figures of the data need the data folder: --data says
where it is now, if it was moved.
"""

import argparse
import sys
from pathlib import Path

from trainer.core.command_line import status_of


def main(arguments: list[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m trainer.report", description=__doc__, formatter_class=raw)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--data", type=Path, help="the data folder, if it was moved")
    options = parser.parse_args(arguments)

    def report() -> None:
        from trainer.runs.report import write_report

        path = write_report(options.run, options.data)
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB), its figures in {options.run / 'report'}")

    return status_of(report, "train")


if __name__ == "__main__":
    sys.exit(main())
