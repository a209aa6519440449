"""`python -m training.train.average`: the mean of two states of one network."""

import dataclasses
import pathlib

import pytest
import torch

from training.models import CONFIGS, load_checkpoint, save_checkpoint
from training.train import average
from training.train.random_initialisation import random_checkpoint


@pytest.fixture
def two(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """A network that answers ages by levels, and one of before, which has one number for them."""
    paths = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    config = CONFIGS["qface_test"].with_tasks(["age", "gender"])
    for path, levels in zip(paths, [("age",), ()], strict=True):
        made = random_checkpoint(dataclasses.replace(config, distributions=levels), seed=len(levels))
        card = {"run": path.stem, "sources": [{"name": path.stem}], "steps": 7}
        card |= {"calibration": {"gender": {"scale": [2.0]}}, "kept_out_before_calibration": {}}
        save_checkpoint(path, dataclasses.replace(made, card=card))
    return paths


def test_the_mean_is_of_the_weights_that_both_have_and_says_where_it_came_from(
    two: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mean.safetensors"
    assert average.main([*map(str, two), "--share", "0.75", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    new, old = (load_checkpoint(path).model.state_dict() for path in two)
    mean = load_checkpoint(output)
    changed = 0
    for name, weight in mean.model.state_dict().items():
        if name in old and old[name].shape == weight.shape:
            torch.testing.assert_close(weight, 0.75 * new[name] + 0.25 * old[name], atol=1e-3, rtol=1e-3)
            changed += not torch.equal(old[name], new[name])
        else:
            torch.testing.assert_close(weight, new[name])
            assert name in said
    assert changed > 10
    assert mean.contract == load_checkpoint(two[0]).contract
    assert mean.card["run"] == "new"
    assert not mean.card.keys() & {"calibration", "kept_out_before_calibration"}  # it can be calibrated
    assert mean.card["averaged"] == {"share": 0.75, "with": {"run": "old", "sources": [{"name": "old"}]}}


def test_what_has_no_mean_is_refused(
    two: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mean.safetensors"
    assert average.main([*map(str, two), "--share", "1", "--output", str(output)]) == 2
    assert "a share of 1 is no mean" in capsys.readouterr().err
    assert average.main([str(two[0]), str(tmp_path / "none"), "--output", str(output)]) == 2
    assert "none" in capsys.readouterr().err
    assert not output.exists()
