"""What can be evaluated: a checkpoint, an ONNX file, a running server, each as one function of crops.

All three say themselves which tasks they answer, with which labels, and how large the crop is: the
checkpoint and the ONNX file in their metadata, the server in the contract that any client reads.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import ALIGNED, Contract, InvalidContract
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluated_task import EvaluatedTask
from training.kinds import kinds

if TYPE_CHECKING:
    from torch import nn

    from qface_client import Analysis, Face
    from qface_client import Contract as ServedContract

Predictions = dict[str, NDArray[Any]]
# Crops uint8 [N, S, S, 3], N up to BATCH -> physical values by task, as the `physical` of their kinds gives them.
Predict = Callable[[NDArray[np.uint8]], Predictions]
# A photo (its file, or RGB uint8 [H, W, 3]) and the tasks wanted -> its faces, with answers in its pixels.
AnalyzePhoto = Callable[[Path | NDArray[np.uint8], Sequence[str]], "Analysis"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundPredictions:
    """What is said of some faces of a set."""

    predictions: Predictions  # about those found, in their order
    found: NDArray[np.bool_]  # [N]: of each face, whether it was


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionSource:
    """A way to ask about the faces of a set."""

    # Faces by their numbers, and the evaluated_tasks about them -> what is said.
    predict: Callable[[FaceSet, NDArray[np.int64], Sequence[EvaluatedTask]], FoundPredictions]
    sent: str  # what is sent: a "crop", or the whole "photo"
    left_out: int = 0  # photos of the split that preparing left out of the set


BATCH = 32
SERVER = "grpc://"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictor:
    """A network under test."""

    name: str  # as it was named on the command line
    predict: Predict
    tasks: tuple[Mapping[str, Any], ...]  # the contract's entries
    input_size: int  # side of a crop in pixels
    contract: str  # its hash
    crop: str = ALIGNED  # how its crops are cut, one of training.contract.CROPS
    analyze_photo: AnalyzePhoto | None = None  # any number of threads may call it; None: it takes crops only


def crop_source(predict_crops: Predict, *, size: int) -> PredictionSource:
    """A function of crops of `size` pixels as one of a set's faces, all of which have one."""

    def predict(
        faces: FaceSet, indices: NDArray[np.int64], evaluated_tasks: Sequence[EvaluatedTask]
    ) -> FoundPredictions:
        return FoundPredictions(
            predictions=predict_crops(faces.served_crops(indices, size=size)),
            found=np.ones(len(indices), bool),
        )

    return PredictionSource(predict=predict, sent="crop")


def torch_predict(wrapper: "nn.Module") -> Predict:
    """A network that answers in physical values (training.models.ExportWrapper) as a function of crops."""
    import torch

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        device = next((tensor.device for tensor in wrapper.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            answered = wrapper(torch.from_numpy(pixels).to(device))
        return {name: tensor.cpu().numpy() for name, tensor in answered.items()}

    return predict


def load_predictor(words: str, *, device: str = "cpu") -> Predictor:
    """What a word of the command line names: grpc://host:port, a .onnx file, or a checkpoint.

    ValueError says what is wrong with it; a network for other crops than prepared sets hold is refused.
    """
    if words.startswith(SERVER):
        return server_predictor(words)
    if "://" in words:
        raise ValueError(f"{words} is no server's address: give {SERVER}host:port, where its gRPC listens")
    path = Path(words)
    predictor = onnx_predictor(path) if path.suffix == ".onnx" else checkpoint_predictor(path, device=device)
    if predictor.crop != ALIGNED:
        raise ValueError(
            f"{words} was trained on crops of the kind {predictor.crop!r} and prepared sets hold {ALIGNED!r} "
            "ones, on which its figures would be too low: evaluate it with the code that it comes from"
        )
    return predictor


def checkpoint_predictor(path: Path, *, device: str = "cpu") -> Predictor:
    """A checkpoint, run by torch on `device` ("cpu", "cuda")."""
    import torch

    from training.models import ExportWrapper, load_checkpoint

    checkpoint = load_checkpoint(path)
    try:
        wrapper = ExportWrapper(checkpoint.model, checkpoint.contract).to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch's words for a device that is not there
        reason = str(error).splitlines()[0]
        raise ValueError(f"{device!r} can't be used here ({reason}): choose another --device") from None
    return _from_contract(str(path), torch_predict(wrapper), checkpoint.contract)


def onnx_predictor(path: Path, *, threads: int | None = None) -> Predictor:
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
        contract = Contract.parse(said.get("contract", ""))
    except InvalidContract as error:
        raise ValueError(
            f"{path} does not hold a whole contract in its metadata ({error}): build it again"
        ) from None

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        return engine.infer({engine.inputs[0]: pixels})

    return _from_contract(str(path), predict, contract.to_json())


def server_predictor(url: str, *, timeout: float = 120.0) -> Predictor:
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

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        try:
            faces = pinned.analyze_crops(pixels)
        except QFaceError as error:
            raise ValueError(f"{url} did not answer {len(pixels)} crops: {error}") from None
        return predictions_of_faces(faces, contract)

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
    return Predictor(
        name=url,
        predict=predict,
        tasks=tuple(entries),
        input_size=contract.input_size,
        contract=contract.hash,
        analyze_photo=pinned.analyze,
    )


def predictions_of_faces(faces: Sequence["Face"], contract: "ServedContract") -> Predictions:
    """The client's typed answers for crops of the network's size -> values as the network gives them."""
    return {
        task.name: np.stack([kinds()[task.kind].from_client(face[task.name], task.labels) for face in faces])
        for task in contract.tasks
        if task.readable
    }


def _from_contract(name: str, predict: Predict, contract: Mapping[str, Any]) -> Predictor:
    return Predictor(
        name=name,
        predict=predict,
        tasks=tuple(contract["tasks"]),
        input_size=int(contract["input_size"]),
        contract=str(contract["hash"]),
        crop=str(contract.get("crop", ALIGNED)),
    )
