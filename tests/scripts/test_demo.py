"""The demo's points, pictures and command line; tests/comfyui runs the whole of it."""

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from scripts import demo
from trainer.world.captions import SETTING_WORDS, SUBJECT_WORDS, TIME_WORDS
from trainer.world.scene import Scene

ROOT = Path(__file__).parents[2]
VALUES = [-3.0, 0.0, 3.0]
TEXT = "a house"


def colour(valence: float, arousal: float) -> tuple[int, int, int]:
    return int(40 * (valence + 3)), int(40 * (arousal + 3)), 90


def picture(point: demo.Point) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), colour(point.valence, point.arousal)).save(content, "PNG")
    return content.getvalue()


def pictures(points) -> dict:
    return {point: picture(point) for point in points}


# ---- what is drawn ---------------------------------------------------------------------------------


def test_the_strip_has_every_step_and_both_ends():
    values = demo.strip_values(0.2)
    assert len(values) == 31
    assert (values[0], values[15], values[30]) == (-3, 0, 3)
    assert all(b - a == pytest.approx(0.2) for a, b in itertools.pairwise(values))
    assert demo.strip_values(2.5) == [-3, -0.5, 2, 3]
    assert demo.strip_values(6) == [-3, 3]


def test_the_prompts_are_scenes_that_the_miniature_never_saw():
    scenes = {
        f"{a} {b} {c}": Scene(subject, setting, time)
        for subject, subjects in SUBJECT_WORDS.items()
        for setting, settings in SETTING_WORDS.items()
        for time, times in TIME_WORDS.items()
        for a, b, c in itertools.product(subjects, settings, times)
    }
    assert all(scenes[text].held_out for text in demo.PROMPTS)
    workflow = json.loads(demo.WORKFLOW.read_text("utf-8"))
    [positive] = [node for node in workflow["nodes"] if node.get("title") == "Prompt"]
    assert positive["widgets_values"] == [demo.PROMPTS[0]]


def test_a_point_changes_the_positive_text_and_the_values_alone():
    prompt = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a house", "clip": ["9", 1]}},
        "2": {"class_type": "EmotiCrafterConditioning", "inputs": {"conditioning": ["1", 0], "valence": 0}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["9", 1]}},
    }
    changed = demo.at_point(prompt, demo.Point("a cat", -1.5, 3.0))
    assert changed["1"]["inputs"] == {"text": "a cat", "clip": ["9", 1]}
    assert changed["2"]["inputs"] == {"conditioning": ["1", 0], "valence": -1.5, "arousal": 3.0}
    assert changed["4"] == prompt["4"]
    assert prompt["1"]["inputs"]["text"] == "a house"


def test_a_point_of_grid_and_strip_is_drawn_once():
    class Server:
        queued = 0

        def queue(self, prompt):
            self.queued += 1
            return type("Result", (), {"images": [b"picture"]})

    server = Server()
    prompt = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {}},
        "2": {"class_type": "EmotiCrafterConditioning", "inputs": {"conditioning": ["1", 0]}},
    }
    points = [*demo.grid_points(TEXT, VALUES), *demo.strip_points(TEXT, 3.0)["valence"]]
    assert demo.make_pictures(server, prompt, points).keys() == set(points)
    assert server.queued == 9


# ---- how it is shown -------------------------------------------------------------------------------


def test_in_the_grid_valence_goes_to_the_right_and_arousal_upwards():
    points = demo.grid_points(TEXT, VALUES)
    grid = demo.draw_grid(pictures(points), TEXT, VALUES, "a caption " * 50)
    step = demo.CELL + demo.GAP
    for column, valence in enumerate(VALUES):
        for row, arousal in enumerate(reversed(VALUES)):
            x = demo.LEFT + column * step + demo.CELL // 2
            y = demo.TOP + row * step + demo.CELL // 2
            assert grid.getpixel((x, y)) == colour(valence, arousal)


def test_the_strip_reads_from_left_to_right_and_goes_on_in_the_next_row():
    bands = demo.strip_points(TEXT, 0.2)
    strip = demo.draw_strip(pictures(itertools.chain(*bands.values())), TEXT, 0.2, "a caption")
    height = demo.STRIP_CELL + demo.STRIP_LABEL
    for number, points in enumerate(bands.values()):
        for index, point in enumerate(points):
            row, column = divmod(index, demo.STRIP_COLUMNS)
            x = demo.TOP + column * (demo.STRIP_CELL + demo.GAP) + demo.STRIP_CELL // 2
            y = (number + 1) * demo.STRIP_TITLE + (2 * number + row) * height + demo.STRIP_CELL // 2
            assert strip.getpixel((x, y)) == colour(point.valence, point.arousal)


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


# ---- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--values", "0", "3.5"], "3.5 is outside -3 to 3"), (["--strip", "0"], "0 is outside 0.1 to 6")],
)
def test_a_number_out_of_range_is_refused_before_anything_starts(options, words):
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), *options]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert words in refused.stderr


def test_without_the_weights_nothing_is_installed_or_started(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "WEIGHTS", tmp_path / "unet.safetensors")
    monkeypatch.setattr(demo, "_continue_in_environment", lambda: pytest.fail("went on"))
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    with pytest.raises(SystemExit, match=r"unet\.safetensors is missing: is this a complete checkout\?"):
        demo.main()
