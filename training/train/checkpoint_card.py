"""What a checkpoint's card records of the run that made it. Its keys are those of every card so far."""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from training.data.labels import HUMAN
from training.data.prepared.face_set import FaceSet
from training.models.checkpoint import read_card
from training.models.pretrained_encoder import IMAGENET
from training.train.run_config import RANDOM, Run


def make_card(
    run: Run, *, sets: Sequence[FaceSet], steps: int, seconds: float, kept_out: Mapping[str, Any]
) -> dict[str, Any]:
    """The card of a run of `steps` steps; `kept_out` is what it reached on the faces of the test splits."""
    batch = sum(source.batch for source in run.sources)
    card = {
        "run": run.name,
        "sources": [_source(faces) for faces in sets],
        "aside": run.holdout_fraction,
        "init": _init(run.init),
        "steps": steps,
        "faces_seen": steps * batch,
        "minutes": round(seconds / 60, 1),
        "seed": run.seed,
        "kept_out": dict(kept_out),
    }
    if earlier := _earlier(run.init):
        card["earlier"] = earlier
    return card


def _init(init: str) -> str:
    """Where an encoder came from: of a file its name and checksum, not its folder."""
    path = pathlib.Path(init)
    if init in (RANDOM, IMAGENET) or not path.is_file():
        return path.name
    return f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _earlier(init: str) -> dict[str, Any]:
    """What the weights that the run began with learned from: the weights' licence follows from that too."""
    path = pathlib.Path(init)
    if init in (RANDOM, IMAGENET) or not path.is_file():
        return {}
    return provenance(read_card(path))


def provenance(card: Mapping[str, Any]) -> dict[str, Any]:
    """Of a card what weights learned from, and the weights before them."""
    kept = ("run", "sources", "faces_seen", "earlier", "averaged")
    return {name: card[name] for name in kept if name in card}


def _source(faces: FaceSet) -> dict[str, Any]:
    labelled_by: Mapping[str, str] = faces.manifest.get("labelled_by", {})
    return {
        "name": faces.name,
        "licence": faces.manifest.get("licence", ""),
        "training_faces": len(faces),
        "labelled_by_teacher": {task: name for task, name in labelled_by.items() if name != HUMAN},
        "subset": bool(faces.manifest.get("subset", False)),
    }
