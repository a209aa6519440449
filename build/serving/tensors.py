"""The tensors that served models exchange, and the parameters that name their meaning."""

import dataclasses
from collections.abc import Mapping, Sequence

from build.onnx_interface import PIXELS, Head
from build.serving.pbtxt import Tensor
from runtime.answering.quality import FACES_BELOW_QUALITY as BELOW_TENSOR
from runtime.contract import Contract, TaskEntry
from runtime.heads import answer_tensors, task_heads
from runtime.postprocess import CONTRACT_TENSOR

IMAGE = Tensor(name="image", datatype="UINT8", dims=(-1,), ragged=True)
FACE_INPUTS = (
    IMAGE,
    Tensor(name="box", datatype="FP32", dims=(4,)),
    Tensor(name="landmarks", datatype="FP32", dims=(5, 2)),
)
CROP_INPUTS = (Tensor(name="crop", datatype="UINT8", dims=(-1, -1, 3), ragged=True),)
PHOTO_INPUTS = (dataclasses.replace(IMAGE, ragged=False),)
CROP_TO_PHOTO = Tensor(name="crop_to_photo", datatype="FP32", dims=(2, 3))
PHOTO_SIZE = Tensor(name="photo_size", datatype="INT32", dims=(2,))
CONTRACT_HASH = Tensor(name=CONTRACT_TENSOR, datatype="BYTES", dims=(1,))
DETECTIONS = (
    Tensor(name="boxes", datatype="FP32", dims=(-1, 4)),
    Tensor(name="scores", datatype="FP32", dims=(-1,)),
    Tensor(name="landmarks", datatype="FP32", dims=(-1, 5, 2)),
    PHOTO_SIZE,
    Tensor(name="faces_found", datatype="INT32", dims=(1,)),
    Tensor(name="smallest_face", datatype="FP32", dims=(1,)),
)
FACES_BELOW_QUALITY = Tensor(name=BELOW_TENSOR, datatype="INT32", dims=(1,))


def pixels(contract: Contract) -> Tensor:
    """What the engine reads."""
    return Tensor(name=PIXELS, datatype="UINT8", dims=(contract.input_size, contract.input_size, 3))


def head_tensors(entries: Sequence[TaskEntry], heads: Mapping[str, Head]) -> tuple[Tensor, ...]:
    """The heads of these tasks."""
    return tuple(head_tensor(name, heads[name]) for name in head_names(entries))


def head_names(entries: Sequence[TaskEntry]) -> tuple[str, ...]:
    """The names of these tasks' heads."""
    return tuple(head.name for entry in entries for head in task_heads(entry))


def head_tensor(name: str, head: Head) -> Tensor:
    """A head by its name."""
    return Tensor(name=name, datatype=head.datatype, dims=head.dims)


def answers(entries: Sequence[TaskEntry], *, on_request: bool | None = None) -> tuple[Tensor, ...]:
    """All answers of these tasks; True: those made on request only, False: the others."""
    return tuple(
        Tensor(name=answer.name, datatype=answer.datatype, dims=answer.dims)
        for entry in entries
        for answer in answer_tensors(entry)
        if on_request in (None, answer.on_request)
    )


def about_photo(entries: Sequence[TaskEntry]) -> tuple[Tensor, ...]:
    """What the answers of these tasks need to know of the photo, beside the heads."""
    kinds = [head.kind for entry in entries for head in task_heads(entry)]
    crop_to_photo = (CROP_TO_PHOTO,) if any(kind.needs_crop_to_photo for kind in kinds) else ()
    photo_size = (PHOTO_SIZE,) if any(kind.needs_photo_size for kind in kinds) else ()
    return (*crop_to_photo, *photo_size)


def contract_parameter(contract: Contract) -> dict[str, str]:
    """The parameter by which a model states what its answers mean."""
    return {"contract": contract.to_text()}
