"""Pictures laid out over valence and arousal: where they are, what is written, and that it can be read."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from emoticrafter.figures import drawing
from emoticrafter.figures.drawing import draw_grid, to_images, to_pictures, value_text, width_of, wrapped

ROOT = Path(__file__).parents[2]
LEVELS = (-3.0, -1.5, 0.0, 1.5, 3.0)


def grid(levels=LEVELS):
    """Valences and arousals of a grid in reading order."""
    points = [(v, a) for a in reversed(levels) for v in levels]
    return [v for v, _ in points], [a for _, a in points]


def path(count, step=0.2):
    return [-3 + step * n for n in range(count)], [1 - 0.05 * n for n in range(count)]


def colours(count, size=(64, 64)):
    """Pictures of one colour each: no two are the same, and none is grey."""
    return [Image.new("RGB", size, (10 + 7 * n % 240, 200 - n % 150, 90 + n // 30)) for n in range(count)]


def places(figure, pictures):
    """The middle of every picture in a figure."""
    found = []
    pixels = figure.load()
    for picture in pictures:
        colour = picture.getpixel((0, 0))
        xs = [x for x in range(figure.width) for y in range(0, figure.height, 5) if pixels[x, y] == colour]
        ys = [y for y in range(figure.height) for x in range(0, figure.width, 5) if pixels[x, y] == colour]
        found.append(((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2))
    return found


@pytest.fixture
def texts(monkeypatch):
    """(text, box) of everything that is written."""
    return record_texts(monkeypatch)


def record_texts(monkeypatch):
    """Notes (text, box, size of the figure) of everything that is written; the box holds what is darkened."""
    found = []

    class Paper:
        def paste(self, colour, corner, mask):
            left, top, right, bottom = mask.getbbox()
            self.box = (left + corner[0], top + corner[1], right + corner[0], bottom + corner[1])

    def noting(original):
        def noted(sheet, x, y, text, *arguments, **options):
            alone = drawing.Sheet(1, 1)
            alone.picture = Paper()
            original(alone, x, y, text, *arguments, **options)
            found.append((text, alone.picture.box, sheet.picture.size))
            return original(sheet, x, y, text, *arguments, **options)

        return noted

    for name in ("write", "write_upright"):
        monkeypatch.setattr(drawing.Sheet, name, noting(getattr(drawing.Sheet, name)))
    return found


def assert_readable(texts):
    """No text on another one, and none over the figure's edge."""
    for text, (left, top, right, bottom), (width, height) in texts:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height, f"{text} leaves the figure"
    for (one, a, _), (other, b, _) in itertools.combinations(texts, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one!r} and {other!r} overlap: {a}, {b}"


# --- where the pictures are ------------------------------------------------------------------------------------------


def test_valence_rises_to_the_right_and_arousal_upwards(texts):
    levels = (-3.0, 0.0, 3.0)
    pictures = colours(9)
    figure = draw_grid(pictures, *grid(levels), columns=3)
    at = {text: box for text, box, _ in texts}
    middles = places(figure, pictures)
    assert middles[0][0] < middles[1][0] < middles[2][0] and middles[0][1] == middles[2][1]
    assert middles[0][1] < middles[3][1] < middles[6][1] and middles[0][0] == middles[6][0]
    below = [box for text, box, _ in texts if text in ("−3", "0", "+3") and box[1] > middles[8][1] + 32]
    assert [(box[0] + box[2]) / 2 for box in below] == pytest.approx([x for x, _ in middles[:3]], abs=2)
    beside = [box for text, box, _ in texts if text in ("+3", "0", "−3") and box[2] < middles[0][0] - 32]
    assert [(box[1] + box[3]) / 2 for box in beside] == pytest.approx([y for _, y in middles[::3]], abs=2)
    assert at["valence"][1] > max(box[3] for box in below)
    assert at["arousal"][2] < min(box[0] for box in beside)


def test_a_path_is_a_strip_with_every_point_beneath_its_picture(texts):
    pictures = colours(7)
    figure = draw_grid(pictures, *path(7))
    middles = places(figure, pictures)
    assert len({y for _, y in middles}) == 1
    for number, (x, y) in enumerate(middles):
        beneath = [text for text, box, _ in texts if abs((box[0] + box[2]) / 2 - x) < 2 and box[1] > y]
        assert beneath == [value_text(-3 + 0.2 * number), value_text(1 - 0.05 * number)]


