"""The evaluation's report in a real browser: it fits phones and desktops, and long names stay readable."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from scripts.browser import launched
from trainer.evaluation.manifest import Image
from trainer.evaluation.report import page
from trainer.evaluation.results import evaluate
from trainer.evaluation.scoring import Scores

LEVELS = (-3.0, -1.5, 0.0, 1.5, 3.0)
METHODS = ("ours", "cross-attention", "a-method-with-a-name-that-is-longer-than-any-phone-is-wide", "plain")
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report of random readings."""
    folder, images = tmp_path_factory.mktemp("report"), []
    Picture.new("RGB", (64, 64), "teal").save(folder / "a.png")
    for method in METHODS:
        for number in range(6):
            points = [(0.0, 0.0)] if method == "plain" else [(v, a) for v in LEVELS for a in LEVELS]
            for v, a in points:
                images.append(Image(folder / "a.png", f"a dog <b>{number}</b>", v, a, 0, method, str(len(images))))
    read = np.random.default_rng(0).uniform(-3, 3, (2, len(images)))
    nothing = np.zeros((0, 2), int), np.zeros(0, int), np.zeros(0)
    scores = Scores(images, {"valence": read[0], "arousal": read[1], "CLIPScore": read[0]}, *nothing, [])
    text = page(evaluate(scores), images, {"valence and arousal": "chance"}, ["a.png is bad"], 2)
    (folder / "report.html").write_text(text, encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("size", SIZES)
def test_the_report_fits_its_screen(report, size):
    width, height = SIZES[size]
    with launched() as browser:
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.goto(report.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        # A name stands beside its numbers in a line or a few, not letter by letter.
        heights = tab.locator(".wide tbody th").evaluate_all("found => found.map((one) => one.offsetHeight)")
        assert 0 < max(heights) < 260
        assert tab.get_by_role("heading", name="a dog <b>0</b>").count() == 1  # prompts stay texts
        images = tab.locator(".grid img")
        assert images.count() == 2 * (3 * 25 + 1)
        box = images.first.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1) and box["x"] + box["width"] <= width
