"""Predictions of a server for the photos that a prepared set was made from.

The whole photo is sent. The server detects the faces, crops them and answers in the photo's pixels. The
answer about the set's face is mapped into the set's crop, by the transform that the set stores for each
face: points, the roll of a head pose, and masks pixel by pixel. There it is measured like a prediction for
the crop.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qface_client import Analysis, Face, QFaceError
from runtime.errors import InvalidLandmarks
from runtime.image.align import photo_to_crop
from training.data.inventory import is_picture_missing
from training.data.prepared.face_set import FaceSet
from training.data.readers import readers
from training.data.sample import Sample
from training.evaluation.evaluated_task import EvaluatedTask
from training.evaluation.predictors import (
    AnalyzePhoto,
    FoundPredictions,
    Predictions,
    PredictionSource,
)
from training.kinds import kind_of

# Requests under way at once: the server puts the faces of several into one batch.
_IN_FLIGHT = 16
# A detected face is the set's if the intersection over union of its crop and the set's is this or more.
_OVERLAP = 0.5
_GRID = 32  # points on a side by which the overlap is measured

Picture = Path | Callable[[], NDArray[np.uint8]]
Mask = Callable[[], NDArray[np.uint8]]


class SetPhotos:
    """The pictures of a prepared set's faces, in the folder that the set was prepared from.

    `left_out` counts the split's other pictures in the folder, which preparing left out of the set: most
    often because it found no face in them.

    ValueError for a folder that is not the set's or lacks pictures of these faces, and for a set that stores
    no transform to its pictures.
    """

    def __init__(self, faces: FaceSet, source: Path) -> None:
        self.faces = faces
        name = faces.manifest.get("options", {}).get("layout", faces.name)
        reader = readers().get(name)
        if reader is None:
            raise ValueError(f"{faces.name} was not prepared from photos: leave it out of --photos")
        if not source.is_dir():
            raise ValueError(f"{source} is no folder: name the one that {faces.name} was prepared from")
        keys = set(faces.keys.tolist())
        self._of: dict[str, Picture] = {}
        self._masks: dict[str, Mask] = {}
        left_out = 0
        for sample in reader.read(source):
            if isinstance(sample, Sample) and sample.key in keys:
                self._of[sample.key] = sample.picture
                if callable(sample.mask):
                    self._masks[sample.key] = sample.mask
            elif isinstance(sample, Sample) and sample.split == faces.split:
                left_out += not is_picture_missing(sample)
        # Where only so many pictures were prepared, nothing is known of the others.
        limited = faces.manifest.get("options", {}).get("limit") is not None
        self.left_out = (
            0 if limited or faces.subset is not None or faces.holdout_fraction or faces.held_out else left_out
        )
        if missing := sorted(keys - self._of.keys()):
            raise ValueError(
                f"{source} has not the pictures of {len(missing):,} faces of {faces.name} (the first is "
                f"{missing[0]}): name the folder that the set was prepared from"
            )

    def __getitem__(self, i: int) -> Path | NDArray[np.uint8]:
        """The picture of face `i`: its file, or its pixels [H, W, 3] where the data set has no file for it.

        Frames of a video are read fastest in their order.
        """
        picture = self._of[self.faces.key(i)]
        try:
            return picture if isinstance(picture, Path) else picture()
        except OSError as error:
            raise ValueError(f"{self.faces.key(i)} of {self.faces.name} can't be read ({error})") from None

    def has_mask(self, i: int) -> bool:
        """Whether the data set has a mask of the picture of face `i`."""
        return self.faces.key(i) in self._masks

    def mask(self, i: int) -> NDArray[np.uint8]:
        """The class ids [H, W] of the picture of face `i`, in the catalogue's order; 255 where not known."""
        return self._masks[self.faces.key(i)]()

    def to_crop(self, i: int, *, size: int) -> NDArray[np.float64]:
        """The map [2, 3] from the picture's pixels to those of face `i`'s crop of `size` pixels."""
        forward = self.faces.crop_transform(i)
        if forward is None:
            raise ValueError(
                f"{self.faces.name} does not say where {self.faces.key(i)} lies in its picture: prepare the "
                "set again, or leave it out of --photos"
            )
        zoom = size / self.faces.crop_size
        # A pixel's number is its middle: the crop's edge is half a pixel before the first one.
        forward[:, 2] = (forward[:, 2] - self.faces.margin + 0.5) * zoom - 0.5
        forward[:, :2] *= zoom
        return forward


