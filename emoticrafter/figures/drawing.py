"""Lays pictures out over valence and arousal, and holds what all figures need: text and a page.

Needs Pillow, which ComfyUI has and the trainer's extra installs; only `plane` imports this module.
"""

import logging
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..images import colours
from ..quoting import printable, shown

INK, QUIET, FAINT = (28, 28, 32), (104, 104, 112), (214, 214, 220)
LARGEST = 16_384
"""Pixels of a figure's side: browsers do not show more, and WebP cannot hold it."""
LARGEST_AREA = 2**27
"""Pixels of a figure: as ComfyUI's images they are 1.6 GB."""
LONGEST_TITLE = 2000
TIMES = 4
"""Text and shapes are drawn this many times larger and scaled down, for even letters and smooth edges."""
BASE = 1.35  # of the letters' size: where the baseline of a text is
HALF_HIGH = 0.36  # of the letters' size: from the baseline to the middle of a digit
SMALLEST = 11  # letters that are still legible
MOST_IN_A_ROW = 10  # pictures of a path, by default
FONT = Path(__file__).parent / "fonts" / "Inter-Regular.otf"
# For letters that it lacks: the first of these fonts that the system has and that holds the letter.
OTHER_FONTS = (
    # Linux
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf"),
    *("NotoSansCJKjp-Regular.otf", "NotoSansSC-Regular.otf"),
    *("SourceHanSans-Regular.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf"),
    *("wqy-microhei.ttc", "wqy-zenhei.ttc", "NanumGothic.ttf", "ipag.ttf"),
    # Windows
    *("msyh.ttc", "YuGothR.ttc", "YuGothM.ttc", "meiryo.ttc"),
    *("msgothic.ttc", "malgun.ttf", "msjh.ttc", "simsun.ttc"),
    # macOS
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "AppleGothic.ttf", "Arial Unicode.ttf"),
    # Other scripts, and signs
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "arial.ttf", "NotoEmoji-Regular.ttf", "Symbola.ttf"),
    *("seguisym.ttf", "seguiemj.ttf", "Apple Symbols.ttf"),
)

log = logging.getLogger("emoticrafter")


# --- pictures and text -----------------------------------------------------------------------------------------------


def to_pictures(images: Tensor) -> list[Image.Image]:
    """Converts ComfyUI's images [B, H, W, C] in [0, 1] to pictures (see `images.colours`)."""
    pixels = colours(images).detach().float().cpu().nan_to_num().clamp(0, 1)
    pixels = (pixels * 255).round().to(torch.uint8).numpy()
    return [Image.fromarray(np.ascontiguousarray(one)) for one in pixels]


def to_images(picture: Image.Image) -> Tensor:
    """Converts a picture to ComfyUI's images: float32 [1, H, W, 3] in [0, 1]."""
    pixels = np.array(picture.convert("RGB"), dtype=np.float32)
    pixels /= 255  # in place: a large figure is gigabytes
    return torch.from_numpy(pixels)[None]


@lru_cache(maxsize=256)  # all of the fonts above, in a few sizes
def _face(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether the font has this letter: its shape differs from the one for missing letters."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffe"))


@lru_cache(maxsize=8192)
def _holder(letter: str, size: int) -> ImageFont.FreeTypeFont | None:
    """The face for a letter: the figures' own, else one of the system's that has it, else None."""
    names = (str(FONT),) if letter.isascii() else (str(FONT), *OTHER_FONTS)
    faces = (_face(name, size) for name in names)
    return next((face for face in faces if face and _has(face, letter)), None)


@lru_cache(maxsize=1024)
def _runs(text: str, size: int) -> list[tuple[ImageFont.FreeTypeFont, str]]:
    """A text's parts, each with its face. A letter that no face has becomes an empty box."""
    own = _face(str(FONT), size)
    parts = groupby(text, key=lambda letter: _holder(letter, size) or own)
    return [(face, "".join(letters)) for face, letters in parts]


def _missing(text: str) -> str:
    """The letters of a text that no face has, each once."""
    return "".join(dict.fromkeys(letter for letter in text if not _holder(letter, SMALLEST)))


def width_of(text: str, size: int) -> int:
    """Width of a text in pixels."""
    runs = _runs(text, size * TIMES)
    return math.ceil(sum(face.getlength(part) for face, part in runs) / TIMES)


