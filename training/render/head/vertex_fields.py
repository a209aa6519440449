"""Vertex fields: smooth functions over the head's vertices, computed once from the neutral shape.

A field is a signed distance in centimetres, positive inside, or a coordinate; a pixel interpolates it
and compares, so that edges are sharper than the mesh. Lengths scale with the head's own eyes, so that
heads in other units do too.
"""

import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.render.head.head_file import Floats, Head, normals
from training.render.head.topology import BROWS, EYES, INNER_LIP, JAW, MOUTH, OUTER_LIP

# Half the distance between the outer eye corners of the ICT head: the unit of the lengths below.
_ICT_HALF = 4.459

NAMES = (
    *("around", "height", "ahead"),  # coordinates on the neutral head: radians from the front, y, z (cm)
    *("nose", "right_brow", "left_brow", "right_ear", "left_ear", "neck", "scalp", "bust"),
    *("lips", "upper_lip", "eyelid", "cheek", "stubble", "moustache", "goatee", "covered"),
    *("iris", "mouth"),
)
COLUMN = {name: i for i, name in enumerate(NAMES)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VertexFields:
    """values [V, len(NAMES)]; unit: what a centimetre of the ICT head is on this one; follows [V]: how
    far a vertex goes with the body (1) and not with the head (0); openness [V]: how much of the
    surroundings a vertex of the neutral head sees (0..1)."""

    values: Floats
    unit: float
    follows: Floats
    openness: Floats

    def __getitem__(self, name: str) -> Floats:
        return self.values[:, COLUMN[name]]


def make_vertex_fields(head: Head) -> VertexFields:
    """The fields of a head; about two seconds for ICT-FaceKit's."""
    points, marks = head.base, head.landmarks(head.base)
    unit = float(abs(marks[45, 0] - marks[36, 0]) / 2 / _ICT_HALF)
    if not unit > 0:
        raise ValueError("the head's outer eye corners lie in one place: its landmarks are not the 68 points")
    values = np.full((len(points), len(NAMES)), -10.0, np.float32)
    skin = head.topology.in_parts("face", "head")

    def put(name: str, field: NDArray[np.floating[Any]], vertices: NDArray[np.bool_] = skin) -> None:
        values[vertices, COLUMN[name]] = field[vertices]

    everywhere = np.ones(len(points), bool)
    flat = points / unit
    lm = marks / unit
    around = np.arctan2(flat[:, 0], flat[:, 2] - 1.0)
    put("around", around, everywhere)
    put("height", flat[:, 1], everywhere)
    put("ahead", flat[:, 2], everywhere)

    face = head.topology.in_parts("face")
    front = face & (flat[:, 2] > lm[[36, 45], 2].min() - 3.5)
    for name, outline in _outlines(lm).items():
        put(name, _inside(outline, flat), front)
    for name in BROWS:
        put(name, _inside(_brow(lm[BROWS[name]]), flat), front)
    lids = [_inside(lm[part], flat) for part in EYES.values()]
    put("eyelid", np.maximum(*lids), front)  # the edges of the lids are about 0
    put("upper_lip", flat[:, 1] - _mouth_line(lm, flat[:, 0]), everywhere)
    put(
        "mouth",
        np.where(head.topology.in_parts(*MOUTH), 1.0, -1.0) + 1.0 * head.topology.in_parts("teeth"),
        everywhere,
    )
    put("cheek", 2.4 - np.hypot(np.abs(flat[:, 0]) - 4.8, flat[:, 1] - lm[30, 1] + 0.3), front)

    # The ears stand off the head: an ellipse seen from the side, and far out.
    from_middle = np.abs(flat[:, 0])
    jaw_top = np.abs(lm[[0, 16], 0]).mean()
    ear = 1 - np.hypot((flat[:, 2] - lm[0, 2] + 3.4) / 2.6, (flat[:, 1] - lm[0, 1] + 3.0) / 3.4)
    ear = np.minimum(2.6 * ear, from_middle - jaw_top - 0.1)
    put("right_ear", np.where(flat[:, 0] < 0, ear, -5))
    put("left_ear", np.where(flat[:, 0] > 0, ear, -5))

    jaw = _along_jaw(lm, around)
    below = jaw - 0.35 - flat[:, 1]
    put("neck", below)
    put("bust", -11.5 - flat[:, 1] - 1.0 * np.maximum(0, np.cos(around)))
    put("scalp", np.minimum(flat[:, 1] - _hairline(around), 0.3 - ear))
    lower = jaw + 3.0 + 2.2 * np.clip(np.abs(around) - 0.6, 0, 1)
    lower = np.minimum(lower, lm[33, 1] - 0.5 + 0.9 * np.clip(np.abs(flat[:, 0]) - 2.0, 0, 6))
    beard = np.minimum(lower - flat[:, 1], 5 - below)
    put("stubble", np.minimum(beard, 2.6 + lm[0, 2] - 3.66 - np.abs(np.minimum(flat[:, 2] - 6, 0)) * 0.9))
    over = lm[30, 1] + np.interp(np.abs(flat[:, 0]), [0, 2.5, 8], [1.9, 1.0, 1.8]) - flat[:, 1]
    put("covered", np.minimum(over, np.minimum(flat[:, 2] - lm[0, 2] - 1.5, 2.5 - below)), face)
    values[:, COLUMN["covered"]] = np.where(face, values[:, COLUMN["covered"]], -10)

    for name in ("right_eyeball", "left_eyeball"):
        part = head.topology.part(name)
        if part.start < part.stop:
            ball = flat[part]
            middle = (ball.max(axis=0) + ball.min(axis=0)) / 2
            away = (ball - middle) / np.linalg.norm(ball - middle, axis=1, keepdims=True)
            values[part, COLUMN["iris"]] = np.degrees(np.arccos(np.clip(away[:, 2], -1, 1)))
    follows = np.where(skin, np.clip((below - 0.8) / 6.0, 0, 1), 0)
    follows = follows * follows * (3 - 2 * follows)
    return VertexFields(
        values=values,
        unit=unit,
        follows=np.asarray(follows, np.float32),
        openness=_openness(head),
    )


def _outlines(lm: Floats) -> dict[str, Floats]:
    """Outlines [K, 2] in the front view by field, from the 68 points [68, 3] in ICT centimetres."""
    wing, base, bridge = np.abs(lm[[31, 35], 0]).mean(), lm[33, 1], lm[27, 1]
    middle = lm[27, 0]
    half = [
        (0.55, bridge + 0.35),
        (0.75, (bridge + lm[28, 1]) / 2),
        (1.05, lm[29, 1]),
        (wing + 0.45, lm[30, 1] + 0.25),
        (wing + 0.72, (lm[30, 1] + base) / 2),
        (wing + 0.45, base + 0.1),
        (0.35, base - 0.3),
    ]
    nose = [(middle + x, y) for x, y in half] + [(middle - x, y) for x, y in half[::-1]]
    lips = _rounded(lm[OUTER_LIP][:, :2])
    mouth = lm[OUTER_LIP]
    top, bottom = mouth[2:5, 1].max(), mouth[8:11, 1].min()
    left, right = mouth[6, 0] + 0.5, mouth[0, 0] - 0.5
    chin = lm[8, 1]
    moustache = [(right, mouth[0, 1]), (right + 0.6, top + 0.4), (-0.4, base - 0.25), (0.4, base - 0.25)]
    moustache += [(left - 0.6, top + 0.4), (left, mouth[0, 1]), (0, top - 0.25)]
    goatee = [
        (right + 0.7, bottom - 0.2),
        (left - 0.7, bottom - 0.2),
        (left - 0.9, chin - 1),
        (right + 0.9, chin - 1),
    ]
    return {
        "nose": _rounded(np.array(nose, np.float32)),
        "lips": lips,
        "moustache": np.array(moustache, np.float32),
        "goatee": np.array(goatee, np.float32),
    }


def _brow(points: Floats) -> Floats:
    """The outline of a brow [K, 2] whose upper edge has these five points [5, 3] (outer to inner or back)."""
    line = points[np.argsort(np.abs(points[:, 0]))][:, :2]  # inner to outer
    above = np.array([-0.1, 0.0, 0.0, 0.0, -0.05])
    thick = np.array([0.8, 0.85, 0.8, 0.65, 0.3])
    upper = line + np.stack([0 * above, above], axis=1)
    lower = line + np.stack([0 * above, above - thick], axis=1)
    return _rounded(np.concatenate([upper, lower[::-1]]).astype(np.float32))


def _mouth_line(lm: Floats, x: Floats) -> NDArray[np.floating[Any]]:
    """The height at which the closed lips meet, at x [V]."""
    inner = lm[INNER_LIP]
    upper, lower = inner[[0, 1, 2, 3, 4]], inner[[0, 7, 6, 5, 4]]
    line = (upper + lower) / 2
    order = np.argsort(line[:, 0])
    return np.interp(x, line[order, 0], line[order, 1])


def _along_jaw(lm: Floats, around: Floats) -> NDArray[np.floating[Any]]:
    """The height of the jaw line in the direction `around` [V]; behind the ears that of their lobes."""
    jaw = lm[JAW]
    angle = np.arctan2(jaw[:, 0], jaw[:, 2] - 1.0)
    order = np.argsort(angle)
    kept = order[(np.abs(jaw[order, 1]) < np.abs(lm[8, 1]) + 1) & (jaw[order, 1] < lm[30, 1] - 1.5)]
    angles = np.concatenate(
        [[-np.pi, angle[kept].min() - 0.35], angle[kept], [angle[kept].max() + 0.35, np.pi]]
    )
    lobe = lm[30, 1] - 2.4
    heights = np.concatenate([[lobe - 1, lobe], jaw[kept, 1], [lobe, lobe - 1]])
    return np.interp(around, angles, heights)


def _hairline(around: Floats) -> NDArray[np.floating[Any]]:
    """The height (ICT centimetres) from which on hair grows, in the direction `around` [V]."""
    angles = np.radians([0, 20, 45, 62, 75, 84, 93, 103, 112, 125, 140, 180])
    heights = [10.1, 10.2, 9.7, 8.0, 4.6, 2.0, 2.2, 4.6, 4.4, -1.0, -3.6, -4.2]
    return np.interp(np.abs(around), angles, heights)


def _inside(outline: Floats, points: Floats) -> NDArray[np.floating[Any]]:
    """How far points [V, 2+] lie inside an outline [K, 2] of the front view; negative outside."""
    shape = np.ascontiguousarray(outline[:, :2], np.float32).reshape(-1, 1, 2)
    low, high = shape.min(axis=(0, 1)) - 1.5, shape.max(axis=(0, 1)) + 1.5
    near = ((points[:, :2] > low) & (points[:, :2] < high)).all(axis=1)
    distance = np.full(len(points), -1.5)
    for i in np.flatnonzero(near):
        distance[i] = cv2.pointPolygonTest(shape, (float(points[i, 0]), float(points[i, 1])), True)
    return distance


def _rounded(outline: Floats) -> Floats:
    """An outline [K, 2] with its corners cut twice (Chaikin)."""
    for _ in range(2):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1)
        outline = outline.reshape(-1, 2)
    return outline


