"""From the network's heads to the answers that people read.

The graph already gives physical values; what is left needs the photo (angles and points in the
photo's frame) or people's habits (the top label, thresholds, degrees). A task is answered by its
kind, as the contract names it, so nothing here knows a task or a label.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.align import in_plane_degrees, transform
from runtime.pose import angles_from_rotation, rotate_in_plane

CONTRACT_TENSOR = "contract"
# The kinds whose answers lie in the photo's frame, and so need the map from the crop to the photo.
PHOTO_KINDS = frozenset({"rotation", "points", "mask"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer tensor: its name, its type as the V2 protocol spells it, its shape without the faces."""

    name: str
    datatype: str
    dims: tuple[int, ...]


def postprocess(
    entry: Mapping[str, Any], head: NDArray[Any], crop_to_photo: ArrayLike | None = None
) -> dict[str, NDArray[Any]]:
    """The answer tensors of one task for B faces.

    `entry` is the task's entry in the contract, `head` [B, ...] the network's output of that name,
    `crop_to_photo` [B, 2, 3] the maps from the crops' pixels to the photos' (needed by the kinds in
    `PHOTO_KINDS`). By kind, for a task T with K labels:

    classes: T_probabilities FP32 [B, K], T_label BYTES [B, 1], the most probable label
    multilabel: T_probabilities FP32 [B, K], T_active BOOL [B, K], probability >= the threshold
    value: T_value FP32 [B, 1] in the contract's unit
    rotation: T_angles FP32 [B, 3], yaw, pitch and roll in degrees in the photo
    points: T_points FP32 [B, K, 2], x and y in the photo's pixels
    mask: T_mask UINT8 [B, H, W], class ids of the crop's pixels
    """
    answer = _answerer(entry)
    if entry["kind"] in PHOTO_KINDS and crop_to_photo is None:
        raise ValueError(f"task {entry['name']!r} is answered in the photo's frame: crop_to_photo is needed")
    maps = None if crop_to_photo is None else np.asarray(crop_to_photo, dtype=np.float32)
    return {f"{entry['name']}_{suffix}": tensor for suffix, tensor in answer(entry, head, maps).items()}


def postprocess_all(
    contract: Mapping[str, Any], heads: Mapping[str, NDArray[Any]], crop_to_photo: ArrayLike | None = None
) -> dict[str, NDArray[Any]]:
    """The answer tensors of every task of the contract that `heads` holds."""
    answers: dict[str, NDArray[Any]] = {}
    for entry in contract["tasks"]:
        if entry["name"] in heads:
            answers |= postprocess(entry, heads[entry["name"]], crop_to_photo)
    return answers


def answers_of(entry: Mapping[str, Any]) -> tuple[Answer, ...]:
    """The tensors that `postprocess` gives for a task; -1 stands for a size that varies."""
    _answerer(entry)
    name, count = entry["name"], len(entry["labels"])
    by_kind = {
        "classes": (("probabilities", "FP32", (count,)), ("label", "BYTES", (1,))),
        "multilabel": (("probabilities", "FP32", (count,)), ("active", "BOOL", (count,))),
        "value": (("value", "FP32", (count,)),),
        "rotation": (("angles", "FP32", (3,)),),
        "points": (("points", "FP32", (count, 2)),),
        "mask": (("mask", "UINT8", (-1, -1)),),
    }
    return tuple(
        Answer(name=f"{name}_{suffix}", datatype=datatype, dims=dims)
        for suffix, datatype, dims in by_kind[entry["kind"]]
    )


def heads_for(contract: Mapping[str, Any], requested: Collection[str]) -> list[str]:
    """The heads from which the answer tensors named in `requested` are made, in the contract's order."""
    return [
        entry["name"]
        for entry in contract["tasks"]
        if any(answer.name in requested for answer in answers_of(entry))
    ]


def no_faces(contract: Mapping[str, Any], tasks: Collection[str]) -> dict[str, NDArray[Any]]:
    """The answer tensors of these tasks for a photo without a face: every one of length 0."""
    datatypes = {"FP32": np.float32, "BOOL": np.bool_, "UINT8": np.uint8, "BYTES": np.object_}
    return {
        answer.name: np.zeros((0, *(max(size, 0) for size in answer.dims)), datatypes[answer.datatype])
        for entry in contract["tasks"]
        if entry["name"] in tasks
        for answer in answers_of(entry)
    }


def text_tensor(texts: list[str]) -> NDArray[np.object_]:
    """A BYTES tensor [len(texts), 1]."""
    tensor = np.empty((len(texts), 1), dtype=np.object_)
    tensor[:, 0] = [text.encode() for text in texts]
    return tensor


def _classes(
    entry: Mapping[str, Any], head: NDArray[Any], _: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    labels = entry["labels"]
    return {"probabilities": head, "label": text_tensor([labels[i] for i in head.argmax(axis=-1)])}


def _multilabel(
    entry: Mapping[str, Any], head: NDArray[Any], _: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    return {"probabilities": head, "active": head >= entry["threshold"]}


def _value(
    entry: Mapping[str, Any], head: NDArray[Any], _: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    return {"value": head}


def _rotation(
    entry: Mapping[str, Any], head: NDArray[Any], maps: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    assert maps is not None
    in_photo = rotate_in_plane(head, in_plane_degrees(maps))
    return {"angles": angles_from_rotation(in_photo).astype(np.float32)}


def _points(
    entry: Mapping[str, Any], head: NDArray[Any], maps: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    assert maps is not None
    moved = [transform(points, affine) for points, affine in zip(head, maps, strict=True)]
    return {"points": np.stack(moved) if moved else np.zeros(head.shape, np.float32)}


def _mask(
    entry: Mapping[str, Any], head: NDArray[Any], _: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    return {"mask": head}


_Answerer = Callable[[Mapping[str, Any], NDArray[Any], NDArray[np.float32] | None], dict[str, NDArray[Any]]]
_ANSWERERS: dict[str, _Answerer] = {
    "classes": _classes,
    "multilabel": _multilabel,
    "value": _value,
    "rotation": _rotation,
    "points": _points,
    "mask": _mask,
}


def _answerer(entry: Mapping[str, Any]) -> _Answerer:
    try:
        return _ANSWERERS[entry["kind"]]
    except KeyError:
        known = ", ".join(_ANSWERERS)
        raise ValueError(
            f"task {entry['name']!r} is of the unknown kind {entry['kind']!r}: known are {known}"
        ) from None