def value_text(value: float) -> str:
    """A coordinate as figures show it: +1.5, 0, −0.25."""
    return f"{round(value, 2):+g}".replace("-", "−") if round(value, 2) else "0"


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Breaks a text into lines of at most `width` pixels, inside a word where it must."""
    lines = []
    for paragraph in text.strip().splitlines():
        line = ""
        for word in paragraph.split():
            if width_of(f"{line} {word}".strip(), size) <= width:
                line = f"{line} {word}".strip()
                continue
            lines, line = lines + [line] * bool(line), word
            # No letter is narrower than a pixel: of a long text without blanks only the beginning is measured.
            while len(line) > 1 and (len(line) > width or width_of(line, size) > width):
                letters = range(1, min(len(line) - 1, width) + 1)
                fits = max(1, bisect_right(letters, width, key=partial(_prefix_width, line, size)))
                lines, line = [*lines, line[:fits]], line[fits:]
        lines.append(line)
    return lines


def _prefix_width(line: str, size: int, letters: int) -> int:
    return width_of(line[:letters], size)


class Sheet:
    """A white page to draw a figure on."""

    def __init__(self, width: int, height: int):
        if max(width, height) > LARGEST or width * height > LARGEST_AREA:
            raise ValueError(
                f"The figure would have {width:,} x {height:,} pixels: the most is {LARGEST:,} for a side and "
                f"{LARGEST_AREA:,} in all. Choose a smaller cell_size, a shorter title or, for a path, other columns."
            )
        self.picture = Image.new("RGB", (width, height), "white")

    def write(self, x: float, y: float, text: str, size: int, align: str = "middle", colour: tuple = INK) -> None:
        """Writes on the baseline y; the text starts at x ("left"), ends there ("right") or is centred on it."""
        share = {"left": 0, "middle": 0.5, "right": 1}[align]
        corner = (round(x - share * width_of(text, size)) - size, round(y) - round(BASE * size))
        self.picture.paste(colour, corner, _mask(text, size))

    def write_upright(self, x: float, y: float, text: str, size: int, colour: tuple = INK, down: bool = False) -> None:
        """Writes upwards, or downwards, centred on (x, y)."""
        mask = _mask(text, size)
        mask = mask.transpose(Image.Transpose.ROTATE_270 if down else Image.Transpose.ROTATE_90)
        self.picture.paste(colour, (round(x - mask.width / 2), round(y - mask.height / 2)), mask)


def _mask(text: str, size: int) -> Image.Image:
    """A text's mask, 2 * size pixels high, its baseline at BASE * size, with `size` pixels of room on both sides.

    Drawn larger, then scaled down: Pillow sets small letters on whole pixels, which spaces them unevenly.
    """
    room = (width_of(text, size) + 2 * size) * TIMES, 2 * size * TIMES
    mask, x, base = Image.new("L", room), size * TIMES, round(BASE * size) * TIMES
    for face, part in _runs(text, size * TIMES):
        ImageDraw.Draw(mask).text((x, base), part, 255, face, anchor="ls")
        x += face.getlength(part)
    return mask.reduce(TIMES)


# --- pictures over valence and arousal -------------------------------------------------------------------------------


def draw_grid(
    pictures: Sequence[Image.Image],
    valence: Sequence[float],
    arousal: Sequence[float],
    columns: int = 0,
    title: str = "",
    cell_size: int = 0,
    in_a_row: int = 0,
) -> Image.Image:
    """Lays out pictures over the plane, or as a strip with the points beneath.

    Args:
        pictures: One per point; each is fitted into a cell of the first one's shape.
        valence, arousal: The points. Of a grid row by row, valence rising to the right, arousal falling downwards.
        columns: Of the grid; 0: the points do not form a grid, and the pictures make a strip.
        title: Written above, wrapped.
        cell_size: Pixels of a cell's longer side; 0: the first picture's size.
        in_a_row: Pictures per row of a strip; 0: up to MOST_IN_A_ROW, in rows of about equal length.

    Raises:
        ValueError: No picture, not as many pictures as points, a title that is too long, or a figure that is too large.
    """
    if not pictures:
        raise ValueError("There is no picture to lay out: images is empty.")
    if len(pictures) != len(valence):
        raise ValueError(
            f"{_count(len(pictures), 'picture')} came for {_count(len(valence), 'point')}: every point needs its own "
            "picture. Connect the points that these pictures were made with; for one batch, set the "
            "latent's batch_size to the number of points."
        )
    if len(title) > LONGEST_TITLE:
        raise ValueError(f"title has {len(title):,} characters: expected at most {LONGEST_TITLE:,}.")
    title = printable(title)
    if missing := _missing(title):
        log.warning(
            "[EmotiCrafter] No font of this system has the letters %s of the title: they become empty boxes. Install "
            "one that does, such as Noto Sans CJK for Chinese, Japanese and Korean.",
            shown(" ".join(missing)),
        )
    cell = _cell(pictures[0], cell_size)
    points = [(value_text(v), value_text(a)) for v, a in zip(valence, arousal, strict=True)]
    if _is_grid(points, columns):
        return _draw_axes(pictures, points, columns, cell, title)
    rows = -(-len(pictures) // MOST_IN_A_ROW)
    return _draw_strip(pictures, points, columns or in_a_row or -(-len(pictures) // rows), cell, title)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _is_grid(points: list[tuple[str, str]], columns: int) -> bool:
    """Whether every column has a single valence, and every row a single arousal."""
    return bool(columns) and all(
        v == points[number % columns][0] and a == points[number - number % columns][1]
        for number, (v, a) in enumerate(points)
    )


def _cell(first: Image.Image, size: int) -> tuple[int, int]:
    scale = size / max(first.size) if size else 1
    return max(1, round(first.width * scale)), max(1, round(first.height * scale))


def _text_size(cell: tuple[int, int]) -> int:
    return max(14, round(0.075 * min(cell)))


def _label_size(texts: list[str], size: int, pitch: int) -> tuple[int, int]:
    """The size of labels side by side, `pitch` pixels apart, and n where only every n-th fits."""
    wanted = max(width_of(text, size) for text in texts) + 0.6 * size
    if wanted <= pitch:
        return size, 1
    size = max(SMALLEST, int(size * pitch / wanted))
    widest = max(width_of(text, size) for text in texts) + 0.6 * size
    return size, math.ceil(widest / pitch)


def _paste(sheet: Sheet, picture: Image.Image, corner: tuple[int, int], cell: tuple[int, int]) -> None:
    """Puts a picture into the middle of a cell: whole, its shape kept."""
    scale = min(cell[0] / picture.width, cell[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    sheet.picture.paste(picture, (corner[0] + (cell[0] - size[0]) // 2, corner[1] + (cell[1] - size[1]) // 2))


def _titled_sheet(title: str, size: int, left: int, wide: int, right: int, high: int) -> tuple[Sheet, int]:
    """A sheet with its title written, for `wide` pixels between two margins; and where the rest begins, `high` tall."""
    margin, lines = round(1.2 * size), wrapped(title, size, wide)
    top = margin + (round((1.4 * len(lines) + 0.5) * size) if lines else 0)
    sheet = Sheet(left + wide + right, top + high)
    for number, line in enumerate(lines):
        sheet.write(left, margin + round((1.4 * number + 1) * size), line, size, "left")
    return sheet, top


def _draw_axes(
    pictures: Sequence[Image.Image], points: list[tuple[str, str]], columns: int, cell: tuple[int, int], title: str
) -> Image.Image:
    """Pictures with an arousal axis on the left and a valence axis below."""
    valence, arousal = [v for v, _ in points[:columns]], [a for _, a in points[::columns]]
    text, gap = _text_size(cell), max(2, round(0.02 * min(cell)))
    margin = round(1.2 * text)
    pitch = (cell[0] + gap, cell[1] + gap)
    size, every = _label_size(valence, text, pitch[0])
    wide, high = columns * pitch[0] - gap, len(arousal) * pitch[1] - gap
    left = margin + round(2.1 * text) + max(width_of(value, size) for value in arousal)
    right = max(margin, (width_of("valence", text) - wide) // 2 + gap)
    sheet, top = _titled_sheet(title, text, left, wide, right, high + round(3.3 * text) + margin)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        _paste(sheet, picture, (left + column * pitch[0], top + row * pitch[1]), cell)
    for number in range(0, columns, every):
        x = left + number * pitch[0] + cell[0] / 2
        sheet.write(x, top + high + 1.5 * text, valence[number], size)
    for number in range(0, len(arousal), math.ceil(1.3 * size / pitch[1])):
        y = top + number * pitch[1] + cell[1] / 2 + HALF_HIGH * size
        sheet.write(left - 0.6 * text, y, arousal[number], size, "right")
    sheet.write(left + wide / 2, top + high + 3.3 * text, "valence", text, colour=QUIET)
    sheet.write_upright(margin + 0.5 * text, top + high / 2, "arousal", text, QUIET)
    return sheet.picture


def _draw_strip(
    pictures: Sequence[Image.Image], points: list[tuple[str, str]], in_a_row: int, cell: tuple[int, int], title: str
) -> Image.Image:
    """Pictures in rows, each with its valence and arousal beneath."""
    in_a_row = min(in_a_row, len(pictures))
    text, gap = _text_size(cell), max(2, round(0.02 * min(cell)))
    margin, beneath = round(1.2 * text), round(3.6 * text)
    pitch = (cell[0] + gap, cell[1] + beneath + text)
    size, every = _label_size([value for point in points for value in point], text, pitch[0])
    wide, rows = in_a_row * pitch[0] - gap, -(-len(pictures) // in_a_row)
    left = margin + width_of("valence", text) + text
    sheet, top = _titled_sheet(title, text, left, wide, margin, rows * pitch[1] - text + margin // 2)
    for number, (picture, point) in enumerate(zip(pictures, points, strict=True)):
        row, column = divmod(number, in_a_row)
        x, y = left + column * pitch[0], top + row * pitch[1]
        _paste(sheet, picture, (x, y), cell)
        for line, value in enumerate(point):
            base = y + cell[1] + (1.5 + 1.45 * line) * text
            if column % every == 0:
                sheet.write(x + cell[0] / 2, base, value, size)
            if column == 0:
                sheet.write(left - text, base, ("valence", "arousal")[line], text, "right", QUIET)
    return sheet.picture
