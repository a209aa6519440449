"""From the network's heads to the answers that people read.

The graph already gives physical values; what is left needs the photo (angles and points in the photo's
frame) or is presentation (the top label, thresholds, degrees). Each head is answered by its kind
(`runtime.heads`), so nothing here knows a task, a label or a kind.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import Contract, TaskEntry
from runtime.heads import TaskHead, heads_of, task_heads
from runtime.kinds.base import PhotoGeometry

CONTRACT_TENSOR = "contract"
# Every type of the V2 protocol that numpy has: a kind may answer in any.
_DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}


def postprocess(
    entry: TaskEntry,
    head: NDArray[Any],
    crop_to_photo: ArrayLike | None = None,
    *,
    photo_size: ArrayLike | None = None,
    requested: Collection[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """The tensors of a task's answer for B faces, by their names.

    `head` [B, ...] is the task's own head (not its error), `crop_to_photo` [B, 2, 3] the maps from the crops'
    pixels to the photos' (needed by the kinds with `needs_crop_to_photo`), `photo_size` [B, 2] the photos'
    widths and heights (None: they end nowhere). `requested` names the tensors that are needed (None: all but
    those made on request); others may come too.
    """
    photo = _geometry(crop_to_photo, photo_size, requested)
    return _answered(task_heads(entry)[0], head, photo)


class Postprocessor:
    """Makes the answers of a contract's tasks; what it needs to know of the contract is looked up once."""

    def __init__(self, contract: Contract) -> None:
        self._heads = heads_of(contract)
        self._head_of = {  # by the name of an answer's tensor, in the contract's order
            tensor.name: head.name for head in self._heads.values() for tensor in head.answer_tensors
        }

    def heads_for(self, requested: Collection[str]) -> list[str]:
        """The heads from which the answer tensors named in `requested` are made, in the contract's order."""
        return list(dict.fromkeys(head for tensor, head in self._head_of.items() if tensor in requested))

    def answers(
        self,
        heads: Mapping[str, NDArray[Any]],
        crop_to_photo: ArrayLike | None = None,
        *,
        photo_size: ArrayLike | None = None,
        requested: Collection[str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The answer tensors of every head that `heads` holds, as `postprocess` gives them."""
        photo = _geometry(crop_to_photo, photo_size, requested)
        answers: dict[str, NDArray[Any]] = {}
        for name, head in self._heads.items():
            if name in heads:
                answers |= _answered(head, heads[name], photo)
        return answers


def postprocess_all(
    contract: Contract,
    heads: Mapping[str, NDArray[Any]],
    crop_to_photo: ArrayLike | None = None,
    *,
    photo_size: ArrayLike | None = None,
    requested: Collection[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """`Postprocessor.answers`, for a contract of which no more than this is needed."""
    return Postprocessor(contract).answers(heads, crop_to_photo, photo_size=photo_size, requested=requested)


def no_faces(contract: Contract, heads: Collection[str]) -> dict[str, NDArray[Any]]:
    """The answer tensors of the heads of these names for a photo without a face: every one of length 0."""
    return {
        tensor.name: np.zeros((0, *(max(size, 0) for size in tensor.dims)), _DTYPES[tensor.datatype])
        for name, head in heads_of(contract).items()
        if name in heads
        for tensor in head.answer_tensors
    }


def _geometry(
    crop_to_photo: ArrayLike | None, photo_size: ArrayLike | None, requested: Collection[str] | None
) -> PhotoGeometry:
    return PhotoGeometry(
        maps=None if crop_to_photo is None else np.asarray(crop_to_photo, dtype=np.float32),
        sizes=None if photo_size is None else np.asarray(photo_size),
        requested=requested,
    )


def _answered(head: TaskHead, values: NDArray[Any], photo: PhotoGeometry) -> dict[str, NDArray[Any]]:
    if head.kind.needs_crop_to_photo and photo.maps is None:
        raise ValueError(
            f"task {head.entry.name!r} is answered in the photo's frame: crop_to_photo is needed"
        )
    return head.kind.postprocess(head.entry, values, photo)
