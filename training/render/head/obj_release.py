"""ICT-FaceKit's own release, a folder of .obj files, as the arrays of a head file.

FaceXModel/generic_neutral_mesh.obj, identity000.obj ... and one file an expression, all of one mesh.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NEUTRAL = "generic_neutral_mesh.obj"


def read_obj_folder(folder: Path) -> dict[str, NDArray[Any]]:
    """`base`, `identity`, `expression`, `expression_names` and `quads` of a FaceXModel folder.

    Raises ValueError where the neutral mesh is missing or another file has another mesh.
    """
    neutral = folder / _NEUTRAL
    if not neutral.is_file():
        raise ValueError(
            f"{neutral} is missing: --head takes ICT-FaceKit's FaceXModel folder or an .npz file"
        )
    base, quads = _read(neutral, faces=True)
    identity, expression, names = [], [], []
    for path in sorted(folder.glob("*.obj")):
        if path.name == _NEUTRAL:
            continue
        points, _ = _read(path, faces=False)
        if points.shape != base.shape:
            raise ValueError(f"{path} has {len(points)} vertices where the neutral mesh has {len(base)}")
        if re.fullmatch(r"identity\d+", path.stem):
            identity.append(points - base)
        else:
            expression.append(points - base)
            names.append(path.stem)
    none = np.zeros((0, *base.shape), np.float32)
    return {
        "base": base,
        "identity": np.stack(identity) if identity else none,
        "expression": np.stack(expression) if expression else none,
        "expression_names": np.array(names, dtype=np.str_),
        "quads": quads,
    }


def _read(path: Path, *, faces: bool) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices [V, 3] of an .obj file and, if wanted, its faces [Q, 4], triangles with -1 at the end."""
    points, quads = [], []
    with path.open() as file:
        for number, line in enumerate(file, 1):
            try:
                if line.startswith("v "):
                    x, y, z = line.split()[1:4]
                    points.append((float(x), float(y), float(z)))
                elif faces and line.startswith("f "):
                    corners = [int(word.partition("/")[0]) - 1 for word in line.split()[1:]]
                    if len(corners) not in (3, 4):
                        raise ValueError(f"{len(corners)} corners")
                    quads.append([*corners, -1][:4])
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number}, is not a vertex or a face of 3 or 4 corners"
                ) from error
    return np.array(points, np.float32).reshape(-1, 3), np.array(quads, np.int32).reshape(-1, 4)
