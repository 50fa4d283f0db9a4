"""The paper's tables on the miniature or on SDXL: fits and draws what is missing, measures, prints and writes.

python -m trainer.tables 1
python -m trainer.tables 1 2 3 4 figure 10 settings --table docs/results.md
python -m trainer.tables 1 --dry-run
python -m trainer.tables 1 --sdxl sdxl --network ours=network.safetensors --reader reader.safetensors

Table 1 compares five methods, 2 their smoothness, 3 is the user study, 4 density weighting; figure 10 is the scale
factor, settings the published block order, the paper's recipe and the improved one. Without --sdxl it is the miniature:
a run's folder that is not there is made of the shipped weights. An interrupted command goes on when it is run again.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from emoticrafter.files import write_atomically
from trainer.core.command_line import status_of
from trainer.core.rows import DataError, replacing
from trainer.evaluate import LPIPS
from trainer.tables.rows import FITTED, OURS, TABLES

OF_PEOPLE = "table 3 of people"
"""Their study says whose pictures they saw: it belongs to neither the miniature's table nor SDXL's."""


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("python -m trainer.tables", description=__doc__, formatter_class=raw)
    add = top.add_argument
    add("what", nargs="+", metavar="TABLE", help="1, 2, 3, 4, figure 10, settings; several are made together")
    add("--out", type=Path, default=Path("runs/tables"), help="pictures and results (%(default)s)")
    add("--table", type=Path, metavar="FILE", help="a document that gets the tables between its marks")
    add("--prompts", type=int, metavar="N", help="the first N prompts alone (default: 42, or SDXL's 132)")
    add("--seeds", type=int, default=1, help="pictures of every prompt and point (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (%(default)s)")
    add("--processes", type=int, default=1, metavar="N", help="that draw at once (%(default)s)")
    add("--no-fit", action="store_true", help="leave out networks that are not fitted")
    add("--dry-run", action="store_true", help="say what is missing, how long it takes and how large it is")
    add = top.add_argument_group("on the miniature").add_argument
    add("--run", type=Path, default=Path("runs/miniature"), help="the run's folder (%(default)s)")
    add("--baselines", type=Path, default=Path("runs/baselines"), help="the baselines' runs (%(default)s)")
    add("--shipped", type=Path, default=Path("miniature"), help="weights to restore a run of (%(default)s)")
    add("--networks", type=int, default=3, help="networks of each row, seeds of the fit (%(default)s)")
    add = top.add_argument_group("on SDXL").add_argument
    add("--sdxl", metavar="MODEL", help="diffusers folder, hub id or .safetensors")
    add(
        "--network",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help=f"a fitted network; several of a name are several seeds. Names: {', '.join(FITTED)}",
    )
    add("--rewritten", type=Path, metavar="FILE", help="of python -m trainer.baselines rewrite")
    add("--reader", metavar="FILE", help="reads valence and arousal (see trainer.evaluate)")
    add("--backbone", metavar="ID", help="the reader's image model")
    add("--lpips", choices=LPIPS, help="network of LPIPS (alex)")
    add("--lpips-weights", type=Path, metavar="FILE", help="its weights")
    add = top.add_argument_group("on both").add_argument
    add("--clip", metavar="ID", help="CLIP for CLIPScore and CLIP-IQA (none on the miniature)")
    add("--answers", type=Path, metavar="FOLDER", help="table 3: people's files, with --key")
    add("--key", type=Path, metavar="FILE", help="table 3: the study's key.json")
    return top


def table_names(words: list[str]) -> list[str]:
    """The tables that the words name: "1" and "figure 10".

    Raises:
        DataError: there is no such table.
    """
    joined = " ".join(words).replace("figure 10", "figure-10").replace("table ", "").split()
    names = [{"figure-10": "figure 10"}.get(w, w if w == "settings" else f"table {w}") for w in joined]
    if unknown := [name for name in names if name not in TABLES]:
        raise DataError(
            f"{unknown[0].removeprefix('table ')!r} is no table: expected 1, 2, 3, 4, figure 10 or settings."
        )
    return list(dict.fromkeys(names))


# ---- what is asked ---------------------------------------------------------------------------------


def check(options: argparse.Namespace) -> None:
    """Raises DataError with everything that is wrong with the options."""
    problems = [
        f"--{name} {getattr(options, name)}: expected at least 1"
        for name in ("prompts", "seeds", "networks", "processes")
        if getattr(options, name) is not None and getattr(options, name) < 1
    ]
    if bool(options.answers) != bool(options.key):
        problems.append("--answers and --key go together: people's files, and what they were asked")
    if options.sdxl and not options.reader:
        problems.append("--sdxl needs --reader, which reads valence and arousal off pictures")
    if options.sdxl and not any(word.startswith(f"{OURS}=") for word in options.network):
        problems.append(f"--sdxl needs --network {OURS}=FILE, which the other rows are compared with")
    if not options.sdxl and (options.network or options.rewritten or options.reader):
        problems.append("--network, --rewritten and --reader are for --sdxl; the miniature has its own")
    if problems:
        raise DataError("These options cannot be used:\n" + "\n".join(f"  {text}" for text in problems))


def source_of(options: argparse.Namespace):
    from trainer.tables.sources import Miniature, Sdxl, given_networks

    if options.sdxl:
        return Sdxl(options.sdxl, given_networks(options.network), options.rewritten)
    return Miniature(options.run, options.baselines, options.networks)


def meter_options(options: argparse.Namespace, source) -> argparse.Namespace:
    """The options of trainer.evaluate for these pictures."""
    from trainer.evaluate import evaluate_parser

    words = [str(options.out / "images"), "--out", str(options.out), "--device", options.device]
    if not options.sdxl:
        words += ["--miniature", str(source.run)]
    for name in ("reader", "backbone", "clip", "lpips", "lpips_weights"):
        if getattr(options, name):
            words += ["--" + name.replace("_", "-"), str(getattr(options, name))]
    return evaluate_parser().parse_args(words)


# ---- the commands ----------------------------------------------------------------------------------


def make_tables(options: argparse.Namespace, command: str) -> int:
    """Fits, draws, measures and writes."""
    from trainer.miniature.commands import quiet
    from trainer.tables.draw import Asked, draw, dry_run

    check(options)
    names, source = table_names(options.what), source_of(options)
    if names == ["table 3"] and options.answers:
        _people(options, command)
        return 0
    names, failed = _possible(options, names)
    if not names:
        return failed
    asked = Asked(options.out / "images", options.prompts, options.seeds, options.processes, options.device)
    drawings = list(dict.fromkeys(drawing for name in names for drawing in _drawings(name, source)))
    quiet()
    if options.dry_run:
        print(dry_run(source, drawings, asked, not options.no_fit and not options.sdxl))
        return failed
    drawings = _fitted(options, source, drawings)
    draw(source, drawings, asked)
    return _measure(options, command, names, source, drawings, asked) or failed


def _possible(options: argparse.Namespace, names: list[str]) -> tuple[list[str], int]:
    """The tables that so many prompts allow, and the command's status; says why the others are left out."""
    if "table 3" not in names or options.answers:
        return names, 0
    from trainer.tables import people

    why = people.too_few(options.prompts, options.seeds)
    if why:
        print(f"error: {why}", file=sys.stderr)
    return [name for name in names if name != "table 3" or not why], int(bool(why))


