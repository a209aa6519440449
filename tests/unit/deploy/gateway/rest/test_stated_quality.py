"""REST over a network that states expected errors and a quality, and over one that does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict
from tritonclient.grpc import service_pb2

from build.config import generated
from build.onnx_interface import read_graph
from build.serving.pbtxt import parse
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.identity import ANYBODY
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal
from deploy.gateway.rest.contracts import ServedContracts, ServedPhotos
from deploy.gateway.rest.descriptions import described
from deploy.gateway.rest.openapi import specification
from deploy.gateway.rest.photo_query import read_query
from tests.helpers.networks import standin_network as standin

TASKS = ("age", "face_quality")


def photos_of(folder: Path, contract: dict[str, Any]) -> ServedPhotos:
    """The photo model as it is generated for this contract."""
    weights = standin.write(folder / "network.onnx", contract)
    config = parse(generated(read_graph(weights))["photo_analysis/config.pbtxt"].decode())
    metadata = service_pb2.ModelMetadataResponse(name=config.name, versions=["1"])
    served = ServedModels.of(
        generation=1,
        server=service_pb2.ServerMetadataResponse(),
        configs={config.name: service_pb2.ModelConfigResponse(config=config)},
        metadata={config.name: metadata},
    )
    return ServedContracts().of(served)


@pytest.fixture
def stating(tmp_path: Path) -> ServedPhotos:
    return photos_of(tmp_path, standin.stating_errors(standin.contract_of(*TASKS), minimum=0.25))


@pytest.fixture
def older(tmp_path: Path) -> ServedPhotos:
    return photos_of(tmp_path, standin.contract_of(*TASKS))


def test_a_query_may_name_the_least_quality(stating: ServedPhotos) -> None:
    query = read_query(MultiDict(min_quality="0.5", tasks="age"), photos=stating, caller=ANYBODY)
    assert query.parameters == {"min_quality": 0.5}
    assert {"age_value", "age_error", "faces_below_quality"} <= set(query.outputs)
    assert not [output for output in query.outputs if output.startswith("face_quality")]
    with pytest.raises(Refusal, match=r"the query's min_quality is '1\.5': it is a number of 0 to 1"):
        read_query(MultiDict(min_quality="1.5"), photos=stating, caller=ANYBODY)


def test_a_network_without_a_quality_takes_no_least_one(older: ServedPhotos) -> None:
    with pytest.raises(Refusal, match="the query has 'min_quality', which is not taken: leave it out"):
        read_query(MultiDict(min_quality="0.5"), photos=older, caller=ANYBODY)
    outputs = read_query(MultiDict(), photos=older, caller=ANYBODY).outputs
    assert not {"age_error", "faces_below_quality"} & set(outputs)


def test_the_specification_describes_what_is_stated(stating: ServedPhotos, older: ServedPhotos) -> None:
    def specified(photos: ServedPhotos) -> tuple[dict[str, Any], dict[str, Any]]:
        whole = specification(photos, GatewayOptions(repository=Path("var")))
        parameters = {each["name"]: each for each in whole["paths"]["/v1/analyze"]["post"]["parameters"]}
        return parameters, whole["components"]["schemas"]["Analysis"]

    parameters, analysis = specified(stating)
    assert parameters["min_quality"]["schema"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.25,
    }
    assert "faces_below_quality" in analysis["properties"]
    assert "age_error" in json.dumps(analysis)
    assert described(stating)["request_parameters"]["min_quality"]["default"] == 0.25
    parameters, analysis = specified(older)
    assert "min_quality" not in parameters
    assert "age_error" not in json.dumps(analysis)
