"""Imports between rooms go one way, and no two files import each other."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOORS = "the doors"
NAMES = "emoticrafter/__init__.py"  # the library's public names, of the two above it
# Bottom up: a room may import itself and those above it in this list. The doors are the commands.
ROOMS = (
    "emoticrafter",
    "emoticrafter/weights",
    NAMES,
    "emoticrafter/fit",
    "emoticrafter/language",
    "emoticrafter/research",
    "emoticrafter/figures",
    "nodes",
    "trainer",
    "trainer/core",
    "trainer/features",
    "trainer/data",
    "trainer/runs",
    "trainer/evaluation",
    "trainer/world",
    "trainer/miniature",
    "trainer/pictures",
    "trainer/baselines",
    "trainer/painters",
    "trainer/study",
    "trainer/stimuli",
    "trainer/tables",
    DOORS,
)
COMMANDS = {f"trainer/{name}.py" for name in ("prepare", "train", "report", "evaluate", "generate")}
ALONE = {"emoticrafter/fit": {"emoticrafter"}, "trainer/world": set()}  # the other rooms that they may import
FIT_NEEDS = {"torch", "numpy", "scipy", "safetensors"}  # a node fits networks, too
COMFYUI = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "execution", "server"}
IN_COMFYUI = "trainer/features/in_comfyui.py"  # runs in ComfyUI's Python, in a process of its own
READ_OPTIONS = {"emoticrafter/command_line.py", "trainer/core/settings.py"}
FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for part in ("emoticrafter", "nodes", "trainer")
    for path in sorted((ROOT / part).rglob("*.py"))
}


def room_of(file: str) -> str:
    if file in COMMANDS or file.endswith("/__main__.py"):
        return DOORS
    return file if file == NAMES else file.rpartition("/")[0]


def imports(file: str) -> Iterator[tuple[ast.stmt, str]]:
    """Each import of a file, those inside functions too: the statement, and our file or another package's name."""
    for node in ast.walk(FILES[file]):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            folder = file.split("/")[: -node.level] if node.level else []
            names = [[*folder, *(node.module or "").split("."), alias.name] for alias in node.names]
        else:
            continue
        for name in names:
            yield node, our_file([part for part in name if part]) or name[0]


def our_file(name: list[str]) -> str | None:
    """The file of a module, or of the module that holds this name."""
    for parts in (name, name[:-1]):
        for file in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if file in FILES:
                return file
    return None


def only_for_types(file: str) -> set[ast.AST]:
    blocks = [node for node in ast.walk(FILES[file]) if isinstance(node, ast.If)]
    blocks = [block for block in blocks if "TYPE_CHECKING" in ast.dump(block.test)]
    return {node for block in blocks for node in ast.walk(block)}


def test_every_file_belongs_to_a_room():
    assert {room_of(file) for file in FILES} == set(ROOMS)


def test_a_room_imports_only_those_below_it():
    wrong = []
    for file in FILES:
        room = room_of(file)
        below = ROOMS[: ROOMS.index(room) + 1]
        for node, target in imports(file):
            other = room_of(target) if target in FILES else room
            up = other not in below or (other == DOORS and target in FILES)
            apart = other != room and (other == "nodes" or other not in ALONE.get(room, {other}))
            if up or apart:
                wrong.append(f"{file}:{node.lineno} imports {target}")
    assert wrong == []


def test_no_two_files_import_each_other():
    graph = {}
    for file in FILES:
        types = only_for_types(file)
        graph[file] = {target for node, target in imports(file) if target in FILES and node not in types}
        graph[file].discard(file)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_other_packages_are_imported_only_where_they_belong():
    wrong = []
    for file in FILES:
        room = room_of(file)
        for node, target in imports(file):
            relative = isinstance(node, ast.ImportFrom) and node.level > 0
            if target in COMFYUI and room != "nodes" and file != IN_COMFYUI:
                wrong.append(f"{file}:{node.lineno} imports {target}: ComfyUI belongs in nodes/")
            if target in FILES and not relative and room in ("nodes", "emoticrafter/fit"):
                wrong.append(f"{file}:{node.lineno} imports {target} by name: a node pack has no name, use a dot")
            if target == "argparse" and room != DOORS and file not in READ_OPTIONS:
                wrong.append(f"{file}:{node.lineno} imports argparse: a command line is read at the door")
            known = target in FILES or target in FIT_NEEDS or target in sys.stdlib_module_names
            if room == "emoticrafter/fit" and not known:
                wrong.append(f"{file}:{node.lineno} imports {target}: fitting needs {sorted(FIT_NEEDS)} alone")
    assert wrong == []


@pytest.mark.slow
def test_the_library_loads_nothing_heavy_but_torch():
    heavy = {"transformers", "scipy", "trainer", "matplotlib", "PIL", "huggingface_hub"}
    program = f"import sys; from emoticrafter import *; print(sorted({heavy!r} & set(sys.modules)))"
    assert printed(program) == "[]"


def test_what_needs_no_network_loads_no_torch():
    program = "import sys, emoticrafter.files, emoticrafter.language.chat; print('torch' in sys.modules)"
    assert printed(program) == "False"


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
