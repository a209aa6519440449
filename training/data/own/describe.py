"""What is understood of a source of one's own, and what is wrong with it, before anything is prepared."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidInput
from runtime.image.decode import decode_image
from training.data.inventory import is_picture_missing
from training.data.labels import numbers
from training.data.own.near_copies import near_copies, perceptual_hash
from training.data.own.source import OwnSource
from training.data.sample import BadSample, Sample
from training.kinds import kind_of
from training.tasks import CATALOGUE

SHOWN = 20  # of what is wrong
_EXAMPLES = 8  # pictures of each label
_THUMBNAIL = 96


@dataclasses.dataclass(kw_only=True)
class Description:
    """Counts and first examples of what a source has."""

    form: str
    columns: dict[str, str]
    splits: Counter[str] = dataclasses.field(default_factory=Counter)
    labelled: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)  # by task and split
    shares: dict[str, dict[str, Counter[str]]] = dataclasses.field(default_factory=dict)  # task, split, label
    persons: Counter[str] = dataclasses.field(default_factory=Counter)
    not_read: list[str] = dataclasses.field(default_factory=list)  # a sentence each
    bad_rows: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)
    unreadable: list[str] = dataclasses.field(default_factory=list)
    repeated: list[str] = dataclasses.field(default_factory=list)
    copies: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # near ones, of two splits
    shared_persons: list[str] = dataclasses.field(default_factory=list)  # in several splits
    examples: dict[str, dict[str, list[NDArray[np.uint8]]]] = dataclasses.field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """What will cost faces, or figures their meaning, a sentence each."""
        found = [*self.not_read]
        for what, entries in (
            ("rows can't be read", self.bad_rows),
            ("pictures are missing", self.missing),
            ("pictures can't be decoded", self.unreadable),
            ("rows name a face a second time", self.repeated),
        ):
            if entries:
                found.append(f"{len(entries)} {what}: the first is {entries[0]}")
        if self.copies:
            one, other = self.copies[0]
            found.append(
                f"{len(self.copies)} pictures are nearly the same in two splits, which makes figures look "
                f"better than they are: the first are {one} and {other}"
            )
        if self.shared_persons:
            found.append(
                f"{len(self.shared_persons)} persons are in several splits: {self.shared_persons[0]} is one"
            )
        if not self.splits:
            found.append("no face can be read")
        for task, by_split in self.shares.items():
            total = sum(by_split.values(), Counter())
            known = {label for counts in by_split.values() for label in counts}
            for label in (label for label in CATALOGUE[task].labels if label in known):
                if not total[label]:
                    found.append(f"no face has {task} {label}, which a network won't learn")
                elif not by_split.get("train", Counter())[label]:
                    found.append(f"no face for training has {task} {label}")
        if self.splits and not self.splits["train"]:
            found.append("no face is for training")
        if self.splits and len(self.splits) == 1:
            found.append(
                f"all faces are in the split {next(iter(self.splits))}: nothing is left to measure on"
            )
        return found


def describe(
    source: OwnSource, *, pictures: bool = True, progress: Callable[[int], None] | None = None
) -> Description:
    """Reads all of a source, and its pictures (unless `pictures` is False): for copies, damage, examples."""
    found = Description(form=source.form, columns=dict(source.columns), not_read=list(source.not_read))
    keys: set[str] = set()
    hashed: list[tuple[int, str, str]] = []  # hash, split, key
    splits_of: dict[str, set[str]] = {}
    for number, sample in enumerate(source.read(), 1):
        if progress is not None:
            progress(number)
        if isinstance(sample, BadSample):
            found.bad_rows.append(f"{sample.key} ({sample.reason})")
            continue
        if sample.key in keys:
            found.repeated.append(sample.key)
            continue
        keys.add(sample.key)
        if is_picture_missing(sample):
            found.missing.append(sample.key)
            continue
        picture = _decoded(sample, found) if pictures else None
        if pictures and picture is None:
            continue
        _count(sample, found)
        if sample.person:
            found.persons[sample.person] += 1
            splits_of.setdefault(sample.person, set()).add(sample.split)
        if picture is not None:
            hashed.append((perceptual_hash(picture), sample.split, sample.key))
            _keep(sample, picture, found)
    found.shared_persons = sorted(person for person, splits in splits_of.items() if len(splits) > 1)
    pairs = near_copies([h for h, _, _ in hashed], [split for _, split, _ in hashed])
    found.copies = [(hashed[one][2], hashed[other][2]) for one, other in pairs]
    return found


def _decoded(sample: Sample, found: Description) -> NDArray[np.uint8] | None:
    try:
        if isinstance(sample.picture, Path):
            return decode_image(sample.picture.read_bytes())
        return sample.picture()
    except (OSError, InvalidInput, ValueError) as error:
        found.unreadable.append(f"{sample.key} ({str(error).splitlines()[0]})")
        return None


def _count(sample: Sample, found: Description) -> None:
    found.splits[sample.split] += 1
    for name, label in sample.labels.items():
        found.labelled.setdefault(name, Counter())[sample.split] += 1
        for text, is_there in _labels_of(name, label).items():
            # A label that is known to be absent is there with a count of 0.
            found.shares.setdefault(name, {}).setdefault(sample.split, Counter())[text] += is_there
    if sample.mask is not None:
        found.labelled.setdefault(sample.mask_task, Counter())[sample.split] += 1


def _labels_of(name: str, label: object) -> dict[str, bool]:
    """Whether a face has each label of which it is known; empty for kinds whose labels are no yes or no."""
    task = CATALOGUE[name]
    kind = kind_of(task)
    if not kind.has_probabilities:
        return {}
    row = numbers(name, label)
    has = row == np.nanmax(row) if kind.exclusive else row >= 0.5
    return {
        label: bool(value)
        for label, value, number in zip(task.labels, has.tolist(), row.tolist(), strict=True)
        if number == number
    }


def _keep(sample: Sample, picture: NDArray[np.uint8], found: Description) -> None:
    """A small copy, where few of its label are kept yet."""
    import cv2

    for name, label in sample.labels.items():
        of_face = [text for text, is_there in _labels_of(name, label).items() if is_there]
        for text in of_face[:1] or ["a face"]:
            kept = found.examples.setdefault(name, {}).setdefault(text, [])
            if len(kept) < _EXAMPLES:
                crop = _cut(picture, sample)
                scale = _THUMBNAIL / max(crop.shape[:2])
                size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
                kept.append(np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8))


def _cut(picture: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    """The face of a picture, where its box is known."""
    if sample.box is None:
        return picture
    x0, y0, x1, y1 = (max(0, round(edge)) for edge in sample.box)
    part = picture[y0:y1, x0:x1]
    return part if part.size else picture
