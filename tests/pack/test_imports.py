"""Imports go one way: nodes -> emoticrafter <- trainer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "nodes": {"nodes", "emoticrafter"},
    "emoticrafter": {"emoticrafter"},
    "trainer": {"trainer", "emoticrafter"},
}
OWN = {"nodes", "emoticrafter", "trainer", "tests", "benchmarks", "scripts"}
COMFYUI = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "execution", "server"}
COMMAND_LINES = {"emoticrafter/weights/__main__.py"}


def imports(path: Path, root: Path):
    """Yields (line, first name of the imported module, whether it is relative)."""
    folder = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0], False
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module.split(".")[0], False
        elif isinstance(node, ast.ImportFrom):
            base = list(folder[: len(folder) - node.level + 1])
            for alias in node.names:
                yield node.lineno, [*base, *(node.module or alias.name).split(".")][0], True


def violations(root: Path) -> list[str]:
    found = []
    for part, allowed in ALLOWED.items():
        for path in sorted((root / part).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            for line, module, relative in imports(path, root):
                if module in OWN and module not in allowed:
                    found.append(f"{name}:{line} imports {module}")
                elif module in COMFYUI and part != "nodes":
                    found.append(f"{name}:{line} imports {module}: ComfyUI belongs in nodes/")
                elif module == "argparse" and part == "emoticrafter" and name not in COMMAND_LINES:
                    found.append(f"{name}:{line} imports argparse: a command line belongs in {COMMAND_LINES}")
                elif part == "nodes" and module in OWN and not relative:
                    found.append(f"{name}:{line} imports {module} by name: a pack has no name, use a dot")
    return found


def test_imports_go_one_way():
    assert violations(ROOT) == []


def test_all_three_parts_are_looked_at():
    for part in ALLOWED:
        assert list((ROOT / part).rglob("*.py")), f"{part}/ holds no Python file"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("emoticrafter/a.py", "import comfy.utils"),
        ("emoticrafter/a.py", "from trainer.data import load_table"),
        ("emoticrafter/a.py", "from ..nodes import emotion"),
        ("emoticrafter/a.py", "import argparse"),
        ("emoticrafter/b/a.py", "from ...trainer import data"),
        ("trainer/a.py", "import nodes"),
        ("trainer/a.py", "def f():\n    from comfy import sd"),
        ("trainer/a.py", "import folder_paths"),
        ("nodes/a.py", "from ..trainer import data"),
        ("nodes/a.py", "from emoticrafter import va"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(tmp_path, file, line):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line)
    assert len(violations(tmp_path)) == 1
    assert violations(tmp_path)[0].startswith(file)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("emoticrafter/a.py", "from .network import EmotionNetwork"),
        ("emoticrafter/weights/__main__.py", "import argparse\nfrom .. import hub"),
        ("trainer/a.py", "import argparse\nfrom emoticrafter import va\nfrom . import data"),
        ("nodes/a.py", "import comfy\nfrom ..emoticrafter import va\nfrom . import emotion"),
    ],
)
def test_an_import_in_the_right_direction_passes(tmp_path, file, line):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line)
    assert violations(tmp_path) == []


def test_the_library_loads_nothing_heavy_but_torch():
    heavy = {"transformers", "scipy", "trainer", "matplotlib", "PIL", "emoticrafter.weights.hub"}
    program = f"import sys; from emoticrafter import *; print(sorted({heavy!r} & set(sys.modules)))"
    assert printed(program) == "[]"


def test_what_needs_no_network_loads_no_torch():
    program = "import sys, emoticrafter.files, emoticrafter.language.chat; print('torch' in sys.modules)"
    assert printed(program) == "False"


def printed(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