def _openness(head: Head) -> Floats:
    """How much of the sky around it each vertex [V] sees, by looking from 40 sides."""
    from training.render.drawing.raster import rasterize

    points = head.base
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    radius = float(np.linalg.norm(points - middle, axis=1).max())
    side = 160
    around = normals(points, head.triangles)
    seen = np.zeros(len(points))
    total = np.zeros(len(points))
    for i in range(40):
        # Evenly over the sphere (Fibonacci's spiral).
        y = 1 - 2 * (i + 0.5) / 40
        turn = np.pi * (1 + 5**0.5) * i
        toward = np.array([np.sqrt(1 - y * y) * np.cos(turn), y, np.sqrt(1 - y * y) * np.sin(turn)])
        screen = project_along(points - middle, toward, radius=radius, side=side)
        buffer = rasterize(screen, head.triangles, height=side, width=side)
        weight = np.clip(around @ toward, 0, 1)
        total += weight
        seen += weight * is_nearest(screen, buffer.nearness, slack=0.25 / (2.4 * radius))
    return np.asarray(np.where(total > 0, seen / np.maximum(total, 1e-6), 1), np.float32)


def project_along(points: Floats, toward: NDArray[np.floating[Any]], *, radius: float, side: int) -> Floats:
    """Points [V, 3] (x, y, nearness) as seen from far away in the direction `toward`, without perspective."""
    up = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, toward)
    right /= np.linalg.norm(right)
    above = np.cross(toward, right)
    flat = points @ np.stack([right, -above, toward], axis=1)
    flat[:, :2] = (flat[:, :2] / (2 * radius) + 0.5) * side
    flat[:, 2] = 1 + flat[:, 2] / (2.4 * radius)
    return np.asarray(flat, np.float32)


