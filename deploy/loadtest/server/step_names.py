"""How the steps of this project's models are called in a report, and which models call another one.

All other models' steps are called as the model.
"""

from collections.abc import Mapping
from typing import Any

from runtime.answering.photos import CROP, DECODE, DETECT, POSTPROCESS

LAST = "postprocess"
# The end of a model's name, as those of a further network begin with the network's -> what it does.
_STEPS = {
    "photo_analysis": "decode, find, crop",
    "face_preprocess": "decode and crop",
    "crop_preprocess": "decode and crop",
    "face_engine": "engine",
    "_postprocess": LAST,
}
# The spans of phases within a model -> what is done in them; the phase of the engine's call is left out, as
# the engine counts for itself.
PHASES = {DECODE: "decode", DETECT: "find", CROP: "crop", POSTPROCESS: LAST}
# Models that call another one themselves: the end of the name, the other's end, the parameter that names it.
_CALLS = (("photo_analysis", "face_engine", "engine"),)


def step_name(model: str) -> str:
    """Of the model's own computing."""
    return next((name for end, name in _STEPS.items() if model.endswith(end)), model)


def called_model(model: str, config: Mapping[str, Any]) -> str | None:
    """The model that this one calls itself, which no configuration of Triton's states; None for none."""
    for caller, called, parameter in _CALLS:
        if model.endswith(caller):
            named = config.get("parameters", {}).get(parameter, {}).get("string_value", "")
            return named or model.removesuffix(caller) + called
    return None
