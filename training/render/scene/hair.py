"""Hair and hats: shells over the skull, which long hair leaves to fall, ragged at their edge."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.render.head.head_file import Floats, Head
from training.render.head.mesh import Mesh, grid_triangles, smooth_noise
from training.render.head.vertex_fields import VertexFields, skull_rays
from training.render.scene.scene import Scene

COLUMNS, ROWS = 193, 56
_FALL_ROWS = 40
_PART = 1  # of the scene's random generators
_HAT_PART = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skull:
    """A grid over the head: vertices [ROWS, COLUMNS] by direction, crown to neck, around from the back."""

    vertices: NDArray[np.intp]
    scalp: Floats  # [ROWS, COLUMNS]: cm inside the hairline
    around: Floats  # [COLUMNS]: radians from the front
    unit: float

    @classmethod
    def of(cls, head: Head, fields: VertexFields) -> "Skull":
        vertices = skull_rays(head, columns=COLUMNS, rows=ROWS, unit=fields.unit)
        return cls(
            vertices=vertices,
            scalp=fields["scalp"][vertices],
            around=np.linspace(-np.pi, np.pi, COLUMNS, dtype=np.float32),
            unit=fields.unit,
        )

    def surface(self, shape: Floats) -> tuple[Floats, Floats]:
        """The grid's points [ROWS, COLUMNS, 3] on a shape [V, 3], smoothed, and their directions outward."""
        points = shape[self.vertices]
        for _ in range(3):
            points[1:-1] = (points[:-2] + 2 * points[1:-1] + points[2:]) / 4
            # The first and the last column are one.
            points = (np.roll(points[:, :-1], 1, 1) + 2 * points[:, :-1] + np.roll(points[:, :-1], -1, 1)) / 4
            points = np.concatenate([points, points[:, :1]], axis=1)
        away = points - np.array([0, 4, 1], np.float32) * self.unit
        return points, away / np.linalg.norm(away, axis=-1, keepdims=True)


def hair_mesh(scene: Scene, skull: Skull, shape: Floats) -> Mesh | None:
    """The hair of a scene on a head of this shape; None for bald and shaven heads."""
    if scene.hair in ("none", "shaven"):
        return None
    rng = scene.rng(_PART)
    points, away = skull.surface(shape)
    unit = skull.unit
    rows = np.arange(ROWS, dtype=np.float32)[:, None]
    around = skull.around[None, :]
    full = {"short": rng.uniform(0.25, 1.3), "medium": rng.uniform(0.8, 2.2), "long": rng.uniform(0.7, 1.9)}
    waves = smooth_noise(rng, np.sin(around) * 3, np.cos(around) * 3, rows * 0.12)
    thick = full[scene.hair] * (1 + 0.25 * waves)
    if scene.hat != "none":
        thick = np.minimum(thick, 0.5)
    # Thin at the hairline, full from two centimetres on; a parting leaves a furrow.
    inside = np.clip(skull.scalp / 2.6, 0, 1)
    rise = 0.12 + thick * inside**0.8
    if scene.hair != "short" and rng.random() < 0.6:
        side = rng.normal(0, 0.5)
        furrow = np.exp(-(((around - side) / 0.09) ** 2)) * np.clip(1 - rows / (0.55 * ROWS), 0, 1)
        rise = rise * (1 - 0.7 * furrow)
    strands = _strands(rng, scene)
    rise = rise * (1 + 0.12 * strands * (0.3 + scene.curls))
    points = points + away * (rise * unit)[..., None]

    keep = skull.scalp > 0.12 * strands + 0.15 * scene.curls * smooth_noise(rng, around * 14, rows * 0.4)
    if scene.fringe:
        keep |= _fringe(rng, scene, skull, strands, points)
        points = np.where(
            (skull.scalp < 0.5)[..., None], points + away * (0.25 + 0.3 * scene.curls) * unit, points
        )
    parts = [(points, keep)]
    if scene.hair in ("medium", "long"):
        parts.append(_fall(rng, scene, skull, points, away, strands))
    vertices, triangles, shades, follows = [], [], [], []
    start = 0
    for grid, kept in parts:
        r, c = kept.shape
        cells = grid_triangles(r, c)
        triangles.append(cells[kept.reshape(-1)[cells].all(axis=1)] + start)
        start += r * c
        vertices.append(grid.reshape(-1, 3))
        down = np.arange(r, dtype=np.float32)[:, None] / r
        tint = 1 + 0.28 * strands + 0.15 * smooth_noise(rng, around * 5, down * 3) + 0 * down
        shades.append(tint.reshape(-1))
        follows.append(np.clip((-5.5 * unit - grid[..., 1]) / (7 * unit), 0, 1).reshape(-1))
    colour = np.clip(np.concatenate(shades)[:, None] * np.array(scene.hair_colour), 0.004, 1)
    return Mesh(
        points=np.concatenate(vertices).astype(np.float32),
        triangles=np.concatenate(triangles).astype(np.int32),
        colour=colour.astype(np.float32),
        label="hair",
        follows=np.concatenate(follows).astype(np.float32),
        gloss=float(rng.uniform(0.1, 0.7)),
        name="hair",
    )


