"""The whole demo in a small size: the real server, the shipped workflow, the miniature."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import demo

ROOT = Path(__file__).parents[2]


def test_the_demo_writes_its_pictures_and_leaves_no_server(server, tmp_path):
    options = ["--prompts", *demo.PROMPTS[:2], "--values", "-3", "3", "--strip", "6", "--steps", "4"]
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), *options, "--output", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert "12 of 12 pictures" in shown
    names = ["emotion_grid_1.png", "emotion_grid_2.png", "emotion_strip.png"]
    assert shown.splitlines()[-3:] == [f"Wrote {tmp_path / name}" for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    first, second = (np.asarray(Image.open(tmp_path / name), dtype=float) for name in names[:2])
    corner = np.s_[demo.TOP : demo.TOP + demo.CELL, demo.LEFT : demo.LEFT + demo.CELL]
    other = np.s_[demo.TOP : demo.TOP + demo.CELL, demo.LEFT + demo.CELL + demo.GAP :][:2]
    assert first[corner].std() > 5, "a picture of one colour"
    assert np.abs(first[corner] - second[corner]).mean() > 5, "two prompts give one picture"
    assert np.abs(first[corner] - first[other][:, : demo.CELL]).mean() > 5, "valence changes nothing"
    address = next(line.split()[-1] for line in shown.splitlines() if "is up at" in line)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}/system_stats", timeout=5)
