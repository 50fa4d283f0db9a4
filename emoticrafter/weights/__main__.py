"""Downloads, converts and inspects network files.

python -m emoticrafter.weights download                    # lists what the authors have published
python -m emoticrafter.weights download scale_factor_1.5.pth --to models/emoticrafter
python -m emoticrafter.weights convert in.pth out.safetensors --dtype float16
python -m emoticrafter.weights inspect out.safetensors
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from ..command_line import CommandLine
from ..files import file_sha256
from ..quoting import shorten, shown
from . import hub, load_network, read_metadata, save_network
from .files import DTYPES, dtype_name, existing_file, target_file


def convert(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Rewrites a network (published .pth or ours) as a safetensors file of ours in another dtype."""
    print(f"Reading {source} ({source.stat().st_size / 1e6:,.1f} MB) ...", flush=True)
    network = load_network(source, dtype=dtype)
    if source.suffix == ".safetensors":
        training = read_metadata(source)["training"]
    else:
        training = {"converted_from": {"file": source.name, "sha256": file_sha256(source)}}
    print(f"Writing {target} ...", flush=True)
    save_network(network, target, training)
    inspect(target)


def inspect(path: Path) -> None:
    """Prints what a network file holds."""
    network = load_network(path)
    training = read_metadata(path)["training"] if path.suffix == ".safetensors" else {}
    encoder = network.encoder
    parameters = sum(p.numel() for p in network.parameters())
    dtype = network.weight.dtype
    print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB, sha256 {file_sha256(path)}")
    print(f"{parameters / 1e6:,.2f} million parameters, {dtype_name(dtype)}")
    for name, value in asdict(network.config).items():
        print(f"  {name:16} {value}")
    print(f"  {'text encoder':16} {shown(encoder.family) if encoder else 'not recorded'}")
    print("training: " + (json.dumps(training, indent=2) if training else "not recorded"))


def download(name: str | None, folder: Path, repository: str) -> None:
    """Downloads one published file, or lists what there is."""
    endpoint = hub.endpoint()
    files = hub.list_files(repository, endpoint)
    if name is None:
        print(f"{endpoint}/{repository} has:")
        for file in files:
            print(f"  {file.path:40} {file.size / 1e6:10,.1f} MB")
        print("Name one of them to download it.")
        return
    path = hub.download(repository, hub.choose(files, name), folder, endpoint)
    print(f"{path} is complete. Convert it to a third of the size:")
    print(f"  python -m emoticrafter.weights convert {path} {path.with_suffix('.safetensors')} --dtype float16")


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(prog="python -m emoticrafter.weights", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    one = commands.add_parser("convert", help="rewrite a network as a safetensors file, smaller in half precision")
    one.add_argument("source", type=Path, help="a published .pth, or a .safetensors of ours")
    one.add_argument("target", type=Path, help="the .safetensors file to write")
    one.add_argument("--dtype", choices=DTYPES, default="float16", help="default: %(default)s")
    one = commands.add_parser("inspect", help="show sizes, dtype, checksum and how it was trained")
    one.add_argument("file", type=Path)
    one = commands.add_parser(
        "download",
        help="fetch published weights from the Hugging Face hub",
        description="Without a name: lists the files. HF_ENDPOINT names another hub, such as a mirror.",
    )
    one.add_argument("name", nargs="?", help="a file of the repository, such as scale_factor_1.5.pth")
    one.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="default: the current folder")
    one.add_argument("--repository", default=hub.REPOSITORY, help="default: %(default)s")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "convert":
            convert(existing_file(options.source), target_file(options.target), DTYPES[options.dtype])
        elif options.command == "inspect":
            inspect(existing_file(options.file))
        else:
            download(options.name, options.to, options.repository)
    except (ValueError, OSError) as error:
        print(f"error: {shorten(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = " What has come is kept; run the same command again to go on."
        print("\nStopped." + (kept if options.command == "download" else ""), file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
