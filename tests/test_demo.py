"""The demo's grid and its command line; tests/comfyui runs the whole of it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from scripts import demo

ROOT = Path(__file__).parents[1]
VALUES = [-3.0, 0.0, 3.0]


def colour(valence: float, arousal: float) -> tuple[int, int, int]:
    return int(40 * (valence + 3)), int(40 * (arousal + 3)), 90


def picture(*point: float) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), colour(*point)).save(content, "PNG")
    return content.getvalue()


def test_valence_goes_to_the_right_and_arousal_upwards():
    pictures = {(v, a): picture(v, a) for v in VALUES for a in VALUES}
    grid = demo.draw_grid(pictures, VALUES, "a caption " * 50)
    step = demo.CELL + demo.GAP
    for column, valence in enumerate(VALUES):
        for row, arousal in enumerate(reversed(VALUES)):
            x = demo.LEFT + column * step + demo.CELL // 2
            y = demo.TOP + row * step + demo.CELL // 2
            assert grid.getpixel((x, y)) == colour(valence, arousal)


def test_an_interrupted_save_keeps_the_earlier_grid(tmp_path):
    class Broken:
        def save(self, path, kind):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

    target = tmp_path / "output" / "grid.png"
    demo.save(Image.new("RGB", (4, 4)), target)
    before = target.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        demo.save(Broken(), target)
    assert target.read_bytes() == before


def test_the_caption_holds_the_prompt_and_the_seed():
    prompt = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a house", "clip": ["9", 1]}},
        "2": {"class_type": "EmotiCrafterConditioning", "inputs": {"conditioning": ["1", 0]}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "positive": ["2", 0]}},
    }
    assert demo.caption_of(prompt) == "“a house”, seed 5"


def test_a_point_outside_the_plane_is_refused_before_anything_starts():
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--values", "0", "3.5"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "3.5 is outside -3 to 3" in refused.stderr