def set_photos(words: Sequence[str], sets: Sequence[FaceSet]) -> dict[str, SetPhotos]:
    """The photos of each set of SET=DIR, by the set's name.

    ValueError for a set that is not measured or named twice.
    """
    by_name = {faces.name: faces for faces in sets}
    found: dict[str, SetPhotos] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if name not in by_name or not folder or name in found:
            raise ValueError(
                f"--photos {word}: give SET=DIR once for a set that is measured ({', '.join(by_name)})"
            )
        found[name] = SetPhotos(by_name[name], Path(folder))
    return found


def photo_source(photos: SetPhotos, analyze: AnalyzePhoto) -> PredictionSource:
    """Predictions from whole photos, mapped into the pixels of the set's crops.

    ValueError for a photo that the server does not answer.
    """

    def predict_one(
        i: int, picture: Path | NDArray[np.uint8], evaluated_tasks: Sequence[EvaluatedTask]
    ) -> Predictions | None:
        try:
            analysis = analyze(picture, [evaluated.task.name for evaluated in evaluated_tasks])
        except QFaceError as error:
            raise ValueError(
                f"the server did not answer about {photos.faces.key(i)} of {photos.faces.name}: {error}"
            ) from None
        size = evaluated_tasks[0].input_size
        to_crop = photos.to_crop(i, size=size)
        face = matching_face(analysis, to_crop, size=size)
        if face is None:
            return None
        found: Predictions = {}
        for evaluated in evaluated_tasks:
            kind, answer = kind_of(evaluated.task), face[evaluated.task.name]
            found[evaluated.task.name] = kind.client_answer_in_crop(
                answer, to_crop, labels=evaluated.labels, size=size
            )
            if evaluated.error is not None:
                found[evaluated.error_name] = kind.client_error_in_crop(
                    answer, to_crop, labels=evaluated.labels
                )
        return found

    def predict(
        faces: FaceSet, indices: NDArray[np.int64], evaluated_tasks: Sequence[EvaluatedTask]
    ) -> FoundPredictions:
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            # Pictures that are no files are decoded here, in their order.
            futures = [pool.submit(predict_one, i, photos[i], evaluated_tasks) for i in indices.tolist()]
            answered = [future.result() for future in futures]
        of_found = [answers for answers in answered if answers is not None]
        names = list(of_found[0]) if of_found else []
        return FoundPredictions(
            predictions={name: np.stack([answers[name] for answers in of_found]) for name in names},
            found=np.array([answers is not None for answers in answered], bool),
        )

    return PredictionSource(predict=predict, sent="photo", left_out=photos.left_out)


def matching_face(analysis: Analysis, to_crop: ArrayLike, *, size: int) -> Face | None:
    """The face whose aligned crop overlaps that of `to_crop` [2, 3], of `size` pixels; None without one."""
    shares = [_overlap(face, analysis, to_crop, size=size) for face in analysis]
    best = int(np.argmax(shares)) if shares else 0
    return analysis[best] if shares and shares[best] >= _OVERLAP else None


def _overlap(face: Face, analysis: Analysis, to_crop: ArrayLike, *, size: int) -> float:
    """Intersection over union of a detected face's crop and the set's."""
    photo = {"width": analysis.width, "height": analysis.height, "size": size}
    try:
        own = photo_to_crop(box=face.box, landmarks=face.landmarks5, **photo)
    except InvalidLandmarks:  # as the server crops a face whose points coincide
        own = photo_to_crop(box=face.box, **photo)
    to_own = _squared(own) @ np.linalg.inv(_squared(to_crop))
    steps = (np.arange(_GRID) + 0.5) / _GRID * size - 0.5
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)
    places = grid @ to_own[:2, :2].T + to_own[:2, 2]
    shared = float(((places > -0.5) & (places < size - 0.5)).all(axis=-1).mean())
    # Area of the detected face's crop in units of the set's.
    area = 1 / abs(float(np.linalg.det(to_own[:2, :2])))
    return shared / (1 + area - shared)


def _squared(affine: ArrayLike) -> NDArray[np.float64]:
    return np.vstack([np.asarray(affine, np.float64), [0, 0, 1]])
