"""Puts the measured set together: degraded faces, and crops that show none.

What a crop is made of follows from the seed and its number alone, so that a killed process is gone on with.
Every tenth crop is of the test split, which has faces and photos of its own: faces that the network's
training held out, where it held out any.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.detector_engine import load_detector
from runtime.detect.detector_file import find_detector
from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet, read_manifest
from training.data.prepared.shard import Face
from training.data.prepared.writer import ShardWriter
from training.data.quality_set.agreement import Agreement
from training.data.quality_set.degradations import Degraded, Picture, degrade, draw_severity
from training.data.quality_set.faceless import (
    Background,
    corner,
    find_photos,
    framed,
    name_hash,
    place,
    read_backgrounds,
)
from training.data.sampling.augmentation import fill_frame
from training.evaluation.predictors import Predictor
from training.tasks import CATALOGUE, FACE_QUALITY

_BATCH = 64
_TEST = 10  # every so-manieth crop, and the part of the photos that is its own
# Of the crops: degraded faces, what the detector takes for a face, random places of photos; else corners.
_FACES, _FINDS, _PLACES = 0.62, 0.16, 0.14
_FILLED = 0.7  # part of the close-cut chips whose black frame gets a photo's pixels
_MADE_WORSE = 0.5  # part of the faceless crops that are degraded too: neither may be known by that


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the set is made of. ValueError for numbers that can't be."""

    count: int = 12_000
    seed: int = 1
    # The photos without faces are chosen by a hash of their names: the others are left for measuring.
    background_share: float = 0.5

    def __post_init__(self) -> None:
        if self.count < 2 * _TEST:
            raise ValueError(f"--count {self.count} makes no set: take {2 * _TEST} or more")
        if not 0 < self.background_share <= 1:
            raise ValueError(f"--background-share {self.background_share} is no part: take above 0, up to 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """What one split's crops are made of."""

    split: str
    sets: Sequence[FaceSet]
    weights: NDArray[np.float64]  # of the sets: small ones are drawn from more often than their share
    backgrounds: Sequence[Background]
    finds: Sequence[tuple[str, Picture]]  # a photo's name, and what the detector finds in it

    def draw_face(self, rng: np.random.Generator) -> tuple[FaceSet, int]:
        faces = self.sets[int(rng.choice(len(self.sets), p=self.weights))]
        return faces, int(rng.integers(len(faces)))

    def draw_background(self, rng: np.random.Generator) -> Background:
        return self.backgrounds[int(rng.integers(len(self.backgrounds)))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Crop:
    """A crop of the set before it is measured."""

    key: str
    split: str
    person: str  # the face's or the photo's name: whoever splits the set again keeps them together
    subset: str
    degraded: Degraded
    source: tuple[FaceSet, int] | None  # None: it shows no face


def make_quality_set(
    network: Predictor,
    folder: Path,
    *,
    data: Path,
    names: Sequence[str],
    held_out: float,
    backgrounds: Path,
    options: Options,
    weights: str = "",
) -> dict[str, Any]:
    """Write the set into FOLDER and return its manifest; a set with the same options is left as it is.

    `network` measures, and `weights` identifies its weights; `names` are the prepared sets whose faces are
    taken, `held_out` the part of them that its training held out; `backgrounds` is a folder of photos without
    faces.

    Raises ValueError for sets of several sizes, none at all, too few photos, and a network that can't judge.
    """
    answered = [entry.name for entry in network.tasks]
    sets = {
        split: [_faces(data / name, split=split, held_out=held_out) for name in names]
        for split in ("train", "test")
    }
    for faces in itertools.chain(*sets.values()):
        derive(faces, answered)
    sizes = {faces.crop_size for found in sets.values() for faces in found}
    if len(sizes) > 1:
        raise ValueError(f"the sets have crops of {sorted(sizes)} pixels: name sets of one size")
    agreement = Agreement(network, leave_out=[FACE_QUALITY])
    provenance = {
        **dataclasses.asdict(options),
        "contract": network.contract,
        "weights": weights,
        "sets": {faces.name: faces.fingerprint for faces in sets["train"]},
    }
    size = sizes.pop()
    if (folder / "manifest.json").exists():
        existing = read_manifest(folder)
        if existing["options"] == provenance | {"size": size}:
            return existing
    with ShardWriter(
        folder,
        title="Faces made worse, and places without one, by how well they can be answered",
        licence="as its sets' and photos'",
        size=size,
        options=provenance,
        labelled_by="agreement",
    ) as writer:
        parts = _parts(sets, backgrounds, options=options, size=writer.size, margin=writer.margin)
        for start in range(writer.processed, options.count, _BATCH):
            numbers = range(start, min(start + _BATCH, options.count))
            crops = [_crop(number, parts[number % _TEST == 0], seed=options.seed) for number in numbers]
            for face in _measured(crops, agreement):
                writer.add(face)
        levels = {
            f"{faces.name} ({split})": {
                task: dataclasses.asdict(level) for task, level in agreement.levels(faces).items()
            }
            for split, found in sets.items()
            for faces in found
        }
        return writer.finish(levels=levels)


def _faces(folder: Path, *, split: str, held_out: float) -> FaceSet:
    """The training faces without those that were held out; for testing these alone, or the test split."""
    if split == "test" and not held_out:
        return FaceSet(folder, split="test")
    return FaceSet(folder, split="train", holdout_fraction=held_out, held_out=split == "test")


def _parts(
    sets: dict[str, list[FaceSet]], folder: Path, *, options: Options, size: int, margin: int
) -> tuple[_Part, _Part]:
    """The training part and the test part."""
    detector = load_detector(find_detector(), precision="fp32", threads=1)
    photos = [name for name in find_photos(folder) if name_hash(name) < options.background_share]
    first = options.background_share / _TEST
    parts = []
    for split in ("train", "test"):
        chosen = [name for name in photos if (name_hash(name) < first) == (split == "test")]
        backgrounds = list(read_backgrounds(folder, chosen, engine=detector, size=size, margin=margin))
        if not backgrounds:
            raise ValueError(
                f"{folder} has no readable photo for the {split} split: name a folder of more photos"
            )
        finds = [(background.name, find) for background in backgrounds for find in background.finds]
        weights = np.sqrt([len(faces) for faces in sets[split]])
        parts.append(
            _Part(
                split=split,
                sets=sets[split],
                weights=weights / weights.sum(),
                # What was found is kept apart: photos are many times as large as their finds.
                backgrounds=[dataclasses.replace(background, finds=()) for background in backgrounds],
                finds=finds,
            )
        )
    return parts[0], parts[1]


def _crop(number: int, part: _Part, *, seed: int) -> _Crop:
    rng = np.random.default_rng([seed, number])
    faces, index = part.draw_face(rng)
    side = faces.crop_size + 2 * faces.margin
    background = part.draw_background(rng)
    other = place(background.pixels, rng=rng, side=side)
    if rng.random() < 0.2:  # another face in front of it or beside it
        another, at = part.draw_face(rng)
        other = another.stored_crop(at)
    # A chip's black frame must not show that there is a face, nor a photo's lack of one that there is none.
    stored = faces.stored_crop(index)
    if rng.random() < _FILLED:
        stored = fill_frame(stored, other)
    drawn = rng.random()
    made = functools.partial(_Crop, split=part.split)
    if drawn < _FACES:
        degraded = degrade(stored, rng=rng, severity=draw_severity(rng), other=other)
        name = f"{faces.name}/{faces.persons[index] or faces.key(index)}"
        key = f"{faces.name}/{faces.key(index)}#{number}"
        return made(key=key, person=name, subset="face", degraded=degraded, source=(faces, index))
    if drawn < _FACES + _FINDS and part.finds:
        name, pixels = part.finds[int(rng.integers(len(part.finds)))]
        subset = "find"
    elif drawn < _FACES + _FINDS + _PLACES:
        name, subset = background.name, "place"
        pixels = place(background.pixels, rng=rng, side=side)
    else:
        name, subset = f"{faces.name}/{faces.persons[index] or faces.key(index)}", "corner"
        pixels = corner(stored, rng=rng)
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if rng.random() > _FILLED:
        pixels = framed(pixels, rng=rng)
    severity = draw_severity(rng) if rng.random() < _MADE_WORSE else 0.0
    degraded = degrade(pixels, rng=rng, severity=severity, other=place(background.pixels, rng=rng, side=side))
    return made(key=f"{name}#{number}", person=name, subset=subset, degraded=degraded, source=None)


def _measured(crops: Sequence[_Crop], agreement: Agreement) -> Iterator[Face]:
    """The crops with their labels, in their order."""
    usable = np.zeros(len(crops), np.float32)
    by_set: dict[FaceSet, list[int]] = {}
    for number, crop in enumerate(crops):
        if crop.source is not None:
            by_set.setdefault(crop.source[0], []).append(number)
    for faces, numbers in by_set.items():
        indices = np.array([crop.source[1] for n in numbers if (crop := crops[n]).source is not None])
        measured = agreement.usable(faces, indices, [crops[n].degraded for n in numbers])
        if FACE_QUALITY in faces.columns:  # people have seen that some show no face
            measured = measured * np.nan_to_num(faces.columns[FACE_QUALITY][indices, 0], nan=1)
        usable[numbers] = measured
    for number, crop in enumerate(crops):
        label = {CATALOGUE[FACE_QUALITY].labels[0]: round(float(usable[number]), 4)}
        yield Face(
            key=crop.key,
            pixels=crop.degraded.pixels,
            labels={FACE_QUALITY: label},
            split=crop.split,
            person=crop.person,
            subset=crop.subset,
        )
