"""decode_image: what is damaged, too large or of another format is refused in a sentence."""

import random
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.errors import InvalidImage, InvalidInput
from runtime.image.decode import decode_image, read_picture
from tests.helpers.encoded_pictures import chunk, encode, png, refusal, with_alpha


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
    assert "consists of more than" in refusal(data)


def test_a_jpeg_of_endless_scans_is_refused(photo: Image.Image) -> None:
    data = encode(photo, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    assert "100 scans" in refusal(data[:scan] + data[scan:-2] * 100 + data[-2:])


def test_scans_do_not_hide_behind_a_marker_without_a_length(photo: Image.Image) -> None:
    data = encode(photo, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    hidden = data[scan:-2]
    for marker in (b"\xff\x01", b"\xff\xd0", b"\xff\xd7"):
        segment = marker + (len(hidden) + 2).to_bytes(2, "big") + hidden
        comment = b"\xff\xfe\0\2"  # ends the scan before
        assert f"marker {marker[1]:02X}" in refusal(data[:-2] + comment + segment + data[-2:])


def bomb(data: bytes, scan: int, times: int) -> bytes:
    """A progressive JPEG in which one of its scans comes so many times more."""
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    end = next(
        at for at in range(starts[scan] + 2, len(data)) if data[at] == 0xFF and data[at + 1] in _MARKERS
    )
    return data[:-2] + data[starts[scan] : end] * times + data[-2:]


_MARKERS = (0xC4, 0xD9, 0xDA)  # of what follows a scan: tables, the end, another scan


@pytest.mark.parametrize(("subsampling", "passes"), [(2, 5.33), (0, 4.67)], ids=["4:2:0", "4:4:4"])
def test_each_scan_of_a_jpeg_counts_by_its_part_of_the_samples(
    photo: Image.Image, subsampling: int, passes: float
) -> None:
    read = [
        read_picture(memoryview(encode(photo, "JPEG", subsampling=subsampling, progressive=progressive)))
        for progressive in (False, True)
    ]
    assert read[0].scans == pytest.approx(1)
    assert read[1].scans == pytest.approx(passes, abs=0.01)


def test_other_formats_take_one_pass(photo: Image.Image) -> None:
    for kind in ("PNG", "WEBP", "PPM"):
        assert read_picture(memoryview(encode(photo, kind))).scans == 1


def test_a_picture_that_a_decoder_goes_over_too_often_is_refused_before_decoding(photo: Image.Image) -> None:
    large = bytearray(encode(photo, "JPEG", progressive=True))
    frame = large.index(b"\xff\xc2")
    large[frame + 5 : frame + 9] = struct.pack(">HH", 7000, 7000)
    message = refusal(bomb(bytes(large), 9, 80))
    assert "7,000 x 7,000" in message
    assert "300,000,000" in message
    assert "58.7 times" in message


def test_a_progressive_photo_of_12_megapixels_is_decoded() -> None:
    photo = Image.new("RGB", (4000, 3000), (90, 120, 150))
    data = encode(photo, "JPEG", progressive=True)
    assert decode_image(data).shape == (3000, 4000, 3)
    with pytest.raises(
        InvalidImage, match=r"5\.3 times, 64,000,000 in all, more than the 60,000,000 accepted"
    ):
        decode_image(data, max_scan_pixels=60_000_000)


def test_a_scan_of_a_component_that_is_not_there_is_damage(photo: Image.Image) -> None:
    data = bytearray(encode(photo, "JPEG"))
    data[data.index(b"\xff\xda") + 5] = 9
    assert "lacks" in refusal(bytes(data))
    data = bytearray(encode(photo, "JPEG"))
    data[data.index(b"\xff\xc0") + 11] = 0x05
    assert "components" in refusal(bytes(data))


def test_restart_markers_are_counted_through_a_long_scan(photo: Image.Image) -> None:
    data = encode(photo.resize((1200, 1000)), "JPEG", restart_marker_blocks=1, quality=98)
    assert len(data) > 150_000  # more than is searched at once
    assert read_picture(memoryview(data)).width == 1200
    late = data.rindex(b"\xff\xd3")
    assert "restart" in refusal(data[:late] + b"\xff\xd4" + data[late + 2 :])


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


def test_memory_that_ran_out_is_not_the_picture_s_fault(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        error = cv2.error("Failed to allocate 786432 bytes")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(cv2, "imdecode", fail)
    for picture in (encode(photo, "PNG"), encode(photo.convert("CMYK"), "JPEG")):
        with pytest.raises(cv2.error):
            decode_image(picture)
