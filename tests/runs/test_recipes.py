"""The recipes' settings. (tests/comfyui/test_trained_network.py runs the laptop's.)"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.runs.settings import Settings
from trainer.train import read

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "trainer/recipes"


def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", RECIPES / name, *arguments],
        env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def settings_of(tmp_path, name: str, *arguments: str, **environment: str) -> Settings:
    """The settings that a recipe trains with, told by a stand-in for Python that does nothing."""
    told = tmp_path / "told"
    stand_in = tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {told}\nprintf "end\\n" >> {told}\n')
    stand_in.chmod(0o755)
    done = run(name, *arguments, PYTHON=str(stand_in), **environment)
    assert done.returncode == 0, done.stderr
    train, report, _ = told.read_text().split("end\n")
    assert report.split() == ["-m", "trainer.report", arguments[1]]
    words = train.splitlines()
    settings, unread = read(words[words.index("trainer.train") + 1 :])
    assert not unread
    assert not settings.problems()
    return settings


def test_paper_recipe_has_the_published_settings(tmp_path):
    settings = settings_of(tmp_path, "paper.sh", "data/x", "runs/x")
    assert str(settings.data) == "data/x"
    published = Settings()
    assert not settings.differences(published.as_json())
    assert (settings.lr, settings.weight_decay, settings.batch, settings.epochs) == (1e-3, 1e-5, 768, 200)
    assert (settings.block, settings.scale) == ("paper", 1.5)
    assert (settings.density_power, settings.dropout) == (1.0, 0.1)


@pytest.mark.parametrize("name", ["paper.sh", "improved.sh"])
def test_recipes_pass_further_settings_on(tmp_path, name):
    settings = settings_of(tmp_path, name, "data/x", "runs/x", "--accumulate", "4", GPUS="2")
    assert settings.accumulate == 4
    assert settings.resume