def test_a_long_path_goes_on_in_further_rows_unless_told_otherwise():
    assert draw_grid(colours(31), *path(31)).width < 8 * 80 + 120
    assert draw_grid(colours(31), *path(31), in_a_row=31).width > 31 * 64


def test_points_that_only_claim_to_be_a_grid_are_labelled_one_by_one(texts):
    valence, arousal = grid((-1.0, 1.0))
    valence[3] = 0.5
    draw_grid(colours(4), valence, arousal, columns=2)
    assert [text for text, _, _ in texts].count("valence") == 2
    assert "+0.5" in [text for text, _, _ in texts]


# --- what can be read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 24, 64, 128, 512])
@pytest.mark.parametrize("levels", [(0.05,), (-2.75, 2.75), [-3 + 0.25 * n for n in range(25)]])
def test_no_text_of_a_grid_overlaps_another(texts, side, levels):
    shown = min(side, 128) if len(levels) > 5 else side
    draw_grid(
        colours(len(levels) ** 2, (shown, shown)), *grid(levels), columns=len(levels), title="A quiet house by the sea"
    )
    assert_readable(texts)


@pytest.mark.parametrize("size", [(16, 16), (64, 96), (128, 72), (512, 512)])
@pytest.mark.parametrize("count", [1, 11, 31])
def test_no_text_of_a_strip_overlaps_another(texts, size, count):
    draw_grid(colours(count, size), *path(count), title="long words " * 30)
    assert_readable(texts)


def test_letters_are_never_too_small_and_grow_with_the_pictures(monkeypatch):
    sizes = {}
    for side in (16, 128, 1024):
        write, found = drawing.Sheet.write, []
        with monkeypatch.context() as patch:
            patch.setattr(drawing.Sheet, "write", lambda *a, f=found, w=write, **k: f.append(a[4]) or w(*a, **k))
            draw_grid(colours(4, (side, side)), *grid((-1.0, 1.0)), columns=2)
        sizes[side] = min(found)
    assert sizes[16] >= 11 and sizes[128] == 14 and sizes[1024] == 77


