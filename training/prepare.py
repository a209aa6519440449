"""From a data set as people have it on disk to aligned crops with labels.

`python -m training.prepare NAME --source DIR --output DIR [--teacher labels.npz]` finds and aligns
the face in every picture with the code that serves (`runtime`), and writes

  DIR/NAME/crops.npy   uint8 [N, S + 2M, S + 2M, 3], RGB; the crop of S pixels with a margin of M
                       around it for augmentation, black where there was no picture
  DIR/NAME/labels.npz  one array a label, first axis N; NaN or -1 where a picture has no such label

A picture carries only the labels that its set has. `teacher` is a file of training.pseudolabel and
adds action units and head pose. Which pictures are kept out of training is decided by their names.
"""

import argparse
import csv
import dataclasses
import hashlib
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.align import photo_to_crop, transform, warp
from runtime.decode import decode_image
from runtime.detect import Detections, finish, prepare
from runtime.detector_file import find_detector
from runtime.errors import InvalidInput
from runtime.openvino_engine import OpenVinoEngine
from runtime.pose import angles_from_rotation
from training.models import CONFIGS
from training.tasks import CATALOGUE

SIZE = CONFIGS["qface_tiny"].input_size
MARGIN = 12
STORED = SIZE + 2 * MARGIN
_DETECT_AT_ONCE = 24

