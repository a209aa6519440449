"""What can be evaluated: a checkpoint, an ONNX file, a running server, each as one function of crops.

All three say themselves which tasks they answer, with which labels, and how large the crop is: the
checkpoint and the ONNX file in their metadata, the server in the contract that any client reads.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.pose import rotation_from_angles
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluated_task import Question
from training.tasks import ALIGNED, contract_hash

if TYPE_CHECKING:
    from torch import nn

    from qface_client import Analysis, Contract, Face

Answers = dict[str, NDArray[Any]]
# Crops uint8 [N, S, S, 3], N up to BATCH -> physical values by task, as training.tasks.Kind has them.
Answering = Callable[[NDArray[np.uint8]], Answers]
# A photo (its file, or RGB uint8 [H, W, 3]) and the tasks wanted -> its faces, with answers in its pixels.
PhotoAnswering = Callable[[Path | NDArray[np.uint8], Sequence[str]], "Analysis"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is said of some faces of a set."""

    answers: Answers  # about those found, in their order
    found: NDArray[np.bool_]  # [N]: of each face, whether it was


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking:
    """A way to ask about the faces of a set."""

    # Faces by their numbers, and the questions about them -> what is said.
    ask: Callable[[FaceSet, NDArray[np.int64], Sequence[Question]], Asked]
    sent: str  # what is sent: a "crop", or the whole "photo"
    left_out: int = 0  # photos of the split that preparing left out of the set


BATCH = 32
SERVER = "grpc://"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A network under test."""

    name: str  # as it was named on the command line
    answer: Answering
    tasks: tuple[Mapping[str, Any], ...]  # the contract's entries
    input_size: int  # side of a crop in pixels
    contract: str  # its hash
    crop: str = ALIGNED  # how its crops are cut, one of training.tasks.CROPS
    photo: PhotoAnswering | None = None  # any number of threads may call it; None: it takes crops only


def about_crops(answer: Answering, *, size: int) -> Asking:
    """A function of crops of `size` pixels as one of a set's faces, all of which have one."""

    def ask(faces: FaceSet, indices: NDArray[np.int64], questions: Sequence[Question]) -> Asked:
        return Asked(answers=answer(faces.plain(indices, size=size)), found=np.ones(len(indices), bool))

    return Asking(ask=ask, sent="crop")


