"""Shading: the surface of each pixel of the head, and skin, eyes, hair and cloth in a scene's light."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.render.drawing.raster import rasterize
from training.render.head.head_file import Floats
from training.render.head.vertex_fields import COLUMN, is_nearest, project_along
from training.render.scene.scene import Scene
from training.tasks import CATALOGUE

CLASSES = {name: i for i, name in enumerate(CATALOGUE["parsing"].labels)}
UNKNOWN = 255

_SKIN_PART = 6
_TEXELS = 20.0  # a centimetre
_SHADOW_SIDE = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surface:
    """N pixels of a surface: albedo [N, 3] linear, gloss [N] 0 to 1, soft [N] (how much light goes
    through it at its edge of shadow, 1 for skin), classes [N] uint8, and the bumps [N, 2] of its texture
    (slopes, around and up)."""

    albedo: Floats
    gloss: Floats
    soft: Floats
    classes: NDArray[np.uint8]
    bumps: Floats


def linear(colour: NDArray[np.floating[Any]]) -> Floats:
    """sRGB (0 to 1) as linear light; the power 2.2 is near enough."""
    return np.asarray(np.clip(colour, 0, None) ** 2.2, np.float32)


def displayed(light: NDArray[np.floating[Any]]) -> Floats:
    """Linear light as sRGB (0 to 1), its brightest parts rolled off as film and cameras do."""
    rolled = np.where(light > 0.7, 0.7 + 0.3 * (1 - np.exp(-(light - 0.7) / 0.3)), light)
    return np.asarray(np.clip(rolled, 0, 1) ** (1 / 2.2), np.float32)


def noise_bank(side: int = 512) -> Floats:
    """Noise [side, side, 2] that repeats: blotches of many sizes, and fine grain; of unit size."""
    rng = np.random.default_rng(20240607)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]) * side
    layers = []
    for slope, lowest in ((1.3, 4), (0.6, 40)):
        spectrum = np.fft.fft2(rng.normal(size=(side, side)))
        field = np.real(
            np.fft.ifft2(spectrum * np.where(frequency > lowest, 1 / (frequency + 1) ** slope, 0))
        )
        layers.append(field / field.std())
    return np.asarray(np.stack(layers, axis=-1), np.float32)


def head_surface(
    scene: Scene, fields: Floats, *, eyeball: NDArray[np.bool_], cloth: Floats, noise: Floats
) -> Surface:
    """The surface of N pixels of the head: fields [N, F] there, which of them are an eyeball [N], the
    colour of clothes there [N, 3] (sRGB), and the noise bank."""
    rng = scene.rng(_SKIN_PART)

    def field(name: str) -> Floats:
        return fields[:, COLUMN[name]]

    side = len(noise)
    start = rng.integers(0, side, 2)
    u = (field("around") * 7.5 * _TEXELS).astype(np.int64) + start[0]
    v = (field("height") * _TEXELS).astype(np.int64) + start[1]
    blotch, grain = noise[v % side, u % side].T
    hairy = noise[(v * 3) % side, (u * 7 + v) % side, 1]

    # Skin: redder where blood is near, uneven, rosy or grey.
    skin = np.array(scene.skin, np.float32)
    colour = np.repeat(skin[None], len(fields), axis=0)
    near_blood = _ramp(field("cheek"), 0.0, 2.0) + _ramp(field("nose"), -0.5, 0.4)
    near_blood += _ramp(np.maximum(field("left_ear"), field("right_ear")), 0, 0.5)
    red = np.array([1.06, 0.84, 0.86], np.float32)
    colour *= red ** (scene.redness * 1.3 * near_blood)[:, None]
    colour *= 1 + (0.045 * scene.blotches * blotch + 0.022 * scene.blotches * grain)[:, None]
    if rng.random() < 0.15:  # freckles
        dots = (noise[(v * 2) % side, (u * 2) % side, 1] > rng.uniform(1.3, 2.2)) & (field("height") > -3)
        colour[dots] *= rng.uniform([0.75, 0.65, 0.55], 0.95)
    about_eyes = _ramp(field("eyelid"), -1.1, 0.0)
    colour *= 1 - (about_eyes * scene.shadow * rng.uniform([0.2, 0.25, 0.1], [0.5, 0.6, 0.6]).reshape(3, 1)).T
    lash = _ramp(field("eyelid"), -0.16 - 0.1 * scene.shadow, -0.02)
    colour *= 1 - ((0.35 + 0.5 * scene.shadow) * lash)[:, None]

    # A beard: dots or a coat, in the colour of the hair.
    beard = _beard(scene, field)
    if beard is not None:
        dense, edge = (0.35, 0.5) if scene.beard == "stubble" else (0.9, 0.7)
        share = dense * np.clip(beard / edge + 0.35 * hairy, 0, 1)
        hair = np.array(scene.hair_colour) * (1 + 0.25 * hairy[:, None])
        colour = colour * (1 - share[:, None]) + np.clip(hair, 0, 1) * share[:, None]

    lips = _ramp(field("lips"), -0.08, 0.1)
    mouth_colour = colour * [0.86, 0.62, 0.64] if scene.lips is None else np.array(scene.lips)
    strength = lips if scene.lips is None else 0.85 * lips
    colour = colour * (1 - strength[:, None]) + mouth_colour * strength[:, None]

    brow = np.maximum(field("left_brow"), field("right_brow"))
    wide = rng.normal(0.0, 0.06)
    share = scene.brows * np.clip((brow + wide) / 0.15 + 0.3 + 0.35 * hairy, 0, 1)
    brow_colour = 0.8 * np.array(scene.hair_colour) + 0.02
    if sum(scene.hair_colour) > 1.2:
        brow_colour *= rng.uniform(0.5, 1)  # brows are darker than light hair
    colour = colour * (1 - share[:, None]) + brow_colour * share[:, None]

    classes = np.full(len(fields), CLASSES["skin"], np.uint8)
    classes[field("neck") > 0] = CLASSES["neck"]
    for name in ("left_ear", "right_ear", "nose"):
        classes[field(name) > 0] = CLASSES[name]
    upper = field("upper_lip") > 0
    lip = field("lips") > 0
    classes[lip & upper], classes[lip & ~upper] = CLASSES["upper_lip"], CLASSES["lower_lip"]
    for name in ("left_brow", "right_brow"):
        classes[field(name) + wide > 0.0] = CLASSES[name]

    if scene.hair != "none":
        scalp = field("scalp") + 0.15 * hairy
        share = np.clip(scalp / 0.6 + 0.3, 0, 1) * (0.75 if scene.hair == "shaven" else 0.95)
        share[scalp < -0.2] = 0
        stubble = np.clip(np.array(scene.hair_colour) * (1 + 0.2 * hairy[:, None]), 0, 1)
        colour = colour * (1 - share[:, None]) + stubble * share[:, None]
        classes[field("scalp") > 0] = CLASSES["hair"]

    gloss = 0.25 + 0.75 * scene.oil * (1 + 0.3 * grain)
    gloss = np.where(lip, 0.3 + 0.7 * rng.random(), gloss)
    soft = np.ones(len(fields), np.float32)

    neckline = field("bust") + scene.collar
    if rng.random() < 0.4:  # open at the front
        neckline -= rng.uniform(0, 3) * np.clip(1 - np.abs(field("around")) / rng.uniform(0.3, 1), 0, 1)
    clothed = neckline > 0
    colour[clothed] = cloth[clothed]
    classes[clothed] = CLASSES["cloth"]
    gloss[clothed], soft[clothed] = 0.03, 0
    if scene.mask:
        under = field("covered") > 0
        colour[under] = rng.choice([[0.55, 0.7, 0.8], [0.92, 0.93, 0.93], [0.08, 0.08, 0.09]])
        classes[under] = UNKNOWN  # the catalogue has no class for it
        gloss[under], soft[under] = 0.05, 0

    inside = field("mouth") > 0
    teeth = field("mouth") > 1.5
    colour[inside] = [0.5, 0.2, 0.2]
    colour[teeth] = np.array([0.86, 0.82, 0.74]) * rng.uniform(0.8, 1.08)
    classes[inside] = CLASSES["mouth"]
    gloss[inside], soft[inside] = 0.7, 0.5
    _paint_eyes(scene, rng, field("iris"), eyeball, colour, grain=grain)
    left = field("around") > 0
    classes[eyeball & left], classes[eyeball & ~left] = CLASSES["left_eye"], CLASSES["right_eye"]
    gloss[eyeball], soft[eyeball] = 1.6, 0.3

    rough = scene.wrinkles * np.where(eyeball | inside, 0, 0.2)
    step = 2
    slope_u = noise[v % side, (u + step) % side, 0] - blotch
    slope_v = noise[(v + step) % side, u % side, 0] - blotch
    bumps = np.stack([slope_u, 1.6 * slope_v], axis=1) * rough[:, None]
    return Surface(
        albedo=linear(np.clip(colour, 0.004, 1)),
        gloss=gloss.astype(np.float32),
        soft=soft,
        classes=classes,
        bumps=bumps.astype(np.float32),
    )


def _beard(scene: Scene, field: Callable[[str], Floats]) -> Floats | None:
    around_mouth = np.maximum(field("moustache"), field("goatee"))
    lips = field("lips") + 0.1
    zones = {
        "stubble": np.maximum(field("stubble"), around_mouth),
        "full": np.maximum(field("stubble"), around_mouth),
        "moustache": field("moustache"),
        "goatee": around_mouth,
    }
    return np.minimum(zones[scene.beard], -lips) if scene.beard in zones else None


def _paint_eyes(
    scene: Scene,
    rng: np.random.Generator,
    angle: Floats,
    eyeball: NDArray[np.bool_],
    colour: NDArray[np.floating[Any]],
    *,
    grain: Floats,
) -> None:
    """White, iris and pupil by the angle from the eye's axis, degrees."""
    at = angle[eyeball][:, None]
    white = np.array([0.86, 0.82, 0.8]) * rng.uniform(0.85, 1.08)
    iris = np.array(scene.iris) * (1 + 0.25 * grain[eyeball][:, None])
    painted = np.where(at > 24, white, iris * 0.35)
    painted = np.where(at < 21.5, iris, painted)
    painted = np.where(at < 9 * scene.pupil, 0.01, painted)
    colour[eyeball] = painted


