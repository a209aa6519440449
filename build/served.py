"""Which models a repository serves for a contract, and how they hang together.

image, box, landmarks -> face_preprocess -> face_engine -> face_postprocess     face_analysis
                                                        -> <task>_postprocess   <task>
crop                  -> crop_preprocess -> face_engine -> face_postprocess     crop_analysis
image -> face_detect, photo_analysis, which ask face_detector and face_engine themselves

What a task answers on request only comes from a step of its own, <task>_runs_postprocess, as an ensemble
asks each step for everything that it could answer, and leaves out a step of which nothing is wanted.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from build.errors import BuildError
from build.graph import PIXELS, Head
from build.pbtxt import Batching, Ensemble, Instances, Model, Step, Tensor, to_text
from build.targets import TARGETS
from runtime.crops import ALIGNED
from runtime.detect import GRID, LOGITS, REGRESSORS, TILE_SIZE, TILES
from runtime.postprocess import CONTRACT_TENSOR, PHOTO_KINDS, SIZE_KINDS, Answer, answers_of

MAX_BATCH = 32
JUDGED_BATCHES = (1, 3, MAX_BATCH)  # at which a network's and an engine's answers are compared
CPU_CONFIG = "cpu"  # `tritonserver --model-config-name=cpu` takes configs/cpu.pbtxt where there is one
ENGINE_FILE = "model.onnx"
IR_FILE = "model.xml"  # OpenVINO's own format, with model.bin beside it
PLAN_FILE = "model.plan"
DETECTOR_FILE = "detector.tflite"

# Requests that may wait for the first step of an ensemble before further ones are turned away: some
# seconds of work for a CPU.
_MAX_QUEUE = 256
# The same for whole photos, which take longer and are held in memory as they were sent.
_MAX_PHOTOS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The batches that a TensorRT plan takes: 1 to `max`, and it is at its best at `opt`."""

    opt: int = 8
    max: int = MAX_BATCH

    def __post_init__(self) -> None:
        if self.max < MAX_BATCH:
            raise BuildError(
                f"an engine for batches of up to {self.max} can't serve the {MAX_BATCH} faces that are put "
                f"together: build it with --max-batch {MAX_BATCH} or more"
            )
        if not 1 <= self.opt <= self.max:
            raise BuildError(
                f"a profile can't be at its best at a batch of {self.opt}: choose 1 to {self.max}"
            )

    @property
    def served(self) -> tuple[int, ...]:
        """The batches that a server prepares for."""
        return tuple(sorted({1, min(self.opt, MAX_BATCH), MAX_BATCH}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What runs the network, and how."""

    target: str = "openvino"  # one of build.targets that Triton can serve
    precision: str = "fp32"
    threads: int = 0  # on a CPU; 0: every core
    streams: int = 1  # OpenVINO's, over which a batch is divided
    profile: Profile = Profile()  # TensorRT's
    instances: int = 1  # TensorRT's, on each GPU
    gpus: tuple[int, ...] = ()  # TensorRT's: the numbers of those to use; empty: every GPU

    def __post_init__(self) -> None:
        target = TARGETS.get(self.target)
        if target is None or not target.served:
            served = ", ".join(name for name, other in TARGETS.items() if other.served)
            raise BuildError(f"Triton can't serve the target {self.target!r}: choose from {served}")
        if self.precision not in target.precisions:
            raise BuildError(
                f"{target.title} is not built in {self.precision!r}: "
                f"choose from {', '.join(target.precisions)}"
            )
        if self.threads < 0:
            raise BuildError(f"{self.threads} threads can't run: choose 1 or more, or 0 for every core")
        if self.streams < 1 or (self.streams > 1 and self.target != "openvino"):
            raise BuildError(
                f"{target.title} can't run {self.streams} streams: choose 1"
                f"{' or more' if self.target == 'openvino' else ''}"
            )
        if self.target != "tensorrt" and (self.instances != 1 or self.gpus):
            raise BuildError(
                f"{target.title} runs once and on no GPU: instances and GPUs are chosen for tensorrt only"
            )
        if self.instances < 1:
            raise BuildError(f"{self.instances} instances answer nothing: choose 1 or more")
        if any(gpu < 0 for gpu in self.gpus) or len(set(self.gpus)) != len(self.gpus):
            raise BuildError(
                f"the GPUs {list(self.gpus)} can't be meant: name each once, by its number from 0"
            )

    def on_cpu(self) -> "EngineSettings":
        """What runs where a server is started for the CPU: beside a GPU's engine the exported network.

        The file ENGINE_FILE then must be that network.
        """
        return self if self.target != "tensorrt" else EngineSettings(threads=self.threads)

    @property
    def file(self) -> str:
        """The network's name in the version directory of the CPU's engine."""
        return IR_FILE if (self.target, self.precision) == ("openvino", "int8") else ENGINE_FILE

    def parameters(self) -> dict[str, str]:
        """What runs on the CPU, as parameters of a served model."""
        return {
            "runtime": self.target,
            "file": self.file,
            "precision": self.precision,
            "threads": str(self.threads),
            "streams": str(self.streams),
        }


def config_files(
    contract: Mapping[str, Any], *, heads: Mapping[str, Head], engine: EngineSettings
) -> dict[str, str]:
    """Every config.pbtxt of a repository, by its path below the repository's models."""
    models = served_models(contract, heads=heads, engine=engine)
    files = {f"{model.name}/config.pbtxt": to_text(model) for model in models}
    files[f"face_engine/configs/{CPU_CONFIG}.pbtxt"] = to_text(_cpu_engine(contract, heads, engine.on_cpu()))
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
    entries = contract["tasks"]
    shared = [f"{entry['name']}_postprocess" for entry in entries]
    shared += [_runs(entry) for entry in entries if _has_requested(entry)]
    return {name: name for name in own} | dict.fromkeys(shared, "face_postprocess")


def served_models(
    contract: Mapping[str, Any], *, heads: Mapping[str, Head], engine: EngineSettings
) -> list[Model | Ensemble]:
    """The models that serve this contract; the engine as it runs on a GPU.

    The GPU's configuration was not run yet.
    """
    entries: list[Mapping[str, Any]] = contract["tasks"]
    return [
        _face_preprocess(contract),
        _crop_preprocess(contract),
        _gpu_engine(contract, heads, engine),
        *(_postprocess(f"{entry['name']}_postprocess", [entry], contract, heads) for entry in entries),
        _postprocess("face_postprocess", entries, contract, heads),
        *(
            _postprocess(_runs(entry), [entry], contract, heads, on_request=True)
            for entry in entries
            if _has_requested(entry)
        ),
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
_PHOTO_SIZE = Tensor(name="photo_size", datatype="INT32", dims=(2,))
_CONTRACT = Tensor(name=CONTRACT_TENSOR, datatype="BYTES", dims=(1,))
_DETECTIONS = (
    Tensor(name="boxes", datatype="FP32", dims=(-1, 4)),
    Tensor(name="scores", datatype="FP32", dims=(-1,)),
    Tensor(name="landmarks", datatype="FP32", dims=(-1, 5, 2)),
    _PHOTO_SIZE,
)


def _pixels(contract: Mapping[str, Any]) -> Tensor:
    size = contract["input_size"]
    return Tensor(name=PIXELS, datatype="UINT8", dims=(size, size, 3))


def _heads(entries: Sequence[Mapping[str, Any]], heads: Mapping[str, Head]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=entry["name"], datatype=heads[entry["name"]].datatype, dims=heads[entry["name"]].dims)
        for entry in entries
    )


def _answers(entries: Sequence[Mapping[str, Any]], *, on_request: bool | None = None) -> tuple[Tensor, ...]:
    """All answers of these tasks; True: those made on request only, False: the others."""
    return tuple(
        _tensor(answer)
        for entry in entries
        for answer in answers_of(entry)
        if on_request in (None, answer.on_request)
    )


def _tensor(answer: Answer) -> Tensor:
    return Tensor(name=answer.name, datatype=answer.datatype, dims=answer.dims)


def _has_requested(entry: Mapping[str, Any]) -> bool:
    return any(answer.on_request for answer in answers_of(entry))


def _runs(entry: Mapping[str, Any]) -> str:
    """The model that answers what a task answers on request only."""
    return f"{entry['name']}_runs_postprocess"


def _about_photo(entries: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    """What the answers of these tasks need to know of the photo, beside the heads."""
    kinds = {entry["kind"] for entry in entries}
    needed = ((_CROP_TO_PHOTO, PHOTO_KINDS), (_PHOTO_SIZE, SIZE_KINDS))
    return tuple(tensor for tensor, by in needed if kinds & by)


def _contract_parameter(contract: Mapping[str, Any]) -> dict[str, str]:
    return {"contract": json.dumps(contract, separators=(",", ":"))}


def _face_preprocess(contract: Mapping[str, Any]) -> Model:
    return Model(
        name="face_preprocess",
        inputs=_FACE_INPUTS,
        outputs=_cut(contract),
        max_batch_size=MAX_BATCH,
        batching=Batching(max_queue_size=_MAX_QUEUE),
        instances=Instances(count=2),
        parameters=_crop_parameters(contract),
    )


def _crop_preprocess(contract: Mapping[str, Any]) -> Model:
    return Model(
        name="crop_preprocess",
        inputs=_CROP_INPUTS,
        outputs=_cut(contract),
        max_batch_size=MAX_BATCH,
        batching=Batching(max_queue_size=_MAX_QUEUE),
        parameters=_crop_parameters(contract),
    )


def _cut(contract: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """What a crop is sent on as."""
    size = tuple(tensor for tensor in _about_photo(contract["tasks"]) if tensor is _PHOTO_SIZE)
    return (_pixels(contract), _CROP_TO_PHOTO, *size)


def _crop_parameters(contract: Mapping[str, Any]) -> dict[str, str]:
    crop = contract.get("crop", ALIGNED)
    return {"input_size": str(contract["input_size"])} | ({} if crop == ALIGNED else {"crop": crop})


def _engine(contract: Mapping[str, Any], heads: Mapping[str, Head]) -> Model:
    """What face_engine is whatever runs it."""
    return Model(
        name="face_engine",
        inputs=(_pixels(contract),),
        # All of the network's, whichever tasks are served: Triton loads a plan only if every output of it is
        # declared. What is not asked for stays inside.
        outputs=tuple(
            Tensor(name=name, datatype=head.datatype, dims=head.dims) for name, head in heads.items()
        ),
        max_batch_size=MAX_BATCH,
        batching=Batching(),
        parameters=_contract_parameter(contract),
    )


def _gpu_engine(contract: Mapping[str, Any], heads: Mapping[str, Head], engine: EngineSettings) -> Model:
    return dataclasses.replace(
        _engine(contract, heads),
        backend="tensorrt",
        platform="tensorrt_plan",
        filename=PLAN_FILE,
        instances=Instances(count=engine.instances, kind="KIND_GPU", gpus=engine.gpus),
        warmup=engine.profile.served,
        cuda_graphs=engine.profile.served,
    )


def _cpu_engine(contract: Mapping[str, Any], heads: Mapping[str, Head], engine: EngineSettings) -> Model:
    return dataclasses.replace(
        _engine(contract, heads),
        filename="model.py",
        warmup=(1,),  # a CPU's first answer takes longest; a whole batch would only hold up the start
        parameters=_contract_parameter(contract) | engine.parameters(),
    )


def _postprocess(
    name: str,
    entries: Sequence[Mapping[str, Any]],
    contract: Mapping[str, Any],
    heads: Mapping[str, Head],
    *,
    on_request: bool = False,
) -> Model:
    answers = _answers(entries, on_request=on_request)
    return Model(
        name=name,
        inputs=_heads(entries, heads) + _about_photo(entries),
        outputs=answers if on_request else (*answers, _CONTRACT),
        max_batch_size=MAX_BATCH,
        batching=Batching(),
        parameters=_contract_parameter(contract),
    )


def _ensemble(
    name: str, preprocess: str, entries: Sequence[Mapping[str, Any]], contract: Mapping[str, Any]
) -> Ensemble:
    inputs = {"face_preprocess": _FACE_INPUTS, "crop_preprocess": _CROP_INPUTS}[preprocess]
    always = _answers(entries, on_request=False)
    outputs = (*_answers(entries), _CONTRACT)
    head_names = [entry["name"] for entry in entries]
    about_photo = [tensor.name for tensor in _about_photo(entries)]
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
                outputs={tensor: tensor for tensor in [PIXELS, *about_photo]},
            ),
            Step(model="face_engine", inputs={PIXELS: PIXELS}, outputs=inner),
            Step(
                model=postprocess,
                inputs=inner | {tensor: tensor for tensor in about_photo},
                outputs={tensor.name: tensor.name for tensor in (*always, _CONTRACT)},
            ),
            *(_runs_step(entry, inner[entry["name"]]) for entry in entries if _has_requested(entry)),
        ),
        parameters=_contract_parameter(contract),
    )


def _runs_step(entry: Mapping[str, Any], head: str) -> Step:
    return Step(
        model=_runs(entry),
        inputs={entry["name"]: head} | {tensor.name: tensor.name for tensor in _about_photo([entry])},
        outputs={tensor.name: tensor.name for tensor in _answers([entry], on_request=True)},
    )


def _face_detector(engine: EngineSettings) -> Model:
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
        parameters={"file": DETECTOR_FILE, "precision": "fp32", "threads": str(engine.threads)},
    )


def _face_detect() -> Model:
    return Model(
        name="face_detect",
        inputs=_PHOTO_INPUTS,
        outputs=_DETECTIONS,
        max_batch_size=0,
        # Without a batch to put together: it is what bounds the queue.
        batching=Batching(max_queue_size=_MAX_PHOTOS),
        instances=Instances(count=2),
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
        instances=Instances(count=4),
        parameters=_contract_parameter(contract) | {"max_batch": str(MAX_BATCH)},
    )
