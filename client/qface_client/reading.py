"""From a server's messages and tensors to typed answers.

What the server promised is checked here: that the tensors are there, their shapes, labels and maps, and how
masks begin. A mask is decompressed when it is looked at; where it is damaged that raises ServerError.

Public for programs with a connection of their own, such as a gateway that speaks another protocol to its
clients: what is read by this is what a FaceClient returns.
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ._connection.messages import answer, model_info
from ._exchange.unreadable import unreadable_is_a_server_error
from .contract import Contract, TaskSpec
from .errors import ServerError
from .kinds import KINDS
from .kinds.base import Answer, Box, Tensors, rows, tensor, text
from .provenance import Provenance
from .results import Analysis, Face

__all__ = [
    "CONTRACT_OUTPUT",
    "FACE_OUTPUTS",
    "ENGINE_MODEL",
    "PHOTO_MODEL",
    "QUALITY_OUTPUT",
    "SEARCH_OUTPUTS",
    "answered_hash",
    "as_box",
    "model_info",
    "read_answer",
    "read_photo",
    "read_tasks",
]

# What answers photos, of the first network; those of others have a prefix.
PHOTO_MODEL = "photo_analysis"
ENGINE_MODEL = "face_engine"
FACE_OUTPUTS = ("boxes", "scores", "landmarks", "photo_size")
# Of how the photo was searched; servers from before these were answered have none of them.
SEARCH_OUTPUTS = ("faces_found", "smallest_face")
QUALITY_OUTPUT = "faces_below_quality"  # of a server that leaves out faces below a quality
CONTRACT_OUTPUT = "contract"


def read_answer(response: Any) -> dict[str, NDArray[Any]]:
    """The tensors of a ModelInferResponse by name, read-only; ServerError where bytes don't fit shapes."""
    return answer(response)


@unreadable_is_a_server_error()
def answered_hash(tensors: Tensors) -> str:
    """The hash of the contract by which an answer was made; ServerError if it has none, or several."""
    hashes = {text(item) for item in tensor(tensors, CONTRACT_OUTPUT, texts=True).ravel()}
    if len(hashes) != 1:
        raise ServerError(
            f"the answer names {len(hashes)} contracts instead of one: look at the server's log"
        )
    return hashes.pop()


@unreadable_is_a_server_error()
def read_photo(
    tensors: Tensors,
    *,
    tasks: Sequence[TaskSpec],
    contract: Contract | None,
    provenance: Provenance | None = None,
) -> Analysis:
    """The faces of a photo from `boxes` [N, 4], `scores` [N], `landmarks` [N, 5, 2], `photo_size` [2]
    (width, height), each task's tensors with N in front, and `faces_found` [1], `smallest_face` [1] and
    `faces_below_quality` [1] where they were answered."""
    if provenance is None:
        provenance = Provenance(contract=contract.hash if contract else "")
    boxes = tensor(tensors, "boxes", shape=(None, 4)).tolist()
    count = len(boxes)
    scores = tensor(tensors, "scores", shape=(count,)).tolist()
    landmarks = rows(tensor(tensors, "landmarks", shape=(count, 5, 2)))
    width, height = (int(side) for side in tensor(tensors, "photo_size", shape=(2,)))
    answers = read_tasks(tensors, tasks=tasks, count=count)
    faces = [
        Face(
            box=as_box(boxes[i]),
            score=scores[i],
            landmarks5=landmarks[i],
            answers=answers[i],
            contract=contract,
            provenance=provenance,
        )
        for i in range(count)
    ]
    found, smallest, below = (
        tensor(tensors, name, shape=(1,))[0] if name in tensors else None
        for name in (*SEARCH_OUTPUTS, QUALITY_OUTPUT)
    )
    return Analysis(
        faces,
        width=width,
        height=height,
        contract=contract,
        faces_found=None if found is None else int(found),
        smallest_face=None if smallest is None else float(smallest),
        provenance=provenance,
        faces_below_quality=None if below is None else int(below),
    )


@unreadable_is_a_server_error()
def read_tasks(tensors: Tensors, *, tasks: Sequence[TaskSpec], count: int) -> list[dict[str, Answer]]:
    """For each of `count` faces, the answers by task, in the contract's order."""
    if count == 0:
        return []
    columns = {task.name: KINDS[task.kind].read(tensors, task, count) for task in tasks}
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def as_box(values: Sequence[float] | NDArray[Any]) -> Box:
    """Four plain floats."""
    x0, y0, x1, y1 = (float(value) for value in values)
    return x0, y0, x1, y1
