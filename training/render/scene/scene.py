"""The parameters of one picture: identity, expression, pose, light, accessories, occluder and camera.

Everything is drawn from one random generator, so that number and seed determine a picture. The
frequencies are about those of people's photos, with more of what is rare.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.render.head.expressions import draw_expression
from training.render.head.head_file import Floats

Colour = tuple[float, float, float]

LIMITS = (90.0, 60.0, 40.0)  # of yaw, pitch and roll, degrees either way
HAIR = ("none", "shaven", "short", "medium", "long")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
HATS = ("none", "cap", "beanie", "hood", "brim")
OCCLUDERS = ("none", "hand", "bar", "board", "patch", "edge")

# From very light to very dark skin, sRGB.
_SKIN = (
    *((246, 214, 196), (236, 196, 172), (221, 174, 146), (198, 148, 116), (168, 116, 86), (128, 83, 60)),
    *((92, 58, 43), (62, 41, 33)),
)
_HAIR = {
    "black": (22, 18, 17),
    "dark brown": (48, 33, 25),
    "brown": (86, 58, 40),
    "light brown": (130, 95, 64),
    "blond": (190, 155, 105),
    "red": (135, 62, 32),
    "grey": (150, 148, 146),
    "white": (218, 215, 210),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamp:
    """A distant light: where from (camera frame: x right, y down, z into the scene), and its colour."""

    toward: tuple[float, float, float]
    colour: Colour


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """All parameters of one picture. The defaults are a bald head, frontal, in soft light, on grey."""

    size: int = 384  # side of the picture in pixels
    seed: int = 0  # of the textures and shapes within
    # Head and camera
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)  # yaw, pitch, roll (runtime.pose), degrees
    body: tuple[float, float, float] = (0.0, 0.0, 0.0)  # the same of the shoulders
    identity: Floats = dataclasses.field(default_factory=lambda: np.zeros(0, np.float32))
    expression: Mapping[str, float] = dataclasses.field(default_factory=dict)
    distance: float = 70.0  # from the camera, cm
    side: float = 210.0  # of the aligned crop of a frontal face, in pixels of the picture
    place: tuple[float, float] = (0.5, 0.5)  # of the face's middle, in parts of the picture
    # Skin
    skin: Colour = (0.75, 0.55, 0.45)  # sRGB, 0 to 1
    redness: float = 0.5  # of cheeks, nose and ears, 0 to 1
    blotches: float = 0.4  # unevenness, 0 to 1
    wrinkles: float = 0.2  # roughness of the surface, 0 to 1
    oil: float = 0.3  # gloss, 0 to 1
    lips: Colour | None = None  # lipstick, sRGB
    shadow: float = 0.0  # dark make-up about the eyes, 0 to 1
    iris: Colour = (0.3, 0.2, 0.12)
    pupil: float = 1.0  # size of the pupil, about 1
    # Hair
    hair: str = "none"  # one of HAIR
    hair_colour: Colour = (0.1, 0.08, 0.07)
    curls: float = 0.3  # 0 to 1
    fringe: float = 0.0  # how far it hangs over the forehead, 0 to 1 (the brows)
    brows: float = 0.7  # their density, 0 to 1
    beard: str = "none"  # one of BEARDS
    # Accessories
    glasses: str = "none"  # none, clear or dark
    hat: str = "none"  # one of HATS
    mask: bool = False  # a medical mask over nose and mouth
    earrings: bool = False
    necklace: bool = False
    collar: float = 0.0  # how high the clothes come, cm above the bust's edge
    # Light, occluder, camera
    sky: Colour = (0.6, 0.6, 0.6)  # ambient light from above
    ground: Colour = (0.4, 0.4, 0.4)  # and from below
    lamps: Sequence[Lamp] = ()
    exposure: float = 0.5  # luminance of light skin after it, 0 to 1
    occluder: str = "none"  # one of OCCLUDERS
    camera_effects: bool = False  # with a camera's blur, noise and JPEG

    def rng(self, part: int) -> np.random.Generator:
        """The random generator of one part of the picture: parts do not affect each other."""
        return np.random.default_rng([self.seed, part])


def draw_scene(rng: np.random.Generator, *, size: int, identities: int, names: Sequence[str]) -> Scene:
    """A random scene for a head with so many directions of identity and expressions of these names."""
    angles = _draw_angles(rng)
    # The shoulders follow the head in part; mostly upright.
    body = (
        float(np.clip(angles[0] * rng.uniform(-0.1, 0.8), angles[0] - 50, angles[0] + 50)),
        float(angles[1] * rng.uniform(0, 0.4)),
        float(angles[2] * rng.uniform(0, 0.6)),
    )
    tone = rng.beta(1.1, 1.2)
    skin = _palette(tone) * rng.normal(1, 0.04, 3)
    woman, age = rng.random() < 0.5, rng.beta(1.3, 1.6)
    hair_colour = _hair_colour(rng, tone=tone, age=age)
    hair = str(rng.choice(HAIR, p=(0.02, 0.03, 0.2, 0.25, 0.5) if woman else (0.12, 0.18, 0.5, 0.12, 0.08)))
    hat = str(rng.choice(HATS, p=(0.85, 0.06, 0.04, 0.03, 0.02)))
    beard = "none" if woman else str(rng.choice(BEARDS, p=(0.45, 0.25, 0.07, 0.08, 0.15)))
    cosmetics = woman and rng.random() < 0.45
    lips = (
        tuple(np.clip(np.array([0.65, 0.18, 0.22]) * rng.normal(1, 0.25, 3), 0.02, 1)) if cosmetics else None
    )
    spread = rng.uniform(0.5, 1.0)
    return Scene(
        size=size,
        seed=int(rng.integers(2**62)),
        angles=angles,
        body=body,
        identity=np.clip(rng.normal(0, spread, identities), -2.2, 2.2).astype(np.float32),
        expression=draw_expression(rng, names=names),
        distance=float(np.exp(rng.uniform(np.log(35), np.log(220)))),
        side=size * float(rng.uniform(0.45, 0.68)),
        place=(float(rng.normal(0.5, 0.05)), float(rng.normal(0.5, 0.05))),
        skin=_colour(skin),
        redness=float(rng.beta(2, 3)),
        blotches=float(rng.beta(2, 3)),
        wrinkles=float(rng.beta(1.2, 2) * (0.4 + 0.6 * age)),
        oil=float(rng.beta(1.5, 2.5)),
        lips=lips,
        shadow=float(rng.uniform(0.3, 1)) if cosmetics else float(rng.uniform(0, 0.3)),
        iris=_colour(
            np.array([[0.25, 0.15, 0.08], [0.16, 0.1, 0.06], [0.3, 0.4, 0.5], [0.3, 0.35, 0.2]])[
                rng.choice(4, p=(0.4, 0.3, 0.18, 0.12) if tone < 0.5 else (0.35, 0.6, 0.02, 0.03))
            ]
        ),
        pupil=float(rng.uniform(0.7, 1.5)),
        hair=hair,
        hair_colour=hair_colour,
        curls=float(rng.beta(1.2, 1.5)),
        fringe=float(rng.beta(1.5, 1.2)) if rng.random() < 0.35 else 0.0,
        brows=float(rng.uniform(0.3, 1)),
        beard=beard,
        glasses=str(rng.choice(["none", "clear", "dark"], p=(0.78, 0.14, 0.08))),
        hat=hat,
        mask=bool(rng.random() < 0.03),
        earrings=bool(rng.random() < (0.35 if woman else 0.05)),
        necklace=bool(rng.random() < (0.2 if woman else 0.06)),
        collar=float(rng.normal(0.0, 1.5)),
        occluder=str(rng.choice(OCCLUDERS, p=(0.72, 0.11, 0.04, 0.04, 0.05, 0.04))),
        camera_effects=True,
        **_draw_light(rng),
    )


def _draw_angles(rng: np.random.Generator) -> tuple[float, float, float]:
    limits = np.array(LIMITS)
    kind = rng.choice(3, p=(0.4, 0.28, 0.32))
    if kind == 2:
        angles = rng.uniform(-limits, limits)
    else:
        spread = np.array([[13, 9, 7], [32, 17, 14]][kind], float)
        angles = rng.normal(0, spread)
        # Redrawn beyond the limits, so that none pile up at them.
        angles = np.where(np.abs(angles) > limits, rng.uniform(-limits, limits), angles)
    return float(angles[0]), float(angles[1]), float(angles[2])


def _draw_light(rng: np.random.Generator) -> dict[str, Any]:
    """Ambient light and up to three lamps, from flat to hard, of everyday colours."""
    hardness = rng.beta(1.2, 1.3)
    base = _temperature(rng.normal(0, 0.6))
    sky = base * rng.normal(1, 0.06, 3) * (1.1 - 0.8 * hardness)
    ground = sky * rng.uniform(0.25, 0.9) * rng.normal(1, 0.08, 3)
    lamps = []
    for i in range(int(rng.choice([1, 2, 3], p=(0.5, 0.35, 0.15)))):
        # The first mostly comes from above and in front; further ones from anywhere.
        turn, rise = (
            (rng.normal(0, 50), rng.normal(30, 22)) if i == 0 else rng.uniform([-150, -20], [150, 60])
        )
        turn, rise = np.radians([turn, np.clip(rise, -35, 85)])
        strength = (0.25 + 1.6 * hardness) * (1 if i == 0 else rng.uniform(0.1, 0.7))
        colour = _temperature(rng.normal(0, 0.7 if i else 0.5)) * strength
        if rng.random() < 0.06:  # coloured, as in a theatre
            colour = colour * rng.uniform(0.2, 1.3, 3)
        toward = (np.cos(rise) * np.sin(turn), -np.sin(rise), -np.cos(rise) * np.cos(turn))
        lamps.append(Lamp(toward=_colour(toward, clip=False), colour=_colour(colour, clip=False)))
    return {
        "sky": _colour(sky, clip=False),
        "ground": _colour(ground, clip=False),
        "lamps": tuple(lamps),
        "exposure": float(np.clip(rng.normal(0.52, 0.13), 0.18, 0.85)),
    }


def _temperature(warmth: float) -> NDArray[np.float64]:
    """White light made warmer (> 0) or colder."""
    return np.array([1 + 0.16 * warmth, 1.0, 1 - 0.2 * warmth]).clip(0.4, 1.6)


def _palette(tone: float) -> NDArray[np.float64]:
    table = np.array(_SKIN) / 255
    place = np.linspace(0, 1, len(table))
    return np.stack([np.interp(tone, place, table[:, c]) for c in range(3)])


def _hair_colour(rng: np.random.Generator, *, tone: float, age: float) -> Colour:
    if rng.random() < max(0.0, age - 0.45):
        name = str(rng.choice(["grey", "white"]))
    elif rng.random() < 0.03:
        return _colour(rng.uniform(0.1, 0.9, 3))  # dyed
    else:
        light = (0.12, 0.22, 0.22, 0.16, 0.2, 0.08)
        dark = (0.62, 0.25, 0.08, 0.02, 0.02, 0.01)
        shares = np.array(light if tone < 0.35 else dark)
        name = str(rng.choice(list(_HAIR)[:6], p=shares / shares.sum()))
    return _colour(np.array(_HAIR[name]) / 255 * rng.normal(1, 0.1))


def _colour(values: Any, *, clip: bool = True) -> Colour:
    r, g, b = np.clip(values, 0.005, 1) if clip else values
    return float(r), float(g), float(b)
