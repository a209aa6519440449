"""What tests of face_quality share: a network that reads colours, faces of them, photos without one."""

import pathlib

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.contract import Contract
from training.contract import make_contract
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.evaluation.predictors import Predictions, Predictor
from training.tasks import CATALOGUE, select

SIZE = 64
ANSWERED = ("age", "gender", "landmarks")
CONTRACT: Contract = make_contract(select(ANSWERED), input_size=SIZE)


def colour_network() -> Predictor:
    """Reads an age off the crop's red, a gender off its green, and points off where it is blue."""

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        values = pixels.astype(np.float64)
        green = values[..., 1].mean(axis=(1, 2)) / 60
        weight = np.maximum(values[..., 2] - 120, 1e-3)
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        at = np.stack([(weight * axis).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)) for axis in (x, y)], axis=1)
        spread = np.stack([np.cos(np.arange(68)), np.sin(np.arange(68))], axis=1) * 8
        return {
            "age": values[..., 0].mean(axis=(1, 2))[:, None].astype(np.float32),
            "gender": np.stack([green, 1 - green], axis=1).astype(np.float32),
            "landmarks": (at[:, None] + spread).astype(np.float32),
        }

    return Predictor(
        name="colours", predict=predict, tasks=CONTRACT.tasks, input_size=SIZE, contract=CONTRACT.hash
    )


def coloured_face(i: int, *, split: str = "train") -> Face:
    """A field of one colour with a blue spot, whose colours are its labels as `colour_network` reads them."""
    rng = np.random.default_rng(i)
    side = SIZE + 2 * margin_of(SIZE)
    red, green = int(rng.integers(10, 90)), int(rng.choice([10, 50]))
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:] = (red, green, 20)
    spot = (int(rng.integers(26, side - 26)), int(rng.integers(26, side - 26)))
    cv2.circle(pixels, spot, 4, (red, green, 250), -1)
    gender = CATALOGUE["gender"].labels[0 if green > 30 else 1]
    return Face(key=f"{i}", pixels=pixels, split=split, person=f"p{i // 2}", labels={"gender": gender})


def write_coloured_set(folder: pathlib.Path, *, count: int = 60, test: int = 12) -> None:
    """A prepared set of such faces."""
    faces = [coloured_face(i, split="train" if i < count else "test") for i in range(count + test)]
    write_set(folder, faces, size=SIZE, title="Coloured", licence="CC0")


def write_photos(folder: pathlib.Path, *, count: int) -> None:
    """Small photos without a face: clouds of colour."""
    folder.mkdir(parents=True)
    for i in range(count):
        clouds = np.random.default_rng(i).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        picture = cv2.resize(clouds, (96, 80), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"photo{i}.png"), picture)
