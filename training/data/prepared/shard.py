"""One shard of a prepared set: a tar archive of faces, and its part of the index."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.labels import column_shape, numbers
from training.data.prepared.index import pack_texts
from training.data.prepared.partial import write_durably
from training.data.sample import SPLITS
from training.kinds import kind_of
from training.tasks import CATALOGUE

_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
    """One face as it is stored."""

    key: str  # unique in its set, used in messages
    pixels: NDArray[np.uint8]  # [S + 2M, S + 2M, 3] RGB
    # By task, as in training.data.labels; points in the stored crop's pixels, so that (M, M) is the served
    # crop's first pixel.
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: str = "train"
    person: str = ""
    subset: str = ""
    masks: Mapping[str, NDArray[np.uint8]] = dataclasses.field(default_factory=dict)  # by task, as the pixels
    confidence: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by task, where not 1
    labelled_by: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by task, where not people
    forward: NDArray[np.floating[Any]] | None = None  # [2, 3], from the picture's pixels to the stored crop's


class Shard:
    """The shard that is being written, and its part of the index."""

    def __init__(self, path: Path, *, size: int, margin: int) -> None:
        self.path = path
        self._size, self._margin = size, margin
        self._file = path.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self.rows: list[Face] = []  # without their pixels and masks
        self._ranges: dict[str, list[tuple[int, int]]] = {"jpg": []}
        self._masks: dict[str, dict[int, tuple[int, int]]] = {}

    @property
    def bytes_written(self) -> int:
        """The size of the archive so far."""
        return int(self._tar.offset)

    def add(self, face: Face, *, number: int) -> None:
        """Write a face's members; `number` is its place in the set."""
        record = {
            "key": face.key,
            "split": face.split,
            "person": face.person,
            "subset": face.subset,
            "labels": face.labels,
            "confidence": {task: float(value) for task, value in face.confidence.items()},
            "labelled_by": dict(face.labelled_by),
            "forward": None if face.forward is None else np.asarray(face.forward, np.float64).tolist(),
        }
        picture = _encoded(".jpg", np.ascontiguousarray(face.pixels[..., ::-1]), _JPEG)
        self._ranges["jpg"].append(self._member(f"{number:09d}.jpg", picture))
        self._member(f"{number:09d}.json", json.dumps(record, allow_nan=False).encode())
        for task, mask in face.masks.items():
            content = self._member(f"{number:09d}.{task}.png", _encoded(".png", mask, ()))
            self._masks.setdefault(task, {})[len(self.rows)] = content
        self.rows.append(dataclasses.replace(face, pixels=np.empty(0, np.uint8), masks={}))

    def _member(self, name: str, content: bytes) -> tuple[int, int]:
        """Write a member of the archive; returns the offset and length of its content."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return self._tar.offset - padded, len(content)

    def close(self) -> dict[str, Any]:
        """Finish the shard on the disk; returns its entry for the manifest."""
        try:
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            part = io.BytesIO()
            np.savez(part, **self._index())
            write_durably(self.path.with_suffix(".npz"), part.getvalue())
        except BaseException:
            self.discard()
            raise
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"name": self.path.stem, "faces": len(self.rows), "sha256": digest}

    def discard(self) -> None:
        """Remove the unfinished shard."""
        # A full disk refuses this too, which must not hide the first error.
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".npz").unlink(missing_ok=True)

    def _index(self) -> dict[str, NDArray[Any]]:
        offsets, lengths = np.array(self._ranges["jpg"], np.int64).T
        arrays: dict[str, NDArray[Any]] = {
            "jpg_offset": offsets,
            "jpg_length": lengths.astype(np.int32),
            "split": np.array([SPLITS.index(face.split) for face in self.rows], np.uint8),
        }
        for name in ("key", "person", "subset"):
            packed = pack_texts(getattr(face, name) for face in self.rows)
            arrays |= {f"{name}/{last}": array for last, array in packed.items()}
        for task in CATALOGUE:
            if any(task in face.labels for face in self.rows):
                arrays[f"column/{task}"] = np.stack([self._numbers(task, face) for face in self.rows])
            confidence = np.array([face.confidence.get(task, 1.0) for face in self.rows], np.float32)
            if (confidence != 1).any():
                arrays[f"confidence/{task}"] = confidence
        for task, masks in self._masks.items():
            ranges = np.array([masks.get(row, (-1, 0)) for row in range(len(self.rows))], np.int64)
            arrays[f"mask_offset/{task}"] = ranges[:, 0]
            arrays[f"mask_length/{task}"] = ranges[:, 1].astype(np.int32)
        return arrays

    def _numbers(self, task: str, face: Face) -> NDArray[np.float32]:
        if task not in face.labels:
            return np.full(column_shape(CATALOGUE[task]), np.nan, np.float32)
        # From the stored crop's pixels to a column's unit: points are 0 to 1 across the served crop.
        row = numbers(task, face.labels[task])
        return kind_of(CATALOGUE[task]).stored(row, margin=self._margin, size=self._size)


def _encoded(form: str, pixels: NDArray[np.uint8], settings: tuple[int, ...]) -> bytes:
    done, content = cv2.imencode(form, pixels, settings)
    if not done:
        raise RuntimeError(f"OpenCV could not write a {form} of {pixels.shape}")
    return content.tobytes()
