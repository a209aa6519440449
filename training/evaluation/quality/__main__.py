"""Measure what a network's face_quality is good for, and choose the minimum below which no face is answered.

    python -m training.evaluation.quality CHECKPOINT --data DIR --nofaces DIR --output FILE

The minimum is chosen (training.evaluation.quality.minimum) on faces that the network's training held out, and
on one half of the photos without a face that training.data.quality_set left alone; everything is measured on
the sets' test splits and on the other half. --output writes the checkpoint with the minimum in its contract.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.contract import Contract, QualityEntry
from training.cli import run_cli
from training.data.labels import HUMAN
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.data.quality_set.faceless import find_photos, unseen_photos
from training.evaluation.predictors import Predictor, without_masks
from training.evaluation.quality.coverage import MeasuredSet, area_of, measure_set
from training.evaluation.quality.faceless import PhotoQualities, photo_qualities
from training.evaluation.quality.minimum import Minimum, choose_minimum
from training.evaluation.quality.report import QualityReport, as_markdown
from training.evaluation.report import write_text
from training.models import Checkpoint, load_checkpoint, save_checkpoint
from training.tasks import CATALOGUE, FACE_QUALITY
from training.train.run_options import take_cores

_LIMIT = 1500


def measure(
    checkpoint: Checkpoint, *, data: Path, nofaces: Path, photos: Sequence[Path], limit: int | None
) -> QualityReport:
    """Everything that is measured. ValueError for a network without face_quality, and for lacking data."""
    if FACE_QUALITY not in checkpoint.contract.names:
        raise ValueError(
            f"the checkpoint does not answer {FACE_QUALITY}: teach it with `python -m training.train.extend "
            f"CHECKPOINT --task {FACE_QUALITY}`"
        )
    network = without_masks(checkpoint)
    choosing, testing = _faceless(data, nofaces)
    everything = photo_qualities(nofaces, [*choosing, *testing], network, task=FACE_QUALITY)
    held_out = _measured(_sets(checkpoint, data, held_out=True), network, limit=limit, curves=False)
    minimum = choose_minimum([one.qualities for one in held_out], everything.only(choosing))
    tested = _measured(_sets(checkpoint, data, held_out=False), network, limit=limit, curves=True)
    made = FaceSet(data / FACE_QUALITY, split="test")
    own = _measured([made], network, limit=None, curves=False)[0].qualities
    usable = made.columns[FACE_QUALITY][:, 0] >= 0.5
    faces = made.subsets == "face"
    return QualityReport(
        minimum=minimum,
        held_out={one.name: _lost(one, minimum) for one in held_out},
        tested={one.name: _lost(one, minimum) for one in tested},
        curves=tuple(curve for one in tested for curve in one.curves),
        area=area_of(own, usable),
        area_of_faces=area_of(own[faces], usable[faces]),
        found=_share(everything.only(testing), 0.0),
        answered=_share(everything.only(testing), minimum.value),
        faceless_photos=len(everything.only(testing).names),
        photos={
            str(folder): _left_out(
                photo_qualities(folder, find_photos(folder), network, task=FACE_QUALITY), minimum
            )
            for folder in photos
        },
    )


def with_minimum(contract: Contract, value: float) -> Contract:
    """A contract that states which answer is a face's quality, and from which value on a face is answered."""
    quality = QualityEntry(task=FACE_QUALITY, label=CATALOGUE[FACE_QUALITY].labels[0], minimum=value)
    return dataclasses.replace(contract, quality=quality)


def _faceless(data: Path, folder: Path) -> tuple[list[str], list[str]]:
    """The photos to choose by and those to measure on: of those that training left alone, a half each."""
    choosing, testing = unseen_photos(find_photos(folder), quality_set=data / FACE_QUALITY)
    if not choosing or not testing:
        raise ValueError(
            f"{folder} has no photo that was not learned from: make the set with a smaller "
            "--background-share, or name other photos"
        )
    return choosing, testing


def _sets(checkpoint: Checkpoint, data: Path, *, held_out: bool) -> list[FaceSet]:
    """Held-out training faces, or test faces, of the sets that people labelled."""
    share = float(checkpoint.card.get("aside", 0))
    if held_out and not share:
        raise ValueError(
            "the checkpoint's training held out no faces to choose by: use a larger holdout_fraction"
        )
    split = "train" if held_out else "test"
    found = []
    for faces in prepared_sets(data, split=split):
        by_people = HUMAN in faces.manifest.get("labelled_by", {}).values()
        if faces.name == FACE_QUALITY or not by_people:
            continue
        part = share if held_out else 0.0
        found.append(FaceSet(faces.folder, split=split, holdout_fraction=part, held_out=held_out))
    if not found:
        raise ValueError(f"{data} has no set with people's labels and {split} faces: prepare one")
    return found


def _measured(
    sets: Sequence[FaceSet], network: Predictor, *, limit: int | None, curves: bool
) -> list[MeasuredSet]:
    return [measure_set(faces, network, quality=FACE_QUALITY, limit=limit, curves=curves) for faces in sets]


def _lost(measured: MeasuredSet, minimum: Minimum) -> tuple[float, int]:
    """The part of the faces that the minimum leaves out, and how many faces there are."""
    return float((measured.qualities < minimum.value).mean()), len(measured.qualities)


def _share(photos: PhotoQualities, minimum: float) -> float:
    return float(photos.answered(minimum).mean())


def _left_out(photos: PhotoQualities, minimum: Minimum) -> tuple[float, int]:
    """The part of the finds in photos that the minimum leaves out, and how many finds there are."""
    found = np.concatenate([np.zeros(0), *photos.found])
    return (float((found < minimum.value).mean()) if len(found) else 0.0), len(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.quality", description=__doc__.splitlines()[0]
    )
    parser.add_argument("checkpoint", type=Path, help="the .safetensors file of a network with face_quality")
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder of prepared sets, face_quality among them"
    )
    parser.add_argument(
        "--nofaces", type=Path, required=True, help="the photos that training.data.quality_set was given"
    )
    parser.add_argument("--photos", type=Path, nargs="+", default=[], help="folders of photos with faces")
    parser.add_argument(
        "--limit", type=int, default=_LIMIT, help="so many faces of each set (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, help="of torch (default: all cores)")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    parser.add_argument("--output", type=Path, help="write the checkpoint with the chosen minimum here")
    options = parser.parse_args(arguments)

    def work() -> None:
        if options.limit < 1:
            raise ValueError(f"--limit {options.limit} leaves no face: take 1 or more")
        take_cores(options.threads)
        checkpoint = load_checkpoint(options.checkpoint)
        report = measure(
            checkpoint,
            data=options.data,
            nofaces=options.nofaces,
            photos=options.photos,
            limit=options.limit,
        )
        print(as_markdown(report))
        if options.markdown:
            write_text(options.markdown, as_markdown(report))
        if options.json:
            write_text(options.json, json.dumps(dataclasses.asdict(report), indent=1))
        if options.output:
            save_checkpoint(options.output, _with_quality(checkpoint, report.minimum))

    return run_cli("training.evaluation.quality", work, place=options.output or Path())


def _with_quality(checkpoint: Checkpoint, minimum: Minimum) -> Checkpoint:
    chosen: dict[str, Any] = dataclasses.asdict(minimum)
    return dataclasses.replace(
        checkpoint,
        contract=with_minimum(checkpoint.contract, minimum.value),
        card={**checkpoint.card, "quality": chosen},
    )


if __name__ == "__main__":
    sys.exit(main())