def _drawings(name: str, source) -> list:
    """What a table needs; people judge the pictures of one network."""
    every = [drawing for row in TABLES[name].rows for drawing in source.drawings(row)]
    return [drawing for drawing in every if drawing.seed == 0] if name == "table 3" else every


def _fitted(options: argparse.Namespace, source, drawings: list) -> list:
    """The drawings whose network is there, after the missing ones are fitted."""
    from trainer.tables.sources import check_base, fit

    if not options.sdxl and not (source.run / "recipe.json").is_file():
        from trainer.miniature.restore import restore

        restore(options.shipped, source.run)
        print(f"{source.run}: made of the shipped weights in {options.shipped}", flush=True)
    if not options.sdxl:
        check_base(source, drawings)
    missing = [drawing for drawing in drawings if not source.is_there(drawing)]
    if missing and not options.no_fit:
        fit(source, missing, options.device)
    elif missing:
        print("left out, because they are not fitted: " + ", ".join(drawing.method for drawing in missing))
    there = [drawing for drawing in drawings if source.is_there(drawing)]
    if not any(drawing.row == OURS for drawing in there):
        raise DataError(f"There is no network of {OURS}, which the other rows are compared with.")
    return there


def _measure(options, command: str, names: list[str], source, drawings: list, asked) -> int:
    """Makes one table after the other; what is wrong with one is said, and the next one made."""
    from trainer.tables.figures import Meter

    meter, failed = Meter(meter_options(options, source)), 0
    for name in names:
        own = [drawing for drawing in _drawings(name, source) if drawing in drawings]
        try:
            if name == "table 3":
                _user_study(options, command, own, meter, asked.manifest)
            else:
                _table(options, command, name, own, meter, asked.manifest)
        except DataError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed = 1
    return failed


