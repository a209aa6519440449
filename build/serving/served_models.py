"""Which models a repository serves for its networks, and how they hang together.

image, box, landmarks -> face_preprocess -> face_engine -> face_postprocess     face_analysis
                                                        -> <task>_postprocess   <task>
crop                  -> crop_preprocess -> face_engine -> face_postprocess     crop_analysis
image -> face_detect, photo_analysis, which calls face_engine itself

With a GPU that decodes, face_preprocess calls face_warp itself.

The first network's models have these plain names. Those of a further one begin with its own name
(facexformer_face_engine, facexformer_photo_analysis ...), but for the detector's, which all share.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence

from build.acceptance.answer_reference import PARAMETER as REFERENCE_PARAMETER
from build.backends import served_on
from build.precisions import FULL_PRECISION
from build.preprocessing.face_warp import FACE_WARP, face_warp, face_warp_on_cpu
from build.serving import notice as notices
from build.serving.engine_model import face_engine
from build.serving.engine_settings import EngineSettings
from build.serving.ensembles import ensemble
from build.serving.host_settings import REFERENCE_HOST, HostSettings
from build.serving.pbtxt import Ensemble, Model, to_text
from build.serving.photo_models import face_detect, photo_analysis
from build.serving.served_network import SHARED_MODELS, Network, check_names
from build.serving.steps import (
    crop_preprocess,
    face_preprocess,
    on_request,
    postprocess,
    postprocess_on_request,
)
from build.serving.tensors import CONTRACT_HASH
from runtime.detect.search import USUAL_LIMITS, SearchLimits

CPU_CONFIG = "cpu"  # `tritonserver --model-config-name=cpu` takes configs/cpu.pbtxt where there is one
# Where a lower precision was accepted on another machine than the one that serves.
FULL_PRECISION_CONFIG = f"{CPU_CONFIG}-{FULL_PRECISION}"
# Of the first network's photo_analysis: by every network's name what its models' names begin with, in JSON.
NETWORKS_PARAMETER = "models"


def config_files(
    networks: Sequence[Network],
    *,
    limits: SearchLimits = USUAL_LIMITS,
    notice: str | None = None,
    host: HostSettings = REFERENCE_HOST,
) -> dict[str, str]:
    """Every config.pbtxt of a repository, by its path below the repository's models.

    `limits` are the bounds of requests' parameters; `notice` is the text beside the contract of every model
    that answers (None: the default one); `host` has the instances, threads and queues. Raises BuildError for
    networks whose models' names can't be told apart.
    """
    check_names(
        networks,
        first_models=[
            model.name for network in networks[:1] for model in served_models(network, limits, host)
        ],
    )
    files: dict[str, str] = {}
    falls_back = any(network.fallback is not None for network in networks)
    for network in networks:
        models = served_models(network, limits, host)
        if not network.prefix:
            models = [_with_networks(model, networks) for model in models]
        models = [_with_notice(model, notice or notices.DEFAULT) for model in models]
        models = [_with_reference(model, network) for model in models]
        files |= {f"{model.name}/config.pbtxt": to_text(model) for model in models}
        variants = {CPU_CONFIG: served_on("cpu", network.engine)}
        if falls_back:
            variants[FULL_PRECISION_CONFIG] = network.fallback or variants[CPU_CONFIG]
        for variant, engine in variants.items():
            for model in _cpu_models(network, engine, host):
                if (text := to_text(model)) != files[f"{model.name}/config.pbtxt"]:
                    files[f"{model.name}/configs/{variant}.pbtxt"] = text
    return files


def python_models(networks: Iterable[Network]) -> dict[str, str]:
    """The models that need a model.py -> the model whose model.py they share."""
    own = (
        "face_preprocess",
        "crop_preprocess",
        "face_engine",
        "face_postprocess",
        *SHARED_MODELS,
        "photo_analysis",
    )
    programs: dict[str, str] = {}
    for network in networks:
        entries = network.contract.tasks
        shared = [f"{entry.name}_postprocess" for entry in entries]
        shared += [request.model for request in on_request(entries)]
        of_network = {name: name for name in own} | dict.fromkeys(shared, "face_postprocess")
        programs |= {network.model_name(model): source for model, source in of_network.items()}
    return programs


def served_models(
    network: Network, limits: SearchLimits, host: HostSettings = REFERENCE_HOST
) -> list[Model | Ensemble]:
    """The models that serve a network on a host; the engine as it runs on a GPU."""
    contract, heads, engine = network.contract, network.heads, network.engine
    entries = contract.tasks
    gpu = served_on("gpu", engine)
    warps = [face_warp(contract, host, gpus=gpu.config(host).gpus)] if network.face_warp else []
    warp_model = network.model_name(FACE_WARP) if network.face_warp else None
    models: list[Model | Ensemble] = [
        face_preprocess(contract, host, warp_model=warp_model),
        *warps,
        crop_preprocess(contract, host),
        face_engine(contract, heads, gpu, host),
        *(postprocess(f"{entry.name}_postprocess", [entry], contract, heads, host) for entry in entries),
        postprocess("face_postprocess", entries, contract, heads, host),
        *(postprocess_on_request(request, contract, heads, host) for request in on_request(entries)),
        *(ensemble(entry.name, "face_preprocess", [entry], contract, host) for entry in entries),
        ensemble("face_analysis", "face_preprocess", entries, contract, host),
        ensemble("crop_analysis", "crop_preprocess", entries, contract, host),
        photo_analysis(
            contract, engine, engine_model=network.model_name("face_engine"), limits=limits, host=host
        ),
    ]
    models = [_named(model, network) for model in models]
    return models if network.prefix else [*models, face_detect(engine, limits=limits, host=host)]


def _cpu_models(network: Network, engine: EngineSettings, host: HostSettings) -> list[Model | Ensemble]:
    """Of the models that may differ where there is no GPU, what they are there with this engine."""
    models = [face_engine(network.contract, network.heads, engine, host)]
    if network.face_warp:
        models += [face_preprocess(network.contract, host), face_warp_on_cpu(network.contract, host)]
    return [_named(model, network) for model in models]


def _named(model: Model | Ensemble, network: Network) -> Model | Ensemble:
    """The model by the name that it has as one of this network's."""
    if isinstance(model, Model):
        return dataclasses.replace(model, name=network.model_name(model.name))
    steps = tuple(dataclasses.replace(step, model=network.model_name(step.model)) for step in model.steps)
    return dataclasses.replace(model, name=network.model_name(model.name), steps=steps)


def _with_networks(model: Model | Ensemble, networks: Sequence[Network]) -> Model | Ensemble:
    if model.name != "photo_analysis":
        return model
    prefixes = {network.name: network.prefix for network in networks}
    listed = {NETWORKS_PARAMETER: json.dumps(prefixes, separators=(",", ":"))}
    return dataclasses.replace(model, parameters={**model.parameters, **listed})


def _with_notice(model: Model | Ensemble, notice: str) -> Model | Ensemble:
    """The model, with the notice where it answers by a contract."""
    if CONTRACT_HASH not in model.outputs:
        return model
    return dataclasses.replace(model, parameters={**model.parameters, notices.PARAMETER: notice})


def _with_reference(model: Model | Ensemble, network: Network) -> Model | Ensemble:
    """The model, with the reference of the network's answers where it is the one that photos go to."""
    known = {task: network.answer_reference.get(task) for task in network.contract.names}
    if model.name != network.model_name("photo_analysis") or not any(known.values()):
        return model
    text = json.dumps({task: labels for task, labels in known.items() if labels}, separators=(",", ":"))
    return dataclasses.replace(model, parameters={**model.parameters, REFERENCE_PARAMETER: text})
