"""scripts/pictures.py: pictures side by side, and the pad's point in the corner."""

import json
from pathlib import Path

from PIL import Image

from scripts.pictures import INSET, MOODS, SIZE, at_mood, four_moods, montage, painted, points_of, shows_one_mood

WORKFLOWS = Path(__file__).parents[2] / "workflows"


def solid(colour: str, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_pictures_of_a_row_get_one_height_and_fill_the_width():
    sheet = montage([solid("red", (40, 40)), solid("blue", (60, 30))])
    assert sheet.size == (SIZE, round(SIZE / 3))
    assert sheet.getpixel((SIZE // 3 - 5, 5)) == (255, 0, 0)
    assert sheet.getpixel((SIZE // 3 + 5, sheet.height - 5)) == (0, 0, 255)


def test_of_many_frames_nine_are_shown_from_the_first_on():
    sheet = montage([solid(f"rgb({10 * number}, 0, 0)") for number in range(24)])
    middles = [SIZE * (2 * number + 1) // 6 for number in range(3)]
    reds = [sheet.getpixel((x, y))[0] for y in middles for x in middles]
    assert reds == [10 * (24 * number // 9) for number in range(9)]


def test_the_pad_is_in_the_corner_of_one_picture_and_between_two():
    sheet = painted([solid("green")], [(-3.0, 3.0)])
    corner = (round(SIZE - 12 - INSET + INSET * (0.5 - 1 / 2.2)),) * 2
    assert sheet.getpixel(corner) == (255, 255, 255)
    assert painted([solid("green")], []).getpixel(corner) == (0, 128, 0)
    sheet = painted([solid("green")] * 2, [(0.0, 0.0)])
    middle = sheet.height - 12 - INSET // 2
    assert sheet.getpixel((SIZE // 2, middle)) == (255, 255, 255)
    assert sheet.getpixel((SIZE // 4, middle)) == sheet.getpixel((SIZE * 3 // 4, middle)) == (0, 128, 0)


def test_four_moods_lie_as_on_the_plane_around_it():
    colours = ("red", "yellow", "blue", "lime")
    sheet = four_moods([solid(colour) for colour in colours])
    for (valence, arousal), colour in zip(MOODS, colours, strict=True):
        x = SIZE * (valence > 0) + (10 if valence < 0 else -10)
        y = SIZE * (arousal < 0) + (10 if arousal > 0 else -10)
        assert sheet.getpixel((x, y)) == solid(colour).getpixel((0, 0))
    assert sheet.getpixel(((SIZE - INSET) // 2 + 1, SIZE // 2)) == (255, 255, 255), "the pad's border"


def test_a_workflow_of_one_pad_is_shown_at_other_moods_with_its_other_values():
    one, grid = (
        json.loads((WORKFLOWS / f"{name}_miniature.json").read_text("utf-8")) for name in ("try_it", "emotion_grid")
    )
    assert shows_one_mood(one) and not shows_one_mood(grid)
    moved = at_mood(one, (-2.4, 1.6))
    assert points_of(moved) == [(-2.4, 1.6)] != points_of(one)
    [before], [after] = (
        [node["widgets_values"] for node in each["nodes"] if node["type"] == "EmotiCrafterConditioning"]
        for each in (one, moved)
    )
    assert after[2:] == before[2:]