def font(path, letters, advance):
    """A font whose every letter is a full box, `advance` thousandths of the letters' size wide."""
    builder, names = FontBuilder(1000, isTTF=True), [".notdef", *(f"u{ord(letter):x}" for letter in letters)]
    pens = [TTGlyphPen(None) for _ in names]
    for pen in pens[1:]:
        pen.moveTo((0, 0))
        for corner in ((0, 800), (advance, 800), (advance, 0)):
            pen.lineTo(corner)
        pen.closePath()
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
    builder.setupGlyf({name: pen.glyph() for name, pen in zip(names, pens, strict=True)})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (advance, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def system_fonts(monkeypatch, tmp_path):
    """Two fonts in place of the system's. Looked-up letters are remembered, so no other test may use these."""
    fonts = (font(tmp_path / "signs.ttf", "☃", 3000), font(tmp_path / "cjk.ttf", "灯台夜☃", 1000))
    monkeypatch.setattr(drawing, "OTHER_FONTS", fonts)


def test_titles_of_european_languages_have_all_their_letters_in_the_figures_own_font(caplog, monkeypatch):
    monkeypatch.setattr(drawing, "OTHER_FONTS", ())
    for title in ("Straße, café, Žižkov", "Тишина", "Ένα σπίτι", "“quoted” — −1 → +1 …"):
        draw_grid(colours(4), *grid((-1.0, 1.0)), columns=2, title=title)
    assert not caplog.records


def test_each_letter_of_a_title_is_drawn_by_the_first_font_that_holds_it(system_fonts, texts):
    own = width_of("Sea ", 20) + 2 * width_of(" ", 20)
    assert width_of("Sea 灯台 夜 ☃", 20) == pytest.approx(own + 3 * 20 + 60, abs=3)
    draw_grid(colours(4), *grid((-1.0, 1.0)), columns=2, title="a 灯台 b 夜 c")
    assert_readable(texts)
    [(left, _, right, _)] = [box for text, box, _ in texts if text == "a 灯台 b 夜 c"]
    assert right - left == pytest.approx(width_of("a 灯台 b 夜 c", 14), abs=4)


def test_letters_that_no_font_holds_are_named_in_the_log_and_leave_the_others_alone(system_fonts, caplog):
    draw_grid(colours(4), *grid((-1.0, 1.0)), columns=2, title="灯台 朝 🏮 朝")
    [message] = [record.message for record in caplog.records]
    told = "No font of this system has the letters 朝 🏮 of the title: they become empty boxes. Install one"
    assert told in message
    assert width_of("灯🏮", 20) == width_of("灯", 20) + width_of("🏮", 20)
    caplog.clear()
    draw_grid(colours(4), *grid((-1.0, 1.0)), columns=2, title="灯台")
    assert not caplog.records


def test_common_fonts_for_chinese_japanese_and_korean_are_looked_for():
    names = ["DroidSansFallbackFull.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "msyh.ttc", "PingFang.ttc"]
    assert set(names) <= set(drawing.OTHER_FONTS)


def test_a_title_is_wrapped_and_even_one_long_word_stays_inside():
    for text in ("a word and another " * 9, "x" * 300, "two\nlines"):
        lines = wrapped(text, 20, 200)
        assert all(width_of(line, 20) <= 200 for line in lines)
        assert "".join(lines).replace(" ", "") == "".join(text.split())
    long = "a cat in the snow".replace(" ", "") * 1000  # as prompts are in languages without blanks
    lines = wrapped(long, 20, 200)
    assert "".join(lines) == long
    assert all(width_of(line, 20) <= 200 for line in lines)
    assert len(wrapped("two\nlines", 20, 200)) == 2 and wrapped("  ", 20, 200) == []


def test_values_are_written_as_people_do():
    assert value_text(-0.0) == "0"
    written = {0: "0", 0.001: "0", 1.5: "+1.5", -3: "−3", 0.15000000000000002: "+0.15"}
    assert {value: value_text(value) for value in written} == written


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_pictures_are_as_they_are_unless_a_size_is_given():
    pictures = colours(4, (96, 64))
    own, larger = (draw_grid(pictures, *grid((-1.0, 1.0)), columns=2, cell_size=size) for size in (0, 192))
    assert largest_block(own, pictures[0]) == (96, 64)
    assert largest_block(larger, pictures[0]) == (192, 128)


def largest_block(figure, picture):
    pixels, colour = figure.load(), picture.getpixel((0, 0))
    found = [(x, y) for x in range(figure.width) for y in range(figure.height) if pixels[x, y] == colour]
    return tuple(max(p[axis] for p in found) - min(p[axis] for p in found) + 1 for axis in (0, 1))


def test_a_picture_of_another_shape_is_shown_whole_in_its_own_shape():
    pictures = [*colours(3), Image.new("RGB", (64, 32), (250, 0, 0))]
    figure = draw_grid(pictures, *grid((-1.0, 1.0)), columns=2)
    assert largest_block(figure, pictures[3]) == (64, 32)


def test_a_figure_with_too_long_a_side_or_too_large_an_area_is_refused_with_what_to_do():
    told = r"would have 3\d,\d{3} x .* Choose a smaller cell_size, a shorter title or, for a path, other columns"
    with pytest.raises(ValueError, match=told):
        draw_grid(colours(31), *path(31), cell_size=1024, in_a_row=31)
    levels = [-3 + 0.2 * n for n in range(31)]
    with pytest.raises(ValueError, match=r"would have 1\d,\d{3} x 1\d,\d{3} .* 134,217,728 in all. Choose"):
        draw_grid(colours(31 * 31), *grid(levels), columns=31, cell_size=480)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_pictures_are_refused():
    with pytest.raises(ValueError, match=r"1 picture came for 25 points.*set the latent's batch_size"):
        draw_grid(colours(1), *grid(), columns=5)
    with pytest.raises(ValueError, match="images is empty"):
        draw_grid([], [], [])
    for shape in ((0, 8, 8, 3), (8, 8, 3), (1, 8, 8, 5), (1, 0, 8, 3)):
        with pytest.raises(ValueError, match=re.escape(str(shape))):
            to_pictures(torch.zeros(shape))


def test_images_keep_their_pixels():
    images = torch.randint(0, 256, (2, 5, 7, 3)) / 255
    assert torch.equal(torch.cat([to_images(picture) for picture in to_pictures(images)]), images)


def test_grey_transparent_and_failed_images_are_shown():
    assert to_pictures(torch.full((1, 2, 2, 1), 1.0))[0].getpixel((0, 0)) == (255, 255, 255)
    assert to_pictures(torch.ones(1, 2, 2, 4))[0].mode == "RGB"
    assert to_pictures(torch.full((1, 2, 2, 3), float("nan")))[0].getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.slow
def test_the_library_can_be_had_without_pillow():
    program = "import sys; sys.modules['PIL'] = None; import emoticrafter, emoticrafter.research.readers"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
