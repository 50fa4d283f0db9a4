"""The paper's tables on the miniature or on SDXL: fits and draws what is missing, measures, prints and writes.

python -m trainer.tables 1
python -m trainer.tables 1 2 3 4 figure 10 settings --table docs/results.md
python -m trainer.tables 1 --dry-run
python -m trainer.tables 1 --sdxl sdxl --network ours=network.safetensors --reader reader.safetensors

Table 1 compares five methods, 2 their smoothness, 3 is the user study, 4 density weighting; figure 10 is the scale
factor, settings the published block order, the paper's recipe and the improved one. Without --sdxl it is the miniature:
a run's folder that does not exist is made from the shipped weights. An interrupted command continues when it is run
again.
"""

import shlex
import sys
from dataclasses import replace

from trainer.core.command_line import quiet, status_of
from trainer.core.settings import read_command
from trainer.tables.settings import TablesSettings


def make(settings: TablesSettings) -> int:
    from trainer.tables.make import make_tables

    quiet()
    return make_tables(settings)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; a user's mistake is told in one line, without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    settings = read_command("trainer.tables", __doc__, TablesSettings, words)
    settings = replace(settings, command=f"python -m trainer.tables {shlex.join(words)}")
    return status_of(lambda: make(settings), "eval,miniature", RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