Labels = dict[str, float | NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture, its name within its set, its labels, and whether it is kept out of training."""

    path: pathlib.Path
    name: str
    labels: Labels
    test: bool


def fairface(source: pathlib.Path) -> Iterator[Sample]:
    """FairFace: age in nine bins, gender, seven races (CC BY 4.0). 2,000 pictures are kept out."""
    races = {label.replace("_", " ").lower(): i for i, label in enumerate(CATALOGUE["race"].labels)}
    with (source / "fairface_label_train.csv").open() as file:
        rows = list(csv.DictReader(file))
    test = _kept_out([row["file"] for row in rows], 2000)
    for row in rows:
        low, _, high = row["age"].replace("more than 70", "70-100").partition("-")
        labels: Labels = {
            "age_low": float(low),
            "age_high": float(high),
            "gender": CATALOGUE["gender"].labels.index(row["gender"].lower()),
            "race": races[row["race"].lower().replace("_", " ")],
        }
        yield Sample(
            path=source / row["file"],
            name=pathlib.Path(row["file"]).name,
            labels=labels,
            test=row["file"] in test,
        )


def utkface(source: pathlib.Path) -> Iterator[Sample]:
    """UTKFace: age_gender_race_date in the file's name. 1,500 pictures are kept out."""
    paths = sorted((source / "UTKFace").iterdir())
    test = _kept_out([path.name for path in paths], 1500)
    for path in paths:
        fields = path.name.split("_")
        if len(fields) != 4 or not (fields[0].isdigit() and fields[1] in ("0", "1")):
            print(f"skipped {path.name}: its name is not age_gender_race_date", file=sys.stderr)
            continue
        age = float(fields[0])
        labels: Labels = {"age_low": age, "age_high": age, "gender": float(fields[1])}
        yield Sample(path=path, name=path.name, labels=labels, test=path.name in test)


def celeba(source: pathlib.Path) -> Iterator[Sample]:
    """CelebA: 40 attributes, +1 or -1. The last 1,500 pictures are kept out."""
    lines = (source / "list_attr_celeba.txt").read_text().splitlines()
    order = [lines[1].split().index(label) for label in CATALOGUE["attributes"].labels]
    rows = [line.split() for line in lines[2:]]
    for i, (name, *values) in enumerate(rows):
        attributes = np.array([values[j] == "1" for j in order], np.float32)
        path = source / "img_align_celeba" / name
        yield Sample(path=path, name=name, labels={"attributes": attributes}, test=i >= len(rows) - 1500)


def fer2013(source: pathlib.Path) -> Iterator[Sample]:
    """FER2013: seven expressions, a folder each. The validation part is kept out."""
    names = {"angry": "anger", "happy": "happiness", "sad": "sadness"}
    for part in ("train", "validation"):
        for folder in sorted((source / part).iterdir()):
            label = CATALOGUE["expression"].labels.index(names.get(folder.name, folder.name))
            for path in sorted(folder.iterdir()):
                yield Sample(
                    path=path, name=path.name, labels={"expression": label}, test=part == "validation"
                )


SETS: dict[str, Callable[[pathlib.Path], Iterator[Sample]]] = {
    "fairface": fairface,
    "utkface": utkface,
    "celeba": celeba,
    "fer2013": fer2013,
}

# The blendshapes that stand for an action unit; of several the mean. AU9 has no usable one.
_ACTION_UNITS = {
    "AU1": ("browInnerUp",),
    "AU2": ("browOuterUpLeft", "browOuterUpRight"),
    "AU4": ("browDownLeft", "browDownRight"),
    "AU5": ("eyeWideLeft", "eyeWideRight"),
    "AU6": ("eyeSquintLeft", "eyeSquintRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU25": ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"),
    "AU26": ("jawOpen",),
    "AU43": ("eyeBlinkLeft", "eyeBlinkRight"),
}
# Corners of the eyes and the mouth among the landmarker's 478 points: right eye, left eye, mouth.
_EYES_MOUTH = ((33, 133), (362, 263), (61, 291))
_NOSE_TIP = 1


class Teacher:
    """Labels of training.pseudolabel, by picture."""

    def __init__(self, path: pathlib.Path) -> None:
        file = np.load(path)
        names = [pathlib.Path(str(name)).name for name in file["names"]]
        if len(set(names)) != len(names):
            raise ValueError(f"{path} has two pictures of one name: label one folder of a data set at a time")
        self.rows = {name: i for i, name in enumerate(names) if file["found"][i]}
        self.points = file["points"]
        rotations = file["matrices"][:, :3, :3].astype(np.float64)
        scale = np.cbrt(np.linalg.det(rotations))[:, None, None]
        # From x right, y up, z to the viewer into the camera frame of runtime.pose.
        axes = np.diag([1.0, -1.0, -1.0])
        self.angles = angles_from_rotation(axes @ (rotations / scale) @ axes)
        columns = {str(name): i for i, name in enumerate(file["blendshape_names"])}
        shapes = file["blendshapes"].astype(np.float32)
        self.action_units = np.full((len(shapes), len(CATALOGUE["action_units"].labels)), np.nan, np.float32)
        for i, label in enumerate(CATALOGUE["action_units"].labels):
            if label in _ACTION_UNITS:
                self.action_units[:, i] = shapes[:, [columns[name] for name in _ACTION_UNITS[label]]].mean(
                    axis=1
                )

    def landmarks(self, name: str) -> NDArray[np.float64] | None:
        """The five landmarks [5, 2] of a picture in its pixels, or None."""
        if name not in self.rows:
            return None
        points = self.points[self.rows[name]].astype(np.float64)
        right, left, mouth = (points[list(pair)].mean(axis=0) for pair in _EYES_MOUTH)
        return np.stack([right, left, points[_NOSE_TIP], mouth, mouth])

    def labels(self, name: str, forward: NDArray[np.float32]) -> Labels:
        """Action units and the pose in the crop that `forward` makes; roll comes from the eyes' line."""
        landmarks = self.landmarks(name)
        if landmarks is None:
            return {}
        right, left = transform(landmarks[:2], forward)
        roll = np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0]))
        yaw, pitch, _ = self.angles[self.rows[name]]
        pose = np.array([yaw, pitch, roll], np.float32)
        return {"action_units": self.action_units[self.rows[name]], "head_pose": pose}


def central_face(found: Detections, *, width: int, height: int) -> NDArray[np.float32] | None:
    """The five landmarks of the largest face that covers the picture's centre, or None."""
    best: tuple[float, NDArray[np.float32]] | None = None
    for (x0, y0, x1, y1), points in zip(found.boxes, found.landmarks, strict=True):
        area = float((x1 - x0) * (y1 - y0))
        if x0 <= width / 2 <= x1 and y0 <= height / 2 <= y1 and (best is None or area > best[0]):
            best = (area, points)
    return None if best is None else best[1]


