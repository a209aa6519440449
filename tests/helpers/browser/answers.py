"""Answers of the REST door that are made up: a task of each kind, as many faces as a test wants."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

Content = Mapping[str, Any]

COLOUR: Content = {
    "name": "colour",
    "kind": "classes",
    "labels": ["red", "green", "blue"],
    "unit": "probability",
}
SIGNS: Content = {
    "name": "signs",
    "kind": "multilabel",
    "labels": ["dotted", "striped"],
    "unit": "probability",
    "threshold": 0.5,
}
WEIGHT: Content = {"name": "weight", "kind": "value", "labels": ["grams"], "unit": "grams"}
TURN: Content = {"name": "turn", "kind": "rotation", "labels": ["yaw", "pitch", "roll"], "unit": "degrees"}
CORNERS: Content = {"name": "corners", "kind": "points", "labels": ["top", "left", "right"], "unit": "pixels"}
REGIONS: Content = {"name": "regions", "kind": "mask", "labels": ["nothing", "skin"], "unit": "class"}
TASKS = (COLOUR, SIGNS, WEIGHT, TURN, CORNERS, REGIONS)

WITHIN = [[0.5, 0.7], [0.8, 1.6], [0.95, 3.0]]
# The same of a network that states how far its answers may be off, and how well a face can be analysed.
ERRORS: Content = {
    "weight": {"grams": 2.5},
    "turn": {"yaw": 5.0, "pitch": 2.5, "roll": 1.25},
    "corners": [10.0, 0.25, 10.0],  # the second one's ring would be smaller than its dot
}
STATING = tuple(
    {**task, "error": {"unit": task["unit"], "within": WITHIN}} if task["name"] in ERRORS else task
    for task in TASKS
)
QUALITY: Content = {"task": "signs", "label": "dotted", "minimum": 0.25}

WIDTH = HEIGHT = 512  # pixels of the astronaut
BOX = (172.0, 68.0, 280.0, 176.0)  # his face
_CROP = 112  # pixels of a mask's side

# What each task answers of any face, but where it lies in the photo.
_ANSWERS: Mapping[str, Any] = {
    "colour": {"label": "green", "probabilities": {"red": 0.25, "green": 0.7, "blue": 0.05}},
    "signs": {"dotted": 0.9, "striped": 0.125},
    "weight": {"grams": 41.5},
    "turn": {"yaw": 20.0, "pitch": -10.0, "roll": 5.0},
}


def description(tasks: Sequence[Content] = TASKS, *, notice: str = "") -> dict[str, Any]:
    """GET /v1/tasks."""
    return {
        "version": 1,
        "contract": hashlib.sha256(repr(tasks).encode()).hexdigest()[:16],
        "input_size": _CROP,
        "crop": "aligned",
        "tasks": [dict(task) for task in tasks],
        "models": ["made-up"],
        "precision": "fp32",
        "notice": notice,
        "request_parameters": {
            "min_score": {"type": "number", "minimum": 0.1, "maximum": 1.0, "default": 0.5},
            "max_faces": {"type": "integer", "minimum": 1, "maximum": 320, "default": 320},
            "min_face": {"type": "number", "minimum": 0.004, "maximum": 1.0},
        },
    }


def stating(tasks: Sequence[Content] = STATING, **further: Any) -> dict[str, Any]:
    """GET /v1/tasks of a network that states errors and quality."""
    content = description(tasks)
    least = {"type": "number", "minimum": 0.0, "maximum": 1.0, "default": QUALITY["minimum"]}
    parameters = {**content["request_parameters"], "min_quality": least}
    return {**content, "quality": dict(QUALITY), "request_parameters": parameters, **further}


def rated(**further: Any) -> dict[str, Any]:
    """A face of such a network."""
    errors = {f"{task}_error": error for task, error in ERRORS.items()}
    return face(quality=_ANSWERS["signs"]["dotted"], **errors, **further)


def face(box: Sequence[float] = BOX, **further: Any) -> dict[str, Any]:
    """A face with an answer to each of `TASKS`, and to further ones."""
    left, top, right, bottom = box
    side = right - left
    middle = (left + right) / 2
    return {
        "box": list(box),
        "score": 0.94,
        **_ANSWERS,
        "corners": [[middle, top], [left, bottom], [right, bottom]],
        "regions": {
            "labels": REGIONS["labels"],
            "size": [_CROP, _CROP],
            "map": [[side / _CROP, 0.0, left], [0.0, side / _CROP, top]],
            # The upper half is nothing, the lower half skin.
            "runs": [[0, _CROP * _CROP // 2], [1, _CROP * _CROP // 2]],
        },
        **further,
    }


def answer(*faces: Content, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any]:
    """POST /v1/analyze; without a face named, one in the middle of the astronaut."""
    shown = faces or (face(),)
    return {
        "width": width,
        "height": height,
        "faces_found": len(shown),
        "smallest_face": 40.0,
        "faces": [dict(each) for each in shown],
    }


def no_face(*, width: int, height: int) -> dict[str, Any]:
    """POST /v1/analyze of a photo without a face."""
    return {"width": width, "height": height, "faces_found": 0, "smallest_face": 18.8, "faces": []}
