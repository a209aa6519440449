"""The head file: a neutral shape, directions of identity and expression, and the mesh over them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.render.head.obj_release import read_obj_folder
from training.render.head.topology import ICT, UNDRAWN, Topology

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """A head that can take many shapes. Centimetres; x to the subject's left, y up, z out of the face.

    base [V, 3], identity [I, V, 3], expression [E, V, 3]: directions to add. names [E]: of the
    expressions. triangles [T, 3] int32: counter-clockwise seen from outside; without the parts that
    are not drawn (topology.UNDRAWN).
    """

    base: Floats
    identity: Floats
    expression: Floats
    names: tuple[str, ...]
    triangles: NDArray[np.int32]
    topology: Topology

    def shape(self, *, identity: Floats, expression: Mapping[str, float]) -> Floats:
        """The vertices [V, 3] of a person (identity [I], about standard normal) with an expression.

        `expression` gives weights in [0, 1] by name. Raises ValueError for a name that the head has not.
        """
        unknown = sorted(set(expression) - set(self.names))
        if unknown:
            raise ValueError(
                f"the head has no expression {', '.join(unknown)}: it has {', '.join(self.names)}"
            )
        points = self.base.copy()
        if len(identity):
            points += np.tensordot(np.asarray(identity, np.float32), self.identity[: len(identity)], axes=1)
        for name, weight in expression.items():
            if weight:
                points += np.float32(weight) * self.expression[self.names.index(name)]
        return points

    def landmarks(self, points: Floats) -> Floats:
        """The 68 points [68, ...] among vertices [V, ...]."""
        return points[list(self.topology.landmarks)]


def load_head(path: Path) -> Head:
    """The head of an .npz file, or of ICT-FaceKit's folder of .obj files (FaceXModel).

    The file has `base` [V, 3], `identity` [I, V, 3], `expression` [E, V, 3], `expression_names` [E] and
    `quads` [Q, 4] (a triangle has -1 in the last place); a head of another mesh than ICT-FaceKit's has
    `starts` and `landmarks` too (see `Topology`). Raises ValueError for anything else.
    """
    try:
        if path.is_dir():
            arrays = read_obj_folder(path)
        else:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
    except OSError as error:
        raise ValueError(
            f"{path} can't be read: --head takes the .npz file of the head or its folder"
        ) from error
    except Exception as error:  # numpy raises whatever the broken file made it stumble over
        if isinstance(error, ValueError) and path.is_dir():
            raise
        raise ValueError(
            f"{path} is not a head file: give an .npz file or ICT-FaceKit's FaceXModel folder"
        ) from error
    missing = {"base", "identity", "expression", "expression_names", "quads"} - arrays.keys()
    if missing:
        raise ValueError(f"{path} is not a head file: it has no {', '.join(sorted(missing))}")
    topology = ICT
    if "starts" in arrays and "landmarks" in arrays:
        topology = Topology.of(starts=arrays["starts"], landmarks=arrays["landmarks"])
    base = arrays["base"].astype(np.float32)
    if base.shape != (topology.vertices, 3):
        raise ValueError(
            f"{path} has vertices of shape {base.shape} where {(topology.vertices, 3)} was expected: give "
            "ICT-FaceKit's head, or a file that tells its own `starts` and `landmarks`"
        )
    identity, expression = arrays["identity"].astype(np.float32), arrays["expression"].astype(np.float32)
    names = tuple(str(name) for name in arrays["expression_names"])
    if identity.shape[1:] != base.shape or expression.shape != (len(names), *base.shape):
        raise ValueError(f"{path}: its identity or expression directions do not fit its {len(base)} vertices")
    triangles = _triangles(arrays["quads"])
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(base):
        raise ValueError(f"{path}: its quads name vertices that it does not have")
    drawn = ~topology.in_parts(*UNDRAWN)
    return Head(
        base=base,
        identity=identity,
        expression=expression,
        names=names,
        triangles=triangles[drawn[triangles].all(axis=1)],
        topology=topology,
    )


def _triangles(quads: NDArray[np.int32]) -> NDArray[np.int32]:
    """Triangles [T, 3] of quads [Q, 4]; a quad with -1 in the last place is one already."""
    four = quads[quads[:, 3] >= 0]
    return np.asarray(np.concatenate([quads[:, :3], four[:, [0, 2, 3]]]), np.int32)


def normals(points: Floats, triangles: NDArray[np.int32]) -> Floats:
    """Unit normals [V, 3] of the vertices, outward; zero where no triangle is."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    total = np.stack(
        [
            sum(np.bincount(triangles[:, i], flat[:, axis], minlength=len(points)) for i in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.where(length > 0, length, 1), np.float32)
