"""Decoding pictures: whatever cameras and editors write looks the same to every reader."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from trainer.core.pictures import PictureError, data_url, decode, jpeg


def test_sixteen_bits_stay_grey_and_cameras_pictures_stand_upright(tmp_path):
    grey = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    Pillow.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    np.testing.assert_array_equal(decode(tmp_path / "16.png"), np.repeat(grey[..., None], 3, 2))
    turned = Pillow.Exif()
    turned[0x0112] = 6  # the camera was held on its side
    Pillow.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=turned)
    assert decode(tmp_path / "turned.jpg").shape == (8, 4, 3)
    Pillow.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    assert decode(tmp_path / "cmyk.tif")[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_keep_their_levels_transparency_and_orientation(tmp_path):
    grey = np.array([[0, 0x40FF, 0x8000, 0xFFFF]], np.uint16)
    turned = Pillow.Exif()
    turned[0x0112] = 6
    Pillow.fromarray(grey).save(tmp_path / "turned.png", exif=turned)
    assert decode(tmp_path / "turned.png")[:, 0, 0].tolist() == [0, 0x40, 0x80, 0xFF]
    (tmp_path / "grey.pgm").write_bytes(b"P5 4 1 65535\n" + grey.astype(">u2").tobytes())
    assert decode(tmp_path / "grey.pgm")[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]
    colour = np.stack([grey, grey, grey], -1)
    for pixels, kind, clear in ((grey, 0, grey[:, 1]), (colour, 2, colour[:, 1])):
        (tmp_path / "key.png").write_bytes(png16(pixels, kind, clear))
        assert decode(tmp_path / "key.png")[0, :, 1].tolist() == [0, 0xFF, 0x80, 0xFF], "the key lies on white"


def png16(pixels: np.ndarray, kind: int, clear: np.ndarray) -> bytes:
    """A PNG with 16 bits, which Pillow cannot write in colour, whose colour `clear` is transparent."""
    height, width = pixels.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = {b"IHDR": head, b"tRNS": clear.astype(">u2").tobytes(), b"IDAT": zlib.compress(rows), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_small_file_cannot_ask_for_a_huge_picture(tmp_path):
    for size, why in (((13000, 13000), "13,000 x 13,000 pixels, expected at most"), ((40000, 40000), "exceeds limit")):
        data = bytearray(png16(np.zeros((1, 1), np.uint16), 0, np.zeros(1)))
        data[16:24] = struct.pack(">II", *size)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        with pytest.raises(PictureError, match=why):
            decode(bytes(data))


def test_pictures_without_a_range_or_a_format_are_refused(tmp_path):
    Pillow.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(PictureError, match=r"float.tif .*mode F has no fixed range"):
        decode(tmp_path / "float.tif")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(PictureError, match=r"text.png cannot be read as an image \(unknown format\)"):
        decode(tmp_path / "text.png")


def test_transparency_lies_on_white_and_an_animation_shows_its_first_frame(tmp_path):
    Pillow.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (decode(tmp_path / "clear.png") == 255).all()
    Pillow.new("LA", (4, 4), (0, 128)).save(tmp_path / "half.png")
    assert (decode(tmp_path / "half.png") == 127).all()
    palette = Pillow.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "palette.png", transparency=1)
    assert (decode(tmp_path / "palette.png") == 255).all()
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


def test_a_large_jpeg_may_be_decoded_small(tmp_path):
    Pillow.linear_gradient("L").resize((1600, 800)).save(tmp_path / "large.jpg")
    small = decode(tmp_path / "large.jpg", at_least=100)
    assert small.shape == (100, 200, 3)
    np.testing.assert_allclose(small.mean(), decode(tmp_path / "large.jpg").mean(), atol=1)


def test_what_jpeg_writes_is_read_again():
    pixels = np.full((40, 80, 3), (200, 30, 30), np.uint8)
    data = jpeg(pixels, 20, quality=90)
    assert Pillow.open(io.BytesIO(data)).size == (20, 10)
    assert np.abs(decode(data).astype(int) - pixels[0, 0]).max() < 8
    assert data_url(data).startswith("data:image/jpeg;base64,/9j/")
    with pytest.raises(PictureError, match="the picture cannot be read as an image"):
        decode(data[:50])
