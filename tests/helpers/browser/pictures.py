"""Pictures that tests drop on the page: good ones, and those that are none."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from deploy.measuring.pictures.collages import Portrait, collage
from tests.helpers.paths import ASTRONAUT
from tests.helpers.requests import BOX

FACES = 20
_ORIENTATION = 0x0112  # EXIF's tag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """Files in a folder of the tests."""

    folder: Path
    astronaut: Path  # 512 x 512, one face
    twenty: Path  # 900 x 720, `FACES` faces
    faceless: Path
    turned: Path  # the astronaut on his side in the file, upright by EXIF's orientation
    broken: Path  # the first 200 bytes of a JPEG
    empty: Path  # no bytes
    text: Path  # no picture, called one


def make_pictures(folder: Path) -> Pictures:
    """Writes them: 0.2 s, 300 kB."""
    return Pictures(
        folder=folder,
        astronaut=_written(folder / "astronaut.jpg", ASTRONAUT.read_bytes()),
        twenty=_twenty(folder / "twenty.jpg"),
        faceless=_faceless(folder / "moon.png"),
        turned=_turned(folder / "turned.jpg"),
        broken=_written(folder / "broken.jpg", ASTRONAUT.read_bytes()[:200]),
        empty=_written(folder / "empty.jpg", b""),
        text=_written(folder / "text.png", b"This is no picture.\n" * 20),
    )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _twenty(path: Path) -> Path:
    with Image.open(ASTRONAUT) as picture:
        portrait = Portrait(pixels=np.asarray(picture.convert("RGB")), box=np.array(BOX, dtype=float))
    crowd = collage([portrait], width=900, height=720, count=FACES, seed=0)
    Image.fromarray(crowd.pixels).save(path, quality=88)
    return path


def _faceless(path: Path) -> Path:
    """A moon over a hill: nothing in it looks like a face."""
    rows, columns = np.mgrid[0:240, 0:320]
    sky = np.stack([20 + rows // 6, 30 + rows // 5, 80 + rows // 3], axis=-1)
    sky[(rows - 60) ** 2 + (columns - 240) ** 2 < 900] = (240, 240, 220)
    sky[rows > 200 - columns // 8] = (30, 60, 30)
    Image.fromarray(sky.astype(np.uint8)).save(path)
    return path


def _turned(path: Path) -> Path:
    with Image.open(ASTRONAUT) as picture:
        upright = picture.convert("RGB").crop((64, 0, 448, 512))  # 384 x 512: sides that differ
    exif = Image.Exif()
    exif[_ORIENTATION] = 6  # turn by 90 degrees clockwise to see it
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=92)
    return path
