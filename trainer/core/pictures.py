"""Image files: hashed by threads, and decoded by threads a chunk ahead of whatever measures them."""

import hashlib
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from emoticrafter.files import file_sha256

AHEAD = 2  # chunks that are decoded while one is measured: all that memory ever holds
THREADS = 4

Pixels = np.ndarray
"""uint8 [H, W, 3]."""


class PictureError(ValueError):
    """A file that cannot be used as an image."""


def path_inside(folder: Path, name: str) -> Path:
    """The path of a picture, which must lie in the folder, links followed.

    Raises:
        ValueError: it lies elsewhere, or it is no file.
    """
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"{name!r} leads out of the picture folder {folder}")
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


def decode(path: Path) -> Pixels:
    """Reads an image, upright; what is transparent lies on white, and of an animation the first picture is taken.

    Raises:
        PictureError: it is no image that can be read.
    """
    try:
        with Pillow.open(io.BytesIO(path.read_bytes())) as image:
            image = ImageOps.exif_transpose(_eight_bits(image))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image)
            return np.array(image.convert("RGB"))
    except Pillow.UnidentifiedImageError as error:  # whose text names the buffer
        raise PictureError(f"{path} cannot be read as an image (no format that is known)") from error
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise PictureError(f"{path} cannot be read as an image ({error})") from error


def _eight_bits(image: Pillow.Image) -> Pillow.Image:
    """Grey with 16 bits as grey with 8: Pillow's own conversion makes everything above 255 white."""
    if image.mode.startswith("I;16"):
        return Pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its mode {image.mode} has no range; expected 8 or 16 bits a channel")
    return image


def _decoded(path: Path) -> Pixels | PictureError:
    try:
        return decode(path)
    except PictureError as error:
        return error


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


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
