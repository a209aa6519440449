"""Several networks in one repository: names, tasks, what is remembered, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.serving_plan import ServingPlan, recorded_plan
from build.stages import repository
from build.stages.repository import assemble
from build.stages.verify import main as verify_main
from build.stages.verify import verify
from tests.helpers.networks import standin_network as standin

TASKS = ("expression", "age", "landmarks", "parsing_lapa")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return standin.write(tmp_path / "first.onnx", standin.contract_of("expression", "age", "head_pose"))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return standin.write(tmp_path / "second.onnx", standin.contract_of(*TASKS), seed=1)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "var"


def manifest_of(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / "repository" / "manifest.json").read_text()))


def models_of(output: Path) -> set[str]:
    return {path.name for path in (output / "repository" / "models").iterdir()}


def test_what_is_said_of_further_networks_stays_until_it_is_said_anew(
    first: Path, second: Path, output: Path
) -> None:
    common = ["--output", str(output)]

    def served(*words: str) -> tuple[list[str], dict[str, list[str]]]:
        assert repository.main([*words, *common]) == 0
        manifest = manifest_of(output)
        verify((output / "repository").resolve())
        return manifest["tasks"], {name: said["tasks"] for name, said in manifest.get("also", {}).items()}

    mine, default = ["expression", "age", "head_pose"], list(TASKS)
    assert served("--weights", str(first), "--also", f"other={second}") == (mine, {"other": default})
    assert served() == (mine, {"other": default})
    assert served("--tasks", "age,other.landmarks,other.parsing_lapa") == (
        ["age"],
        {"other": ["landmarks", "parsing_lapa"]},
    )
    assert served() == (["age"], {"other": ["landmarks", "parsing_lapa"]})
    assert served("--tasks", "other.age") == (mine, {"other": ["age"]})
    assert served("--tasks", "default") == (mine, {"other": default})
    engine = standin.write_engine(output / "engine", second)
    assert served("--also", f"other={engine}", "--also", f"third={first}") == (
        mine,
        {"other": default, "third": mine},
    )
    assert manifest_of(output)["stages"]["also"]["other"]["engine"]["precision"] == "bf16"
    assert recorded_plan(output / "repository").further_networks == {
        "other": engine.resolve(),
        "third": first.resolve(),
    }
    (engine.with_name("engine.FAILED.json")).write_text(json.dumps({"error": "worse"}))
    assert served()[1] == {"other": default, "third": mine}
    assert served("--tasks", "age,other.age") == (["age"], {"other": ["age"], "third": mine})
    assert served("--also", "none") == (["age"], {})
    assert not any(name.startswith("other_") for name in models_of(output))


def test_the_same_networks_make_the_same_repository_and_others_another(
    first: Path, second: Path, output: Path
) -> None:
    made = [
        assemble(ServingPlan(weights=first, further_networks={"other": second}), output=output),
        assemble(ServingPlan(weights=first, further_networks={"other": second}), output=output),
        assemble(ServingPlan(weights=first), output=output),
        assemble(ServingPlan(weights=first, further_networks={"another": second}), output=output),
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--also", "qface=SECOND"], "two models are called qface"),
        (["--also", "Face X=SECOND"], "a model can't be called 'Face X'"),
        (["--also", "head=SECOND"], "a further model can't be called head, as names like head_pose"),
        (["--also", "a=SECOND", "--also", "a_b=SECOND"], "a and a_b can't be told apart"),
        (["--also", "a=SECOND", "--also", "a=SECOND"], "--also names two networks a"),
        (["--also", "a=MISSING"], "there is no finished engine in"),
        (["--also", "a=MISSING.onnx"], "there are no weights at"),
        (["--also", "a=SECOND", "--tasks", "b.age"], "there is no further model b whose tasks"),
        (["--tasks", "b.age"], "name one with --also"),
        (["--also", "a=SECOND", "--tasks", "a.smile"], "do not answer smile: choose from expression"),
    ],
)
def test_networks_that_can_t_be_served_together_are_told_in_one_line(
    first: Path,
    second: Path,
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    placed = [
        word.replace("SECOND", str(second)).replace("MISSING", str(tmp_path / "missing")) for word in words
    ]
    assert repository.main(["--weights", str(first), *placed, "--output", str(output)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (output / "repository").exists()


def test_a_name_without_a_path_is_a_wrong_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        repository.main(["--also", "facexformer"])
    assert "a name and a path with = between them" in capsys.readouterr().err


def test_untrained_and_unfit_engines_are_refused_as_further_ones_too(
    first: Path, second: Path, output: Path
) -> None:
    for changes, words in (
        ({"trained": False}, "untrained weights, which are never served"),
        ({"versions": {"openvino": "1.0"}}, r"measured with openvino 1\.0"),
    ):
        engine = standin.write_engine(output / "engine", second, **changes)
        with pytest.raises(BuildError, match=words):
            assemble(ServingPlan(weights=first, further_networks={"other": engine}), output=output)


def test_the_check_names_a_further_network_that_is_not_as_it_was(
    first: Path, second: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = standin.write_engine(output / "engine", first)
    assembled = assemble(ServingPlan(engine=built, further_networks={"other": second}), output=output)
    assert verify_main([str(assembled)]) == 0
    said = capsys.readouterr().out
    assert "openvino engine in bf16" in said
    assert "other: openvino engine in fp32, contract" in said
    config = assembled / "models" / "other_age" / "config.pbtxt"
    config.write_text(config.read_text().replace(manifest_of(output)["also"]["other"]["contract"], "0" * 16))
    with pytest.raises(BuildError, match=r"other_age names the contract 0{16}"):
        verify(assembled)


def test_further_engines_that_were_measured_elsewhere_are_told(
    first: Path, second: Path, output: Path
) -> None:
    engine = standin.write_engine(output / "engine", second)
    assembled = assemble(ServingPlan(weights=first, further_networks={"other": engine}), output=output)
    path = assembled / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["stages"]["also"]["other"]["engine"]["versions"]["openvino"] = "1.0"
    path.write_text(json.dumps(manifest))
    with pytest.raises(BuildError, match=r"other_face_engine: it was measured with openvino 1\.0"):
        verify(assembled)
