"""Image files: hashing, decoding (also by threads, a chunk ahead of whatever uses them), and JPEGs for documents."""

import base64
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from emoticrafter.files import file_sha256

AHEAD = 2  # chunks decoded while another is in use; memory never holds more
THREADS = 4

Pixels = np.ndarray
"""uint8 [H, W, 3]."""


class PictureError(ValueError):
    """A file that cannot be used as an image."""


# ---- files -----------------------------------------------------------------------------------------


def path_inside(folder: Path, name: str) -> Path:
    """The path of a picture, which must lie in the folder once links are followed.

    Raises:
        ValueError: It lies elsewhere or is not a file.
    """
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"{name!r} lies outside the picture folder {folder}")
    if not path.is_file():
        raise ValueError(f"{name!r} is not in the picture folder {folder}")
    return path


def hash_files(paths: Sequence[Path]) -> list[str | PictureError]:
    """The sha256 of each file, or why it cannot be read."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_hash, paths))


def _hash(path: Path) -> str | PictureError:
    try:
        return file_sha256(path)
    except OSError as error:
        return PictureError(f"{path} cannot be read ({error.strerror})")


# ---- decoding --------------------------------------------------------------------------------------


def decode(source: Path | bytes, at_least: int | None = None) -> Pixels:
    """Decodes an image: upright, transparency on white, 16 bits of grey as 8, the first frame of an animation.

    Args:
        source: A file, or what is in it.
        at_least: Pixels per side that are enough: a larger JPEG is decoded at the smallest of its own scales that has
            them, which is several times faster. Other formats keep their size.

    Raises:
        PictureError: It cannot be read as an image.
    """
    name = "the picture" if isinstance(source, bytes) else source
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        with Pillow.open(io.BytesIO(data)) as image:
            if at_least:
                image.draft(None, (at_least, at_least))
            image = ImageOps.exif_transpose(_eight_bits(image))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image)
            return np.array(image.convert("RGB"))
    except Pillow.UnidentifiedImageError as error:  # whose text names the buffer
        raise PictureError(f"{name} cannot be read as an image (unknown format)") from error
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise PictureError(f"{name} cannot be read as an image ({error})") from error


def _eight_bits(image: Pillow.Image) -> Pillow.Image:
    """Grey with 16 bits as grey with 8: Pillow's own conversion makes everything above 255 white."""
    if image.mode.startswith("I;16"):
        return Pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} has no fixed range; expected 8 or 16 bits per channel")
    return image


def decode_ahead(chunks: Iterable[Sequence[Path]]) -> Iterator[list[Pixels | PictureError]]:
    """The pictures of each chunk, while the next ones are being decoded."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque = deque()
        for chunk in chunks:
            waiting.append([pool.submit(_decoded, path) for path in chunk])
            if len(waiting) > AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]


def _decoded(path: Path) -> Pixels | PictureError:
    try:
        return decode(path)
    except PictureError as error:
        return error


# ---- encoding --------------------------------------------------------------------------------------


def jpeg(pixels: Pixels, longest: int, quality: int, **options) -> bytes:
    """A JPEG without metadata, shrunk to at most `longest` pixels a side.

    Args:
        pixels: The picture.
        longest: Of the longer side; a smaller picture keeps its size.
        quality: Pillow's, 1 to 95.
        options: Of Pillow's JPEG writer, such as subsampling.
    """
    small = Pillow.fromarray(pixels)
    small.thumbnail((longest, longest), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def data_url(data: bytes, kind: str = "jpeg") -> str:
    """An encoded picture as an address that holds it; `kind` is jpeg or png."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
