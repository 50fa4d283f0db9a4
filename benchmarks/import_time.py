"""How much the pack adds to ComfyUI's start.

    python -m benchmarks.import_time
    python -m benchmarks.import_time --repeats 11

Every run is a fresh process that imports what ComfyUI has imported by the time it loads custom nodes, and then
loads the pack as ComfyUI does, schemas included. The table says how long that took (median and range), what
ComfyUI's own imports took before it, and which of our modules cost most by `-X importtime`, own time in brackets.
"""

import argparse
import json
import statistics
import subprocess
import tempfile

from scripts.installation import ROOT, comfyui_folder, comfyui_python

MARK = "---- the pack ----"
PROGRAM = """
import asyncio, importlib, importlib.util, json, logging, sys, time
pack, base, mark = sys.argv[1:]
sys.argv[1:] = ["--cpu", "--base-directory", base]
sys.path.insert(0, "")
logging.disable(logging.CRITICAL)
start = time.perf_counter()
import comfy.options
comfy.options.enable_args_parsing()
for name in ("utils.extra_config", "execution", "nodes", "server"):
    importlib.import_module(name)
before = time.perf_counter()
print(mark, file=sys.stderr)

async def load():
    spec = importlib.util.spec_from_file_location(pack, pack + "/__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[pack] = module
    spec.loader.exec_module(module)
    extension = await module.comfy_entrypoint()
    for node in await extension.get_node_list():
        node.GET_SCHEMA()

asyncio.run(load())
print(json.dumps({"comfyui": before - start, "pack": time.perf_counter() - before}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs that are timed (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        run(base)  # compiles, and fills the disk's cache
        times = [json.loads(run(base).stdout.splitlines()[-1]) for _ in range(options.repeats)]
        modules = our_modules(run(base, "-X", "importtime").stderr)
    for what, name in (("comfyui", "ComfyUI's own imports"), ("pack", "the pack, schemas included")):
        values = [time[what] for time in times]
        print(f"{name:<28}{statistics.median(values):>8.3f} s  ({min(values):.3f} .. {max(values):.3f})")
    for name, own, total in modules:
        print(f"  {name:<26}{total:>8.4f} s  (own {own:.4f})")


def run(base: str, *interpreter: str) -> subprocess.CompletedProcess:
    """One fresh process. Raises CalledProcessError if it fails."""
    command = [comfyui_python(), *interpreter, "-c", PROGRAM, ROOT, base, MARK]
    return subprocess.run(  # noqa: S603 - the program above
        command, cwd=comfyui_folder(), capture_output=True, text=True, check=True
    )


def our_modules(report: str, most: int = 8) -> list[tuple[str, float, float]]:
    """(name, own seconds, seconds with what it imports) of what was imported for the pack, longest first."""
    rows = []
    for line in report.partition(MARK)[2].splitlines():
        if line.startswith("import time:"):
            own, total, name = line.removeprefix("import time:").split("|")
            rows.append((name.strip().removeprefix(f"{ROOT}."), int(own) / 1e6, int(total) / 1e6))
    return sorted(rows, key=lambda row: -row[2])[:most]


if __name__ == "__main__":
    main()
