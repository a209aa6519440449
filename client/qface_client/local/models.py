"""The models of a source: of an assembled repository, or of a network's ONNX file."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._connection.messages import model_info
from ..contract import ModelInfo, parse_contract
from ..errors import ContractError, InvalidInput
from ..reading import ENGINE_MODEL, FACE_OUTPUTS, PHOTO_MODEL, SEARCH_OUTPUTS
from .detectors import Detectors
from .network import LocalModel, Network

if TYPE_CHECKING:
    from runtime.parameters import Parameter

_DETECT_MODEL, _FACES_MODEL, _CROPS_MODEL = "face_detect", "face_analysis", "crop_analysis"
_CPU = "cpu.pbtxt"  # of a model's configs/: how it is served on a CPU
# Of an ONNX file, as `build` has it where nothing else is chosen.
_MAX_BATCH = 32
_FAMILY = "qface"


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def models_of(source: Path, *, threads: int | None, detector: Path | None) -> dict[str, LocalModel]:
    """The models by name. InvalidInput for a source that is neither; ContractError for a damaged one."""
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads is 1 or more, not {threads}")
    resolved = source.resolve()  # once: a new repository may take the link's place
    if (resolved / "models").is_dir():
        if detector is not None:
            raise InvalidInput(
                "a repository has a detector of its own: leave `detector` out, or give an ONNX file"
            )
        return _of_repository(resolved / "models", threads=threads)
    if resolved.is_file():
        return _of_onnx(resolved, threads=threads or usable_cores(), detector=detector)
    raise InvalidInput(
        f"{source} is neither a model repository nor an ONNX file: `make repository` assembles one at "
        "var/repository, and weights/ has networks"
    )


# -- an assembled repository ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Served:
    """A model's configuration, and the folder of its newest version."""

    config: Any  # a ModelConfig
    folder: Path

    @functools.cached_property
    def parameters(self) -> dict[str, str]:
        return {name: value.string_value for name, value in self.config.parameters.items()}

    @property
    def info(self) -> ModelInfo:
        return model_info(self)  # which reads `config`

    def request_parameters(self) -> "dict[str, Parameter]":
        from runtime.parameters import REQUEST_PARAMETERS, parse

        text = self.parameters.get(REQUEST_PARAMETERS)
        return parse(text) if text else {}


