"""Pictures of Pillow, and files that it decodes here, reach the server as what they show."""

import io
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from qface_client._photos import encode
from qface_client.errors import InvalidInput
from runtime.image.decode import decode_image
from tests.helpers.encoded_pictures import STORED_AS

RANDOM = np.random.default_rng(6)
RGB = RANDOM.integers(0, 256, (24, 37, 3), dtype=np.uint8)
RGBA = RANDOM.integers(0, 256, (24, 37, 4), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (24, 37), dtype=np.uint16)
PICTURE = Image.fromarray(RGB)


def at_server(photo: Any) -> NDArray[np.uint8]:
    return decode_image(encode(photo).data)


def file_of(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def palette(*, transparent: bool) -> Image.Image:
    picture = PICTURE.quantize(16)
    if transparent:
        picture.info["transparency"] = 3
    return picture


PICTURES = {
    "RGB": PICTURE,
    "RGBA": Image.fromarray(RGBA),
    "LA": Image.fromarray(RGBA).convert("LA"),
    "L": PICTURE.convert("L"),
    "1": PICTURE.convert("1"),
    "P": palette(transparent=False),
    "P, transparent": palette(transparent=True),
    "I;16": Image.fromarray(DEEP),
}


@pytest.mark.parametrize("mode", PICTURES)
def test_a_picture_of_any_mode_is_seen_as_its_png(mode: str) -> None:
    picture = PICTURES[mode]
    data = file_of(picture, "PNG")
    assert (at_server(picture) == decode_image(data)).all()
    assert (at_server(Image.open(io.BytesIO(data))) == decode_image(data)).all()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_colours_are_converted_as_pillow_does(mode: str) -> None:
    picture = PICTURE.convert(mode)
    assert (at_server(picture) == np.asarray(picture.convert("RGB"))).all()


def test_the_clear_grey_of_16_bits_lies_on_white() -> None:
    data = file_of(Image.fromarray(DEEP), "PNG", transparency=int(DEEP[3, 4]))
    seen = at_server(Image.open(io.BytesIO(data)))
    assert (seen == decode_image(data)).all()
    assert (seen[3, 4] == 255).all()


@pytest.mark.parametrize("mode", ["F", "I"])
def test_a_mode_of_unknown_range_is_refused(mode: str) -> None:
    with pytest.raises(InvalidInput, match="no known range"):
        encode(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("orientation", sorted(STORED_AS))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    stored = PICTURE.transpose(STORED_AS[orientation])
    data = file_of(stored, kind, exif=rotated(orientation))
    assert (at_server(data) == RGB).all()
    opened = Image.open(io.BytesIO(data))
    assert (at_server(opened) == RGB).all()
    # One that was turned already is not turned again.
    assert (at_server(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))) == RGB).all()


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_a_lossless_file_of_another_format_is_decoded_here(kind: str, mode: str) -> None:
    picture = PICTURES[mode].convert("L") if kind == "JPEG2000" and mode == "1" else PICTURES[mode]
    data = file_of(picture, kind)
    assert (at_server(data) == np.asarray(picture.convert("RGB"))).all()


def test_transparency_of_other_formats_lies_on_white() -> None:
    picture = PICTURES["RGBA"]
    assert (at_server(file_of(picture, "TIFF")) == at_server(picture)).all()
    clear = palette(transparent=True)
    seen = at_server(file_of(clear, "GIF", transparency=3))
    assert (seen[np.asarray(clear) == 3] == 255).all()


def test_of_an_animation_the_first_picture_counts() -> None:
    frames = [Image.new("RGB", (9, 7), color) for color in ("red", "green", "blue")]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (at_server(data) == (255, 0, 0)).all()
    # A picture that stands at another one is that.
    opened = Image.open(io.BytesIO(data))
    opened.seek(2)
    assert (at_server(opened) == (0, 0, 255)).all()


def test_sixteen_bits_of_a_tiff_become_eight() -> None:
    data = file_of(Image.fromarray(DEEP), "TIFF")
    assert (at_server(data)[..., 0] == (DEEP.astype(np.uint32) + 128) // 257).all()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_decoded_here() -> None:
    data = file_of(PICTURE.resize((64, 64)), "AVIF", quality=100, subsampling="4:4:4")
    assert (at_server(data) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_the_server_reads_goes_to_it_unchanged(kind: str) -> None:
    data = file_of(PICTURE, kind)
    assert encode(data).data.tobytes() == data


def test_a_format_without_a_decoder_is_named() -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(64)
    with pytest.raises(
        InvalidInput, match=r"a picture of HEIF, which Pillow does not read here.*pillow-heif"
    ):
        encode(heic)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF", "AVIF", "JPEG2000"])
def test_a_damaged_file_is_refused(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = file_of(PICTURE, kind)
    for end in range(4 if kind != "JPEG2000" else 12, len(data) - 40, max(1, len(data) // 25)):
        try:
            encode(data[:end])
        except InvalidInput as error:
            assert "\n" not in str(error)  # noqa: PT017
    with pytest.raises(InvalidInput, match=r"can't be read as|more than"):
        encode(data[: len(data) // 3])


def test_a_truncated_picture_of_pillow_is_refused() -> None:
    data = file_of(PICTURE, "PNG")
    with pytest.raises(InvalidInput, match="can't be decoded"):
        encode(Image.open(io.BytesIO(data[: len(data) // 2])))
    closed = Image.open(io.BytesIO(data))
    closed.close()
    with pytest.raises(InvalidInput, match="can't be decoded"):
        encode(closed)


def bomb(width: int, height: int) -> bytes:
    """A GIF whose header promises many pixels."""
    return (
        b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(3) + b"," + bytes(60)
    )


@pytest.mark.parametrize("warn", ["error", "ignore"])
@pytest.mark.parametrize("side", [8000, 12000, 60000])
def test_a_picture_of_too_many_pixels_is_not_decoded(side: int, warn: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(warn)
        with pytest.raises(InvalidInput, match=r"more than the 50,000,000|decompression bomb"):
            encode(bomb(side, side))


def test_a_warning_of_pillow_is_no_exception() -> None:
    # Its palette's transparency is bytes, of which Pillow warns where it becomes RGB.
    clear = palette(transparent=False)
    clear.info["transparency"] = bytes(range(0, 256, 16))
    data = file_of(clear, "PNG")
    assert (at_server(Image.open(io.BytesIO(data))) == decode_image(data)).all()
    broken = bytearray(file_of(PICTURE, "TIFF", exif=rotated(6)))
    broken[-1] ^= 0xFF
    encode(bytes(broken))
