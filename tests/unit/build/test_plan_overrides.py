"""What a command line leaves open stays as it is served; what it names is laid over the recorded plan."""

import json
from pathlib import Path

import pytest

from build.backends import backends
from build.config import WEIGHTS
from build.detector import find_detector
from build.errors import BuildError
from build.serving.pbtxt import parse
from build.serving_plan import ServingPlan, recorded_plan, shipped_checkpoint
from build.stages import repository
from build.stages.repository import assemble
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import manifest_of


def test_a_precision_that_was_not_built_is_refused_with_the_command_that_builds_it(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(weights), "--precision", "bf16", "--output", str(output)]
    assert repository.main(arguments) == 2
    assert "run `make engine TARGET=openvino PRECISION=bf16` first" in capsys.readouterr().err
    engine = output / "build" / weights.stem / "openvino-bf16" / "engine"
    standin.write_engine(engine, weights)
    assert repository.main(arguments) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "bf16"
    changed = {"onnx_sha256": "0" * 64, "checkpoint_sha256": "0" * 64}
    standin.write_engine(engine, weights, onnx=changed)
    assert repository.main(arguments) == 2
    assert "built from another checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["engine", "precision"])
def test_an_engine_whose_last_build_failed_is_not_served_by_name_but_goes_on_being_served(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    common = ["--output", str(output)]
    chosen = ["--weights", str(weights), "--precision", "bf16", *common]
    engine = standin.write_engine(output / "build" / weights.stem / "openvino-bf16" / "engine", weights)
    assert repository.main(chosen) == 0
    served = (output / "repository").resolve()
    failed = engine.with_name(f"{step}.FAILED.json")
    failed.write_text(json.dumps({"error": "age is 9 years off"}))
    capsys.readouterr()
    for arguments in (chosen, ["--engine", str(engine), *common]):
        assert repository.main(arguments) == 2
        said = capsys.readouterr().err
        assert "was refused (age is 9 years off): build it again" in said
        assert said.count("\n") == 1
    assert repository.main(common) == 0
    assert (output / "repository").resolve() == served
    failed.write_text("{")
    assert repository.main(chosen) == 2
    failed.unlink()
    assert repository.main(chosen) == 0


def test_what_is_not_said_stays_as_it_is_served(weights: Path, output: Path, tmp_path: Path) -> None:
    common = ["--output", str(output)]

    def served(*options: str) -> tuple[str, list[str], int | None]:
        assert repository.main([*options, *common]) == 0
        manifest = manifest_of(output / "repository")
        engine = manifest["stages"]["engine"]
        return engine["precision"], manifest["tasks"], manifest["plan"]["threads"]

    everything = ["expression", "age", "head_pose"]
    assert served("--weights", str(weights), "--threads", "1") == ("fp32", everything, 1)
    assert served("--tasks", "age") == ("fp32", ["age"], 1)
    assert served("--threads", "2") == ("fp32", ["age"], 2)
    engine = standin.write_engine(output / "build" / weights.stem / "openvino-bf16" / "engine", weights)
    assert served("--weights", str(weights), "--precision", "bf16") == ("bf16", ["age"], None)
    assert served("--tasks", "expression") == ("bf16", ["expression"], None)
    assert served("--weights", str(weights)) == ("fp32", ["expression"], None)
    assert served("--engine", str(engine)) == ("bf16", ["expression"], None)
    assert served("--tasks", "default") == ("bf16", everything, None)
    assert served() == ("bf16", everything, None)
    detector = tmp_path / "another.tflite"
    detector.write_bytes(find_detector().read_bytes())
    served("--detector", str(detector))
    served("--weights", str(weights))
    assert manifest_of(output / "repository")["stages"]["detector"]["file"] == "another.tflite"


def test_a_precision_is_looked_for_among_the_engines_of_the_network_that_is_served(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--output", str(output)]
    for precision in ("bf16", "int8"):
        place = output / "build" / "mine" / f"openvino-{precision}" / "engine"
        standin.write_engine(place, weights, precision=precision)
    engine = output / "build" / "mine" / "openvino-bf16" / "engine"
    assert repository.main(["--engine", str(engine), *common]) == 0
    assert repository.main(["--precision", "int8", *common]) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "int8"
    assert repository.main(["--precision", "fp16", "--target", "onnxruntime", *common]) == 2
    assert "no onnxruntime engine of mine or qface-tiny in fp16" in capsys.readouterr().err
    # Weights that are named are not those that are served.
    assert repository.main(["--weights", str(weights), "--precision", "int8", *common]) == 2
    assert f"engine of {weights.stem} in int8" in capsys.readouterr().err


def test_a_precision_or_target_alone_changes_no_network(
    weights: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or who serves a network that may be used for anything would get back one for research only."""
    common, other = ["--output", str(output)], WEIGHTS.with_name("qface-tiny-open.onnx")
    checkpoint = other.with_suffix(".safetensors")
    assert repository.main(["--weights", str(other), "--precision", "fp32", *common]) == 0
    for word in ("--precision=fp32", "--target=openvino"):
        assert repository.main([word, *common]) == 0
        assert shipped_checkpoint(output / "repository") == checkpoint
    assert repository.main(["--precision", "bf16", *common]) == 2
    advice = "`make engine CHECKPOINT=weights/qface-tiny-open.safetensors TARGET=openvino PRECISION=bf16`"
    assert advice in capsys.readouterr().err
    # And of an engine that `make engine` built of it.
    engine = output / "build" / "qface-tiny-open" / "openvino-bf16" / "engine"
    standin.write_engine(engine, other, precision="bf16")
    assert repository.main(["--precision", "bf16", *common]) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "bf16"
    assert repository.main(["--precision", "fp32", *common]) == 0
    assert shipped_checkpoint(output / "repository") == checkpoint
    # So do weights of one's own.
    assert repository.main(["--weights", str(weights), *common]) == 0
    assert repository.main(["--precision", "fp32", *common]) == 0
    assert shipped_checkpoint(output / "repository") is None
    assert manifest_of(output / "repository")["stages"]["onnx"]["file"] == weights.name


def test_an_engine_and_what_chooses_another_are_not_taken_together(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = standin.write_engine(output / "engine", weights)
    common = ["--engine", str(engine), "--output", str(output)]
    for name, value in (
        ("weights", str(weights)),
        ("target", "openvino"),
        ("precision", "fp32"),
        ("threads", "2"),
    ):
        assert repository.main([*common, f"--{name}", value]) == 2
        said = capsys.readouterr().err
        assert f"--{name} would choose another: leave out one of them" in said
        assert said.count("\n") == 1
    assert repository.main(common) == 0
    assert repository.main(["--threads", "2", "--output", str(output)]) == 2
    assert "a built engine has the cores" in capsys.readouterr().err


def test_a_path_outside_the_project_is_recorded_whole(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights.parent)
    common = ["--output", str(output)]
    assert repository.main(["--weights", weights.name, *common]) == 0
    recorded = manifest_of(output / "repository")["plan"]
    assert recorded["weights"] == str(weights.resolve())
    assert recorded == ServingPlan(weights=weights.resolve()).to_json(), "and nothing that was not named"
    monkeypatch.chdir("/")
    assert repository.main(common) == 0


def test_a_target_s_own_precision_is_looked_for_where_none_is_named(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, target in backends().items():
        assert target.default_precision in target.precisions
        if target.servable and name != "openvino":
            arguments = ["--weights", str(weights), "--target", name, "--output", str(output)]
            assert repository.main(arguments) == 2
            assert (
                f"make engine TARGET={name} PRECISION={target.default_precision}`" in capsys.readouterr().err
            )


def test_without_a_word_about_what_to_serve_the_same_is_assembled_again(weights: Path, output: Path) -> None:
    common = ["--output", str(output)]
    assert repository.main(["--weights", str(weights), "--tasks", "age", "--threads", "1", *common]) == 0
    first = (output / "repository").resolve()
    assert repository.main(common) == 0
    assert (output / "repository").resolve() == first
    standin.write(weights, standin.contract_of("expression", "age"), seed=5)
    assert repository.main(common) == 0
    assert (output / "repository").resolve() != first
    assert manifest_of(output / "repository")["tasks"] == ["age"]
    assert manifest_of(output / "repository")["plan"]["threads"] == 1
    built = standin.write_engine(output / "engine", weights)
    assert repository.main(["--engine", str(built), *common]) == 0
    assert repository.main(common) == 0
    assert manifest_of(output / "repository")["stages"]["engine"]["precision"] == "bf16"


def test_tasks_come_from_the_environment_where_none_are_named(
    weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_TASKS", "age, race")
    arguments = ["--weights", str(weights), "--output", str(output)]
    assert repository.main(arguments) == 0
    assert manifest_of(output / "repository")["tasks"] == ["age", "race"]
    assert repository.main([*arguments, "--tasks", "head_pose"]) == 0
    assert manifest_of(output / "repository")["tasks"] == ["head_pose"]
    monkeypatch.setenv("SERVED_TASKS", "default")
    assert repository.main(arguments) == 0
    assert manifest_of(output / "repository")["tasks"] == ["expression", "age", "head_pose"]


@pytest.mark.parametrize(
    "plan",
    [
        ServingPlan(),
        ServingPlan(weights=Path("/x.onnx"), threads=0, tasks=("age", "other.age")),
        ServingPlan(
            engine=Path("/engine"),
            instances=2,
            gpus=(0, 1),
            further_networks={"other": Path("/other.onnx")},
            detector=Path("/x.tflite"),
            host_settings=Path("/x.toml"),
        ),
    ],
)
def test_a_plan_is_read_as_it_was_recorded(plan: ServingPlan) -> None:
    assert ServingPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_without_a_plan_that_can_be_read_the_default_one_holds(weights: Path, output: Path) -> None:
    assert recorded_plan(output / "repository") == ServingPlan()
    assembled = assemble(ServingPlan(weights=weights, threads=1), output=output)
    assert recorded_plan(output / "repository") == ServingPlan(weights=weights, threads=1)
    manifest = manifest_of(assembled)
    for damaged in ({}, {"plan": ["--weights", "x"]}, {"plan": {"weights": 1}}):
        rest = {name: value for name, value in manifest.items() if name != "plan"}
        (assembled / "manifest.json").write_text(json.dumps(rest | damaged))
        assert recorded_plan(output / "repository") == ServingPlan()


def test_a_repository_from_before_plans_keeps_its_shipped_network(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = WEIGHTS.with_name("qface-tiny-open.onnx")
    assembled = assemble(ServingPlan(weights=shipped, tasks=("age",), precision="fp32"), output=output)
    manifest = manifest_of(assembled)
    del manifest["plan"]
    (assembled / "manifest.json").write_text(json.dumps(manifest | {"words": ["--weights", "x"]}))
    assert recorded_plan(output / "repository") == ServingPlan(weights=shipped)
    assert "give TARGET=" in capsys.readouterr().err


def test_a_plan_that_can_t_be_served_is_refused() -> None:
    with pytest.raises(BuildError, match="a built engine has the cores"):
        ServingPlan(engine=Path("/engine"), threads=1)
    with pytest.raises(BuildError, match="--gpus and --instances are for a GPU's engine"):
        ServingPlan(gpus=(0,))


def test_a_server_s_limits_of_its_searches_are_kept_until_others_are_named(
    weights: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--weights", str(weights), "--output", str(output)]

    def taken() -> dict[str, tuple[float, float]]:
        """The ranges of what photo_analysis and face_detect take, which are the same."""
        ranges = []
        for model in ("photo_analysis", "face_detect"):
            config = parse((output / "repository" / "models" / model / "config.pbtxt").read_text())
            described = json.loads(config.parameters["request_parameters"].string_value)
            ranges.append({name: (each["minimum"], each["maximum"]) for name, each in described.items()})
        assert ranges[0] == ranges[1]
        return ranges[0]

    assert repository.main([*common, "--max-faces", "1000", "--min-face", "0.01"]) == 0
    assert repository.main(common) == 0
    assert taken() == {"min_score": (0.1, 1.0), "max_faces": (1, 1000), "min_face": (0.01, 1.0)}
    assert repository.main([*common, "--max-faces", "20"]) == 0
    assert (taken()["max_faces"], taken()["min_face"]) == ((1, 20), (0.01, 1.0))
    capsys.readouterr()
    assert repository.main([*common, "--max-faces", "0"]) == 2
    assert "--max-faces is 1 to 1024 faces of a photo, not 0" in capsys.readouterr().err


def test_a_plan_from_before_there_were_such_limits_is_read(weights: Path) -> None:
    recorded = ServingPlan(weights=weights).to_json()
    del recorded["max_faces"], recorded["min_face"]
    assert ServingPlan.from_json(recorded) == ServingPlan(weights=weights)
