"""Accessories: glasses, earrings, a necklace, and the body below the bust."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.render.head.head_file import Floats, Head
from training.render.head.mesh import Mesh, grid_triangles, joined, smooth_noise, tube
from training.render.head.vertex_fields import VertexFields
from training.render.scene.hair import _cloth_colour as cloth_colour
from training.render.scene.scene import Scene

_GLASSES_PART, _JEWELS_PART, _BODY_PART = 3, 4, 5


def glasses(scene: Scene, head: Head, fields: VertexFields, shape: Floats) -> tuple[Mesh, Mesh] | None:
    """Frame and lenses of a scene's glasses on a head of this shape; None where it wears none."""
    if scene.glasses == "none":
        return None
    rng = scene.rng(_GLASSES_PART)
    unit, marks = fields.unit, head.landmarks(shape)
    wide, high = rng.uniform(2.2, 3.0), rng.uniform(1.4, 2.5)
    if scene.glasses == "dark":
        high = max(high, rng.uniform(1.9, 2.6))
    power = rng.uniform(2.0, 4.5)  # 2: an ellipse; more: a rectangle with round corners
    thin = rng.random() < 0.35
    radius = rng.uniform(0.05, 0.09) if thin else rng.uniform(0.1, 0.24)
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack(
        [
            wide * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power),
            high * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power),
        ],
        axis=1,
    )
    drop = rng.normal(0.15, 0.25)
    ahead = max(marks[17:27, 2].max(), marks[27, 2]) / unit + rng.uniform(0.1, 0.6)
    frame, lens = [], []
    corners = {}
    for side, eye in ((-1, slice(36, 42)), (1, slice(42, 48))):
        middle = marks[eye].mean(axis=0) / unit
        x = middle[0] + side * rng.uniform(0, 0.15)
        x = side * max(abs(x), wide + 0.35)
        outline = np.stack([x + ring[:, 0], middle[1] - drop + ring[:, 1], 0 * turn], axis=1)
        # The lenses bend around the face.
        outline[:, 2] = ahead - 0.045 * np.maximum(np.abs(outline[:, 0]) - 1, 0) ** 2
        rim = rng.random() > 0.12 or scene.glasses == "dark"
        if rim:
            frame.append(tube(np.asarray(outline, np.float32) * unit, radius=radius * unit, closed=True))
        lens.append(_disc(outline * unit))
        corners[side] = (x, middle[1] - drop)
    bridge_y = (corners[-1][1] + corners[1][1]) / 2 + high * 0.35
    across = np.linspace(-1, 1, 9)
    inner = abs(corners[1][0]) - wide
    path = np.stack([across * (inner + 0.1), bridge_y + 0.25 * (1 - across**2), ahead + 0 * across], axis=1)
    frame.append(tube(np.asarray(path * unit, np.float32), radius=radius * unit))
    # The arms reach back over the ears, outside of the head.
    jaw = np.abs(marks[[0, 16], 0]).mean() / unit
    for side in (-1, 1):
        x, y = corners[side]
        outer = x + side * wide
        start = np.array([outer, y + high * 0.45, ahead - 0.045 * (abs(outer) - 1) ** 2])
        end = np.array([side * max(jaw + 0.75, abs(outer)), 4.0, 0.3])
        steps = np.linspace(0, 1, 24)[:, None]
        path = start * (1 - steps) + end * steps
        path[:, 0] = side * np.maximum(
            np.abs(path[:, 0]), np.minimum(jaw + 0.6, abs(outer) + 6 * steps[:, 0])
        )
        frame.append(tube(np.asarray(path * unit, np.float32), radius=max(radius, 0.1) * unit))
    points, triangles = joined(frame)
    metal = rng.random() < 0.4
    colour = np.array([0.6, 0.5, 0.3]) * rng.uniform(0.4, 1.4) if metal else rng.uniform(0.01, 0.25, 3)
    if rng.random() < 0.15:
        colour = rng.uniform(0, 1, 3)
    lens_points, lens_triangles = joined(lens)
    tint = rng.uniform(0.01, 0.12, 3) if scene.glasses == "dark" else rng.uniform(0.6, 0.95, 3)
    return (
        _mesh(points, triangles, colour, label="glasses", gloss=0.6, name="frame"),
        _mesh(lens_points, lens_triangles, tint, label="glasses", gloss=1.0, name="lens"),
    )


