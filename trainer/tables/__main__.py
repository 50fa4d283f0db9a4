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

import argparse
import shlex
import sys
from pathlib import Path

from trainer.core.command_line import status_of
from trainer.core.device import DEVICE_HELP
from trainer.evaluation.scoring import LPIPS
from trainer.tables.rows import FITTED
from trainer.tables.settings import TablesSettings


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("python -m trainer.tables", description=__doc__, formatter_class=raw)
    add = top.add_argument
    add("what", nargs="+", metavar="TABLE", help="1, 2, 3, 4, figure 10, settings; several are made together")
    add("--out", type=Path, default=Path("runs/tables"), help="pictures and results (%(default)s)")
    text = "a document that gets the tables between its marks"
    add("--table", type=Path, metavar="FILE", dest="document", help=text)
    add("--prompts", type=int, metavar="N", help="only the first N prompts (default: 42, or SDXL's 132)")
    add("--seeds", type=int, default=1, help="pictures of every prompt and point (%(default)s)")
    add("--device", default="auto", help=DEVICE_HELP)
    add("--processes", type=int, default=1, metavar="N", help="processes that draw at once (%(default)s)")
    add("--no-fit", action="store_false", dest="fit", help="leave out networks that are not fitted")
    add(
        "--dry-run",
        action="store_true",
        help="only say what is missing, how long it takes and how large it is",
    )
    _add_miniature(top.add_argument_group("on the miniature").add_argument)
    _add_sdxl(top.add_argument_group("on SDXL").add_argument)
    add = top.add_argument_group("on both").add_argument
    add("--clip", metavar="ID", help="CLIP for CLIPScore and CLIP-IQA (none on the miniature)")
    add("--answers", type=Path, metavar="FOLDER", help="table 3: people's files, with --key")
    add("--key", type=Path, metavar="FILE", help="table 3: the study's key.json")
    return top


def _add_miniature(add) -> None:
    add("--run", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)")
    add("--baselines", type=Path, default=Path("runs/baselines"), help="the baselines' runs (%(default)s)")
    add("--shipped", type=Path, default=Path("miniature"), help="weights to restore a run from (%(default)s)")
    add("--networks", type=int, default=3, help="networks of each row, seeds of the fit (%(default)s)")


def _add_sdxl(add) -> None:
    add("--sdxl", metavar="MODEL", help="diffusers folder, hub id or .safetensors")
    text = f"a fitted network; several of a name are several seeds. Names: {', '.join(FITTED)}"
    add("--network", nargs="+", action="extend", default=[], metavar="NAME=FILE", help=text)
    add("--rewritten", type=Path, metavar="FILE", help="of python -m trainer.baselines rewrite")
    add("--reader", metavar="FILE", help="reads valence and arousal (see trainer.evaluate)")
    add("--backbone", metavar="ID", help="the reader's image model")
    add("--lpips", choices=LPIPS, help="network of LPIPS (alex)")
    add("--lpips-weights", type=Path, metavar="FILE", help="its weights")


def read_settings(words: list[str]) -> TablesSettings:
    """The settings of a command line; the tables say by which command they were made."""
    return TablesSettings(
        **vars(parser().parse_args(words)), command=f"python -m trainer.tables {shlex.join(words)}"
    )


def make(settings: TablesSettings) -> int:
    from trainer.core.command_line import quiet
    from trainer.tables.make import make_tables

    quiet()
    return make_tables(settings)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; a user's mistake is told in one line, without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    settings = read_settings(words)
    return status_of(lambda: make(settings), "eval,miniature", RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
