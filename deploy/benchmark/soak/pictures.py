"""Photos of no, one and several faces in several sizes and formats, and files that are none."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.load.sample_requests import picture
from deploy.measuring.pictures.portrait import PORTRAIT

LARGE = 2_000_000  # pixels from which a photo is sent less often
Pixels = NDArray[np.uint8]  # [H, W, 3], RGB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
    """An encoded picture; `share` is how often it is sent, in those of an ordinary one."""

    name: str
    data: bytes
    share: float = 1.0


def portrait(side: int = 512) -> Pixels:
    """One face, `side` pixels square."""
    read = cv2.imread(str(PORTRAIT), cv2.IMREAD_COLOR)
    assert read is not None, f"{PORTRAIT} is missing"
    return np.asarray(cv2.resize(read[..., ::-1], (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def collage(columns: int, rows: int, *, side: int) -> Pixels:
    """The portrait so many times, each mirrored or darker than its neighbour."""
    tile = portrait(side)

    def variant(column: int, row: int) -> Pixels:
        turned = tile[:, ::-1] if (column + row) % 2 else tile
        return np.asarray(turned * (1.0 - 0.1 * (column % 3)), dtype=np.uint8)

    lines = [np.hstack([variant(column, row) for column in range(columns)]) for row in range(rows)]
    return np.ascontiguousarray(np.vstack(lines))


def encoded(pixels: Pixels, suffix: str, *options: int) -> bytes:
    """The picture as a file of the format that a suffix names."""
    written, data = cv2.imencode(suffix, pixels[..., ::-1], list(options))
    assert written, suffix
    return data.tobytes()


def photos() -> Iterator[Photo]:
    """For models that look for faces."""
    yield Photo(name="no face, 640 x 640, JPEG", data=encoded(picture(1, size=640), ".jpg"))
    yield Photo(name="no face, 64 x 64, PNG", data=encoded(picture(2, size=64), ".png"))
    yield Photo(name="1 face, 512 x 512, JPEG", data=PORTRAIT.read_bytes(), share=2.0)
    yield Photo(name="1 face, 160 x 160, JPEG", data=encoded(portrait(160), ".jpg"), share=2.0)
    yield Photo(name="1 face, 320 x 320, PNG", data=encoded(portrait(320), ".png"))
    yield Photo(name="1 face, 400 x 400, WebP", data=encoded(portrait(400), ".webp"))
    yield Photo(
        name="1 face, 900 x 900, progressive JPEG",
        data=encoded(portrait(900), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        share=0.5,
    )
    yield Photo(name="1 face, 256 x 256, PPM", data=encoded(portrait(256), ".ppm"))
    grey = cv2.cvtColor(portrait(384), cv2.COLOR_RGB2GRAY)
    written, data = cv2.imencode(".jpg", grey)
    assert written
    yield Photo(name="1 face, 384 x 384, grey JPEG", data=data.tobytes())
    for columns, rows, side, suffix, share in (
        (2, 1, 300, ".jpg", 1.0),
        (3, 2, 240, ".webp", 0.5),
        (4, 3, 200, ".jpg", 0.3),
        (6, 5, 160, ".jpg", 0.15),
    ):
        yield Photo(
            name=f"{columns * rows} faces, {columns * side} x {rows * side}, {suffix[1:].upper()}",
            data=encoded(collage(columns, rows, side=side), suffix),
            share=share,
        )
    yield Photo(name="1 face, 3000 x 3000, JPEG", data=encoded(portrait(3000), ".jpg"), share=0.15)


def face_photos() -> Iterator[Photo]:
    """For models that take a photo of one face as it is."""
    yield Photo(name="512 x 512, JPEG", data=PORTRAIT.read_bytes())
    yield Photo(name="96 x 96, PNG", data=encoded(portrait(96), ".png"))
    yield Photo(name="224 x 224, WebP", data=encoded(portrait(224), ".webp"))


def crops() -> Iterator[Pixels]:
    """For models that take raw pixels."""
    for seed, side in enumerate((48, 112, 160, 256)):
        yield picture(seed, size=side)
    yield portrait(128)


def no_pictures() -> Iterator[Photo]:
    """Files that can't be decoded."""
    whole = PORTRAIT.read_bytes()
    png = encoded(portrait(64), ".png")
    yield Photo(name="an empty file", data=b"")
    yield Photo(name="a cut JPEG", data=whole[: len(whole) // 2])
    yield Photo(name="a JPEG's first bytes", data=whole[:40])
    yield Photo(name="a cut PNG", data=png[: len(png) // 2])
    yield Photo(name="a PNG with a damaged checksum", data=png[:40] + bytes([png[40] ^ 255]) + png[41:])
    yield Photo(name="random bytes", data=np.random.default_rng(0).bytes(4000))
    yield Photo(name="text", data=b"this is no picture" * 20)
    yield Photo(name="a GIF", data=b"GIF89a" + bytes(60))
