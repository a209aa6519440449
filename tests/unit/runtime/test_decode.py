"""decode_image: accepted pictures are decoded right."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from runtime.image.decode import decode_image
from tests.helpers.encoded_pictures import chunk, encode, pillow, png, refusal, with_alpha

LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda p: encode(p, "PNG"),
    "png grey": lambda p: encode(p.convert("L"), "PNG"),
    "png 1 bit": lambda p: encode(p.convert("1"), "PNG"),
    "png alpha": lambda p: encode(with_alpha(p), "PNG"),
    "png grey alpha": lambda p: encode(with_alpha(p).convert("LA"), "PNG"),
    "png palette": lambda p: encode(p.quantize(200), "PNG"),
    "png palette 2 bits": lambda p: encode(p.quantize(4), "PNG", bits=2),
    "png palette tRNS": lambda p: encode(p.quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
    "png rgb tRNS": lambda p: encode(p, "PNG", transparency=p.getpixel((3, 4))),
    "png grey tRNS": lambda p: encode(p.convert("L"), "PNG", transparency=p.convert("L").getpixel((3, 4))),
    "animated png": lambda p: encode(p, "PNG", save_all=True, append_images=[ImageOps.invert(p)]),
    "webp lossless": lambda p: encode(p, "WEBP", lossless=True),
    "webp lossless alpha": lambda p: encode(with_alpha(p), "WEBP", lossless=True, exact=True),
    "animated webp": lambda p: encode(
        p, "WEBP", save_all=True, append_images=[ImageOps.invert(p)], lossless=True
    ),
    "ppm": lambda p: encode(p, "PPM"),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_kinds_equal_pillows_answer(photo: Image.Image, kind: str) -> None:
    data = LOSSLESS[kind](photo)
    ours = decode_image(data)
    assert ours.shape == (44, 60, 3)
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - pillow(data)).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 2},
        {"restart_marker_rows": 1},
        {"optimize": True, "comment": b"\xff\xd9 is no end here"},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_equal_pillows_answer(photo: Image.Image, mode: str, options: dict[str, Any]) -> None:
    data = encode(photo.convert(mode), "JPEG", quality=90, **options)
    assert np.abs(decode_image(data).astype(int) - pillow(data)).max() <= 2


def test_ycck_jpeg_equals_the_same_picture_as_cmyk(photo: Image.Image) -> None:
    """Adobe's transform flag 2 says YCCK: the same bytes, read as CMYK, give other colours."""
    cmyk = encode(photo.convert("CMYK"), "JPEG", quality=95)
    at = cmyk.index(b"Adobe")
    ycck = cmyk[: at + 11] + b"\x02" + cmyk[at + 12 :]
    ours = decode_image(ycck).astype(int)
    assert np.abs(ours - pillow(ycck)).max() <= 2
    assert np.abs(ours - decode_image(cmyk)).max() > 20


