"""Nothing that is served identifies a person: no embedding of a face leaves the server, none is compared."""

from collections.abc import Mapping

import pytest

from build.backends import default_backend
from build.config import WEIGHTS
from build.onnx_interface import Graph, read_graph
from build.serving import tensors
from build.serving.engine_settings import EngineSettings
from build.serving.pbtxt import Ensemble, Model, Tensor
from build.serving.served_models import served_models
from build.serving.served_network import network_of
from runtime.contract import TaskEntry
from runtime.detect.blazeface import LOGITS, REGRESSORS
from runtime.detect.search import USUAL_LIMITS
from runtime.heads import answer_tensors, heads_of
from runtime.kinds import kinds

SHIPPED = sorted(WEIGHTS.parent.glob("*.onnx"))
# What the document promises to be all that is answered: whoever adds a kind has to look at this.
KINDS = {"classes", "multilabel", "value", "rotation", "points", "mask"}


@pytest.fixture(params=SHIPPED, ids=[path.stem for path in SHIPPED])
def graph(request: pytest.FixtureRequest) -> Graph:
    return read_graph(request.param)


@pytest.fixture
def settings() -> EngineSettings:
    return default_backend("cpu").settings()


@pytest.fixture
def models(graph: Graph, settings: EngineSettings) -> Mapping[str, Model | Ensemble]:
    """All models of a repository that serves every task of the network, sensitive ones too."""
    network = network_of(graph, tasks=graph.contract.names, engine=settings)
    return {model.name: model for model in served_models(network, USUAL_LIMITS)}


def is_answer(tensor: Tensor, tasks: Mapping[str, TaskEntry]) -> bool:
    """Whether it is a tensor of a task's answer, of the type and size that its kind declares."""
    for entry in tasks.values():
        for answer in answer_tensors(entry):
            if answer.name == tensor.name:
                dims = (answer.dims, (-1, *answer.dims))  # one face's, or all faces' of a photo
                return tensor.datatype == answer.datatype and tensor.dims in dims
    return False


def test_every_output_is_an_answer_of_a_known_kind_a_place_or_a_picture_itself(
    graph: Graph, models: Mapping[str, Model | Ensemble]
) -> None:
    assert set(kinds()) == KINDS
    tasks = {entry.name: entry for entry in graph.contract.tasks}
    places = {tensor.name for tensor in (*tensors.DETECTIONS, tensors.CROP_TO_PHOTO, tensors.CONTRACT_HASH)}
    places.add(tensors.FACES_BELOW_QUALITY.name)  # how many
    places |= {REGRESSORS, LOGITS, tensors.pixels(graph.contract).name}
    heads, unknown = heads_of(graph.contract), []
    for model in models.values():
        for tensor in model.outputs:
            if model.name == "face_engine":
                known = heads[tensor.name].tensor.matches(tensor.datatype, tensor.dims)
            else:
                known = tensor.name in places or is_answer(tensor, tasks)
            if not known:
                unknown.append((model.name, tensor.name))
    assert unknown == []


def test_no_model_takes_two_faces_to_compare(graph: Graph, models: Mapping[str, Model | Ensemble]) -> None:
    of_one_face = {tensor.name for tensor in (*tensors.FACE_INPUTS, *tensors.CROP_INPUTS)}
    for name in ("photo_analysis", "face_analysis", "crop_analysis", "face_detect", *graph.contract.names):
        if name in models:
            inputs = [tensor.name for tensor in models[name].inputs]
            assert set(inputs) <= of_one_face
            assert len(set(inputs) & {"image", "crop"}) == 1, name
