"""The meaning of the head's vertices: parts of the mesh, the 68 points and further points of visibility.

The numbers are ICT-FaceKit's: its README lists the vertex ranges of the parts and the vertices of
Multi-PIE's 68 points, which are iBUG's in order and place.
"""

import dataclasses
import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

PARTS = (
    "face",
    "head",  # the back of the head, neck and bust
    "mouth_socket",
    "left_eye_socket",
    "right_eye_socket",
    "gums_and_tongue",
    "teeth",
    "left_eyeball",
    "right_eyeball",
    "left_lacrimal_fluid",
    "right_lacrimal_fluid",
    "left_eye_blend",
    "right_eye_blend",
    "left_eye_occlusion",
    "right_eye_occlusion",
    "left_eyelashes",
    "right_eyelashes",
)
# Transparent shells and cards that need textures, which the head comes without.
UNDRAWN = PARTS[PARTS.index("left_lacrimal_fluid") :]
MOUTH = ("mouth_socket", "gums_and_tongue", "teeth")

_ICT_STARTS = (
    *(0, 9409, 11248, 13294, 13678, 14062, 17039, 21451, 23021),
    *(24591, 24795, 24999, 25023, 25047, 25199, 25351, 26035, 26719),
)
_ICT_LANDMARKS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509),
    *(978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841),
    *(5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)

# Groups of the 68 points.
JAW = slice(0, 17)
BROWS = {"right_brow": slice(17, 22), "left_brow": slice(22, 27)}
EYES = {"right_eye": slice(36, 42), "left_eye": slice(42, 48)}
OUTER_LIP, INNER_LIP = slice(48, 60), slice(60, 68)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
    """What the vertices of a head file are.

    starts: where each part's vertices begin, and the end of the last: len(PARTS) + 1 numbers; an empty
    part begins where the next does. landmarks [68]: a vertex each.
    """

    starts: tuple[int, ...]
    landmarks: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.starts) != len(PARTS) + 1 or any(a > b for a, b in itertools.pairwise(self.starts)):
            raise ValueError(
                f"a head's parts need {len(PARTS) + 1} ascending vertex numbers, not {self.starts}"
            )
        if len(self.landmarks) != 68 or not all(0 <= i < self.starts[-1] for i in self.landmarks):
            raise ValueError(f"a head needs 68 landmark vertices below {self.starts[-1]}: {self.landmarks}")

    @classmethod
    def of(cls, *, starts: ArrayLike, landmarks: ArrayLike) -> "Topology":
        return cls(
            starts=tuple(np.asarray(starts, int).tolist()),
            landmarks=tuple(np.asarray(landmarks, int).tolist()),
        )

    @property
    def vertices(self) -> int:
        return self.starts[-1]

    def part(self, name: str) -> slice:
        """The vertices of a part."""
        at = PARTS.index(name)
        return slice(self.starts[at], self.starts[at + 1])

    def in_parts(self, *names: str) -> NDArray[np.bool_]:
        """Which vertices [V] are in one of these parts."""
        mask = np.zeros(self.vertices, bool)
        for name in names:
            mask[self.part(name)] = True
        return mask


ICT = Topology(starts=_ICT_STARTS, landmarks=_ICT_LANDMARKS)
