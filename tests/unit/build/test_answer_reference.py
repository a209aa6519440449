"""The reference of answers: found by the checkpoint that it was measured on, served for what is served."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from build.acceptance.answer_reference import CHECKPOINT, PARAMETER, SUFFIX, answer_reference
from build.backends import default_backend
from build.errors import BuildError
from build.onnx_interface import Graph, read_graph
from build.serving.pbtxt import parse
from build.serving.served_models import config_files
from build.serving.served_network import network_of
from deploy.gateway.observability.answer_sums import watched_tensors
from tests.helpers.paths import ROOT


@pytest.fixture
def graph(weights: Path) -> Graph:
    read = read_graph(weights)
    return dataclasses.replace(read, metadata={**read.metadata, CHECKPOINT: "abc"})


def write(graph: Graph, content: Any) -> None:
    graph.path.with_suffix(SUFFIX).write_text(json.dumps(content))


def test_a_reference_of_this_checkpoint_is_found_and_no_other(graph: Graph) -> None:
    assert answer_reference(graph) == {}
    write(graph, {CHECKPOINT: "another", "answers": {"age": {"years": [30, 10]}}})
    assert answer_reference(graph) == {}
    write(graph, {CHECKPOINT: "abc", "answers": {"age": {"years": [30, 10]}}})
    assert answer_reference(graph) == {"age": {"years": [30, 10]}}


@pytest.mark.parametrize("content", ["text", {"answers": 3}, {}])
def test_one_that_can_not_be_read_is_refused_with_a_sentence(graph: Graph, content: Any) -> None:
    write(graph, content)
    with pytest.raises(BuildError, match="answer_reference"):
        answer_reference(graph)


def test_photos_model_has_the_reference_of_the_tasks_that_are_served(graph: Graph) -> None:
    known = {"age": {"years": [30, 10]}, "race": {"White": [0.5, 0.1]}}
    network = network_of(graph, tasks=["age", "expression"], engine=default_backend("cpu").settings())
    files = config_files([dataclasses.replace(network, answer_reference=known)])
    having = {}
    for text in files.values():
        config = parse(text)
        if PARAMETER in config.parameters:
            having[config.name] = json.loads(config.parameters[PARAMETER].string_value)
    assert having == {"photo_analysis": {"age": {"years": [30, 10]}}}


@pytest.mark.parametrize("weights", ["qface-tiny", "qface-tiny-open"])
def test_shipped_weights_have_a_reference_of_all_that_is_watched(weights: str) -> None:
    graph = read_graph(ROOT / "weights" / f"{weights}.onnx")
    reference = answer_reference(graph)
    watched = watched_tensors(graph.contract.to_text())
    assert {task: tuple(labels) for task, labels in reference.items()} == {
        tensor.task: tensor.labels for tensor in watched.values()
    }
    assert all(deviation > 0 for labels in reference.values() for _, deviation in labels.values())