def _table(options, command: str, name: str, drawings: list, meter, manifest: Path) -> None:
    from trainer.tables import text
    from trainer.tables.figures import find

    table = TABLES[name]
    found = find(table, manifest, drawings, meter)
    networks = {row: [str(d.network) for d in drawings if d.row == row and d.network] for row in table.rows}
    body = text.markdown(found, command)
    if name == "figure 10":
        body = f"{_curve(options, found, drawings)}\n\n{body}"
    if name == "table 1":
        body = f"{body}\n\n{_side_by_side(options, drawings, manifest)}"
    _write(options, name, table.title, body, text.as_json(found, networks))


def _curve(options: argparse.Namespace, found, drawings: list) -> str:
    from trainer.tables import curve
    from trainer.tables.sources import scales_of

    curve.draw_curve(found, scales_of(drawings), options.out)
    return _shown(options, f"{curve.NAME}.png", "Slope, error and content over the scale factor")


def _side_by_side(options: argparse.Namespace, drawings: list, manifest: Path) -> str:
    from trainer.tables import side_by_side

    prompt = side_by_side.draw_side_by_side(manifest, drawings, options.out)
    text = f"“{prompt}” along valence and along arousal, by each method"
    return _shown(options, side_by_side.NAME + side_by_side.SUFFIX, text)


def _shown(options: argparse.Namespace, name: str, text: str) -> str:
    """Puts a drawn figure beside the document, and gives its line there."""
    if options.table:
        drawn = (options.out / name).read_bytes()
        beside = options.table.parent / "images" / name
        write_atomically(beside, lambda temporary: temporary.write_bytes(drawn))
    return f"![{text}](images/{name})"


def _user_study(options: argparse.Namespace, command: str, drawings: list, meter, manifest: Path) -> None:
    if options.answers:
        _people(options, command)
        return
    from trainer.tables import people

    found = people.simulated(options.out, *meter.measure(manifest, drawings), drawings)
    _write(options, "table 3", TABLES["table 3"].title, people.markdown(found, command), found)


def _people(options: argparse.Namespace, command: str) -> None:
    from trainer.tables import people

    found = people.of_people(options.answers, options.key)
    title = f"{TABLES['table 3'].title} {found['study']}"
    _write(options, OF_PEOPLE, title, people.markdown(found, command), found)


def _write(options: argparse.Namespace, name: str, title: str, body: str, found: dict) -> None:
    """Prints a table and writes it; whose pictures people saw is in their study, not in the options."""
    from trainer.miniature.table import write_table

    sdxl = bool(options.sdxl) and name != OF_PEOPLE
    where = "" if name == OF_PEOPLE else f" on SDXL ({options.sdxl})" if sdxl else " on the miniature"
    heading = f"{name.capitalize()}{where}: {title}"
    print(f"\n{heading}\n\n{body}")
    stem = options.out / name.replace(" ", "-")
    with replacing(stem.with_suffix(".md")) as stream:
        stream.write(f"# {heading}\n\n{body}\n")
    with replacing(stem.with_suffix(".json")) as stream:
        json.dump(found, stream, ensure_ascii=False, indent=1, allow_nan=False)
    if options.table:
        write_table(options.table, body, f"{name} on SDXL" if sdxl else name)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; everything that a user can put right is said in a line, without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(words)
    command = f"python -m trainer.tables {shlex.join(words)}"
    return status_of(lambda: make_tables(options, command), "eval,miniature", RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
