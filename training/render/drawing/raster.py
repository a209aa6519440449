"""A z-buffer in numpy: which triangle each pixel shows, and where on that triangle.

All candidates of all triangles are made as flat arrays, so that thousands of tiny triangles, which is
what a head is at the size of a crop, cost a few array operations and no loop.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fragments:
    """What a z-buffer shows.

    triangle [H, W] int32: the triangle nearest to the camera, -1 where there is none. nearness [H, W]
    float32: 1 / depth there, 0 where there is none.
    """

    triangle: NDArray[np.int32]
    nearness: Floats

    @property
    def shown(self) -> NDArray[np.bool_]:
        return np.asarray(self.triangle >= 0)


def rasterize(
    points: Floats,
    triangles: NDArray[np.int32],
    *,
    height: int,
    width: int,
    cull: bool | NDArray[np.bool_] = True,
) -> Fragments:
    """The z-buffer of `triangles` [T, 3] over `points` [V, 3]: x, y in pixels and 1 / depth.

    Integer coordinates are pixel centres. 1 / depth is what runs linearly over a triangle in the
    picture. Triangles whose corners run counter-clockwise to the viewer are seen from outside; `cull`
    (one for all, or [T]) leaves out those seen from inside. Triangles with a corner behind the camera
    (1 / depth <= 0) are left out.
    """
    corners = points[triangles]  # [T, 3, 3]
    x, y, near = corners[..., 0], corners[..., 1], corners[..., 2]
    # Twice the area; y runs down, so that counter-clockwise is negative.
    area: Floats = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    x0 = np.ceil(np.maximum(x.min(axis=1), 0)).astype(np.int32)
    y0 = np.ceil(np.maximum(y.min(axis=1), 0)).astype(np.int32)
    across = np.floor(np.minimum(x.max(axis=1), width - 1)).astype(np.int32) - x0 + 1
    down = np.floor(np.minimum(y.max(axis=1), height - 1)).astype(np.int32) - y0 + 1
    use = (np.abs(area) > 1e-9) & (across > 0) & (down > 0) & (near.min(axis=1) > 0)
    use &= (area < 0) | ~np.broadcast_to(np.asarray(cull), area.shape)
    kept = np.flatnonzero(use)
    x, y, near, area = x[kept], y[kept], near[kept], area[kept]
    x0, y0, across, down = x0[kept], y0[kept], across[kept], down[kept]

    # One row a candidate: a pixel within the box around a triangle.
    counts = across * down
    row = np.repeat(np.arange(len(kept), dtype=np.int32), counts)
    place = np.arange(len(row), dtype=np.int32) - np.repeat(
        (np.cumsum(counts) - counts).astype(np.int32), counts
    )
    right, below = _columns_and_rows(place, across[row])
    # Edge functions are linear in the pixel: a constant and two slopes a triangle and corner. They
    # count from the box's corner, where float32 is exact enough to leave no cracks between triangles.
    x, y = x - x0[:, None], y - y0[:, None]
    weights = []
    for a, b in ((1, 2), (2, 0)):
        slope_x, slope_y = (y[:, a] - y[:, b]) / area, (x[:, b] - x[:, a]) / area
        offset = (x[:, a] * y[:, b] - x[:, b] * y[:, a]) / area
        weights.append(slope_x[row] * right + slope_y[row] * below + offset[row])
    w0, w1 = weights
    w2 = 1 - w0 - w1
    inside = (w0 >= -1e-4) & (w1 >= -1e-4) & (w2 >= -1e-4)
    pixel = ((y0[row] + below) * width + x0[row] + right)[inside]
    row, w0, w1, w2 = row[inside], w0[inside], w1[inside], w2[inside]
    depth = near[row, 0] * w0 + near[row, 1] * w1 + near[row, 2] * w2
    # Positive floats sort as their bits do: one maximum finds the nearest and its triangle.
    key = depth.astype(np.float32).view(np.int32).astype(np.int64) << 32 | kept[row]
    nearest = np.zeros(height * width, np.int64)
    np.maximum.at(nearest, pixel, key)
    hit = nearest > 0
    triangle = np.where(hit, nearest & 0xFFFFFFFF, -1).astype(np.int32).reshape(height, width)
    nearness = (nearest >> 32).astype(np.int32).view(np.float32).reshape(height, width)
    return Fragments(triangle=triangle, nearness=nearness)


def _columns_and_rows(
    place: NDArray[np.int32], across: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of the `place`-th pixel of a box that is `across` wide: how far right and how far down it is."""
    down = place // across
    return place - down * across, down


def interpolation(
    points: Floats, triangles: NDArray[np.int32], fragments: Fragments
) -> tuple[NDArray[np.int32], Floats]:
    """For the N shown pixels in reading order: corner ids [N, 3] and their weights [N, 3].

    The weights are those on the surface, not in the picture (perspective is undone).
    """
    rows, columns = np.nonzero(fragments.shown)
    ids = triangles[fragments.triangle[rows, columns]]
    x, y, near = np.moveaxis(points[ids], 2, 0)  # each [N, 3]
    dx, dy = x - columns[:, None], y - rows[:, None]
    w = dx[:, [1, 2, 0]] * dy[:, [2, 0, 1]] - dx[:, [2, 0, 1]] * dy[:, [1, 2, 0]]
    w = w / w.sum(axis=1, keepdims=True)
    w = np.clip(w, 0, 1) * near
    return ids, np.asarray(w / w.sum(axis=1, keepdims=True), np.float32)
