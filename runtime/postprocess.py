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

from runtime.image.align import in_plane_degrees, transform
from runtime.image.masks import as_png, as_runs, padded
from runtime.pose import angles_from_rotation, rotate_in_plane

CONTRACT_TENSOR = "contract"
_RUNS = "runs"
# The kinds whose answers lie in the photo's frame, and so need the map from the crop to the photo.
PHOTO_KINDS = frozenset({"rotation", "points", "mask"})
# The kinds whose answers say where the photo ends, and so need its size too.
SIZE_KINDS = frozenset({"mask"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer tensor: its name, its type as the V2 protocol spells it, its shape without the faces."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    on_request: bool = False  # made only where it is asked for by its name


def postprocess(
    entry: Mapping[str, Any],
    head: NDArray[Any],
    crop_to_photo: ArrayLike | None = None,
    *,
    photo_size: ArrayLike | None = None,
    wanted: Collection[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """The answer tensors of one task for B faces.

    `entry` is the task's entry in the contract, `head` [B, ...] the network's output of that name,
    `crop_to_photo` [B, 2, 3] the maps from the crops' pixels to the photos' (needed by the kinds in
    `PHOTO_KINDS`), `photo_size` [B, 2] the photos' widths and heights (None: they end nowhere). `wanted`
    names the tensors that are needed (None: all but those made on request); others may come too. By kind,
    for a task T with K labels:

    classes: T_probabilities FP32 [B, K], T_label BYTES [B, 1], the most probable label
    multilabel: T_probabilities FP32 [B, K], T_active BOOL [B, K], probability >= the threshold
    value: T_value FP32 [B, 1] in the contract's unit
    rotation: T_angles FP32 [B, 3], yaw, pitch and roll in degrees in the photo
    points: T_points FP32 [B, K, 2], x and y in the photo's pixels
    mask: T_png BYTES [B, 1], class ids of the crop's pixels as a PNG of 8-bit grey, 255 where the crop
        reaches out of the photo; T_map FP32 [B, 2, 3], from the crop's pixels to the photo's; on request
        T_runs BYTES [B, 1], the same ids as run lengths in JSON (`runtime.image.masks.as_runs`)
    """
    answer = _answerer(entry)
    if entry["kind"] in PHOTO_KINDS and crop_to_photo is None:
        raise ValueError(f"task {entry['name']!r} is answered in the photo's frame: crop_to_photo is needed")
    photo = _Photo(
        maps=None if crop_to_photo is None else np.asarray(crop_to_photo, dtype=np.float32),
        sizes=None if photo_size is None else np.asarray(photo_size),
        wanted=wanted,
    )
    return {f"{entry['name']}_{suffix}": tensor for suffix, tensor in answer(entry, head, photo).items()}


def postprocess_all(
    contract: Mapping[str, Any],
    heads: Mapping[str, NDArray[Any]],
    crop_to_photo: ArrayLike | None = None,
    *,
    photo_size: ArrayLike | None = None,
    wanted: Collection[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """The answer tensors of every task of the contract that `heads` holds, as `postprocess` makes them."""
    answers: dict[str, NDArray[Any]] = {}
    for entry in contract["tasks"]:
        if entry["name"] in heads:
            answers |= postprocess(
                entry, heads[entry["name"]], crop_to_photo, photo_size=photo_size, wanted=wanted
            )
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
        "mask": (("png", "BYTES", (1,)), ("map", "FP32", (2, 3)), (_RUNS, "BYTES", (1,))),
    }
    return tuple(
        Answer(name=f"{name}_{suffix}", datatype=datatype, dims=dims, on_request=suffix == _RUNS)
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
    return bytes_tensor([text.encode() for text in texts])


def bytes_tensor(rows: list[bytes]) -> NDArray[np.object_]:
    """A BYTES tensor [len(rows), 1]."""
    tensor = np.empty((len(rows), 1), dtype=np.object_)
    tensor[:, 0] = rows
    return tensor


def mask_ids(
    head: NDArray[np.uint8], maps: NDArray[np.float32], sizes: NDArray[Any] | None
) -> list[NDArray[np.uint8]]:
    """Each face's class ids [H, W], 255 where its crop reaches out of its photo (sizes None: nowhere)."""
    if sizes is None:
        return list(head)
    return [
        padded(ids, crop_to_photo=affine, photo_size=size)
        for ids, affine, size in zip(head, maps, sizes, strict=True)
    ]


_Tensors = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Photo:
    """Where B faces lie in their photos, and what is asked for."""

    maps: NDArray[np.float32] | None  # [B, 2, 3], crop -> photo
    sizes: NDArray[Any] | None  # [B, 2], width and height
    wanted: Collection[str] | None  # names of answer tensors; None: all but those made on request


def _classes(entry: Mapping[str, Any], head: NDArray[Any], _: _Photo) -> _Tensors:
    labels = entry["labels"]
    return {"probabilities": head, "label": text_tensor([labels[i] for i in head.argmax(axis=-1)])}


def _multilabel(entry: Mapping[str, Any], head: NDArray[Any], _: _Photo) -> _Tensors:
    return {"probabilities": head, "active": head >= entry["threshold"]}


def _value(entry: Mapping[str, Any], head: NDArray[Any], _: _Photo) -> _Tensors:
    return {"value": head}


def _rotation(entry: Mapping[str, Any], head: NDArray[Any], photo: _Photo) -> _Tensors:
    assert photo.maps is not None
    in_photo = rotate_in_plane(head, in_plane_degrees(photo.maps))
    return {"angles": angles_from_rotation(in_photo).astype(np.float32)}


def _points(entry: Mapping[str, Any], head: NDArray[Any], photo: _Photo) -> _Tensors:
    assert photo.maps is not None
    moved = [transform(points, affine) for points, affine in zip(head, photo.maps, strict=True)]
    return {"points": np.stack(moved) if moved else np.zeros(head.shape, np.float32)}


def _mask(entry: Mapping[str, Any], head: NDArray[Any], photo: _Photo) -> _Tensors:
    assert photo.maps is not None
    faces = mask_ids(head, photo.maps, photo.sizes)
    answers: _Tensors = {"map": photo.maps}
    if photo.wanted is None or f"{entry['name']}_png" in photo.wanted:
        answers["png"] = bytes_tensor([as_png(ids) for ids in faces])
    if photo.wanted is not None and f"{entry['name']}_{_RUNS}" in photo.wanted:
        answers[_RUNS] = text_tensor([as_runs(ids) for ids in faces])
    return answers


_Answerer = Callable[[Mapping[str, Any], NDArray[Any], _Photo], _Tensors]
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
