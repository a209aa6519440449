"""Meshes besides the head, in the head's own frame, and the shapes that they are made of."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.render.head.head_file import Floats


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mesh:
    """A surface of one class.

    points [V, 3]: head frame, in the head's units. triangles [T, 3]. colour [V, 3]: sRGB. label: the
    class in the parsing catalogue (None: nobody can say). follows [V]: how far it goes with the body
    (1) and not with the head (0). gloss: 0 to 1. solid: what it hides is not visible.
    """

    points: Floats
    triangles: NDArray[np.int32]
    colour: Floats
    label: str | None
    follows: Floats
    gloss: float = 0.2
    name: str = ""


def grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    """Triangles [2 (rows - 1) (columns - 1), 3] of vertices in a grid, row after row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None, :]).reshape(-1)
    right, below = corner + 1, corner + columns
    pairs = np.stack([np.stack([corner, below, right], 1), np.stack([right, below, below + 1], 1)], axis=1)
    return np.asarray(pairs.reshape(-1, 3), np.int32)


def tube(
    path: Floats, *, radius: float, sides: int = 6, closed: bool = False
) -> tuple[Floats, NDArray[np.int32]]:
    """Vertices and triangles of a tube along a path [K, 3]."""
    if closed:
        path = np.concatenate([path, path[:1]])
    ahead = np.gradient(path, axis=0)
    if closed:
        ahead[0] = ahead[-1] = path[1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    helper = np.where(np.abs(ahead[:, 2:]) < 0.8, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(ahead, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    second = np.cross(ahead, first)
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(turn)[None, :, None] * first[:, None] + np.sin(turn)[None, :, None] * second[:, None]
    points = path[:, None] + radius * ring
    return np.asarray(points.reshape(-1, 3), np.float32), grid_triangles(len(path), sides + 1)


def joined(parts: list[tuple[Floats, NDArray[np.int32]]]) -> tuple[Floats, NDArray[np.int32]]:
    """Several surfaces as one."""
    starts = np.cumsum([0, *(len(points) for points, _ in parts)])
    points = np.concatenate([points for points, _ in parts])
    return points, np.concatenate([t + start for (_, t), start in zip(parts, starts, strict=False)]).astype(
        np.int32
    )


def smooth_noise(
    rng: np.random.Generator, *coordinates: NDArray[np.floating[Any]], waves: int = 10
) -> Floats:
    """Smooth noise of about unit size at points given by their coordinates, a few waves summed."""
    total = np.zeros(np.broadcast_shapes(*(c.shape for c in coordinates)))
    for _ in range(waves):
        phase = rng.uniform(0, 2 * np.pi)
        total = total + np.sin(sum(c * rng.normal() for c in coordinates) + phase)
    return np.asarray(total * np.sqrt(2 / waves), np.float32)