def jewellery(scene: Scene, head: Head, fields: VertexFields, shape: Floats) -> list[Mesh]:
    """Earrings and a necklace."""
    rng = scene.rng(_JEWELS_PART)
    unit = fields.unit
    meshes = []
    metal = np.array([[0.8, 0.65, 0.3], [0.75, 0.75, 0.78], [0.9, 0.88, 0.85]])[rng.integers(3)]
    if rng.random() < 0.2:
        metal = rng.uniform(0, 1, 3)
    if scene.earrings:
        size, long = rng.uniform(0.25, 0.6), rng.uniform(0, 2.5)
        parts = []
        for name in ("left_ear", "right_ear"):
            ear = np.flatnonzero(fields[name] > 0)
            if len(ear):
                lobe = shape[ear[np.argmin(head.base[ear, 1])]] / unit
                y = lobe[1] + 0.2 - np.linspace(0, long + 2 * size, 8)
                path = np.stack([lobe[0] + np.sign(lobe[0]) * 0.15 + 0 * y, y, lobe[2] + 0.2 + 0 * y], axis=1)
                parts.append(tube(np.asarray(path * unit, np.float32), radius=size * unit))
        if parts:
            meshes.append(_mesh(*joined(parts), metal, label="earring", gloss=1.0, name="earring"))
    if scene.necklace:
        neck = (fields["neck"] > 0) & (fields.follows > 0.35) & (fields.follows < 0.99)
        if neck.sum() > 50:
            turn = np.linspace(-np.pi, np.pi, 72, endpoint=False)
            low = rng.uniform(-13.5, -11.5)
            radius = rng.uniform(6.3, 7.3)
            path = np.stack(
                [radius * np.sin(turn), low + 1.5 * (1 - np.cos(turn)), 0.5 + radius * np.cos(turn)], axis=1
            )
            points, triangles = tube(
                np.asarray(path * unit, np.float32), radius=rng.uniform(0.1, 0.35) * unit, closed=True
            )
            chain = _mesh(points, triangles, metal, label="necklace", gloss=1.0, name="necklace", follows=1.0)
            meshes.append(chain)
    return meshes


def body(scene: Scene, fields: VertexFields, shape: Floats) -> tuple[Mesh, Floats]:
    """The body below the bust, and the colour of clothes at the head's own vertices [V, 3]."""
    rng = scene.rng(_BODY_PART)
    unit = fields.unit
    colour = cloth_colour(rng)
    other = cloth_colour(rng)
    pattern = rng.choice(4, p=(0.55, 0.2, 0.1, 0.15))
    scale = rng.uniform(0.6, 3.0)

    def painted(points: Floats) -> Floats:
        x, y, z = (points / unit).T
        if pattern == 1:
            share = (np.sin(y * scale) > rng_level)[:, None]
        elif pattern == 2:
            share = ((np.sin(x * scale) > 0.3) ^ (np.sin(y * scale) > 0.3))[:, None]
        elif pattern == 3:
            share = np.clip(0.5 + smooth_noise(np.random.default_rng(scene.seed), x, y, z), 0, 1)[:, None]
        else:
            share = np.zeros((len(x), 1))
        folds = 1 + 0.08 * smooth_noise(np.random.default_rng(scene.seed + 1), x * 0.6, y * 0.3, z * 0.6)
        return np.asarray(
            np.clip((colour * (1 - share) + other * share) * folds[:, None], 0.01, 1), np.float32
        )

    rng_level = rng.uniform(-0.8, 0.8)
    heights = np.array([-13.0, -14.5, -17, -20, -26, -36, -60])
    across = np.array([9.0, 12.5, 16.5, 19.0, 20.0, 20.5, 20.5]) * rng.uniform(0.9, 1.12)
    deep = np.array([3.0, 4.5, 6.0, 7.5, 9.0, 10.0, 10.0]) * rng.uniform(0.9, 1.2)
    turn = np.linspace(0, 2 * np.pi, 49)
    grid = np.stack(
        [
            across[:, None] * np.sin(turn),
            heights[:, None] + 0 * turn,
            -1.0 + deep[:, None] * np.cos(turn),
        ],
        axis=-1,
    )
    fine = np.linspace(0, len(heights) - 1, 40)
    grid = np.stack(
        [[np.interp(fine, range(len(heights)), grid[:, c, k]) for c in range(49)] for k in range(3)]
    )
    points = np.asarray(np.moveaxis(grid, 0, -1).transpose(1, 0, 2).reshape(-1, 3) * unit, np.float32)
    mesh = Mesh(
        points=points,
        triangles=grid_triangles(40, 49),
        colour=painted(points),
        label="cloth",
        follows=np.ones(len(points), np.float32),
        gloss=0.05,
        name="body",
    )
    return mesh, painted(shape)


def _disc(outline: NDArray[np.floating[Any]]) -> tuple[Floats, NDArray[np.int32]]:
    """A closed outline [K, 3] filled from its middle, in rings, so that no triangle is large."""
    middle = outline.mean(axis=0)
    rings = [middle + (outline - middle) * part for part in np.linspace(0.02, 1, 8)]
    grid = np.stack([np.concatenate([ring, ring[:1]]) for ring in rings])
    return np.asarray(grid.reshape(-1, 3), np.float32), grid_triangles(8, len(outline) + 1)


def _mesh(
    points: Floats,
    triangles: NDArray[np.int32],
    colour: NDArray[np.floating[Any]],
    *,
    label: str,
    gloss: float,
    name: str,
    follows: float = 0.0,
) -> Mesh:
    return Mesh(
        points=points,
        triangles=triangles,
        colour=np.broadcast_to(np.clip(colour, 0.005, 1), points.shape).astype(np.float32),
        label=label,
        follows=np.full(len(points), follows, np.float32),
        gloss=gloss,
        name=name,
    )
