"""Which models a repository serves for a contract, and how they hang together.

image, box, landmarks -> face_preprocess -> face_engine -> face_postprocess     face_analysis
                                                        -> <task>_postprocess   <task>
crop                  -> crop_preprocess -> face_engine -> face_postprocess     crop_analysis
image -> face_detect, photo_analysis, which ask face_detector and face_engine themselves
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from build.graph import PIXELS, Head
from build.pbtxt import Batching, Ensemble, Model, Step, Tensor, to_text
from runtime.detect import GRID, LOGITS, REGRESSORS, TILE_SIZE, TILES
from runtime.openvino_engine import Precision
from runtime.postprocess import CONTRACT_TENSOR, PHOTO_KINDS, answers_of

MAX_BATCH = 32
CPU_CONFIG = "cpu"  # `tritonserver --model-config-name=cpu` takes configs/cpu.pbtxt where there is one
ENGINE_FILE = "model.onnx"
DETECTOR_FILE = "detector.tflite"

# Requests that may wait for the first step of an ensemble before further ones are turned away: some
# seconds of work for a CPU.
_MAX_QUEUE = 256
# The same for whole photos, which take longer and are held in memory as they were sent.
_MAX_PHOTOS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuEngine:
    """How the engine runs on a CPU."""

    precision: Precision = "fp32"  # OpenVINO's INFERENCE_PRECISION_HINT: fp32 or bf16
    threads: int = 0  # 0: every core

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"the precision {self.precision!r} is unknown: choose fp32 or bf16")
        if self.threads < 0:
            raise ValueError(f"{self.threads} threads can't run: choose 1 or more, or 0 for every core")

    def parameters(self) -> dict[str, str]:
        """As parameters of a served model."""
        return {"precision": self.precision, "threads": str(self.threads)}


def config_files(
    contract: Mapping[str, Any], *, heads: Mapping[str, Head], engine: CpuEngine
) -> dict[str, str]:
    """Every config.pbtxt of a repository, by its path below the repository's models."""
    models = served_models(contract, heads=heads, engine=engine)
    files = {f"{model.name}/config.pbtxt": to_text(model) for model in models}
    files[f"face_engine/configs/{CPU_CONFIG}.pbtxt"] = to_text(_cpu_engine(contract, heads, engine))
    return files


def python_models(contract: Mapping[str, Any]) -> dict[str, str]:
    """The models that need a model.py -> the model whose model.py they share."""
    own = (
        "face_preprocess",
        "crop_preprocess",
        "face_engine",
        "face_postprocess",
        "face_detector",
        "face_detect",
        "photo_analysis",
    )
    shared = {f"{entry['name']}_postprocess": "face_postprocess" for entry in contract["tasks"]}
    return {name: name for name in own} | shared


def served_models(
    contract: Mapping[str, Any], *, heads: Mapping[str, Head], engine: CpuEngine
) -> list[Model | Ensemble]:
    """The models that serve this contract; the engine as it runs on a GPU."""
    entries: list[Mapping[str, Any]] = contract["tasks"]
    return [
        _face_preprocess(contract),
        _crop_preprocess(contract),
        _gpu_engine(contract, heads),
        *(_postprocess(f"{entry['name']}_postprocess", [entry], contract, heads) for entry in entries),
        _postprocess("face_postprocess", entries, contract, heads),
        *(_ensemble(entry["name"], "face_preprocess", [entry], contract) for entry in entries),
        _ensemble("face_analysis", "face_preprocess", entries, contract),
        _ensemble("crop_analysis", "crop_preprocess", entries, contract),
        _face_detector(engine),
        _face_detect(),
        _photo_analysis(contract),
    ]


_IMAGE = Tensor(name="image", datatype="UINT8", dims=(-1,), ragged=True)
_FACE_INPUTS = (
    _IMAGE,
    Tensor(name="box", datatype="FP32", dims=(4,)),
    Tensor(name="landmarks", datatype="FP32", dims=(5, 2)),
)
_CROP_INPUTS = (Tensor(name="crop", datatype="UINT8", dims=(-1, -1, 3), ragged=True),)
_PHOTO_INPUTS = (dataclasses.replace(_IMAGE, ragged=False),)
_CROP_TO_PHOTO = Tensor(name="crop_to_photo", datatype="FP32", dims=(2, 3))
_CONTRACT = Tensor(name=CONTRACT_TENSOR, datatype="BYTES", dims=(1,))
_DETECTIONS = (
    Tensor(name="boxes", datatype="FP32", dims=(-1, 4)),
    Tensor(name="scores", datatype="FP32", dims=(-1,)),
    Tensor(name="landmarks", datatype="FP32", dims=(-1, 5, 2)),
    Tensor(name="photo_size", datatype="INT32", dims=(2,)),
)


def _pixels(contract: Mapping[str, Any]) -> Tensor:
    size = contract["input_size"]
    return Tensor(name=PIXELS, datatype="UINT8", dims=(size, size, 3))


def _heads(entries: Sequence[Mapping[str, Any]], heads: Mapping[str, Head]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=entry["name"], datatype=heads[entry["name"]].datatype, dims=heads[entry["name"]].dims)
        for entry in entries
    )


def _answers(entries: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=answer.name, datatype=answer.datatype, dims=answer.dims)
        for entry in entries
        for answer in answers_of(entry)
    )


def _needs_photo(entries: Sequence[Mapping[str, Any]]) -> bool:
    return any(entry["kind"] in PHOTO_KINDS for entry in entries)


