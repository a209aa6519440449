"""Expressions as weights of ARKit's shapes: plausible mixtures, their action units, and what they are called.

The names of emotions go to configurations of action units as Ekman and Friesen's EMFACS has them: what an
actor poses who is asked for one, and no more than that.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# What a face does together: names without their side, and how strongly next to each other.
_MOVES: dict[str, dict[str, float]] = {
    "smile": {
        "mouthSmile": 1.0,
        "cheekSquint": 0.6,
        "eyeSquint": 0.25,
        "mouthDimple": 0.2,
        "cheekRaiser": 0.5,
    },
    "laugh": {
        **{"mouthSmile": 1.0, "mouthUpperUp": 0.5, "mouthLowerDown": 0.4, "jawOpen": 0.3},
        **{"cheekSquint": 0.8, "cheekRaiser": 0.7, "eyeSquint": 0.4},
    },
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.8, "jawOpen": 0.5},
    "anger": {"browDown": 1.0, "eyeSquint": 0.5, "mouthPress": 0.6, "noseSneer": 0.3, "eyeWide": 0.3},
    "sadness": {"browInnerUp": 0.9, "mouthFrown": 0.8, "mouthShrugLower": 0.5, "browDown": 0.2},
    "fear": {"browInnerUp": 0.8, "browOuterUp": 0.6, "eyeWide": 0.9, "mouthStretch": 0.7, "jawOpen": 0.3},
    "disgust": {"noseSneer": 1.0, "mouthUpperUp": 0.6, "browDown": 0.5, "eyeSquint": 0.4, "mouthFrown": 0.3},
    "speech": {"jawOpen": 0.35, "mouthLowerDown": 0.3, "mouthUpperUp": 0.2, "mouthFunnel": 0.2},
    "kiss": {"mouthPucker": 1.0, "mouthFunnel": 0.3},
    "yawn": {"jawOpen": 0.95, "eyeSquint": 0.6, "eyeBlink": 0.5, "mouthStretch": 0.3},
    "blink": {"eyeBlink": 1.4},
    "pout": {"mouthShrugLower": 0.9, "mouthShrugUpper": 0.5, "mouthRollLower": 0.3},
    "stretch": {"mouthStretch": 1.0},
    "puff": {"cheekPuff": 0.9, "mouthPress": 0.4},
    "brows": {"browInnerUp": 0.8, "browOuterUp": 0.7},
    "frown": {"browDown": 0.9},
    "sneer": {"noseSneer": 0.9, "mouthUpperUp": 0.3},
    "wide": {"eyeWide": 1.0},
    "drop": {"jawOpen": 0.6},
    "smirk": {"mouthSmile": 0.6, "mouthDimple": 0.6},
}
_SHARES = {
    **{"smile": 4.0, "laugh": 3.0, "speech": 2.5, "blink": 2.5},
    **dict.fromkeys(("surprise", "anger", "sadness", "fear", "disgust"), 2.5),
}
# Alone they say nothing of an action unit; little of any is always there.
_SMALL = ("jawForward", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthRollLower", "mouthRollUpper")

# FACS's action units from ARKit's shapes. Of several (or two sides) the strongest counts.
ACTION_UNITS: dict[str, tuple[str, ...]] = {
    "AU1": ("browInnerUp",),
    "AU2": ("browOuterUp",),
    "AU4": ("browDown",),
    "AU5": ("eyeWide",),
    "AU6": ("cheekSquint", "cheekRaiser"),
    "AU9": ("noseSneer",),
    "AU12": ("mouthSmile",),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretch",),
    "AU25": ("mouthUpperUp", "mouthLowerDown", "jawOpen"),
    "AU26": ("jawOpen",),
    "AU43": ("eyeBlink",),
}
# What has to be there of a posed expression: one of each line, the side left out.
_POSED: dict[str, tuple[tuple[str, ...], ...]] = {
    "happiness": (("mouthSmile",), ("cheekSquint", "cheekRaiser")),
    "surprise": (("browInnerUp",), ("browOuterUp",), ("eyeWide",), ("jawOpen",)),
    "anger": (("browDown",), ("mouthPress", "mouthLowerDown"), ("eyeWide", "eyeSquint")),
    "sadness": (("browInnerUp",), ("mouthFrown",)),
    "fear": (("browInnerUp",), ("eyeWide",), ("mouthStretch",)),
    "disgust": (("noseSneer",), ("mouthUpperUp", "mouthFrown")),
}
_AT_REST = "neutral"
# The weakest part of a posed expression from which on people name it; that of any shape below which nobody
# names one; and how much stronger it has to be than the next one.
_NAMED, _UNNAMED, _CLEARER = 0.3, 0.12, 1.6
# Shapes that say nothing of an expression: gaze, lids and a turned jaw.
_MUTE = ("eyeLook", "eyeBlink", "jawForward", "jawLeft", "jawRight", "mouthRoll", "mouthClose", "mouthLeft")
# Weights from which on an action unit begins to show, and from which on nobody doubts it.
_BEGINS, _SURE = 0.15, 0.55
_CLOSED_BEGINS, _CLOSED_SURE = 0.45, 0.85  # a half-closed eye is not AU43


def draw_expression(rng: np.random.Generator, *, names: Sequence[str]) -> dict[str, float]:
    """Random weights in [0, 1] by name, of those that the head has."""
    total: dict[str, float] = {}
    count = int(rng.choice([0, 1, 2, 3], p=(0.25, 0.4, 0.25, 0.1)))
    moves = list(_MOVES)
    shares = np.array([_SHARES.get(move, 1.0) for move in moves])
    for move in rng.choice(moves, size=count, replace=False, p=shares / shares.sum()):
        strength = rng.beta(2.2, 1.3)
        for shape, weight in _MOVES[str(move)].items():
            value = strength * weight * rng.uniform(0.6, 1.3)
            total[shape] = max(total.get(shape, 0.0), float(value))
    weights: dict[str, float] = {}
    uneven = rng.random() < 0.25
    for shape, value in total.items():
        sides = rng.uniform(0.1, 1.0, 2) if uneven else rng.normal(1, 0.07, 2)
        for name, factor in ((shape, 1.0), (f"{shape}_L", sides[0]), (f"{shape}_R", sides[1])):
            if name in names:
                weights[name] = float(np.clip(value * factor, 0, 1))
    for shape in _SMALL:
        if shape in names and rng.random() < 0.3:
            weights[shape] = float(weights.get(shape, 0) + rng.beta(1, 6) * 0.7)
    _draw_gaze(rng, weights, names=names)
    if "mouthClose" in names and weights.get("jawOpen", 0) > 0.05 and rng.random() < 0.12:
        weights["mouthClose"] = weights["jawOpen"]  # chewing: the jaw is down, the lips stay together
    for side in ("L", "R"):
        blink, wide = f"eyeBlink_{side}", f"eyeWide_{side}"
        if weights.get(blink, 0) > 0.3:
            weights.pop(wide, None)
        if blink in weights and f"eyeSquint_{side}" in weights:
            weights[f"eyeSquint_{side}"] = min(weights[f"eyeSquint_{side}"], 1 - weights[blink])
    return weights


def _draw_gaze(rng: np.random.Generator, weights: dict[str, float], *, names: Sequence[str]) -> None:
    sideways, up = rng.normal(0, 0.25, 2)
    # Looking to the subject's left turns the left eye out and the right eye in.
    for name, value in (
        ("eyeLookOut_L", sideways),
        ("eyeLookIn_R", sideways),
        ("eyeLookIn_L", -sideways),
        ("eyeLookOut_R", -sideways),
        ("eyeLookUp_L", up),
        ("eyeLookUp_R", up),
        ("eyeLookDown_L", -up),
        ("eyeLookDown_R", -up),
    ):
        if value > 0 and name in names:
            weights[name] = float(min(value, 0.8))


def action_units(expression: Mapping[str, float]) -> dict[str, float]:
    """The action units, 0 to 1, of an expression's weights; all twelve are known."""
    units = {}
    for unit, shapes in ACTION_UNITS.items():
        weight = max(_strongest(shape, expression) for shape in shapes)
        if unit == "AU25":  # lips that stay together over an open jaw are not parted
            weight = max(0.0, weight - expression.get("mouthClose", 0.0))
        begins, sure = (_CLOSED_BEGINS, _CLOSED_SURE) if unit == "AU43" else (_BEGINS, _SURE)
        units[unit] = float(np.clip((weight - begins) / (sure - begins), 0, 1))
    return units


def posed_expression(weights: Mapping[str, float]) -> str | None:
    """The label of the task `expression` that a face with these weights poses; None where it is none.

    It is neutral where hardly anything moves, and nothing where an expression is weak or mixed with another.
    """
    speaking = [weight for shape, weight in weights.items() if not shape.startswith(_MUTE)]
    if max(speaking, default=0.0) < _UNNAMED:
        return _AT_REST
    strength = {
        label: min(max(_strongest(shape, weights) for shape in part) for part in parts)
        for label, parts in _POSED.items()
    }
    first, second = sorted(strength, key=lambda label: -strength[label])[:2]
    clear = strength[first] >= _NAMED and strength[first] >= _CLEARER * strength[second]
    return first if clear else None


def _strongest(shape: str, expression: Mapping[str, float]) -> float:
    """The weight of a shape; an eye counts as closed only when both are."""
    sides = [expression.get(f"{shape}_{side}", 0.0) for side in "LR"]
    both = min(sides) if shape == "eyeBlink" else max(sides)
    return max(expression.get(shape, 0.0), both)
