"""The precision that was decided or chosen: in plan, manifest and configurations, and as a server starts."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import build.serving.servable_network
from build import machine
from build.acceptance.precision_decision import (
    PrecisionDecision,
    decided_elsewhere,
    machine_of_decision,
    precision_lines,
)
from build.errors import BuildError
from build.onnx_interface import Graph
from build.precisions import Precision
from build.serving.pbtxt import parse
from build.serving_plan import ServingPlan, recorded_plan
from build.stages import repository
from build.stages.repository import assemble
from deploy.embedded.assembled_repository import open_repository, precisions_served
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import manifest_of

Decides = Callable[[Precision], None]


@pytest.fixture
def decides(monkeypatch: pytest.MonkeyPatch) -> Decides:
    """Lets this machine decide for a precision."""

    def set_up(precision: Precision) -> None:
        def decide(_graph: Graph, *, memory: Path) -> PrecisionDecision:
            return PrecisionDecision(
                precision=precision, why="so it is", machine=machine_of_decision(), differences={}
            )

        monkeypatch.setattr(build.serving.servable_network, "decide_precision", decide)

    return set_up


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this machine another one."""
    return lambda: monkeypatch.setattr(machine, "processor", lambda: "another processor")


def parameters_of(assembled: Path, config: str, *, model: str = "face_engine") -> dict[str, str]:
    parsed = parse((assembled / "models" / model / "configs" / f"{config}.pbtxt").read_text())
    return {name: value.string_value for name, value in parsed.parameters.items()}


def engine_of(output: Path) -> dict[str, Any]:
    return dict(manifest_of(output / "repository")["stages"]["engine"])


def test_what_was_decided_is_served_and_recorded(weights: Path, output: Path, decides: Decides) -> None:
    decides("bf16")
    assembled = assemble(ServingPlan(weights=weights), output=output)
    assert parameters_of(assembled, "cpu")["precision"] == "bf16"
    engine = engine_of(output)
    assert (engine["precision"], engine["decision"]["why"]) == ("bf16", "so it is")
    assert precision_lines(manifest_of(assembled)) == ["serving x in bf16: so it is"]
    assert recorded_plan(output / "repository").precision is None
    decides("fp32")
    assembled = assemble(ServingPlan(weights=weights), output=output)
    assert parameters_of(assembled, "cpu")["precision"] == "fp32"
    assert not (assembled / "models" / "face_engine" / "configs" / "cpu-fp32.pbtxt").exists()


def test_a_chosen_precision_stays_chosen_until_it_is_left_open_again(
    weights: Path, output: Path, decides: Decides, capsys: pytest.CaptureFixture[str]
) -> None:
    decides("bf16")
    common = ["--output", str(output)]

    def served(*options: str) -> str:
        assert repository.main([*options, *common]) == 0
        return str(engine_of(output)["precision"])

    assert served("--weights", str(weights)) == "bf16"
    for choice in (["--precision", "fp32"], ["--target", "openvino"]):
        assert served(*choice) == "fp32"
        assert "decision" not in engine_of(output)
        assert "serving x in fp32, as it was chosen\n" in capsys.readouterr().err
        assert served() == served("--tasks", "age") == "fp32"
        assert served("--precision", "auto") == served() == "bf16"
        assert "serving x in bf16: so it is\n" in capsys.readouterr().err
    built = standin.write_engine(output / "engine", weights, precision="int8")
    assert served("--engine", str(built)) == served() == "int8"
    assert repository.main(["--precision", "auto", "--target", "onnxruntime", *common]) == 2
    assert "name one that was built for onnxruntime" in capsys.readouterr().err


def test_only_what_an_exported_network_runs_in_can_be_chosen_in_a_plan() -> None:
    plan = ServingPlan(precision="fp32")
    assert ServingPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(BuildError, match="build one in int8 with `make engine`"):
        ServingPlan(precision="int8")
    recorded = ServingPlan().to_json()
    del recorded["precision"]  # as it was recorded before it could be chosen
    assert ServingPlan.from_json(recorded) == ServingPlan()


def test_a_choice_holds_for_further_exported_networks_too(
    weights: Path, output: Path, decides: Decides
) -> None:
    decides("bf16")
    plan = ServingPlan(weights=weights, further_networks={"other": weights})
    lines = precision_lines(manifest_of(assemble(plan, output=output)))
    assert lines == ["serving x in bf16: so it is"] * 2
    assembled = assemble(dataclasses.replace(plan, precision="fp32"), output=output)
    assert parameters_of(assembled, "cpu", model="other_face_engine")["precision"] == "fp32"


def test_on_another_machine_than_that_of_the_decision_full_precision_is_served(
    weights: Path, output: Path, decides: Decides, elsewhere: Callable[[], None]
) -> None:
    decides("bf16")
    built = standin.write_engine(output / "engine", weights, precision="int8")
    plan = ServingPlan(weights=weights, further_networks={"other": built})
    assembled = assemble(plan, output=output)
    here = open_repository(output / "repository")
    assert here.config_name == "cpu"
    assert parameters_of(assembled, here.config_name)["precision"] == "bf16"
    elsewhere()
    there = open_repository(output / "repository")
    assert parameters_of(assembled, there.config_name)["precision"] == "fp32"
    built_one = parameters_of(assembled, there.config_name, model="other_face_engine")
    assert built_one["precision"] == "int8", "what was built stays as it is"
    first, second = precisions_served(output / "repository")
    assert first.startswith("serving x in fp32: bf16 was accepted on another machine (processor ")
    assert second == f"serving the engine {built} in int8, as it was chosen"


def test_full_precision_and_what_was_chosen_are_served_on_any_machine(
    weights: Path, output: Path, decides: Decides, elsewhere: Callable[[], None]
) -> None:
    decides("fp32")
    assert not decided_elsewhere(manifest_of(assemble(ServingPlan(weights=weights), output=output)))
    built = standin.write_engine(output / "engine", weights, precision="bf16")
    assemble(ServingPlan(engine=built), output=output)
    elsewhere()
    assert open_repository(output / "repository").config_name == "cpu"


def test_a_repository_that_can_not_be_read_has_no_lines(tmp_path: Path) -> None:
    assert precisions_served(tmp_path) == []
