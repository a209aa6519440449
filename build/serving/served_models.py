"""Which models a repository serves for its networks, and how they hang together.

image, box, landmarks -> face_preprocess -> face_engine -> face_postprocess     face_analysis
                                                        -> <task>_postprocess   <task>
crop                  -> crop_preprocess -> face_engine -> face_postprocess     crop_analysis
image -> face_detect, photo_analysis, which ask face_detector and face_engine themselves

What a task answers on request only comes from a step of its own, <task>_runs_postprocess, as an ensemble
asks each step for everything that it could answer, and leaves out a step of which nothing is wanted.

The first network's models have these plain names. Those of a further one begin with its own name
(facexformer_face_engine, facexformer_photo_analysis ...), but for the detector's, which all share.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from build.backends import served_on
from build.errors import BuildError
from build.onnx_interface import PIXELS, Head
from build.serving.batches import MAX_BATCH
from build.serving.engine_settings import EngineSettings
from build.serving.pbtxt import Batching, Ensemble, Instances, Model, Step, Tensor, to_text
from runtime.detect.blazeface import GRID, LOGITS, REGRESSORS, TILE_SIZE, TILES
from runtime.image.crops import ALIGNED
from runtime.postprocess import CONTRACT_TENSOR, PHOTO_KINDS, SIZE_KINDS, Answer, answers_of

DETECTOR_FILE = "detector.tflite"
CPU_CONFIG = "cpu"  # `tritonserver --model-config-name=cpu` takes configs/cpu.pbtxt where there is one
# Of the first network's photo_analysis: by every network's name what its models' names begin with, in JSON.
NETWORKS_PARAMETER = "models"

# Requests that may wait for the first step of an ensemble before further ones are turned away: some
# seconds of work for a CPU.
_MAX_QUEUE = 256
# The same for whole photos, which take longer and are held in memory as they were sent.
_MAX_PHOTOS = 64

_DETECTION = ("face_detector", "face_detect")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a repository."""

    name: str  # by which a client picks it
    contract: Mapping[str, Any]  # of the tasks that are served
    heads: Mapping[str, Head]  # all that it answers
    engine: EngineSettings  # as it runs on a GPU
    prefix: str = ""  # what its models' names begin with; empty for the first network of a repository

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise BuildError(
                f"a model can't be called {self.name!r}: take small letters, digits and _, a letter first"
            )


def config_files(networks: Sequence[Network]) -> dict[str, str]:
    """Every config.pbtxt of a repository, by its path below the repository's models.

    Raises BuildError for networks whose models' names can't be told apart.
    """
    _check_names(networks)
    files: dict[str, str] = {}
    for network in networks:
        models = served_models(network)
        if not network.prefix:
            models = [_with_networks(model, networks) for model in models]
        files |= {f"{model.name}/config.pbtxt": to_text(model) for model in models}
        cpu = _named(_engine(network.contract, network.heads, served_on("cpu", network.engine)), network)
        files[f"{cpu.name}/configs/{CPU_CONFIG}.pbtxt"] = to_text(cpu)
    return files


def python_models(networks: Iterable[Network]) -> dict[str, str]:
    """The models that need a model.py -> the model whose model.py they share."""
    own = (
        "face_preprocess",
        "crop_preprocess",
        "face_engine",
        "face_postprocess",
        *_DETECTION,
        "photo_analysis",
    )
    programs: dict[str, str] = {}
    for network in networks:
        entries = network.contract["tasks"]
        shared = [f"{entry['name']}_postprocess" for entry in entries]
        shared += [_runs(entry) for entry in entries if _has_requested(entry)]
        of_network = {name: name for name in own} | dict.fromkeys(shared, "face_postprocess")
        programs |= {_name(model, network): source for model, source in of_network.items()}
    return programs


def served_models(network: Network) -> list[Model | Ensemble]:
    """The models that serve a network; the engine as it runs on a GPU.

    The GPU's configuration was not run yet.
    """
    contract, heads, engine = network.contract, network.heads, network.engine
    entries: list[Mapping[str, Any]] = contract["tasks"]
    models: list[Model | Ensemble] = [
        _face_preprocess(contract),
        _crop_preprocess(contract),
        _engine(contract, heads, served_on("gpu", engine)),
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
        _photo_analysis(contract, engine=_name("face_engine", network)),
    ]
    models = [_named(model, network) for model in models]
    return models if network.prefix else [*models, _face_detector(engine), _face_detect()]


def _name(model: str, network: Network) -> str:
    return model if model in _DETECTION else f"{network.prefix}{model}"


def _named(model: Model | Ensemble, network: Network) -> Model | Ensemble:
    """The model by the name that it has as one of this network's."""
    if isinstance(model, Model):
        return dataclasses.replace(model, name=_name(model.name, network))
    steps = tuple(dataclasses.replace(step, model=_name(step.model, network)) for step in model.steps)
    return dataclasses.replace(model, name=_name(model.name, network), steps=steps)


def _with_networks(model: Model | Ensemble, networks: Sequence[Network]) -> Model | Ensemble:
    if model.name != "photo_analysis":
        return model
    prefixes = {network.name: network.prefix for network in networks}
    said = {NETWORKS_PARAMETER: json.dumps(prefixes, separators=(",", ":"))}
    return dataclasses.replace(model, parameters={**model.parameters, **said})


def _check_names(networks: Sequence[Network]) -> None:
    for one, other in itertools.combinations(networks, 2):
        if one.name == other.name:
            raise BuildError(f"two models are called {one.name}: give the further one another name")
        if one.prefix and (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)):
            raise BuildError(f"{one.name} and {other.name} can't be told apart: give one another name")
    names = {_name(model.name, network) for network in networks[:1] for model in served_models(network)}
    for network in networks[1:]:
        if taken := sorted(name for name in names if name.startswith(network.prefix)):
            raise BuildError(
                f"a further model can't be called {network.name}, as names like {taken[0]} are the first "
                "one's: give it another name"
            )


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


def _engine(contract: Mapping[str, Any], heads: Mapping[str, Head], engine: EngineSettings) -> Model:
    config = engine.config()
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
        backend=config.backend,
        platform=config.platform,
        filename=config.filename,
        instances=Instances(count=config.instances, kind=config.instance_kind, gpus=config.gpus),
        warmup=config.warmup,
        cuda_graphs=config.cuda_graphs,
        parameters={**_contract_parameter(contract), **config.parameters},
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


def _photo_analysis(contract: Mapping[str, Any], *, engine: str) -> Model:
    own = {} if engine == "face_engine" else {"engine": engine}
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
        parameters=_contract_parameter(contract) | {"max_batch": str(MAX_BATCH)} | own,
    )
