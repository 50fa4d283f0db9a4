"""Image files: finding, hashing, decoding (also by threads, a chunk ahead of their use), and JPEGs for documents."""

import base64
import io
import logging
import os
import unicodedata
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from emoticrafter.files import file_sha256, regular
from emoticrafter.quoting import shown
from trainer.core.rows import DataError

AHEAD = 2  # chunks decoded while another is in use; memory never holds more
THREADS = 4
LARGEST = 100_000_000
"""Pixels: a small file may claim as many as it likes."""
LONGEST_PATH = 300  # characters in a message

warnings.filterwarnings("ignore", module="PIL")  # `decode` compares sizes, and says what is wrong with a file
logging.getLogger("PIL").setLevel(logging.CRITICAL)
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

Pixels = np.ndarray
"""uint8 [H, W, 3]."""


class PictureError(ValueError):
    """A file that cannot be used as an image."""


# ---- files -----------------------------------------------------------------------------------------


def name_inside(folder: Path, name: Path | str) -> Path | None:
    """A path relative to the folder, or None if it leads out of it.

    Links in the folder may point anywhere: large data sets are often linked into place.
    """
    root = Path(folder).absolute()
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):  # the folder may be named in two ways
        root, path = root.resolve(), path.resolve()
    return path.relative_to(root) if path.is_relative_to(root) else None


def path_inside(folder: Path, name: str) -> Path:
    """The path of a picture in a folder, given by its name there; see `name_inside`.

    Raises:
        ValueError: It lies elsewhere or is not a file.
    """
    folder = Path(folder)
    try:
        inside = name_inside(folder, name)
        if inside is None:
            raise ValueError(f"{name[:200]!r} lies outside the picture folder {folder}")
        path = folder.absolute() / inside
        if path.is_file():
            return path
        link = path.is_symlink()
    except (OSError, RuntimeError) as error:  # a name too long for any file system
        raise ValueError(f"{name[:60]!r} cannot be looked up ({error})") from error
    if link:
        raise ValueError(f"{name[:200]!r} is a broken symlink in the picture folder {folder}")
    if "\\" in name:  # written on Windows
        return path_inside(folder, name.replace("\\", "/"))
    raise ValueError(f"{name[:200]!r} is not in the picture folder {folder}")


class PictureFolder:
    """A folder of pictures at any depth, in which a table's names are looked up."""

    def __init__(self, folder: Path):
        """
        Raises:
            DataError: There is no such folder.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DataError(f"{folder}: no such picture folder.")

    def find(self, name: str) -> str:
        """A picture's path inside the folder, with forward slashes.

        A name that is not a path in the folder may also be the end of one ("a.jpg" of "train/a.jpg"), in other case
        ("A.JPG"), or without its ending ("Acorns 1").

        Raises:
            ValueError: It leads out of the folder, is not there, or fits several pictures.
        """
        try:
            path_inside(self.folder, name)
            return name_inside(self.folder, name.replace("\\", "/")).as_posix()
        except ValueError:
            wanted = "/" + _alike(name).strip("/")
            named = self._by_name.get(_alike(Path(wanted).name), ())
            found = [path for path in named if _ends(path, wanted) and (self.folder / path).is_file()]
            if not found:
                raise
        files = {(self.folder / path).resolve() for path in found}
        if len(files) > 1:
            raise ValueError(f"{name!r} may be {found[0]!r} or {found[1]!r}: name its folder, or remove one")
        return found[0]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """The pictures' paths by their names, with the ending and without."""
        found: dict[str, list[str]] = {}
        for path in _pictures_below(self.folder):
            for name in {_alike(path.name), _alike(path.stem)}:
                found.setdefault(name, []).append(path.relative_to(self.folder).as_posix())
        return found


def _alike(name: str) -> str:
    """A name as a disk that does not tell case may have it; Macs take accents apart."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


def _ends(path: str, wanted: str) -> bool:
    whole = "/" + _alike(path)
    return whole.endswith(wanted) or whole.removesuffix(Path(whole).suffix).endswith(wanted)


def _pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures of a folder in order, through links, and without what systems leave there (.git, ._a.jpg)."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = Path(root).resolve()
        if real in seen:  # linked twice, or a circle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(root) / name


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
    """Decodes an image: upright, transparency on white, 16 bits as 8, the first frame of an animation.

    Every picture is decoded here, whether a model reads it, a person sees it, or a language model is sent it.

    Args:
        source: A file, or what is in it.
        at_least: Pixels per side that are enough: a larger JPEG is decoded at the smallest of its own scales that has
            them, which is several times faster. Other formats keep their size.

    Raises:
        PictureError: It cannot be read as an image.
    """
    name = "the picture" if isinstance(source, bytes) else shown(str(source), LONGEST_PATH)
    try:
        data = source if isinstance(source, bytes) else regular(source).read_bytes()
        with Pillow.open(io.BytesIO(data)) as image:
            return _pixels(image, at_least)
    except Pillow.UnidentifiedImageError as error:  # whose text names the buffer
        raise PictureError(f"{name} cannot be read as an image (unknown format)") from error
    except Exception as error:  # Pillow raises errors of many kinds for damaged files
        why = shown(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        raise PictureError(f"{name} cannot be read as an image ({why})") from error


def _pixels(image: Pillow.Image, at_least: int | None) -> Pixels:
    if at_least:
        image.draft(None, (at_least, at_least))
    if image.width * image.height > LARGEST:
        raise ValueError(f"{image.width:,} x {image.height:,} pixels, expected at most {LARGEST:,}")
    has_range = image.format == "PPM"  # the one format whose 16 bits come in a mode of 32
    image = _eight_bits(ImageOps.exif_transpose(image), has_range)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _eight_bits(image: Pillow.Image, has_range: bool) -> Pillow.Image:
    """Sixteen bits as eight: Pillow's own conversion of grey makes everything above 255 white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and has_range):
        values = np.asarray(image)
        clear = image.info.get("transparency")  # the grey that counts as transparent
        image = Pillow.fromarray((values >> 8).astype(np.uint8))
        if clear is not None:
            image.putalpha(Pillow.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and max(clear) > 255:  # of a PNG with 16 bits, which Pillow reads as 8
        image.info["transparency"] = tuple(value >> 8 for value in clear)
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
