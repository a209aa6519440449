"""Predictors: a checkpoint, an ONNX file or a running server, each as one function of crops.

Tasks, labels and the crop's size come from each predictor's own contract: a checkpoint and an ONNX file have
it in their metadata, a server returns it to any client.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import ALIGNED, Contract, ErrorBounds, InvalidContract, QualityEntry, TaskEntry
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluated_task import EvaluatedTask
from training.kinds import kinds

if TYPE_CHECKING:
    from torch import nn

    from qface_client import Analysis, Face, TaskSpec
    from qface_client import Contract as ServedContract
    from training.models import Checkpoint

Predictions = dict[str, NDArray[Any]]
# Crops uint8 [N, S, S, 3], N up to BATCH -> physical values by task (training.kinds.base.Kind.physical).
Predict = Callable[[NDArray[np.uint8]], Predictions]
# A photo (its file, or RGB uint8 [H, W, 3]) and names of tasks -> all its faces, whatever their quality, with
# answers in its pixels.
AnalyzePhoto = Callable[[Path | NDArray[np.uint8], Sequence[str]], "Analysis"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundPredictions:
    """Predictions for those of some faces that were found."""

    predictions: Predictions  # for the found faces, in their order
    found: NDArray[np.bool_]  # [N]: for each face, whether it was found


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionSource:
    """What predictions for the faces of a set are made of: their crops, or their photos."""

    # The set, indices of its faces, and tasks -> their predictions.
    predict: Callable[[FaceSet, NDArray[np.int64], Sequence[EvaluatedTask]], FoundPredictions]
    sent: str  # the input: a "crop", or the whole "photo"
    left_out: int = 0  # photos of the split that preparing left out of the set


BATCH = 32
SERVER = "grpc://"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictor:
    """A network under test."""

    name: str  # as on the command line
    predict: Predict
    tasks: tuple[TaskEntry, ...]  # the contract's entries
    input_size: int  # side of a crop in pixels
    contract: str  # its hash
    crop: str = ALIGNED  # how its crops are cut, one of runtime.image.crops.CROPS
    analyze_photo: AnalyzePhoto | None = None  # thread-safe; None: it takes crops only
    precision: str = ""  # in which it computes; "": that is not known
    quality: QualityEntry | None = None  # which answer is a face's quality; None: none is
    # A photo -> how many faces are answered as a server answers by default; None: it takes crops only.
    faces_answered: Callable[[Path], int] | None = None


def crop_source(predict_crops: Predict, *, size: int) -> PredictionSource:
    """Predictions from the prepared crops, scaled to `size` pixels: every face has one."""

    def predict(
        faces: FaceSet, indices: NDArray[np.int64], evaluated_tasks: Sequence[EvaluatedTask]
    ) -> FoundPredictions:
        return FoundPredictions(
            predictions=predict_crops(faces.served_crops(indices, size=size)),
            found=np.ones(len(indices), bool),
        )

    return PredictionSource(predict=predict, sent="crop")


def torch_predict(wrapper: "nn.Module") -> Predict:
    """A torch module that returns physical values (training.models.ExportWrapper) as a function of crops."""
    import torch

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        device = next((tensor.device for tensor in wrapper.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            answered = wrapper(torch.from_numpy(pixels).to(device))
        return {name: tensor.cpu().numpy() for name, tensor in answered.items()}

    return predict


def without_masks(checkpoint: "Checkpoint") -> Predictor:
    """A checkpoint run by torch that answers all but masks, which take a good part of a call's time."""
    import torch

    from training.models.export_wrapper import physical

    model, contract = checkpoint.model, checkpoint.contract
    tasks = {task.name: task for task in model.tasks}
    entries = tuple(entry for entry in contract.tasks if not kinds()[entry.kind].needs_places)
    if not model.encoder.is_vit:
        model.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        with torch.inference_mode():
            raw = model(torch.from_numpy(pixels), masked_rows=torch.arange(0)).logits
            found = {}
            for entry in entries:
                task = tasks[entry.name]
                values = physical(task, raw[task.name].float(), input_size=contract.input_size).numpy()
                kept = [task.labels.index(label) for label in entry.labels]
                found[task.name] = values if len(kept) == len(task.labels) else values[:, kept]
            return found

    return Predictor(
        name=str(checkpoint.card.get("run", "checkpoint")),
        predict=predict,
        tasks=entries,
        input_size=contract.input_size,
        contract=contract.hash,
        crop=contract.crop,
        quality=contract.quality,
    )


def photo_analysis(predictor: Predictor) -> AnalyzePhoto:
    """What answers photos; ValueError for a predictor that takes crops only."""
    if predictor.analyze_photo is None:
        raise ValueError(
            f"--photos are sent to a server, and {predictor.name} is none: name {SERVER}host:port"
        )
    return predictor.analyze_photo


def load_predictor(address: str, *, device: str = "cpu", crop: str | None = ALIGNED) -> Predictor:
    """The predictor at grpc://host:port, in a .onnx file, or in a checkpoint.

    ValueError for an address or a file that can't be used, and for a network whose crops are cut otherwise
    than as `crop` (None: as they are), which is how those of the sets are that it is shown.
    """
    if address.startswith(SERVER):
        return server_predictor(address)
    if "://" in address:
        raise ValueError(f"{address} is no server's address: give {SERVER}host:port, where its gRPC listens")
    path = Path(address)
    predictor = onnx_predictor(path) if path.suffix == ".onnx" else checkpoint_predictor(path, device=device)
    if crop is not None:
        _check_crop(predictor, crop)
    return predictor


