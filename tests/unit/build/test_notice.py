"""The notice: served beside the contract of every model that answers, remembered, and outside of the hash."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from build.serving.notice import DEFAULT, LONGEST, PARAMETER
from build.serving.pbtxt import parse
from build.serving_plan import recorded_plan
from build.stages import repository
from runtime.contract import Contract
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import manifest_of

OWN = "Diese Kamera schätzt Ihr Alter.\nFragen: an der Kasse."


def notices_of(output: Path) -> Mapping[str, str]:
    """By model; those without one are left out. Every model that answers by a contract has it."""
    found, answering = {}, set()
    for path in (output / "repository" / "models").glob("*/config.pbtxt"):
        config = parse(path.read_text())
        if "contract" in {tensor.name for tensor in config.output}:
            answering.add(config.name)
        if PARAMETER in config.parameters:
            found[config.name] = config.parameters[PARAMETER].string_value
    assert set(found) == answering
    return found


def assemble(output: Path, *words: str) -> int:
    return repository.main([*words, "--output", str(output)])


def test_every_model_that_answers_has_the_notice_and_it_is_remembered(
    weights: Path, output: Path, tmp_path: Path
) -> None:
    assert assemble(output, "--weights", str(weights), "--also", f"other={weights}") == 0
    notices = notices_of(output)
    assert {"photo_analysis", "face_analysis", "crop_analysis", "age", "other_photo_analysis"} <= set(notices)
    assert set(notices.values()) == {DEFAULT}
    assert "face_detect" not in notices
    file = tmp_path / "notice.txt"
    file.write_text(f"\ufeff{OWN}\n\n")
    assert assemble(output, "--notice", str(file)) == 0
    assert set(notices_of(output).values()) == {OWN}
    file.unlink()
    assert assemble(output, "--tasks", "age") == 0
    assert set(notices_of(output).values()) == {OWN}
    assert recorded_plan(output / "repository").notice == OWN
    assert assemble(output, "--notice", "default") == 0
    assert set(notices_of(output).values()) == {DEFAULT}


def test_the_notice_is_outside_of_the_contract_and_its_hash(
    weights: Path, output: Path, tmp_path: Path
) -> None:
    file = tmp_path / "notice.txt"
    found = set()
    for text in ("one", "two"):
        file.write_text(text)
        assert assemble(output, "--weights", str(weights), "--notice", str(file)) == 0
        config = parse((output / "repository/models/photo_analysis/config.pbtxt").read_text())
        contract = Contract.parse(config.parameters["contract"].string_value)
        assert config.parameters[PARAMETER].string_value == text
        assert text not in contract.to_text()
        found.add((contract.hash, manifest_of(output / "repository")["contract"]))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "can't be read (No such file or directory)"),
        (b" \n", "is empty"),
        (b"x" * (LONGEST + 1), f"has {LONGEST + 1} characters, and may have {LONGEST}"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"red \x1b[31m", "has characters that can't be printed ('\\x1b')"),
        (b"a\x00b", "has characters that can't be printed ('\\x00')"),
    ],
)
def test_a_file_that_can_be_no_notice_is_one_sentence_and_changes_nothing(
    weights: Path,
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    sentence: str,
) -> None:
    file = tmp_path / "notice.txt"
    if content is not None:
        file.write_bytes(content)
    assert assemble(output, "--weights", str(weights), "--notice", str(file)) == 2
    printed = capsys.readouterr().err
    assert f"the notice {file} {sentence}" in printed
    assert printed.count("\n") == 1
    assert not output.exists()


def test_the_default_notice_names_no_task_and_is_short() -> None:
    contract = standin.contract_of("expression", "age", "head_pose", "race", "gender")
    assert len(DEFAULT) < 600
    assert not [task["name"] for task in contract["tasks"] if task["name"] in DEFAULT.split()]
