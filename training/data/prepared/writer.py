"""Writes a prepared set: faces with their labels, in WebDataset shards with an index and a manifest.

A set is a folder (its name is the set's):

  shard-000000.tar   members <index:09d>.jpg: the stored crop (RGB, quality 95, 4:4:4);
                     <index:09d>.json: key, split, person, subset, labels and confidence (in the stored
                     crop's pixels and camera), labelled_by (tasks that a teacher labelled), forward
                     (2 x 3, from the picture to the stored crop); <index:09d>.<task>.png: class ids
  index.npz          offsets of everything, and every label as numbers (training.data.prepared.face_set
                     reads it)
  manifest.json      title, licence, source of the labels, and the labels of its tasks

The stored crop is the served one (runtime.image.crops, aligned unless the manifest's crop has a `kind`, at
`size` S) with a margin of M = round(S * 12 / 112) pixels on every side, black where there was no picture.

A test or a renderer makes a set without the detector:

    faces = [
        Face(key=f"{i}.png", pixels=pixels, split="train", labels={"age": [20, 29], "gender": "female"})
        for i, pixels in enumerate(crops)  # each [S + 2M, S + 2M, 3]
    ]
    write_set(tmp_path / "made", faces, size=64)
    FaceSet(tmp_path / "made", split="train")
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from runtime.contract import ALIGNED
from training.data.labels import HUMAN, checked, checked_mask
from training.data.prepared.index import merge_parts
from training.data.prepared.partial import PartialSet, write_durably
from training.data.prepared.shard import Face, Shard
from training.data.sample import SPLITS
from training.task_files import definitions
from training.tasks import CATALOGUE

FORMAT = 1
SIZE = 112  # of the stored crop without its margin, in pixels, by default
_SHARD_FACES = 10_000
_SHARD_BYTES = 100_000_000


def margin_of(size: int) -> int:
    """The margin M around a stored crop of `size` pixels."""
    return round(size * 12 / 112)


class ShardWriter:
    """Writes a set into FOLDER.partial, which becomes FOLDER when it is finished.

        with ShardWriter(folder, title="Made", licence="CC0", options={"seed": 1}) as writer:
            for i in range(writer.processed, count):       # continues where a killed process stopped
                writer.add(face_of(i))                 # or writer.skip("no_face", key)
            writer.finish()

    Every input is one `add` or one `skip`, in a fixed order; at the start, `processed` is how many the
    finished shards account for. `options` is what the inputs depend on. Raises ValueError where another
    process writes the set, and where FOLDER.partial was begun with other options.
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
        labelled_by: str = HUMAN,
        shard_faces: int = _SHARD_FACES,
        shard_bytes: int = _SHARD_BYTES,
        crop: str = ALIGNED,
    ) -> None:
        """`crop` is how the faces are cut (runtime.image.crops.CROPS)."""
        if size < 8:
            raise ValueError(f"a crop of {size} pixels is too small: take 8 or more")
        self.size = size
        self.margin = margin_of(size)
        self._description = {"name": folder.name, "title": title, "licence": licence, "detector": detector}
        self._labelled_by = labelled_by
        self._limits = shard_faces, shard_bytes
        self._options = dict(options or {}) | {"size": size}
        self._crop: dict[str, Any] = {"size": self.size, "margin": self.margin}
        if crop != ALIGNED:
            self._crop["kind"] = self._options["crop"] = crop
        self._partial = PartialSet(folder, options=self._options)
        self._progress = self._partial.progress.copy()
        self._shard: Shard | None = None

    @property
    def processed(self) -> int:
        """Inputs processed so far, in this process and before it: added or skipped."""
        return self._progress.dealt

    @property
    def skipped(self) -> dict[str, int]:
        """Inputs left out so far, by reason."""
        return {reason: entry["count"] for reason, entry in self._progress.skipped.items()}

    @property
    def faces(self) -> int:
        """Faces added so far."""
        return sum(self._progress.faces.values())

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
            count = len(self._progress.shards)
            self._shard = Shard(
                self._partial.path / f"shard-{count:06d}.tar", margin=self.margin, size=self.size
            )
        self._shard.add(face, number=self.faces)
        self._progress.faces[face.split] = self._progress.faces.get(face.split, 0) + 1
        for task in (*face.labels, *face.masks):
            self._progress.labelled[task] = self._progress.labelled.get(task, 0) + 1
            labellers = self._progress.labelled_by.setdefault(task, [])
            if (name := face.labelled_by.get(task, self._labelled_by)) not in labellers:
                labellers.append(name)
        self._progress.dealt += 1
        if len(self._shard.rows) >= self._limits[0] or self._shard.bytes_written >= self._limits[1]:
            self._close_shard()

    def skip(self, reason: str, key: str) -> None:
        """Count an input that gives no face; `reason` is unreadable, bad_labels, no_face or missing."""
        self._progress.skip(reason, key)
        self._progress.dealt += 1

    def finish(self, **extra: Any) -> dict[str, Any]:
        """Close the set and publish it; `extra` goes into the manifest, which is returned.

        Raises ValueError for a set without a face.
        """
        self._close_shard()
        if not self._progress.shards:
            left_out = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in self.skipped.items())
            first = next((f", the first is {e['first'][0]}" for e in self._progress.skipped.values()), "")
            raise ValueError(
                f"{self._partial.target} would have no face (left out: {left_out or 'none'}{first}): "
                "take other pictures"
            )
        parts = [self._partial.path / f"{shard['name']}.npz" for shard in self._progress.shards]
        merge_parts(parts, self._partial.path / "index.npz")
        tasks = [task for task in CATALOGUE if task in self._progress.labelled]
        manifest = {
            "format": FORMAT,
            **self._description,
            "tasks": {task: list(CATALOGUE[task].labels) for task in tasks},
            "definitions": definitions(tasks),
            "crop": self._crop,
            "faces": {
                split: self._progress.faces[split] for split in SPLITS if split in self._progress.faces
            },
            "labelled": {task: self._progress.labelled[task] for task in tasks},
            "labelled_by": {task: " and ".join(sorted(self._progress.labelled_by[task])) for task in tasks},
            "subset": False,
            "skipped": self._progress.skipped,
            "options": self._options,
            **extra,
            "shards": [
                {"name": f"{shard['name']}.tar", "faces": shard["faces"], "sha256": shard["sha256"]}
                for shard in self._progress.shards
            ],
        }
        write_durably(self._partial.path / "manifest.json", json.dumps(manifest, indent=1).encode())
        self._partial.publish()
        return manifest

    def _close_shard(self) -> None:
        if self._shard is None:
            return
        entry = self._shard.close()
        self._shard = None
        self._progress.shards.append(entry)
        self._partial.save(self._progress.copy())

    def close(self) -> None:
        """Release the folder; faces after the last finished shard are lost."""
        if self._shard is not None:
            self._shard.discard()
            self._shard = None
        self._partial.release()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_set(folder: Path, faces: Iterable[Face], *, size: int = SIZE, **options: Any) -> dict[str, Any]:
    """Write a whole set from faces in memory; `options` are ShardWriter's. Returns the manifest."""
    with ShardWriter(folder, size=size, **options) as writer:
        for face in faces:
            writer.add(face)
        return writer.finish()