def check_crops(predictor: Predictor, sets: Sequence[FaceSet]) -> None:
    """ValueError where the faces of a set are cut otherwise than the predictor's."""
    for faces in sets:
        _check_crop(predictor, faces.crop)


def _check_crop(predictor: Predictor, crop: str) -> None:
    if predictor.crop != crop:
        raise ValueError(
            f"{predictor.name} was trained on crops of the kind {predictor.crop!r} and would be shown "
            f"{crop!r} ones, on which its figures are too low: measure it by `python -m "
            f"training.evaluation.evaluate` on sets that were prepared with --crop {predictor.crop}"
        )


def checkpoint_predictor(path: Path, *, device: str = "cpu") -> Predictor:
    """A checkpoint, run by torch on `device` ("cpu", "cuda")."""
    import torch

    from training.models import ExportWrapper, load_checkpoint

    checkpoint = load_checkpoint(path)
    try:
        wrapper = ExportWrapper(checkpoint.model, checkpoint.contract).to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch raises either for a missing device
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
        metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        engine = OnnxRuntimeEngine(path, threads=threads)
    # Both libraries have many exceptions of their own for a file that is none.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is no ONNX file that can be run ({reason}): build it again") from None
    try:
        contract = Contract.parse(metadata.get("contract", ""))
    except InvalidContract as error:
        raise ValueError(
            f"{path} does not hold a whole contract in its metadata ({error}): build it again"
        ) from None

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        return engine.infer({engine.inputs[0]: pixels})

    return _from_contract(str(path), predict, contract)


def server_predictor(url: str, *, timeout: float = 120.0) -> Predictor:
    """A running server at grpc://host:port through its client, a batch of crops a request.

    Labels, their order and the crop's size come from its contract, which every response is pinned to: if the
    server's tasks change during the evaluation, it stops with an error.
    """
    try:
        from qface_client import FaceClient, QFaceError
    except ModuleNotFoundError as error:
        raise ValueError(
            f"a server is evaluated through its client, and {error.name} is not installed: "
            "pip install ./client"
        ) from None

    address = url.removeprefix(SERVER).rstrip("/")
    try:
        with FaceClient(address, timeout=timeout) as client:
            contract, precision = client.contract(), client.precision()
        pinned = FaceClient(address, timeout=timeout, expect_contract=contract.hash)
    except (QFaceError, ValueError) as error:
        raise ValueError(f"{url} can't be evaluated: {error}") from None

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        try:
            faces = pinned.analyze_crops(pixels)
        except QFaceError as error:
            raise ValueError(f"{url} did not answer {len(pixels)} crops: {error}") from None
        return predictions_of_faces(faces, contract)

    def faces_answered(photo: Path) -> int:
        try:
            if contract.quality is None:
                return len(pinned.detect(photo))
            return len(pinned.analyze(photo, [contract.quality.task]))
        except QFaceError as error:
            raise ValueError(f"{url} did not answer about {photo}: {error}") from None

    entries = [
        TaskEntry(
            name=task.name,
            kind=task.kind,
            labels=task.labels,
            unit=task.unit,
            threshold=task.threshold,
            error=_error_bounds(task),
        )
        for task in contract.tasks
        if task.readable
    ]
    return Predictor(
        name=url,
        predict=predict,
        tasks=tuple(entries),
        input_size=contract.input_size,
        contract=contract.hash,
        crop=contract.crop,
        # Every face that is found is measured.
        analyze_photo=pinned.analyze
        if contract.quality is None
        else functools.partial(pinned.analyze, min_quality=0.0),
        precision=precision,
        quality=None if contract.quality is None else QualityEntry(**dataclasses.asdict(contract.quality)),
        faces_answered=faces_answered,
    )


def predictions_of_faces(faces: Sequence["Face"], contract: "ServedContract") -> Predictions:
    """The client's typed answers for crops of the network's size -> values as the network gives them."""
    found: Predictions = {}
    for task in contract.tasks:
        if task.readable:
            kind = kinds()[task.kind]
            answers = [face[task.name] for face in faces]
            found[task.name] = np.stack([kind.from_client(answer, task.labels) for answer in answers])
            if _error_bounds(task) is not None:
                errors = [kind.error_from_client(answer, task.labels) for answer in answers]
                found[f"{task.name}_error"] = np.stack(errors)
    return found


def _error_bounds(task: "TaskSpec") -> ErrorBounds | None:
    """How a task's expected error is to be read; None for a server, or a client, that has none."""
    error = getattr(task, "error", None)
    return None if error is None else ErrorBounds(unit=error.unit, within=tuple(error.within))


def _from_contract(name: str, predict: Predict, contract: Contract) -> Predictor:
    return Predictor(
        name=name,
        predict=predict,
        tasks=contract.tasks,
        input_size=contract.input_size,
        contract=contract.hash,
        crop=contract.crop,
    )