def is_nearest(screen: Floats, nearness: Floats, *, slack: float) -> NDArray[np.bool_]:
    """Which points [V, 3] (x, y, nearness) nothing in the z-buffer `nearness` [H, W] lies before."""
    height, width = nearness.shape
    x = np.clip(np.rint(screen[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.rint(screen[:, 1]).astype(int), 0, height - 1)
    return np.asarray(nearness[y, x] <= screen[:, 2] + slack)


def skull_rays(head: Head, *, columns: int, rows: int, unit: float) -> NDArray[np.intp]:
    """Vertices [rows, columns] of the head in a grid of directions from its inside.

    Rows go from the crown (polar angle 0) down, columns around from the back over the subject's right,
    the front and the left to the back again. Ears are left out, so that hair lies over them.
    """
    centre = np.array([0.0, 4.0, 1.0]) * unit
    skin = head.topology.in_parts("face", "head")
    flat = head.base / unit
    ear = (np.abs(flat[:, 0]) > 7.4) & (np.abs(flat[:, 2] - 0.5) < 3.2) & (flat[:, 1] < 4.5)
    usable = np.flatnonzero(skin & ~ear & (flat[:, 1] > -9))
    away = head.base[usable] - centre
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    polar = np.linspace(0.02, 0.86 * np.pi, rows)[:, None]
    around = np.linspace(-np.pi, np.pi, columns)[None, :]
    rays = np.stack(
        [np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], axis=-1
    )
    return np.asarray(usable[cKDTree(away).query(rays.reshape(-1, 3))[1]].reshape(rows, columns), np.intp)
