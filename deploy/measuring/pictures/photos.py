"""The pictures that are sent, all made of one portrait, the same at every run."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.measuring.pictures.collages import Portrait, collage
from deploy.measuring.pictures.portrait import PORTRAIT

FACE = (173.0, 69.0, 277.0, 172.0)  # the box of the portrait's face
_QUALITY = 90
_NOISE = 3.0  # of 255: a flat background would decode as no photo does
_SEED = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo that is made, and how many faces it shows."""

    name: str
    width: int
    height: int
    faces: int


PHOTOS = (
    Photo(name="photo of 8 faces", width=1920, height=1080, faces=8),
    Photo(name="photo of 30 faces", width=1920, height=1080, faces=30),
    Photo(name="photo of one face, 1080p", width=1920, height=1080, faces=1),
    Photo(name="photo of one face, 12 MP", width=4000, height=3000, faces=1),
)


def made_jpeg(photo: Photo) -> bytes:
    """The photo as a JPEG file's bytes."""
    portrait = Portrait(pixels=read_rgb(PORTRAIT), box=np.array(FACE))
    made = collage([portrait], width=photo.width, height=photo.height, count=photo.faces, seed=_SEED)
    noise = np.random.default_rng(_SEED).normal(0.0, _NOISE, made.pixels.shape[:2])
    pixels = np.clip(made.pixels + noise[..., None], 0, 255).astype(np.uint8)
    written, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert written
    return data.tobytes()


def write_photo(photo: Photo, folder: Path) -> Path:
    """The photo as a JPEG file."""
    path = folder / f"{photo.width}x{photo.height}-{photo.faces}.jpg"
    path.write_bytes(made_jpeg(photo))
    return path


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The pixels [H, W, 3] of a picture; ValueError for a file that is none."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} is no picture: name a JPEG, PNG or WebP file")
    return np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)