def _ramp(values: Floats, low: float, high: float) -> Floats:
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)


def light_up(
    scene: Scene,
    surface: Surface,
    *,
    normal: Floats,
    at: Floats,
    openness: Floats,
    caster: tuple[Floats, NDArray[np.int32]],
    measured: NDArray[np.bool_],
) -> Floats:
    """Linear light [N, 3] of N pixels: their outward normals [N, 3] and places [N, 3] in the camera's
    frame, how open they lie [N], the points and triangles that cast shadows, and which pixels the
    camera's exposure is measured on."""
    right = np.cross(normal, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True) + 1e-6
    bumped = normal + surface.bumps[:, :1] * right - surface.bumps[:, 1:] * np.array([0, 1, 0], np.float32)
    bumped /= np.linalg.norm(bumped, axis=1, keepdims=True) + 1e-6
    to_eye = -at / np.linalg.norm(at, axis=1, keepdims=True)
    up = 0.5 - 0.5 * bumped[:, 1:2]
    diffuse = (np.array(scene.ground) * (1 - up) + np.array(scene.sky) * up) * openness[:, None]
    shine = np.zeros((len(at), 3))
    fresnel = 0.04 + 0.3 * (1 - np.clip((bumped * to_eye).sum(axis=1), 0, 1)) ** 4
    for i, lamp in enumerate(scene.lamps):
        toward = np.array(lamp.toward)
        toward = toward / np.linalg.norm(toward)
        facing = bumped @ toward
        # Light that entered the skin leaves it beyond the edge of the shadow, red the farthest.
        wrap = surface.soft[:, None] * np.array([0.3, 0.14, 0.1])
        lit = np.clip((facing[:, None] + wrap) / (1 + wrap), 0, 1)
        if i == 0:
            open_to = _lit(at, toward, caster)[:, None]
        else:
            open_to = 0.3 + 0.7 * openness[:, None]
        colour = np.array(lamp.colour) * open_to
        diffuse = diffuse + lit * colour
        half = to_eye + toward
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        power = 12 + 40 * np.clip(surface.gloss, 0, 1.6) ** 2
        lobe = np.clip((bumped * half).sum(axis=1), 0, 1) ** power * (facing > 0)
        shine = shine + (lobe * surface.gloss * (power + 8) / 25 * fresnel)[:, None] * colour
    sky_shine = (fresnel * surface.gloss * 0.35 * openness)[:, None] * np.array(scene.sky)
    total = surface.albedo * diffuse + shine + sky_shine
    if measured.any():
        level = diffuse[measured].mean()
        tone = surface.albedo[measured].mean()
        # Cameras lift dark faces, but not to the brightness of light ones.
        total = total * (2.0 * scene.exposure / max(level, 1e-3) * (0.4 / max(tone, 0.02)) ** 0.35)
    return np.asarray(total, np.float32)


def _lit(
    at: Floats, toward: NDArray[np.floating[Any]], caster: tuple[Floats, NDArray[np.int32]]
) -> NDArray[np.floating[Any]]:
    """How much of a lamp's light reaches places [N, 3], 0 to 1, soft at the shadow's edge."""
    points, triangles = caster
    middle = at.mean(axis=0)
    radius = float(np.abs(at - middle).max()) + 1e-3
    screen = project_along(points - middle, toward, radius=radius, side=_SHADOW_SIDE)
    buffer = rasterize(screen, triangles, height=_SHADOW_SIDE, width=_SHADOW_SIDE, cull=False)
    lit_at = project_along(at - middle, toward, radius=radius, side=_SHADOW_SIDE)
    slack = 0.035
    total = np.zeros(len(at))
    for dx, dy in ((0, 0), (1.3, 0.6), (-0.6, 1.3), (-1.3, -0.6), (0.6, -1.3)):
        total += is_nearest(lit_at + np.array([dx, dy, 0], np.float32), buffer.nearness, slack=slack)
    return total / 5