def answers_of(wrapper: "nn.Module") -> Answering:
    """A network that answers in physical values (training.models.ExportWrapper) as a function of crops."""
    import torch

    def answer(pixels: NDArray[np.uint8]) -> Answers:
        device = next((tensor.device for tensor in wrapper.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            answered = wrapper(torch.from_numpy(pixels).to(device))
        return {name: tensor.cpu().numpy() for name, tensor in answered.items()}

    return answer


def subject_of(words: str, *, device: str = "cpu") -> Subject:
    """What a word of the command line names: grpc://host:port, a .onnx file, or a checkpoint.

    ValueError says what is wrong with it; a network for other crops than prepared sets hold is refused.
    """
    if words.startswith(SERVER):
        return of_server(words)
    if "://" in words:
        raise ValueError(f"{words} is no server's address: give {SERVER}host:port, where its gRPC listens")
    path = Path(words)
    subject = of_onnx(path) if path.suffix == ".onnx" else of_checkpoint(path, device=device)
    if subject.crop != ALIGNED:
        raise ValueError(
            f"{words} was trained on crops of the kind {subject.crop!r} and prepared sets hold {ALIGNED!r} "
            "ones, on which its figures would be too low: evaluate it with the code that it comes from"
        )
    return subject


def of_checkpoint(path: Path, *, device: str = "cpu") -> Subject:
    """A checkpoint, run by torch on `device` ("cpu", "cuda")."""
    import torch

    from training.models import ExportWrapper, load_checkpoint

    checkpoint = load_checkpoint(path)
    try:
        wrapper = ExportWrapper(checkpoint.model, checkpoint.contract).to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch's words for a device that is not there
        reason = str(error).splitlines()[0]
        raise ValueError(f"{device!r} can't be used here ({reason}): choose another --device") from None
    return _subject(str(path), answers_of(wrapper), checkpoint.contract)


def of_onnx(path: Path, *, threads: int | None = None) -> Subject:
    """An exported network, run by ONNX Runtime on the CPU with `threads` cores (None: all)."""
    import onnx

    from runtime.engines.onnxruntime import OnnxRuntimeEngine

    if not path.is_file():
        raise ValueError(f"{path} does not exist: make it with `python -m build CHECKPOINT`")
    try:
        said = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        engine = OnnxRuntimeEngine(path, threads=threads)
    # Both libraries have many exceptions of their own for a file that is none.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is no ONNX file that can be run ({reason}): build it again") from None
    try:
        contract = json.loads(said.get("contract", ""))
        whole = contract["hash"] == contract_hash(contract)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"{path} does not hold a whole contract in its metadata: build it again")

    def answer(pixels: NDArray[np.uint8]) -> Answers:
        return engine.infer({engine.inputs[0]: pixels})

    return _subject(str(path), answer, contract)


def of_server(url: str, *, timeout: float = 120.0) -> Subject:
    """A running server at grpc://host:port, asked through its client, a batch of crops a request.

    Its labels, their order and the crop's size come from its contract, which every answer is pinned to: a
    server whose tasks change while it is evaluated is an error and no mixed table.
    """
    try:
        from qface_client import FaceClient, QFaceError
    except ModuleNotFoundError as error:
        raise ValueError(
            f"a server is asked through its client, and {error.name} is not installed: pip install ./client"
        ) from None

    address = url.removeprefix(SERVER).rstrip("/")
    try:
        with FaceClient(address, timeout=timeout) as client:
            contract = client.contract()
        pinned = FaceClient(address, timeout=timeout, expect_contract=contract.hash)
    except (QFaceError, ValueError) as error:
        raise ValueError(f"{url} can't be evaluated: {error}") from None

    def answer(pixels: NDArray[np.uint8]) -> Answers:
        try:
            faces = pinned.analyze_crops(pixels)
        except QFaceError as error:
            raise ValueError(f"{url} did not answer {len(pixels)} crops: {error}") from None
        return answers_of_faces(faces, contract)

    entries = [
        {
            "name": task.name,
            "kind": task.kind,
            "labels": list(task.labels),
            "unit": task.unit,
            "threshold": task.threshold,
        }
        for task in contract.tasks
        if task.readable
    ]
    return Subject(
        name=url,
        answer=answer,
        tasks=tuple(entries),
        input_size=contract.input_size,
        contract=contract.hash,
        photo=pinned.analyze,
    )


def answers_of_faces(faces: Sequence["Face"], contract: "Contract") -> Answers:
    """The client's typed answers for crops of the network's size -> values as the network gives them."""
    return {
        task.name: np.stack([values_of(face[task.name], task.labels) for face in faces])
        for task in contract.tasks
        if task.readable
    }


def values_of(answer: Any, labels: Sequence[str]) -> NDArray[Any]:
    """One of the client's typed answers as the network gives it, in the order of these labels."""
    from qface_client import Classification, Mask, MultiLabel, Points, Rotation, Value

    match answer:
        case Classification(probabilities=named):
            return np.array([named[label] for label in labels], np.float32)
        case MultiLabel():
            return np.array([answer[label] for label in labels], np.float32)
        case Value(value=value):
            return np.array([value], np.float32)
        case Rotation(angles=angles):
            return rotation_from_angles([angles[label] for label in labels])
        case Points(xy=points):
            return points
        case Mask(ids=ids):
            return ids
    raise TypeError(f"{type(answer).__name__} is no answer of the client's")


def _subject(name: str, answer: Answering, contract: Mapping[str, Any]) -> Subject:
    return Subject(
        name=name,
        answer=answer,
        tasks=tuple(contract["tasks"]),
        input_size=int(contract["input_size"]),
        contract=str(contract["hash"]),
        crop=str(contract.get("crop", ALIGNED)),
    )
