"""Checkpoints without training: reproducible, honest about it, and whole."""

from pathlib import Path

import pytest
import torch

from training.models import CONFIGS, ExportWrapper, load_checkpoint
from training.tasks import TEN_TASKS
from training.train import random_initialisation


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untrained") / "new" / "tiny.safetensors"
    assert random_initialisation.main(["qface_tiny", "--seed", "5", "--output", str(path)]) == 0
    return path


def test_the_checkpoint_says_that_it_learned_nothing_and_answers_every_task(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    assert loaded.card["trained"] is False
    assert "random" in loaded.card["note"]
    assert loaded.contract.names == TEN_TASKS
    assert loaded.contract.input_size == CONFIGS["qface_tiny"].input_size


def test_the_seed_alone_decides_the_weights(checkpoint: Path) -> None:
    saved = load_checkpoint(checkpoint).model.state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    same = random_initialisation.random_checkpoint(CONFIGS["qface_tiny"], seed=5).model.state_dict()
    other = random_initialisation.random_checkpoint(CONFIGS["qface_tiny"], seed=6).model.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(saved[name], same[name]) for name in saved)
    assert not torch.equal(saved["decoder.queries"], other["decoder.queries"])


def test_every_answer_depends_on_the_picture(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    size = loaded.contract.input_size
    pixels = torch.randint(
        0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    pixels[1] //= 2
    with torch.no_grad():
        answers = ExportWrapper(loaded.model, loaded.contract)(pixels)
    for name, values in answers.items():
        assert (values[0] - values[1]).abs().max() > 1e-6, name


def test_a_place_that_can_not_be_written_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "x.safetensors"
    assert random_initialisation.main(["qface_tiny", "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert str(output) in said
    assert said.count("\n") == 1