def test_lossy_webp_equals_pillows_answer(photo: Image.Image) -> None:
    for image in (photo, with_alpha(photo)):
        data = encode(image, "WEBP", quality=80)
        assert np.abs(decode_image(data).astype(int) - pillow(data)).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo: Image.Image, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    ours = decode_image(data)
    assert ours.shape == ((44, 60, 3) if orientation < 5 else (60, 44, 3))
    assert np.abs(ours.astype(int) - pillow(data)).max() <= 2
    assert ours.flags.c_contiguous


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_senseless_orientation_is_overlooked(photo: Image.Image, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert decode_image(encode(photo, "JPEG", exif=exif)).shape == (44, 60, 3)


def test_a_truncated_exif_block_is_overlooked(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    data = encode(photo, "JPEG")
    # "Exif", two zeros, 8 bytes of TIFF header, the number of tags, and the one tag of 12 bytes.
    readable = 6 + 8 + 2 + 12
    for length in range(len(block) + 1):
        segment = b"\xff\xe1" + struct.pack(">H", length + 2) + block[:length]
        shape = decode_image(data[:2] + segment + data[2:]).shape
        assert shape == ((44, 60, 3) if length < readable else (60, 44, 3))


@pytest.mark.parametrize("kind", [0, 2, 6])
def test_16_bits_become_8_by_rounding(kind: int) -> None:
    channels = {0: 1, 2: 3, 6: 4}[kind]
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    if kind == 6:
        values[..., 3] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    ours = decode_image(png(width=7, height=5, depth=16, kind=kind, rows=rows))
    expected = np.rint(values[..., :3] / 257).astype(int)
    assert np.array_equal(ours, np.broadcast_to(expected, (5, 7, 3)))


@pytest.mark.parametrize(
    ("depth", "row", "clear"), [(2, b"\0\x1b", 2), (16, b"\0" + bytes(range(8)), 0x0203)]
)
def test_a_transparent_grey_becomes_white(depth: int, row: bytes, clear: int) -> None:
    extra = chunk(b"tRNS", struct.pack(">H", clear))
    ours = decode_image(png(width=4, height=1, depth=depth, kind=0, rows=row, extra=extra))
    expected = [0, 85, 255, 255] if depth == 2 else [0, 255, 4, 6]
    assert ours[0, :, 0].tolist() == expected


def test_interlaced_png_equals_the_plain_one() -> None:
    """Adam7 of 2 x 2 pixels: passes 1, 6 and 7 hold pixel (0, 0), pixel (1, 0) and the second row."""
    a, b, c, d = b"\x0a\x14\x1e", b"\x28\x32\x3c", b"\x46\x50\x5a", b"\x64\x6e\x78"
    plain = png(width=2, height=2, rows=b"\0" + a + b + b"\0" + c + d)
    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 1)
    rows = zlib.compress(b"\0" + a + b"\0" + b + b"\0" + c + d)
    interlaced = plain[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    assert np.array_equal(decode_image(interlaced), decode_image(plain))
    assert decode_image(plain).tolist()[1][0] == [0x46, 0x50, 0x5A]


def test_bytes_and_arrays_give_the_same_writable_picture(photo: Image.Image) -> None:
    for kind in ("JPEG", "PPM"):
        data = encode(photo, kind)
        ours = decode_image(np.frombuffer(data, dtype=np.uint8))
        assert np.array_equal(ours, decode_image(data))
        assert ours.flags.writeable


def test_bytes_after_the_end_are_overlooked(photo: Image.Image) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "PPM"):
        data = encode(photo, kind)
        assert np.array_equal(decode_image(data + b"\xff\xd8trailing"), decode_image(data))


def test_a_thumbnail_in_exif_neither_ends_nor_sizes_the_picture(photo: Image.Image) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encode(photo.resize((8, 8)), "JPEG")
    data = encode(photo, "JPEG", exif=exif)
    assert decode_image(data).shape == (44, 60, 3)
    assert "cut short" in refusal(data[: len(data) // 2])


def test_a_broken_colour_profile_changes_nothing_and_is_not_complained_of(
    photo: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encode(photo, "PNG")
    broken = data[:33] + chunk(b"iCCP", b"no profile") + data[33:]
    assert np.array_equal(decode_image(broken), decode_image(data))
    assert capfd.readouterr().err == ""


def test_a_colour_profile_changes_nothing(photo: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(
        decode_image(encode(photo, "JPEG", icc_profile=profile)), decode_image(encode(photo, "JPEG"))
    )


def test_a_transparent_or_deep_picture_is_the_same_in_strips_as_at_once(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = {kind: decode_image(LOSSLESS[kind](photo)) for kind in ("png alpha", "png grey tRNS")}
    monkeypatch.setattr("runtime.image.decode._STRIP_PIXELS", 7 * photo.width)
    for kind, expected in at_once.items():
        assert np.array_equal(decode_image(LOSSLESS[kind](photo)), expected)
