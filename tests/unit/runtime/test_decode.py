"""decode_image: accepted pictures are answered right, everything else is refused in a sentence."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from runtime.errors import InvalidImage, InvalidInput
from runtime.image.decode import decode_image
from tests.helpers.paths import ASTRONAUT


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """60 x 44 pixels of a face, so that axes and corners can't be mistaken."""
    with Image.open(ASTRONAUT) as image:
        return image.convert("RGB").crop((180, 80, 240, 124))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pillow(data: bytes) -> NDArray[np.uint8]:
    """Pillow's answer: upright, on white, RGB."""
    with Image.open(io.BytesIO(data)) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB"))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    *, width: int, height: int, depth: int = 8, kind: int = 2, rows: bytes = b"", extra: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body


def refusal(data: bytes) -> str:
    """The sentence with which `data` is refused."""
    with pytest.raises(InvalidImage) as caught:
        decode_image(data)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "; " in message, "the sentence should say what to do"
    return message


def with_alpha(photo: Image.Image) -> Image.Image:
    ramp = np.tile(np.linspace(0, 255, photo.width).astype(np.uint8), (photo.height, 1))
    return Image.merge("RGBA", (*photo.split(), Image.fromarray(ramp)))


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


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "WEBP", "lossless", "PPM"])
def test_a_file_cut_anywhere_is_refused(photo: Image.Image, kind: str) -> None:
    special = {"progressive": ("JPEG", {"progressive": True}), "lossless": ("WEBP", {"lossless": True})}
    name, options = special.get(kind, (kind, {}))
    data = encode(photo, name, **options)
    for length in {*range(1, 40), *range(40, len(data) - 1, 97), len(data) - 1}:
        refusal(data[:length])
    assert "cut short" in refusal(data[:-1])
    assert f"{len(data) // 2:,} bytes" in refusal(data[: len(data) // 2])


def test_damage_within_a_png_is_noticed(photo: Image.Image) -> None:
    data = bytearray(encode(photo, "PNG"))
    data[len(data) // 2] ^= 0x10
    assert "checksum" in refusal(bytes(data))


def test_a_png_with_too_few_pixels_is_refused() -> None:
    assert "can't be decoded" in refusal(png(width=100, height=100, rows=b"\0" * 301))


def test_damaged_jpeg_structure_is_noticed(photo: Image.Image) -> None:
    data = encode(photo, "JPEG")
    scan = data.index(b"\xff\xda") + 100
    assert "restart" in refusal(data[:scan] + b"\xff\xd3" + data[scan:])
    assert "restart" in refusal(data[:scan] + b"\xff\xd0" + data[scan:])
    restarting = bytearray(encode(photo, "JPEG", restart_marker_rows=1))
    restarting[restarting.index(b"\xff\xd1") + 1] = 0xD2
    assert "restart" in refusal(bytes(restarting))
    assert "marker D8" in refusal(data[:scan] + data)
    assert "no pixels" in refusal(b"\xff\xd8\xff\xd9")
    assert "should begin a segment" in refusal(data[:2] + b"noise" + data[2:])


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (2**31 - 1, 1), (1, 50_000_001)])
def test_a_small_file_that_claims_a_huge_picture_is_refused_before_decoding(width: int, height: int) -> None:
    message = refusal(png(width=width, height=height, rows=b"\0" * 100))
    assert f"{width:,} x {height:,}" in message
    assert "50,000,000" in message


@pytest.mark.parametrize(
    ("depth", "kind", "size", "refused"),
    [
        (16, 6, 7000, True),
        (16, 2, 6000, True),
        (16, 2, 5500, False),
        (8, 6, 7000, False),
        (16, 0, 7000, False),
    ],
)
def test_deep_pictures_are_bounded_by_the_bytes_that_they_take(
    depth: int, kind: int, size: int, refused: bool
) -> None:
    """50 million pixels of 8-bit RGBA at most. The files end too early, so none is really decoded."""
    message = refusal(png(width=size, height=size, depth=depth, kind=kind, rows=b"\0" * 100))
    assert ("200,000,000 bytes" in message) == refused
    assert ("can't be decoded" in message) != refused


def test_a_transparent_or_deep_picture_is_the_same_in_strips_as_at_once(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = {kind: decode_image(LOSSLESS[kind](photo)) for kind in ("png alpha", "png grey tRNS")}
    monkeypatch.setattr("runtime.image.decode._STRIP_PIXELS", 7 * photo.width)
    for kind, expected in at_once.items():
        assert np.array_equal(decode_image(LOSSLESS[kind](photo)), expected)


def test_a_file_that_is_too_long_is_refused_before_it_is_read() -> None:
    start = b"\xff\xd8\xff\xe0\0\2"
    for data in (start.ljust(64 * 1024 * 1024 + 1, b"\xff"), np.zeros(64 * 1024 * 1024 + 1, np.uint8)):
        with pytest.raises(InvalidImage, match="67,108,865 bytes, more than the 67,108,864 accepted; send"):
            decode_image(data)


def test_raw_pixels_may_be_as_long_as_the_largest_picture() -> None:
    header = b"P6 6000 4000 255\n"
    assert decode_image(header + bytes(6000 * 4000 * 3)).shape == (4000, 6000, 3)
    with pytest.raises(InvalidImage, match="accepted; send a smaller copy"):
        decode_image(header + bytes(160_000_000))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_of_very_many_segments_is_refused(photo: Image.Image, kind: str) -> None:
    data, many = encode(photo, kind), 200_000
    if kind == "JPEG":
        data = data[:2] + b"\xff\xe0\0\2" * many + data[2:]
    elif kind == "PNG":
        data = data[:33] + chunk(b"teXt", b"") * many + data[33:]
    else:
        body = data[8:] + b"JUNK\0\0\0\0" * many
        data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert "more than 100,000" in refusal(data)


def test_a_jpeg_of_endless_scans_is_refused(photo: Image.Image) -> None:
    data = encode(photo, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    assert "100 scans" in refusal(data[:scan] + data[scan:-2] * 100 + data[-2:])


def test_fill_bytes_before_a_marker_are_overlooked(photo: Image.Image) -> None:
    data = encode(photo, "JPEG")
    filled = data[:2] + b"\xff" * 5_000_000 + data[2:]
    assert np.array_equal(decode_image(filled), decode_image(data))
    assert "cut short" in refusal(data[:2] + b"\xff" * 5_000_000)


def test_the_largest_size_can_be_set(photo: Image.Image) -> None:
    data = encode(photo, "JPEG")
    assert decode_image(data, max_pixels=60 * 44).shape == (44, 60, 3)
    with pytest.raises(InvalidImage, match="60 x 44"):
        decode_image(data, max_pixels=60 * 44 - 1)


def test_a_picture_without_width_or_height_is_refused(photo: Image.Image) -> None:
    assert "0 x 5" in refusal(png(width=0, height=5))
    assert "5 x 0" in refusal(png(width=5, height=0))
    assert "0 x 7" in refusal(b"P6 0 7 255\n")
    data = bytearray(encode(photo, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 7] = b"\0\0"
    assert "60 x 0" in refusal(bytes(data))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"BM" + bytes(60), "a BMP"),
        (b"II*\0" + bytes(20), "a TIFF"),
        (b"MM\0*" + bytes(20), "a TIFF"),
        (b"\0\0\0\x18ftypheic" + bytes(12), "a HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(12), "an AVIF"),
        (b"\0\0\0\x1cftypisom" + bytes(12), "a video"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\n<!DOCTYPE html><html>", "an HTML text"),
        (b"<svg xmlns='x'/>", "an SVG"),
        (b"P5 2 2 255\n1234", "Netpbm"),
        (b"P6 2 2 65535\n" + bytes(24), "65535"),
        (b"P6 two 2 255\n", "header"),
        (b"just some text", "14 bytes"),
        (b"\xff", "1 bytes"),
    ],
)
def test_what_is_not_accepted_is_refused_by_name(data: bytes, name: str) -> None:
    assert name in refusal(data)


def test_a_12_bit_or_two_component_jpeg_is_refused_by_name(photo: Image.Image) -> None:
    data = bytearray(encode(photo, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    assert "12 bits" in refusal(bytes(data))


def test_a_ppm_may_carry_comments_and_values_that_look_like_space() -> None:
    pixels = b"\n\t \n\t #ab\n\t "
    ours = decode_image(b"P6\n# made by hand\n2 # across\n2\n255\n" + pixels)
    assert ours.reshape(-1).tolist() == list(pixels)


def test_refusals_are_values_that_the_caller_can_catch() -> None:
    assert issubclass(InvalidImage, InvalidInput)
    assert issubclass(InvalidInput, ValueError)


def test_random_damage_is_refused_or_decoded_and_never_crashes(photo: Image.Image) -> None:
    dice = random.Random(7)
    seeds = [encode(photo, kind) for kind in ("JPEG", "PNG", "WEBP", "PPM")]
    seeds.append(encode(photo, "JPEG", progressive=True))
    seeds.append(encode(with_alpha(photo), "WEBP", lossless=True))
    outcomes = set()
    for _ in range(1500):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.choice((1, 3, 20))):
            at = dice.randrange(len(data))
            match dice.randrange(3):
                case 0:
                    data[at] = dice.randrange(256)
                case 1:
                    del data[at : at + dice.randrange(30)]
                case 2:
                    data[at:at] = dice.randbytes(dice.randrange(1, 9))
            if not data:
                break
        try:
            picture = decode_image(bytes(data), max_pixels=1_000_000)
        except InvalidImage:
            outcomes.add("refused")
        else:
            assert picture.dtype == np.uint8
            assert picture.shape[2] == 3
            outcomes.add("decoded")
    for _ in range(300):
        with pytest.raises(InvalidImage):
            decode_image(dice.randbytes(dice.randrange(1, 300)))
    assert outcomes == {"refused", "decoded"}
