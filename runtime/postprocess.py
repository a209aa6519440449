"""From the network's heads to the answers that people read.

The graph already gives physical values; what is left needs the photo (angles and points in the photo's
frame) or is presentation (the top label, thresholds, degrees). Each task is answered by its kind
(`runtime.kinds`), so nothing here knows a task, a label or a kind.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import Contract, TaskEntry
from runtime.kinds import kind_of
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

    `head` [B, ...] is the network's output for the task, `crop_to_photo` [B, 2, 3] the maps from the crops'
    pixels to the photos' (needed by the kinds with `needs_crop_to_photo`), `photo_size` [B, 2] the photos'
    widths and heights (None: they end nowhere). `requested` names the tensors that are needed (None: all but
    those made on request); others may come too.
    """
    kind = kind_of(entry)
    if kind.needs_crop_to_photo and crop_to_photo is None:
        raise ValueError(f"task {entry.name!r} is answered in the photo's frame: crop_to_photo is needed")
    photo = PhotoGeometry(
        maps=None if crop_to_photo is None else np.asarray(crop_to_photo, dtype=np.float32),
        sizes=None if photo_size is None else np.asarray(photo_size),
        requested=requested,
    )
    return kind.postprocess(entry, head, photo)


class Postprocessor:
    """Makes the answers of a contract's tasks; what it needs to know of the contract is looked up once."""

    def __init__(self, contract: Contract) -> None:
        self._entries = {entry.name: entry for entry in contract.tasks}
        self._head_of = {  # by the name of an answer's tensor, in the contract's order
            tensor.name: entry.name
            for entry in contract.tasks
            for tensor in kind_of(entry).answer_tensors(entry)
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
        """The answer tensors of every task that `heads` holds, as `postprocess` gives them."""
        answers: dict[str, NDArray[Any]] = {}
        for name, entry in self._entries.items():
            if name in heads:
                answers |= postprocess(
                    entry, heads[name], crop_to_photo, photo_size=photo_size, requested=requested
                )
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


def no_faces(contract: Contract, tasks: Collection[str]) -> dict[str, NDArray[Any]]:
    """The answer tensors of these tasks for a photo without a face: every one of length 0."""
    return {
        tensor.name: np.zeros((0, *(max(size, 0) for size in tensor.dims)), _DTYPES[tensor.datatype])
        for entry in contract.tasks
        if entry.name in tasks
        for tensor in kind_of(entry).answer_tensors(entry)
    }
