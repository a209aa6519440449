"""What an experiment lacks on this machine, all at once, and where it is asked for."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.contract import ALIGNED
from training.data.prepared.face_set import crop_kind, read_manifest
from training.data.readers import reader_of
from training.paper.experiment import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a network takes of prepared sets."""

    train: tuple[str, ...]  # the sets that it learns from; empty where nothing is trained
    test: tuple[str, ...]  # those that it is measured on
    unlabelled: str  # the set that its encoder learns first; "": none
    crop: str  # one of runtime.image.crops.CROPS
    size: int  # of its input, in pixels

    @property
    def sets(self) -> tuple[str, ...]:
        """All of them."""
        names = (*self.test, *self.train, *([self.unlabelled] if self.unlabelled else []))
        return tuple(dict.fromkeys(names))


def best_folder(folders: Sequence[Path], wanted: Wanted) -> tuple[Path, dict[str, str]]:
    """Of some folders of prepared sets the one that lacks least, and what it lacks (`missing`)."""
    lacking = [(folder, missing(folder, wanted)) for folder in folders]
    return min(lacking, key=lambda found: len(found[1]))


def missing(data: Path, wanted: Wanted) -> dict[str, str]:
    """By set, a sentence on what a folder lacks of it and what to do; empty for nothing."""
    found = {}
    for name in wanted.sets:
        splits = [split for split, names in (("train", wanted.train), ("test", wanted.test)) if name in names]
        if sentence := _lacking(data, name, splits=splits or ["train"], wanted=wanted):
            found[name] = sentence
    return found


def prepare_command(name: str, *, data: Path, crop: str, size: int) -> str:
    """The command that prepares a set for an experiment, into the folder for sets of these crops."""
    cut = "" if crop == ALIGNED else f" --crop {crop}"
    place = place_for(data, crop=crop)
    return f"python -m training.data prepare {name} --source DIR --size {size}{cut} --output {place}"


def place_for(data: Path, *, crop: str) -> Path:
    """The folder for sets of these crops: `data`, or one beside it where it is for others."""
    manifests = (manifest_or_none(path.parent) for path in sorted(data.glob("*/manifest.json")))
    kinds = {crop_kind(manifest) for manifest in manifests if manifest is not None}
    meant = kinds == {crop} or (not kinds and (crop == ALIGNED or data.name.endswith(crop)))
    return data if meant else data.with_name(f"{data.name}-{crop}")


def manifest_or_none(folder: Path) -> dict[str, Any] | None:
    """A prepared set's manifest; None where there is none that can be read."""
    try:
        return read_manifest(folder)
    except ValueError:
        return None


def sets_table(experiments: Sequence[Experiment]) -> list[list[str]]:
    """A line for each set that these experiments want: name, title, licence, where to ask for it."""
    names = {
        name: None
        for experiment in experiments
        for name in (*experiment.sets, *experiment.paper.taught, experiment.paper.pretrains_on)
        if name
    }
    return [
        [name, reader.title, reader.licence, reader.page] for name in names for reader in [reader_of(name)]
    ]


def _lacking(data: Path, name: str, *, splits: Sequence[str], wanted: Wanted) -> str:
    if not (data / name / "manifest.json").exists():
        reader = reader_of(name)
        command = prepare_command(name, data=data, crop=wanted.crop, size=wanted.size)
        return (
            f"{data} has no {name}: ask for {reader.title} ({reader.licence}) at {reader.page}; then "
            f"`{command}`"
        )
    try:
        manifest = read_manifest(data / name)
    except ValueError as error:
        return str(error)
    if crop_kind(manifest) != wanted.crop:
        command = prepare_command(name, data=data, crop=wanted.crop, size=wanted.size)
        return (
            f"{data / name} holds {crop_kind(manifest)} crops and {wanted.crop} ones are wanted: "
            f"`{command}`, and name that folder too behind --data"
        )
    without = [split for split in splits if not manifest["faces"].get(split)]
    if without:
        return f"{data / name} has no face in its {' and '.join(without)} part: prepare all of the set"
    return ""