def _contract_parameter(contract: Mapping[str, Any]) -> dict[str, str]:
    return {"contract": json.dumps(contract, separators=(",", ":"))}


def _face_preprocess(contract: Mapping[str, Any]) -> Model:
    return Model(
        name="face_preprocess",
        inputs=_FACE_INPUTS,
        outputs=(_pixels(contract), _CROP_TO_PHOTO),
        max_batch_size=MAX_BATCH,
        batching=Batching(max_queue_size=_MAX_QUEUE),
        instances=2,
        parameters={"input_size": str(contract["input_size"])},
    )


def _crop_preprocess(contract: Mapping[str, Any]) -> Model:
    return Model(
        name="crop_preprocess",
        inputs=_CROP_INPUTS,
        outputs=(_pixels(contract), _CROP_TO_PHOTO),
        max_batch_size=MAX_BATCH,
        batching=Batching(max_queue_size=_MAX_QUEUE),
        parameters={"input_size": str(contract["input_size"])},
    )


def _gpu_engine(contract: Mapping[str, Any], heads: Mapping[str, Head]) -> Model:
    return Model(
        name="face_engine",
        inputs=(_pixels(contract),),
        outputs=_heads(contract["tasks"], heads),
        max_batch_size=MAX_BATCH,
        batching=Batching(),
        backend="tensorrt",
        platform="tensorrt_plan",
        filename="model.plan",
        kind="KIND_GPU",
        parameters=_contract_parameter(contract),
    )


def _cpu_engine(contract: Mapping[str, Any], heads: Mapping[str, Head], engine: CpuEngine) -> Model:
    return dataclasses.replace(
        _gpu_engine(contract, heads),
        backend="python",
        platform="",
        filename="model.py",
        kind="KIND_CPU",
        parameters=_contract_parameter(contract) | engine.parameters() | {"file": ENGINE_FILE},
    )


def _postprocess(
    name: str, entries: Sequence[Mapping[str, Any]], contract: Mapping[str, Any], heads: Mapping[str, Head]
) -> Model:
    return Model(
        name=name,
        inputs=_heads(entries, heads) + ((_CROP_TO_PHOTO,) if _needs_photo(entries) else ()),
        outputs=(*_answers(entries), _CONTRACT),
        max_batch_size=MAX_BATCH,
        batching=Batching(),
        parameters=_contract_parameter(contract),
    )


def _ensemble(
    name: str, preprocess: str, entries: Sequence[Mapping[str, Any]], contract: Mapping[str, Any]
) -> Ensemble:
    inputs = {"face_preprocess": _FACE_INPUTS, "crop_preprocess": _CROP_INPUTS}[preprocess]
    outputs = (*_answers(entries), _CONTRACT)
    head_names = [entry["name"] for entry in entries]
    map_names = [_CROP_TO_PHOTO.name] if _needs_photo(entries) else []
    # A head is mapped only where it is used: the engine is asked for every output that is mapped.
    # Inside an ensemble a head is called T_head, so that no tensor of it is named like the ensemble.
    inner = {head: f"{head}_head" for head in head_names}
    postprocess = f"{name}_postprocess" if [name] == head_names else "face_postprocess"
    return Ensemble(
        name=name,
        inputs=inputs,
        outputs=outputs,
        max_batch_size=MAX_BATCH,
        steps=(
            Step(
                model=preprocess,
                inputs={tensor.name: tensor.name for tensor in inputs},
                outputs={tensor: tensor for tensor in [PIXELS, *map_names]},
            ),
            Step(model="face_engine", inputs={PIXELS: PIXELS}, outputs=inner),
            Step(
                model=postprocess,
                inputs=inner | {tensor: tensor for tensor in map_names},
                outputs={tensor.name: tensor.name for tensor in outputs},
            ),
        ),
        parameters=_contract_parameter(contract),
    )


def _face_detector(engine: CpuEngine) -> Model:
    return Model(
        name="face_detector",
        inputs=(Tensor(name=TILES, datatype="UINT8", dims=(TILE_SIZE, TILE_SIZE, 3)),),
        outputs=(
            Tensor(name=REGRESSORS, datatype="FP32", dims=(GRID * GRID, 16)),
            Tensor(name=LOGITS, datatype="FP32", dims=(GRID * GRID, 1)),
        ),
        max_batch_size=MAX_BATCH,
        batching=Batching(),
        # In bf16 boxes move by pixels, and the detector is a small part of the work: always fp32.
        parameters=dataclasses.replace(engine, precision="fp32").parameters() | {"file": DETECTOR_FILE},
    )


def _face_detect() -> Model:
    return Model(
        name="face_detect",
        inputs=_PHOTO_INPUTS,
        outputs=_DETECTIONS,
        max_batch_size=0,
        # Without a batch to put together: it is what bounds the queue.
        batching=Batching(max_queue_size=_MAX_PHOTOS),
        instances=2,
    )


def _photo_analysis(contract: Mapping[str, Any]) -> Model:
    per_face = tuple(
        dataclasses.replace(tensor, dims=(-1, *tensor.dims)) for tensor in _answers(contract["tasks"])
    )
    return Model(
        name="photo_analysis",
        inputs=_PHOTO_INPUTS,
        outputs=(*_DETECTIONS, *per_face, _CONTRACT),
        max_batch_size=0,
        batching=Batching(max_queue_size=_MAX_PHOTOS),
        # An asynchronous model still answers one request at a time and instance: several, so that the
        # faces of several photos share the engine's batches.
        instances=4,
        parameters=_contract_parameter(contract) | {"max_batch": str(MAX_BATCH)},
    )
