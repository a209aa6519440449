"""A head of a thousand vertices in the form of the head file: an egg with 68 points and eyeballs."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from training.render.head.head_file import Head, load_head
from training.render.head.topology import PARTS

_RADII = np.array([8.0, 11.5, 9.0])
_MIDDLE = np.array([0.0, 2.5, 1.5])


def _landmarks() -> NDArray[np.float64]:
    """68 points [68, 2] of the front view, symmetric, in centimetres."""
    turn = np.radians(np.linspace(-90, 90, 17))
    jaw = np.stack([7.4 * np.sin(turn), 3.6 - 11.0 * np.cos(turn)], axis=1)
    brow = np.stack([np.linspace(-5.6, -1.2, 5), 5.3 + 0.8 * np.sin(np.linspace(0.2, 2.6, 5))], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(3.6, 0.4, 4)], axis=1)
    base = np.stack([np.linspace(-1.2, 1.2, 5), -1.0 - 0.2 * np.cos(np.linspace(-1.5, 1.5, 5))], axis=1)
    eye = np.array([[-4.4, 3.4], [-3.6, 3.9], [-2.6, 3.9], [-1.8, 3.3], [-2.6, 2.9], [-3.6, 2.9]])

    def mirrored(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points * [-1, 1]

    outer = [(-2.5, -3.5), (-1.6, -3.0), (-0.6, -2.7), (0, -2.8), (0.6, -2.7), (1.6, -3.0), (2.5, -3.5)]
    outer += [(1.6, -4.3), (0.6, -4.7), (0, -4.75), (-0.6, -4.7), (-1.6, -4.3)]
    inner = [
        (-2.2, -3.55),
        (-0.8, -3.4),
        (0, -3.35),
        (0.8, -3.4),
        (2.2, -3.55),
        (0.8, -3.7),
        (0, -3.75),
        (-0.8, -3.7),
    ]
    left_eye = mirrored(eye)[[3, 2, 1, 0, 5, 4]]
    return np.concatenate([jaw, brow, mirrored(brow)[::-1], bridge, base, eye, left_eye, outer, inner])


def _depth(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = 1 - (((flat - _MIDDLE[:2]) / _RADII[:2]) ** 2).sum(axis=1)
    nose = 2.0 * np.exp(-((flat[:, 0] / 1.2) ** 2) - ((flat[:, 1] - 0.4) / 1.5) ** 2)
    return np.asarray(_MIDDLE[2] + _RADII[2] * np.sqrt(np.clip(inside, 0, None)) + nose)


def write_tiny_head(path: Path) -> None:
    """Writes the head as an .npz file."""
    marks = _landmarks()
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rim = _MIDDLE[:2] + _RADII[:2] * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    x, y = np.meshgrid(np.linspace(-8, 8, 21), np.linspace(-9, 14, 30))
    grid = np.stack([x, y], axis=-1).reshape(-1, 2)
    within = (((grid - _MIDDLE[:2]) / _RADII[:2]) ** 2).sum(axis=1) < 0.94
    apart = np.linalg.norm(grid[:, None] - marks[None], axis=2).min(axis=1) > 0.35
    brows = marks[17:27] - [0, 0.4]  # thinner than the grid is fine
    flat = np.concatenate([marks, rim, brows, grid[within & apart]])
    face = np.concatenate([flat, _depth(flat)[:, None]], axis=1)
    simplices = Delaunay(flat).simplices
    a, b, c = (flat[simplices[:, i]] for i in range(3))
    clockwise = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) < (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    simplices[clockwise] = simplices[clockwise][:, ::-1]

    # The back of the head is the face's egg without a nose, turned over.
    back = face.copy()
    back[:, 2] = 2 * _MIDDLE[2] - (face[:, 2] - (_depth(flat) - _depth_without_nose(flat)))
    sphere, patches = _sphere(radius=1.25)
    eyes = [
        sphere + np.append(marks[eye].mean(axis=0), _depth(marks[eye].mean(axis=0)[None]) - 0.95)
        for eye in (slice(42, 48), slice(36, 42))
    ]
    base = np.concatenate([face, back, *eyes])
    n, m = len(face), len(sphere)
    triangles = [simplices, simplices[:, ::-1] + n, patches + 2 * n, patches + 2 * n + m]
    quads = np.concatenate(triangles)
    quads = np.concatenate([quads, np.full((len(quads), 1), -1)], axis=1).astype(np.int32)
    counts = {"face": n, "head": n, "left_eyeball": m, "right_eyeball": m}
    starts = np.cumsum([0, *(counts.get(part, 0) for part in PARTS)])

    lower = np.zeros_like(base)
    lower[:n, 1] = -1.5 * (face[:, 1] < -3.6)
    smile = np.zeros_like(base)
    smile[:n, 1] = 0.7 * ((np.abs(np.abs(face[:, 0]) - 2.5) < 0.4) & (np.abs(face[:, 1] + 3.5) < 0.4))
    wide = np.zeros_like(base)
    wide[:, 0] = 0.05 * base[:, 0]
    np.savez(
        path,
        base=base.astype(np.float32),
        identity=np.stack([wide, wide * 0]).astype(np.float16),
        expression=np.stack([lower, smile, smile * [1, 0, 1]]).astype(np.float16),
        expression_names=np.array(["jawOpen", "mouthSmile_L", "eyeBlink_L"]),
        quads=quads,
        starts=starts,
        landmarks=np.arange(68),
    )


def tiny_head(folder: Path) -> Head:
    write_tiny_head(folder / "head.npz")
    return load_head(folder / "head.npz")


def _depth_without_nose(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = 1 - (((flat - _MIDDLE[:2]) / _RADII[:2]) ** 2).sum(axis=1)
    return np.asarray(_MIDDLE[2] + _RADII[2] * np.sqrt(np.clip(inside, 0, None)))


def _sphere(
    *, radius: float, rows: int = 9, columns: int = 12
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """A ball around z: points [V, 3] and its triangles, counter-clockwise from outside."""
    polar, turn = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij"
    )
    points = radius * np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1
    )
    triangles = []
    for i in range(rows - 1):
        for j in range(columns):
            a, b = i * columns + j, i * columns + (j + 1) % columns
            triangles += [(a, a + columns, b), (b, a + columns, b + columns)]
    return points.reshape(-1, 3), np.array(triangles)
