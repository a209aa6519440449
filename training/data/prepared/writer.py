"""Writing a prepared set: faces with their labels, in WebDataset shards with an index and a manifest.

A set is a folder (its name is the set's):

  shard-000000.tar   members <index:09d>.jpg: the stored crop (RGB, quality 95, 4:4:4);
                     <index:09d>.json: key, split, person, subset, labels and confidence (in the stored
                     crop's pixels and camera), labelled_by (tasks that a teacher labelled), forward
                     (2 x 3, from the picture to the stored crop); <index:09d>.<task>.png: class ids
  index.npz          where everything lies, and every label as numbers (training.data.prepared.face_set reads it)
  manifest.json      what it is, by whom, under which licence, with the labels that its tasks had

The stored crop is the served one (runtime.image.align.photo_to_crop at `size` S) with a margin of
M = round(S * 12 / 112) pixels on every side, black where there was no picture.

A test or a renderer makes a set without the detector:

    faces = [
        Face(key=f"{i}.png", pixels=pixels, split="train", labels={"age": [20, 29], "gender": "female"})
        for i, pixels in enumerate(crops)  # each [S + 2M, S + 2M, 3]
    ]
    write_set(tmp_path / "made", faces, size=64)
    FaceSet(tmp_path / "made", split="train")
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.labels import checked, checked_mask, column_shape, numbers
from training.data.prepared import index
from training.data.prepared.partial import Unfinished, write_durably
from training.data.sample import SPLITS
from training.tasks import CATALOGUE, Kind

FORMAT = 1
SIZE = 112  # of the served crop that is stored, where nothing else is said
_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
_SHARD_FACES = 10_000
_SHARD_BYTES = 100_000_000


def margin_of(size: int) -> int:
    """The margin M around a stored crop of `size` pixels."""
    return round(size * 12 / 112)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
    """One face as it is stored."""

    key: str  # unique in its set; what stands in messages
    pixels: NDArray[np.uint8]  # [S + 2M, S + 2M, 3] RGB
    labels: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # by task, as in training.data.labels;
    # points in the stored crop's pixels, so that (M, M) is the served crop's first pixel
    split: str = "train"
    person: str = ""
    subset: str = ""
    masks: Mapping[str, NDArray[np.uint8]] = dataclasses.field(default_factory=dict)  # by task, as the pixels
    confidence: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by task, where not 1
    labelled_by: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by task, where not people
    forward: NDArray[np.floating[Any]] | None = None  # [2, 3], from the picture's pixels to the stored crop's


class SetWriter:
    """Writes a set into FOLDER.partial, which becomes FOLDER when it is finished.

        with SetWriter(folder, title="Made", licence="CC0", options={"seed": 1}) as writer:
            for i in range(writer.dealt, count):       # goes on where a killed process stood
                writer.add(face_of(i))                 # or writer.skip("no_face", key)
            writer.finish()

    Every input is dealt with by one `add` or one `skip`, in a fixed order; `dealt` is how many the whole
    shards account for. `options` is what the inputs depend on: with others, the set is not gone on with.
    Raises ValueError where another process writes the set, or FOLDER.partial was begun otherwise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        title: str = "",
        licence: str = "",
        size: int = SIZE,
        options: Mapping[str, Any] | None = None,
        detector: str | None = None,
        labelled_by: str = "human",
        shard_faces: int = _SHARD_FACES,
        shard_bytes: int = _SHARD_BYTES,
    ) -> None:
        if size < 8:
            raise ValueError(f"a crop of {size} pixels is too small: take 8 or more")
        self.size = size
        self.margin = margin_of(size)
        self._about = {"name": folder.name, "title": title, "licence": licence, "detector": detector}
        self._labelled_by = labelled_by
        self._limits = shard_faces, shard_bytes
        self._options = dict(options or {}) | {"size": size}
        self._place = Unfinished(folder, options=self._options)
        self._now = self._place.progress.copy()
        self._shard: _Shard | None = None

    @property
    def dealt(self) -> int:
        """Inputs dealt with so far, in this process and before it."""
        return self._now.dealt

    @property
    def skipped(self) -> dict[str, int]:
        """Inputs left out so far, by reason."""
        return {reason: entry["count"] for reason, entry in self._now.skipped.items()}

    @property
    def faces(self) -> int:
        """Faces added so far."""
        return sum(self._now.faces.values())

    def add(self, face: Face) -> None:
        """Store a face. ValueError, before anything is written, names the face and what is wrong with it."""
        side = self.size + 2 * self.margin
        try:
            if face.split not in SPLITS:
                raise ValueError(f"split {face.split!r} is none of {', '.join(SPLITS)}")
            if face.pixels.shape != (side, side, 3) or face.pixels.dtype != np.uint8:
                raise ValueError(
                    f"its crop has shape {face.pixels.shape} and type {face.pixels.dtype}, "
                    f"not {side} x {side} x 3 bytes"
                )
            known = {task: checked(task, value) for task, value in face.labels.items()}
            masks = {task: checked_mask(task, mask) for task, mask in face.masks.items()}
            if any(mask.shape != (side, side) for mask in masks.values()):
                raise ValueError(f"a mask is not of the crop's size, {side} x {side}")
            if not all(0 <= value <= 1 for value in face.confidence.values()):
                raise ValueError(f"a confidence is out of 0 to 1: {dict(face.confidence)}")
        except ValueError as error:
            raise ValueError(f"{face.key}: {error}") from None
        face = dataclasses.replace(
            face, labels={task: label for task, label in known.items() if label is not None}, masks=masks
        )
        if self._shard is None:
            count = len(self._now.shards)
            self._shard = _Shard(
                self._place.path / f"shard-{count:06d}.tar", margin=self.margin, size=self.size
            )
        self._shard.add(face, number=self.faces)
        self._now.faces[face.split] = self._now.faces.get(face.split, 0) + 1
        for task in (*face.labels, *face.masks):
            self._now.labelled[task] = self._now.labelled.get(task, 0) + 1
            who = self._now.labelled_by.setdefault(task, [])
            if (name := face.labelled_by.get(task, self._labelled_by)) not in who:
                who.append(name)
        self._now.dealt += 1
        if len(self._shard.rows) >= self._limits[0] or self._shard.size_now >= self._limits[1]:
            self._close_shard()

    def skip(self, reason: str, key: str) -> None:
        """An input that gives no face: `reason` is unreadable, bad_labels, no_face or missing."""
        self._now.skip(reason, key)
        self._now.dealt += 1

    def finish(self, **about: Any) -> dict[str, Any]:
        """Close the set and put it in its place; `about` goes into the manifest, which is returned.

        Raises ValueError for a set without a face.
        """
        self._close_shard()
        if not self._now.shards:
            left_out = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in self.skipped.items())
            first = next((f", the first is {e['first'][0]}" for e in self._now.skipped.values()), "")
            raise ValueError(
                f"{self._place.target} would have no face (left out: {left_out or 'none'}{first}): "
                "take other pictures"
            )
        parts = [self._place.path / f"{shard['name']}.npz" for shard in self._now.shards]
        index.merge(parts, self._place.path / "index.npz")
        tasks = [task for task in CATALOGUE if task in self._now.labelled]
        manifest = {
            "format": FORMAT,
            **self._about,
            "tasks": {task: list(CATALOGUE[task].labels) for task in tasks},
            "crop": {"size": self.size, "margin": self.margin},
            "faces": {split: self._now.faces[split] for split in SPLITS if split in self._now.faces},
            "labelled": {task: self._now.labelled[task] for task in tasks},
            "labelled_by": {task: " and ".join(sorted(self._now.labelled_by[task])) for task in tasks},
            "subset": False,
            "skipped": self._now.skipped,
            "options": self._options,
            **about,
            "shards": [
                {"name": f"{shard['name']}.tar", "faces": shard["faces"], "sha256": shard["sha256"]}
                for shard in self._now.shards
            ],
        }
        write_durably(self._place.path / "manifest.json", json.dumps(manifest, indent=1).encode())
        self._place.publish()
        return manifest

    def _close_shard(self) -> None:
        if self._shard is None:
            return
        entry = self._shard.close()
        self._shard = None
        self._now.shards.append(entry)
        self._place.save(self._now.copy())

    def close(self) -> None:
        """Let go of the folder; what is behind the last whole shard is lost."""
        if self._shard is not None:
            self._shard.abandon()
            self._shard = None
        self._place.release()

    def __enter__(self) -> "SetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_set(folder: Path, faces: Iterable[Face], *, size: int = SIZE, **about: Any) -> dict[str, Any]:
    """A whole set from faces in memory; `about` as SetWriter takes it. Returns the manifest."""
    with SetWriter(folder, size=size, **about) as writer:
        for face in faces:
            writer.add(face)
        return writer.finish()