def find_landmarks(
    samples: list[Sample], engine: OpenVinoEngine
) -> Iterator[tuple[Sample, NDArray[np.uint8], NDArray[np.float32] | None]]:
    """Each readable picture and its central face; unreadable ones are named and left out."""
    for start in range(0, len(samples), _DETECT_AT_ONCE):
        pictures = []
        for sample in samples[start : start + _DETECT_AT_ONCE]:
            try:
                pictures.append((sample, decode_image(sample.path.read_bytes())))
            except (OSError, InvalidInput) as error:
                print(f"skipped {sample.path}: {error}", file=sys.stderr)
        tiles = [prepare(image) for _, image in pictures]
        raw = engine.infer({"tiles": np.concatenate([t.pixels for t in tiles])}) if tiles else {}
        at = 0
        for (sample, image), tile in zip(pictures, tiles, strict=True):
            count = len(tile.pixels)
            found = finish(tile, {name: values[at : at + count] for name, values in raw.items()})
            at += count
            yield sample, image, central_face(found, width=image.shape[1], height=image.shape[0])


def crop_with_margin(
    image: NDArray[np.uint8], landmarks: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The crop with its margin [STORED, STORED, 3], and the map [2, 3] to the crop without it."""
    height, width = image.shape[:2]
    forward = photo_to_crop(width=width, height=height, landmarks=landmarks, size=SIZE)
    with_margin = forward.copy()
    with_margin[:, 2] += MARGIN
    return warp(image, with_margin, size=STORED), forward


def _kept_out(names: Iterable[str], count: int) -> set[str]:
    return set(sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(SETS))
    parser.add_argument("--source", type=pathlib.Path, required=True, help="the unpacked data set")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument(
        "--teacher", type=pathlib.Path, help="labels of training.pseudolabel for these pictures"
    )
    parser.add_argument("--limit", type=int, help="take only this many pictures, evenly spread")
    parser.add_argument("--detector", type=pathlib.Path)
    args = parser.parse_args()
    try:
        samples = list(SETS[args.name](args.source))
        teacher = Teacher(args.teacher) if args.teacher else None
    except OSError as error:
        print(
            f"{error.filename} is missing: --source and --teacher must lead to {args.name}", file=sys.stderr
        )
        return 2
    except (ValueError, KeyError) as error:
        print(f"{args.source} is not laid out as {args.name} is: {error}", file=sys.stderr)
        return 2
    if args.limit and args.limit < len(samples):
        samples = [samples[i] for i in np.linspace(0, len(samples) - 1, args.limit).astype(int)]
    engine = OpenVinoEngine.for_detector(args.detector or find_detector(), precision="fp32")

    folder = args.output / args.name
    partial = args.output / f"{args.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    crops = np.lib.format.open_memmap(
        partial / "crops.npy", mode="w+", dtype=np.uint8, shape=(len(samples), STORED, STORED, 3)
    )
    kept: list[tuple[Sample, Labels]] = []
    without_face = 0
    for sample, image, found in tqdm(find_landmarks(samples, engine), total=len(samples), mininterval=5):
        landmarks = None if found is None else found.astype(np.float64)
        if landmarks is None and teacher is not None:
            landmarks = teacher.landmarks(sample.name)
        if landmarks is None:
            without_face += 1
            continue
        try:
            crop, forward = crop_with_margin(image, landmarks)
        except InvalidInput:
            without_face += 1
            continue
        crops[len(kept)] = crop
        kept.append((sample, sample.labels | (teacher.labels(sample.name, forward) if teacher else {})))
    if not kept:
        print(f"no face in any of {len(samples)} pictures of {args.source}", file=sys.stderr)
        return 2
    crops.flush()
    keys = {key: value for _, labels in kept for key, value in labels.items()}
    columns = {
        key: np.array(
            [np.broadcast_to(np.float32(labels.get(key, np.nan)), np.shape(example)) for _, labels in kept],
            np.float32,
        )
        for key, example in keys.items()
    }
    np.savez(
        partial / "labels.npz",
        names=np.array([sample.name for sample, _ in kept]),
        test=np.array([sample.test for sample, _ in kept]),
        **columns,
    )
    # Both files change together: old labels never meet new crops.
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    print(
        f"{args.name}: {len(kept)} faces, {without_face} pictures without a face, labels {', '.join(columns)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