def _strands(rng: np.random.Generator, scene: Scene) -> Floats:
    """A number of about unit size a column [1, COLUMNS]: strands that lie beside each other."""
    fine = rng.normal(size=COLUMNS)
    coarse = np.convolve(rng.normal(size=COLUMNS + 8), np.ones(9) / 3, mode="valid")
    mixed = fine * (1 - 0.5 * scene.curls) * 0.6 + coarse * 0.7
    mixed[-1] = mixed[0]
    return np.asarray(mixed[None], np.float32)


def _fringe(
    rng: np.random.Generator, scene: Scene, skull: Skull, strands: Floats, points: Floats
) -> NDArray[np.bool_]:
    """Where hair hangs over the forehead: from the hairline down to the brows, as far as `fringe`."""
    left, right = sorted(rng.uniform([-1.1, 0.2], [-0.2, 1.1]))
    if rng.random() < 0.5:  # all across
        left, right = -1.05, 1.05
    length = 5.2 * scene.fringe + 0.5 * strands
    lowest = (10.0 - length) * skull.unit
    within = (skull.around > left) & (skull.around < right)
    return np.asarray(within[None] & (points[..., 1] > lowest) & (skull.scalp > -8))


def _fall(
    rng: np.random.Generator, scene: Scene, skull: Skull, points: Floats, away: Floats, strands: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Hair that falls beside and behind the head: points [_FALL_ROWS, COLUMNS, 3] and which are there."""
    unit = skull.unit
    around = skull.around[None, :]
    begin = ROWS * 21 // 56  # about the height of the temples
    top = points[begin]
    length = rng.uniform(6, 13) if scene.hair == "medium" else rng.uniform(13, 30)
    down = np.linspace(0, 1, _FALL_ROWS, dtype=np.float32)[:, None]
    flat = top * np.array([1, 0, 1], np.float32)
    outward = away[begin] * np.array([1, 0, 1], np.float32)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    spread = rng.normal(0.5, 1.2) * down + 0.35 * np.sin(np.pi * down) * rng.uniform(0, 3)
    curl = scene.curls * 0.6 * np.sin(down * rng.uniform(8, 30) + 2 * strands) * down
    out = (spread + curl + 0.25 * strands * down + 0.5) * unit
    height = top[None, :, 1] - down * length * unit * (1 + 0.06 * strands)
    grid = flat[None] + outward[None] * out[..., None]
    grid[..., 1] = height
    # Behind the ears or before them: how far to the front the curtain reaches.
    front = rng.uniform(1.0, 1.75, 2)
    limit = np.where(around < 0, front[0], front[1]) + 0.06 * strands
    limit = limit + down * rng.uniform(-0.3, 0.35)
    kept = np.abs(around) > limit
    return grid.astype(np.float32), np.asarray(kept)


def hat_mesh(scene: Scene, skull: Skull, shape: Floats) -> list[Mesh]:
    """The hat of a scene: a shell over the skull, and the brim of a cap or a hat."""
    if scene.hat == "none":
        return []
    rng = scene.rng(_HAT_PART)
    points, away = skull.surface(shape)
    unit = skull.unit
    around = skull.around[None, :]
    front = np.cos(around)
    edge = {
        "cap": rng.uniform(7.6, 9.2),
        "beanie": rng.uniform(6.6, 9),
        "hood": 9.5,
        "brim": rng.uniform(7.8, 9.2),
    }
    lowest = edge[scene.hat] - (1 - front) * rng.uniform(0.6, 2.2)
    if scene.hat == "hood":
        lowest = np.where(np.abs(around) < 0.85 + 0.15 * np.sin(3 * front), 9.5, -12.0) + 0 * front
    kept = points[..., 1] > lowest * unit
    rise = {"cap": 0.9, "beanie": 1.0, "hood": 1.3, "brim": 1.0}[scene.hat] + 0.2 * smooth_noise(
        rng, np.sin(around) * 2, np.cos(around) * 2, np.arange(ROWS)[:, None] * 0.1
    )
    height = np.clip(points[..., 1] / unit - 8, 0, None)
    rise = rise + height * rng.uniform(0, 0.25) * (scene.hat != "cap")
    points = points + away * (np.maximum(rise, 0.65) * unit)[..., None]
    colour = _cloth_colour(rng)
    ribs = 1 + 0.12 * np.sin(np.arange(COLUMNS) * rng.uniform(0.2, 1.5)) * (rng.random() < 0.5)
    shades = (colour[None, None] * ribs[None, :, None] + np.zeros((ROWS, 1, 1))).reshape(-1, 3)
    cells = grid_triangles(ROWS, COLUMNS)
    follows = np.clip((-5.5 * unit - points[..., 1]) / (7 * unit), 0, 1).reshape(-1)
    shell = Mesh(
        points=points.reshape(-1, 3).astype(np.float32),
        triangles=cells[kept.reshape(-1)[cells].all(axis=1)],
        colour=np.clip(shades, 0.01, 1).astype(np.float32),
        label="hat",
        follows=follows.astype(np.float32),
        gloss=0.08,
        name="hat",
    )
    if scene.hat not in ("cap", "brim"):
        return [shell]
    # The brim starts where the shell ends: a row and a part of the next.
    row = np.clip(kept.sum(axis=0) - 1, 0, ROWS - 2)
    columns = np.arange(COLUMNS)
    first, second = points[row, columns], points[row + 1, columns]
    part = (first[:, 1] - lowest[0] * unit) / np.maximum(first[:, 1] - second[:, 1], 1e-3)
    rim = first + (second - first) * np.clip(part, 0, 1)[:, None]
    for _ in range(6):
        rim = (np.roll(rim, 1, 0) + 2 * rim + np.roll(rim, -1, 0)) / 4
    outward = away[row, columns] * np.array([1, 0, 1], np.float32)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    reach = rng.uniform(4.5, 7.5)
    if scene.hat == "cap":
        wide = rng.uniform(0.9, 1.2)
        profile = np.sqrt(np.clip(1 - (around[0] / wide) ** 2, 0, None))
        present = np.abs(around[0]) < wide
    else:
        profile, present = np.ones(COLUMNS), np.ones(COLUMNS, bool)
    steps = np.linspace(-0.05, 1, 12, dtype=np.float32)[:, None, None]
    grid = rim[None] + outward[None] * steps * (reach * profile)[None, :, None] * unit
    grid[..., 1] -= steps[..., 0] * rng.uniform(-0.6, 2.2) * profile[None] * unit
    cells = grid_triangles(12, COLUMNS)
    kept = np.broadcast_to(present, (12, COLUMNS)).reshape(-1)
    tint = colour * (rng.uniform(0.6, 1.4) if rng.random() < 0.4 else 1)
    brim = Mesh(
        points=grid.reshape(-1, 3).astype(np.float32),
        triangles=cells[kept[cells].all(axis=1)],
        colour=np.broadcast_to(np.clip(tint, 0.01, 1), (12 * COLUMNS, 3)).astype(np.float32),
        label="hat",
        follows=np.zeros(12 * COLUMNS, np.float32),
        gloss=0.08,
        name="hat",
    )
    return [shell, brim]


def _cloth_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Clothes are mostly dark, grey, blue or white, and now and then colourful."""
    grey = rng.uniform(0.04, 0.9)
    if rng.random() < 0.5:
        return np.clip(grey * rng.normal(1, 0.08, 3), 0.02, 1)
    return rng.uniform(0.03, 0.9, 3)
