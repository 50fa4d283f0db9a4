"""Reading settings or tables does not wait for torch: commands answer at once, and workers start quickly."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICK = (
    *(f"trainer.{path.parent.name}.settings" for path in sorted(ROOT.glob("trainer/*/settings.py"))),
    *(f"trainer.data.{path.stem}" for path in sorted(ROOT.glob("trainer/data/[a-z]*.py"))),
    *(f"trainer.core.{name}" for name in ("command_line", "device", "journal", "lock", "processes", "rows")),
    *(f"trainer.features.{name}" for name in ("manifest", "tokenizer")),
    *(f"trainer.miniature.{name}" for name in ("dataset", "recipe")),
    *(f"trainer.{name}" for name in ("prepare", "train", "report", "evaluate", "generate")),
    *(f"trainer.{name}.__main__" for name in ("tables", "study", "miniature", "baselines")),
)
HEAVY = {"torch", "transformers", "diffusers", "scipy", "matplotlib"}
SCRIPT = f"""
import importlib, sys
for name in {QUICK}:
    importlib.import_module(name)
    if found := {HEAVY} & set(sys.modules):
        sys.exit(f"{{name}} imports {{found}}")
"""


def test_commands_settings_and_data_modules_import_nothing_heavy():
    assert {"trainer.runs.settings", "trainer.tables.settings", "trainer.data.pairs"} < set(QUICK)
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
