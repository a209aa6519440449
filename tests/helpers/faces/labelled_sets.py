"""Prepared sets of made faces with labels, and a network that knows the labels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.pose import rotation_from_angles
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.evaluation.evaluate import (
    Predict,
    Predictions,
)
from training.tasks import CATALOGUE

SIZE = 32
MARGIN = margin_of(SIZE)
COUNT = 80
ENTRIES = make_contract(
    [CATALOGUE[name] for name in ("expression", "action_units", "age", "gender", "head_pose")],
    input_size=SIZE,
).tasks


def pixels(number: int, *, size: int = SIZE) -> NDArray[np.uint8]:
    """A stored crop whose brightness says which face it is."""
    side = size + 2 * margin_of(size)
    return np.full((side, side, 3), 20 + 2 * number, np.uint8)


def faces() -> list[Face]:
    rng = np.random.default_rng(0)
    made = []
    for split in ("train", "test"):
        for number in range(COUNT):
            years = int(rng.integers(1, 80))
            made.append(
                Face(
                    key=f"{split}/{number}.png",
                    pixels=pixels(number),
                    split=split,
                    person=f"{split}{number // 4}",
                    labels={
                        "age": [years, years],
                        "gender": "female" if rng.random() < 0.6 else "male",
                        "action_units": {"AU1": float(rng.random() < 0.3), "AU12": float(rng.random() < 0.5)},
                        "head_pose": rng.uniform(-30, 30, 3).tolist(),
                    },
                )
            )
    return made


def labelled_sets(folder: Path) -> Path:
    """Prepared sets: `people` with persons, `parts` with named parts, landmarks and masks."""
    write_set(folder / "people", faces(), size=SIZE, title="Made", licence="CC0", labelled_by="a teacher")
    rng = np.random.default_rng(1)
    side = SIZE + 2 * MARGIN
    parts = [
        Face(
            key=f"{number}.png",
            pixels=pixels(number),
            split="test",
            subset=("common", "challenge", "challenge,make-up", "")[number % 4],
            labels={"landmarks": rng.uniform(MARGIN, MARGIN + SIZE, (68, 2)).tolist()},
            masks={"parsing": rng.integers(0, 19, (side, side), dtype=np.uint8)},
        )
        for number in range(24)
    ]
    write_set(folder / "parts", parts, size=SIZE, title="Made", licence="CC0")
    return folder


def knowing(sets: list[FaceSet], *, wrong: float = 0.0) -> Predict:
    """Predicts what the labels say (of the face whose brightness it sees), a share of it wrongly."""
    (faces,) = sets
    rng = np.random.default_rng(5)
    off = rng.random(len(faces)) < wrong

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        rows = (crops[:, SIZE // 2, SIZE // 2, 0].astype(int) - 20) // 2
        column = {name: np.nan_to_num(values[rows]) for name, values in faces.columns.items()}
        gender = column["gender"]
        return {
            "expression": np.full((len(rows), 7), 1 / 7),
            "action_units": np.where(off[rows, None], 1 - column["action_units"], column["action_units"]),
            "age": column["age"][:, :1] + 3,
            "gender": np.where(off[rows, None], 1 - gender, gender),
            "head_pose": rotation_from_angles(column["head_pose"]),
        }

    return answer
