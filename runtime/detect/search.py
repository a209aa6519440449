"""The search for faces as a request may choose it: its defaults and its bounds, in one place."""

import dataclasses
from collections.abc import Mapping

from runtime.detect.canvases import level_shares
from runtime.parameters import Parameter, read_values

MIN_SCORE = 0.5
# Below it most boxes show no face, and each tile of a photo would show hundreds.
LOWEST_SCORE = 0.1
# Of one photo, the surest and best seen. A wall of portraits shows the detector 300; a picture made to look
# like thousands of faces would keep an engine busy for minutes.
MAX_FACES = 320
# What a server may be given instead: memory and time of an answer grow with the faces.
_MOST_FACES = 1024
# Of 6000 pixels, 24.
MIN_FACE = 0.004
_SMALLEST_FACE = 0.001


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """What one request wants found.

    min_score: the detector's score from which on a face counts, 0..1.
    max_faces: of more faces than these, those best seen.
    min_face: the smallest face, its longer side as a share of the photo's longer side; clearly smaller ones
    are left out. None: what the usual tiles show, small ones by chance included.
    """

    min_score: float = MIN_SCORE
    max_faces: int = MAX_FACES
    min_face: float | None = None


# Of a request without parameters.
USUAL_SEARCH = Search()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchLimits:
    """A server's own bounds of its requests' parameters. ValueError for limits that can't be."""

    max_faces: int = MAX_FACES  # of one photo; holds for requests without `max_faces` too
    min_face: float = MIN_FACE  # the smallest share of a photo's longer side that may be looked for

    def __post_init__(self) -> None:
        if not 1 <= self.max_faces <= _MOST_FACES:
            raise ValueError(f"--max-faces is 1 to {_MOST_FACES} faces of a photo, not {self.max_faces}")
        if not _SMALLEST_FACE <= self.min_face <= 1:
            raise ValueError(
                f"--min-face is a share of a photo's longer side: {_SMALLEST_FACE} to 1, "
                f"not {self.min_face:g}"
            )

    def parameters(self) -> dict[str, Parameter]:
        """The request parameters of a model that finds faces within these limits."""
        return {
            "min_score": Parameter(
                type="number",
                minimum=LOWEST_SCORE,
                maximum=1.0,
                default=MIN_SCORE,
                description="the detector's score from which on a face counts",
            ),
            "max_faces": Parameter(
                type="integer",
                minimum=1,
                maximum=self.max_faces,
                default=self.max_faces,
                description="the most faces to answer; of more the best seen are kept",
            ),
            "min_face": Parameter(
                type="number",
                minimum=self.min_face,
                maximum=1.0,
                description="the smallest face to look for, as a share of the photo's longer side; clearly "
                f"smaller ones are left out. Below {level_shares()[0]:.3f}, which is about what is seen "
                "without it, a photo is looked at more closely, and that takes several times as long",
                work_steps=tuple(round(share, 5) for share in level_shares() if share > self.min_face),
            ),
        }


USUAL_LIMITS = SearchLimits()


def read_search(sent: str, parameters: Mapping[str, Parameter]) -> Search:
    """The search of a request whose parameters came as JSON; others than `parameters` are left to others.

    Raises InvalidInput for a value that is not taken.
    """
    return Search(**read_values(sent, parameters))