def _of_repository(folder: Path, *, threads: int | None) -> dict[str, LocalModel]:
    served = {path.name: _served(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    if PHOTO_MODEL not in served:
        raise ContractError(
            f"{folder} has no model {PHOTO_MODEL!r}: assemble it again with `make repository`"
        )
    models: dict[str, LocalModel] = {}
    try:
        detectors = _detectors(served[PHOTO_MODEL], threads)
        networks = dict(served[PHOTO_MODEL].info.networks) or {_FAMILY: ""}
        for prefix in networks.values():
            models |= _of_prefix(prefix, served, detectors, threads)
        if (found := served.get(_DETECT_MODEL)) is not None:
            models[_DETECT_MODEL] = _detect_model(
                found.info, _detectors(found, threads), found.request_parameters(), version=found.folder.name
            )
    except (KeyError, ValueError) as error:
        raise ContractError(
            f"the model repository at {folder.parent} can't be used ({type(error).__name__}: {error}): "
            "assemble it again with `make repository`"
        ) from error
    return models


def _of_prefix(
    prefix: str, served: Mapping[str, _Served], detectors: Detectors, threads: int | None
) -> dict[str, LocalModel]:
    from runtime.contract import Contract
    from runtime.engines import load_engine

    photo = served[f"{prefix}{PHOTO_MODEL}"]
    engine = served[photo.parameters.get("engine", ENGINE_MODEL)]
    settings = engine.parameters
    if threads is not None:
        settings = settings | {"threads": str(threads), "streams": str(threads)}
    contract = Contract.parse(photo.parameters["contract"])
    network = Network(
        contract,
        load=functools.partial(load_engine, engine.folder, settings),
        detect=detectors.infer,
        parameters=photo.request_parameters(),
        max_batch=int(photo.parameters["max_batch"]),
    )
    answers = {PHOTO_MODEL: network.of_photo, _FACES_MODEL: network.of_faces, _CROPS_MODEL: network.of_crops}
    answers |= dict.fromkeys(contract.names, network.of_faces)
    models = {}
    for name, answer in (*answers.items(), (ENGINE_MODEL, None)):
        found = served.get(f"{prefix}{name}")
        if found is not None:
            models[f"{prefix}{name}"] = LocalModel(
                info=found.info,
                version=found.folder.name,
                parameters=found.request_parameters(),
                answer=answer,
                network=network,
            )
    return models


def _served(folder: Path) -> _Served:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    variant = folder / "configs" / _CPU
    path = variant if variant.is_file() else folder / "config.pbtxt"
    try:
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except OSError as error:
        raise InvalidInput(f"{path} can't be read ({error.strerror or error})") from error
    except (text_format.ParseError, ValueError) as error:
        raise ContractError(f"{path} is no model's configuration ({error}): assemble it again") from error
    versions = [path for path in folder.iterdir() if path.name.isdecimal()]
    newest = max(versions, key=lambda path: int(path.name), default=folder / "1")
    return _Served(config=config, folder=newest)


def _detectors(served: _Served, threads: int | None) -> Detectors:
    from runtime.detect.detector_engine import load_detector

    parameters = served.parameters
    load = functools.partial(
        load_detector,
        served.folder / parameters["detector"],
        precision=parameters["detector_precision"],
        threads=1,
    )
    return Detectors(load, most=threads or usable_cores())


# -- an ONNX file -----------------------------------------------------------------------------------


def _of_onnx(path: Path, *, threads: int, detector: Path | None) -> dict[str, LocalModel]:
    from runtime.answering.quality import FACES_BELOW_QUALITY, quality_parameters
    from runtime.contract import Contract, InvalidContract
    from runtime.detect.detector_engine import load_detector
    from runtime.detect.detector_file import find_detector
    from runtime.detect.search import USUAL_LIMITS
    from runtime.engines.openvino import OpenVinoEngine, batches_for, read_model
    from runtime.heads import answer_tensors

    try:
        metadata = read_model(path).rt_info["framework"]
        whole = Contract.parse(str(metadata["contract"].value))
        contract = whole.select(None)  # as it is served where no task is named
        family = str(metadata["family"].value) if "family" in metadata else _FAMILY
    except (RuntimeError, KeyError, InvalidContract) as error:
        raise InvalidInput(
            f"{path} is no network of Q-Face with its contract in it ({str(error).splitlines()[0]}): "
            "weights/ has some, and `python -m build.stages.export` makes one of a checkpoint"
        ) from error
    try:
        weights = detector or find_detector()
    except FileNotFoundError as error:
        raise InvalidInput(f"{error}".replace("--detector", "detector=")) from error
    if not Path(weights).is_file():
        raise InvalidInput(f"there is no detector at {weights}: give the .tflite file")
    detectors = Detectors(
        functools.partial(load_detector, weights, precision="fp32", threads=1), most=threads
    )
    of_search = USUAL_LIMITS.parameters()
    parameters = of_search | quality_parameters(contract)
    network = Network(
        contract,
        load=functools.partial(
            OpenVinoEngine,
            path,
            precision="fp32",
            threads=threads,
            streams=threads,
            batches=batches_for(path),
        ),
        detect=detectors.infer,
        parameters=parameters,
        max_batch=_MAX_BATCH,
    )
    answered = frozenset(tensor.name for entry in contract.tasks for tensor in answer_tensors(entry))
    stated = parse_contract(contract.to_text())

    def model(name: str, answer: Any, *, batch: int = _MAX_BATCH, **more: Any) -> LocalModel:
        info = ModelInfo(name=name, max_batch_size=batch, contract=stated, **more)
        taken = parameters if name == PHOTO_MODEL else {}
        return LocalModel(info=info, version="1", parameters=taken, answer=answer, network=network)

    detections = (*FACE_OUTPUTS, *SEARCH_OUTPUTS)
    below = () if contract.quality is None else (FACES_BELOW_QUALITY,)
    models = {
        PHOTO_MODEL: model(
            PHOTO_MODEL,
            network.of_photo,
            batch=0,
            networks={family: ""},
            outputs=answered | {*detections, *below, "contract"},
            parameters=tuple(parameters),
        ),
        _CROPS_MODEL: model(_CROPS_MODEL, network.of_crops, outputs=answered | {"contract"}),
        ENGINE_MODEL: model(ENGINE_MODEL, None, precision="fp32"),
    }
    for name in (_FACES_MODEL, *contract.names):
        models[name] = model(name, network.of_faces, outputs=answered | {"contract"})
    info = ModelInfo(
        name=_DETECT_MODEL,
        max_batch_size=0,
        contract=None,
        outputs=frozenset(detections),
        parameters=tuple(of_search),
    )
    return models | {_DETECT_MODEL: _detect_model(info, detectors, of_search, version="1")}


def _detect_model(
    info: ModelInfo, detectors: Detectors, parameters: "Mapping[str, Parameter]", *, version: str
) -> LocalModel:
    from runtime.answering.photos import PhotoDetections

    detections = PhotoDetections(detectors.infer, parameters)
    return LocalModel(
        info=info,
        version=version,
        parameters=parameters,
        answer=lambda inputs, sent, outputs: detections.answer(inputs["image"], sent=sent),
    )
