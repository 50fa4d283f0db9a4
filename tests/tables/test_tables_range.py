"""What the command on the range says of pictures whose ranges are known."""

import cv2
import numpy as np
import pytest
import torch

from emoticrafter.range import STOPS, read_sketch
from trainer.evaluation.manifest import Image
from trainer.evaluation.scoring import Scores
from trainer.tables import range as of_range
from trainer.tables.miniature import MeasureSettings
from trainer.tables.range import POINTS, measure_range, search

SIZE = 32
ENDS = {"a cat": 0.75, "a dog": 2.75}
"""Beyond this reach nothing of the prompt's picture is left."""


def picture(reach: float, end: float) -> np.ndarray:
    """A square that changes its light, and beyond the end stripes: uint8 [H, W, 3]."""
    pixels = np.full((SIZE, SIZE, 3), 60 + 20 * reach)
    if reach <= end:
        pixels[10:24, 6:18] += 80
    else:
        pixels[::4] += 80
    return pixels.astype(np.uint8)


def seen(images: torch.Tensor):
    """As a reader that sees emotion rise with the light up to a reach of 1.5, and nothing else."""
    reaches = (images[:, 2, 2, 0] * 255 - 60) / 20
    return read_sketch(images, reaches.clamp(0, 1.5)[:, None].expand(-1, 2))


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Both prompts' pictures in place of what a run would draw; beyond the end, the reader sees no subject."""
    images, content = [], []
    for number, (prompt, end) in enumerate(ENDS.items()):
        for method, point in [("plain", (0.0, 0.0)), *(("range-2", point) for point in POINTS)]:
            reach = max(map(abs, point))
            path = tmp_path / f"{len(images)}.png"
            cv2.imwrite(str(path), picture(reach, end))
            images.append(Image(path, prompt, *point, 0, method, f"{number} {len(images)}"))
            content.append(float(reach <= end))
    nothing = np.empty(0, int)
    scores = Scores(images, {"content": np.array(content)}, nothing.reshape(0, 2), nothing, np.empty(0), [])
    monkeypatch.setattr(of_range, "draw_and_score", lambda *_: scores)
    monkeypatch.setattr(of_range, "miniature_measures", lambda *_: None)
    monkeypatch.setattr(of_range, "find_readers", lambda _: (None, None))
    monkeypatch.setattr(of_range, "readers_look", lambda *_: seen)
    monkeypatch.setattr(MeasureSettings, "how", lambda self: "drawn.")
    jobs = {"plain": "plain", "range-2": "range-2"}
    job = type("Job", (), {"__init__": lambda self, method: setattr(self, "method", method)})
    monkeypatch.setattr(MeasureSettings, "job", lambda self, method, *_, **__: job(jobs[method]))
    return tmp_path


def cells(text: str, beginning: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {beginning}")]
    return [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines]


def share(cell: str) -> float:
    return float(cell.removesuffix(" %"))


def test_the_search_agrees_where_its_nulls_do_not(drawn):
    text = measure_range(MeasureSettings(drawn, prompts=2, seeds=1), drawn / "network", 2.0)
    for count in (2, 3, 4):
        [within, ended, prompts, _] = cells(text, f"{count} pictures")[0]
        assert (within, ended, prompts) == ("100.0 %", "100.0 %", "100.0 %"), count
    for null in cells(text, "null: ")[:2]:
        assert null[0] == "0.0 %" and float(null[3]) > 1.5
    found, null = cells(text, "by colours and edges")[0], cells(text, "null: another prompt's |")[-2]
    undrawn = 3 * 8 * len(ENDS)
    assert int(found[0]) + int(found[2]) == int(null[0]) + int(null[2]) == undrawn
    assert found[3] == "0.0 %" and share(found[1]) > 70 > 50 > share(null[1])


def test_what_readers_see_has_a_table_of_its_own(drawn):
    text = measure_range(MeasureSettings(drawn, prompts=2, seeds=1), drawn / "network", 2.0)
    colours, readers = (text[text.index(f"By {name}") :].splitlines()[0] for name in ("colours", "the miniature's"))
    assert "to the edge of the plane" not in colours and "further on, little changes" not in colours
    assert "8 further on, little changes" in readers
    assert len(cells(text, "3 pictures")) == 2 and len(cells(text, "by the miniature's readers")) == 1


def test_a_search_is_of_the_pictures_alone():
    pictures = {(0.0, 0.0): picture(0, 1.25)}
    pictures |= {point: picture(max(map(abs, point)), 1.25) for point in POINTS}
    found = [ray.limit() for ray in search(pictures, 6)]
    assert len(found) == 8 and all(1 <= limit.reach <= 1.5 and limit.why == "lost" for limit in found)
    whole = {point: picture(max(map(abs, point)), 3) for point in pictures}
    [seen_end] = {ray.limit() for ray in search(whole, 6, seen)}
    assert seen_end.why == STOPS and 1 <= seen_end.reach <= 2
