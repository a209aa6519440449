"""A prepared set (training.data.prepared.writer) as training and evaluation read it, with random access.

Tests make one with training.data.prepared.writer.write_set.
"""

import functools
import hashlib
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import ALIGNED
from training.data.labels import UNKNOWN
from training.data.prepared.index import FaceIndex
from training.data.prepared.writer import FORMAT
from training.data.sample import SPLITS
from training.task_files import adopt_definitions
from training.tasks import CATALOGUE

# Shards kept open; of more, each read opens its own (a process may have 1,024 files open).
_OPEN = 256
# Suffixes of folders of sets that are being written or replaced.
_TEMPORARY = (".partial", ".old")
_SELECTED = ("split", "subset", "holdout_fraction", "held_out", "crop")  # what a set is made anew from


class FaceSet:
    """One split of a prepared set.

    `columns` has an array a task (float32, NaN where not known): classes [N, K] probabilities, multilabel
    [N, K], value [N, 2] (low, high), rotation [N, 3] degrees, points [N, K, 2] in units of the served
    crop (u = (x + 0.5) / S: 0..1 lies inside it). `confidence` has an array [N] for each task that has
    labels, masks too: 1 for people's. `masks` are the tasks that some of these faces have a mask of.

    Reads by offset: any number of threads and forked processes may share it. Raises ValueError for a
    folder that is not a prepared set, one of another catalogue, one whose faces are cut otherwise than as
    `crop` (runtime.image.crops.CROPS; None: as they are), and a split (or a `subset` of it) without a face.

    `holdout_fraction` of the split is held out, chosen by a hash of the person, or of the key where the
    person is not known: with 0.04 the set lacks every 25th face, and with `held_out` it has those alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str = "train",
        subset: str | None = None,
        holdout_fraction: float = 0.0,
        held_out: bool = False,
        crop: str | None = ALIGNED,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        if not 0 <= holdout_fraction <= 1:
            raise ValueError(f"holdout_fraction {holdout_fraction} is not in 0 to 1")
        self.folder, self.split, self.subset = folder, split, subset
        self.holdout_fraction, self.held_out = holdout_fraction, held_out
        self.manifest: dict[str, Any] = read_manifest(folder)
        self.name: str = self.manifest["name"]
        self.crop = crop_kind(self.manifest)
        if crop not in (None, self.crop):
            raise ValueError(
                f"the faces of {folder} are cut as {self.crop!r}, and {crop!r} crops are wanted: prepare the "
                f"set with --crop {crop} into another folder"
            )
        self.crop_size: int = self.manifest["crop"]["size"]
        self.margin: int = self.manifest["crop"]["margin"]
        self._index = FaceIndex(folder / "index.npz")
        selected = self._index.array("split") == SPLITS.index(split)
        if subset is not None and selected.any():
            names = self._all_texts("subset")
            codes = self._index.array("subset/code")
            # A face may be in several, joined by commas.
            selected &= np.isin(codes, [i for i, name in enumerate(names) if subset in name.split(",")])
        self._rows = np.flatnonzero(selected)
        if holdout_fraction or held_out:
            self._rows = self._rows[self._in_holdout() == held_out]
        if not len(self._rows):
            part = f"split {split}" if subset is None else f"subset {subset!r} of split {split}"
            part = f"the {holdout_fraction:g} held out of {part}" if held_out else part
            raise ValueError(f"{folder} has no face in {part}: it has {_split_counts(self.manifest)}")
        self.columns: dict[str, NDArray[np.float32]] = {}
        for task in self._index.names("column"):
            column = self._of("column", task)
            if not np.isnan(column).all():
                self.columns[task] = column
        masks = [t for t in self._index.names("mask_length") if (self._of("mask_length", t) > 0).any()]
        self.masks = frozenset(masks)
        self.confidence: dict[str, NDArray[np.float32]] = {
            task: self._of("confidence", task)
            if f"confidence/{task}" in self._index
            else np.ones(len(self), np.float32)
            for task in (*self.columns, *masks)
        }
        self._prepared = frozenset(self.columns)
        self._descriptors: dict[int, int] = {}
        self._mapped: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @functools.cached_property
    def keys(self) -> NDArray[np.str_]:
        """[N]: each face's name in messages, usually its picture's path in the data set."""
        return np.array(self._index.texts("key", self._rows))

    @functools.cached_property
    def persons(self) -> NDArray[np.str_]:
        """[N]: identities, empty where not known."""
        return self._repeated("person")

    @functools.cached_property
    def subsets(self) -> NDArray[np.str_]:
        """[N]: the named part of the split, mostly empty."""
        return self._repeated("subset")

    @property
    def fingerprint(self) -> str:
        """Identifies the content: the number of faces and a hash of the shards. Recorded by runs."""
        shards = json.dumps([shard["sha256"] for shard in self.manifest["shards"]])
        return f"{len(self)} faces, {hashlib.sha256(shards.encode()).hexdigest()[:12]}"

    def key(self, i: int) -> str:
        """The name of face `i`, without reading all names."""
        return self._index.texts("key", [int(self._rows[i])])[0]

    def stored_crop(self, i: int) -> NDArray[np.uint8]:
        """The stored crop [S + 2M, S + 2M, 3] RGB."""
        pixels = self._picture(i, "jpg_offset", "jpg_length", flags=cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise self._damaged(i)
        return pixels

    def mask(self, task: str, i: int) -> NDArray[np.uint8] | None:
        """The stored crop's class ids [S + 2M, S + 2M], 255 where not known; None without a mask."""
        if task not in self.masks:
            return None
        names = f"mask_offset/{task}", f"mask_length/{task}"
        return self._picture(i, *names, flags=cv2.IMREAD_GRAYSCALE)

    def served_crops(self, indices: ArrayLike, *, size: int) -> NDArray[np.uint8]:
        """The engine's input when serving [n, size, size, 3]: the crop without its margin, resampled."""
        rows = np.asarray(indices, np.int64).reshape(-1)
        pixels = np.empty((len(rows), size, size, 3), np.uint8)
        for k, i in enumerate(rows.tolist()):
            pixels[k] = self.served(self.stored_crop(i), size=size)
        return pixels

    def served(self, stored: NDArray[np.uint8], *, size: int) -> NDArray[np.uint8]:
        """The engine's input [size, size, 3] of a stored crop of this set's size."""
        inner = self._inner(stored)
        if size == self.crop_size:
            return inner
        method = cv2.INTER_AREA if size < self.crop_size else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(inner, (size, size), interpolation=method), np.uint8)

    def served_masks(self, task: str, indices: ArrayLike, *, size: int) -> NDArray[np.uint8]:
        """The class ids of the pixels of `served_crops` [n, size, size], 255 where not known."""
        rows = np.asarray(indices, np.int64).reshape(-1)
        masks = np.full((len(rows), size, size), UNKNOWN, np.uint8)
        for k, i in enumerate(rows.tolist()):
            mask = self.mask(task, i)
            if mask is not None:
                masks[k] = cv2.resize(self._inner(mask), (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
        return masks

    def record(self, i: int) -> dict[str, Any]:
        """The JSON record of face `i` in its shard: key, labels and so on (training.data.prepared.writer)."""
        row = self._rows[i]
        shard, length = (int(self._arrays(name)[row]) for name in ("shard", "jpg_length"))
        # It is the member behind the picture; a member's content fills whole blocks, its header is one.
        blocks = -(-length // tarfile.BLOCKSIZE)
        at = int(self._arrays("jpg_offset")[row]) + blocks * tarfile.BLOCKSIZE
        try:
            header = self._read(shard, tarfile.BLOCKSIZE, at)
            size = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size
            record: dict[str, Any] = json.loads(self._read(shard, size, at + tarfile.BLOCKSIZE))
            if record["key"] != self.key(i):
                raise ValueError("it belongs to another face")
        except (tarfile.HeaderError, ValueError, KeyError, TypeError):
            raise self._damaged(i) from None
        return record

    def crop_transform(self, i: int) -> NDArray[np.float64] | None:
        """The map [2, 3] from the pixels of face `i`'s picture to the stored crop's; None without one."""
        forward = self.record(i)["forward"]
        return None if forward is None else np.asarray(forward, np.float64)

    def __getstate__(self) -> dict[str, Any]:
        # Mapped arrays would travel whole; another process maps them itself. Added columns are in no file.
        added = self.columns.keys() - self._prepared
        return {
            "folder": self.folder,
            "split": self.split,
            "subset": self.subset,
            "holdout_fraction": self.holdout_fraction,
            "held_out": self.held_out,
            "crop": self.crop,
            "columns": {task: self.columns[task] for task in added},
            "confidence": {task: self.confidence[task] for task in added},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        selection = {name: state[name] for name in _SELECTED}
        FaceSet.__init__(self, state["folder"], **selection)
        self.columns.update(state["columns"])
        self.confidence.update(state["confidence"])

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_descriptors", {}).values():
            os.close(descriptor)

    def _in_holdout(self) -> NDArray[np.bool_]:
        """[N]: whether each face of the split is held out."""
        keys = self._index.texts("key", self._rows)
        persons = np.asarray(self._all_texts("person"))[
            np.asarray(self._index.array("person/code")[self._rows], np.int64)
        ]
        names = [person or key for person, key in zip(persons.tolist(), keys, strict=True)]
        # The prefix is part of every held-out selection made so far.
        hashed = [int(hashlib.sha256(f"aside/{name}".encode()).hexdigest()[:8], 16) for name in names]
        return np.array(hashed, np.float64) < self.holdout_fraction * 2**32

    def _inner(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        inside = slice(self.margin, self.margin + self.crop_size)
        return stored[inside, inside]

    def _of(self, first: str, last: str) -> NDArray[Any]:
        """These faces' part of an array; without a copy where they are all."""
        array = self._index.array(f"{first}/{last}")
        return array if len(self._rows) == len(array) else array[self._rows]

    def _all_texts(self, name: str) -> list[str]:
        return self._index.texts(name, range(len(self._index.array(f"{name}/ends"))))

    def _repeated(self, name: str) -> NDArray[np.str_]:
        texts: NDArray[np.str_] = np.array(self._all_texts(name))
        return texts[np.asarray(self._of(name, "code"), np.int64)]

    def _picture(self, i: int, offsets: str, lengths: str, *, flags: int) -> NDArray[np.uint8] | None:
        row = self._rows[i]
        length = int(self._arrays(lengths)[row])
        if length == 0:
            return None
        data = self._read(int(self._arrays("shard")[row]), length, int(self._arrays(offsets)[row]))
        side = self.crop_size + 2 * self.margin
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) == length else None
        if pixels is None or pixels.shape[:2] != (side, side):
            raise self._damaged(i)
        return np.asarray(pixels)

    def _arrays(self, name: str) -> NDArray[Any]:
        if name not in self._mapped:
            self._mapped[name] = self._index.array(name)
        return self._mapped[name]

    def _read(self, shard: int, length: int, offset: int) -> bytes:
        descriptor = self._descriptors.get(shard)
        if descriptor is not None:
            return os.pread(descriptor, length, offset)
        path = self.folder / self.manifest["shards"][shard]["name"]
        try:
            opened = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise ValueError(f"{path} is missing: prepare the set again") from None
        # Of two threads that open it at once, the later one closes its own; none is closed that is kept.
        kept = len(self._descriptors) < _OPEN and self._descriptors.setdefault(shard, opened) == opened
        try:
            return os.pread(opened, length, offset)
        finally:
            if not kept:
                os.close(opened)

    def _damaged(self, i: int) -> ValueError:
        return ValueError(
            f"face {self.key(i)} of {self.folder} is damaged: `python -m training.data check {self.folder}` "
            "says which shards are, prepare the set again"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """A prepared set's manifest; ValueError for none, and for one of another format or catalogue."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        form, tasks = manifest["format"], manifest["tasks"]
    except FileNotFoundError:
        raise ValueError(
            f"{folder} is not a prepared set (it has no manifest.json): make one with "
            "`python -m training.data prepare`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        state = "can't be read" if isinstance(error, OSError) else "is damaged"
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{folder / 'manifest.json'} {state} ({reason}): prepare the set again") from None
    if form != FORMAT:
        raise ValueError(f"{folder} is of format {form}, not {FORMAT}: prepare the set again")
    adopt_definitions(manifest.get("definitions", {}), labels=tasks, origin=str(folder))
    for task, labels in tasks.items():
        if task not in CATALOGUE or list(CATALOGUE[task].labels) != labels:
            raise ValueError(
                f"{folder} was prepared when task {task!r} had other labels than the catalogue has now: "
                "prepare the set again"
            )
    return manifest


def crop_kind(manifest: Mapping[str, Any]) -> str:
    """How a prepared set's faces are cut, one of runtime.image.crops.CROPS."""
    kind: str = manifest["crop"].get("kind", ALIGNED)
    return kind


def adopt_tasks_of(folder: Path, *, names: Sequence[str] | None = None) -> None:
    """Adds the tasks that a folder's prepared sets define to the catalogue; `names` picks some of the sets.

    ValueError where two differ.
    """
    for path in sorted(folder.glob("*/manifest.json")):
        if path.parent.suffix in _TEMPORARY or (names is not None and path.parent.name not in names):
            continue
        content = path.read_bytes()
        # One without its last entry is damaged, and may have defined a task.
        is_cut = b'"shards"' not in content and any(path.parent.glob("shard-*.tar"))
        if b'"definitions"' in content or is_cut:
            read_manifest(path.parent)


def prepared_sets(
    folder: Path,
    *,
    split: str = "test",
    names: Sequence[str] | None = None,
    crop: str | None = ALIGNED,
) -> list[FaceSet]:
    """The sets of a folder that have faces in this split, by name; `names` picks some.

    Raises ValueError where there is none, or not every one of `names`, and for one that is not cut as `crop`.
    """
    found = sorted(
        path.parent for path in folder.glob("*/manifest.json") if path.parent.suffix not in _TEMPORARY
    )
    missing = sorted(set(names or ()) - {path.name for path in found})
    if missing or not found:
        raise ValueError(
            f"there is no prepared set {', '.join(missing) or 'at all'} under {folder}: "
            "make it with `python -m training.data prepare`"
        )
    selected = [path for path in found if names is None or path.name in names]
    sets = [
        FaceSet(path, split=split, crop=crop) for path in selected if split in read_manifest(path)["faces"]
    ]
    if not sets:
        raise ValueError(f"no set under {folder} has faces in split {split}: prepare one that does")
    return sets


def in_split(sets: Sequence[FaceSet], split: str) -> list[FaceSet]:
    """Another split of these sets, as far as they have it."""
    return [
        FaceSet(faces.folder, split=split, crop=faces.crop)
        for faces in sets
        if split in faces.manifest["faces"]
    ]


def _split_counts(manifest: dict[str, Any]) -> str:
    return ", ".join(f"{count} in {split}" for split, count in manifest["faces"].items())