class _Shard:
    """The shard that is being written, and its part of the index."""

    def __init__(self, path: Path, *, size: int, margin: int) -> None:
        self.path = path
        self._size, self._margin = size, margin
        self._file = path.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self.rows: list[Face] = []  # without their pixels and masks
        self._where: dict[str, list[tuple[int, int]]] = {"jpg": []}
        self._masks: dict[str, dict[int, tuple[int, int]]] = {}

    @property
    def size_now(self) -> int:
        return int(self._tar.offset)

    def add(self, face: Face, *, number: int) -> None:
        about = {
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
        self._where["jpg"].append(self._member(f"{number:09d}.jpg", picture))
        self._member(f"{number:09d}.json", json.dumps(about, allow_nan=False).encode())
        for task, mask in face.masks.items():
            where = self._member(f"{number:09d}.{task}.png", _encoded(".png", mask, ()))
            self._masks.setdefault(task, {})[len(self.rows)] = where
        self.rows.append(dataclasses.replace(face, pixels=np.empty(0, np.uint8), masks={}))

    def _member(self, name: str, content: bytes) -> tuple[int, int]:
        """Where its content lies: offset and length."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return self._tar.offset - padded, len(content)

    def close(self) -> dict[str, Any]:
        """Put everything on the disk, and say what it is."""
        try:
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            part = io.BytesIO()
            np.savez(part, **self._index())
            write_durably(self.path.with_suffix(".npz"), part.getvalue())
        except BaseException:
            self.abandon()
            raise
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"name": self.path.stem, "faces": len(self.rows), "sha256": digest}

    def abandon(self) -> None:
        # What a full disk refused once it refuses again, and must not hide the first error.
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".npz").unlink(missing_ok=True)

    def _index(self) -> dict[str, NDArray[Any]]:
        offsets, lengths = np.array(self._where["jpg"], np.int64).T
        arrays: dict[str, NDArray[Any]] = {
            "jpg_offset": offsets,
            "jpg_length": lengths.astype(np.int32),
            "split": np.array([SPLITS.index(face.split) for face in self.rows], np.uint8),
        }
        for name in ("key", "person", "subset"):
            packed = index.pack(getattr(face, name) for face in self.rows)
            arrays |= {f"{name}/{last}": array for last, array in packed.items()}
        for task in CATALOGUE:
            if any(task in face.labels for face in self.rows):
                arrays[f"column/{task}"] = np.stack([self._numbers(task, face) for face in self.rows])
            confidence = np.array([face.confidence.get(task, 1.0) for face in self.rows], np.float32)
            if (confidence != 1).any():
                arrays[f"confidence/{task}"] = confidence
        for task, masks in self._masks.items():
            where = np.array([masks.get(row, (-1, 0)) for row in range(len(self.rows))], np.int64)
            arrays[f"mask_offset/{task}"] = where[:, 0]
            arrays[f"mask_length/{task}"] = where[:, 1].astype(np.int32)
        return arrays

    def _numbers(self, task: str, face: Face) -> NDArray[np.float32]:
        if task not in face.labels:
            return np.full(column_shape(CATALOGUE[task]), np.nan, np.float32)
        row = numbers(task, face.labels[task])
        if CATALOGUE[task].kind is Kind.POINTS:
            # From the stored crop's pixels to units of the served crop, 0 to 1 from edge to edge.
            row = (row - self._margin + 0.5) / self._size
        return row


def _encoded(form: str, pixels: NDArray[np.uint8], settings: tuple[int, ...]) -> bytes:
    done, content = cv2.imencode(form, pixels, settings)
    if not done:
        raise RuntimeError(f"OpenCV could not write a {form} of {pixels.shape}")
    return content.tobytes()
