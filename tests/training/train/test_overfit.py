"""A network of less than a million parameters learns faces by heart, every task of them."""

import json

import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from training.data.sampling.augmentation import NO_AUGMENTATION
from training.models import CONFIGS
from training.train.loop.distributed import distributed
from training.train.run_config import Run, Source
from training.train.trainer import Trainer

STEPS, FACES = 75, 8
SHARE = 0.3  # of a loss that may be left
Losses = dict[str, float]


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> tuple[Losses, Losses]:
    """Each task's loss over the first ten and the last ten steps, all tasks learned at once."""
    root = tmp_path_factory.mktemp("overfit")
    config = CONFIGS["qface_test"]
    make_set(root / "made", count=FACES, tasks=config.tasks)
    run = Run(
        name="overfit",
        model=config,
        sources=(Source(name="made", batch=FACES),),
        steps=STEPS,
        warmup_steps=10,
        learning_rate=3e-3,
        # Of many small decisions, each has a small share in its task's mean.
        weights={"action_units": 4.0, "attributes": 4.0, "visibility": 4.0},
        betas=(0.9, 0.99),
        weight_decay=0.0,
        clip=5.0,
        bf16=False,
        noise=False,
        augmentation=NO_AUGMENTATION,
        workers=0,
        progress_every=10,
        checkpoint_every=STEPS,
        trackers=(),
    )
    # Beside other work, two threads wait for each other longer than they save.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with distributed("cpu") as where:
        trainer = Trainer(run, data=root, folder=root / "run", where=where)
        assert sum(p.numel() for p in trainer.model.parameters()) <= 1_000_000
        trainer.train()
    torch.set_num_threads(threads)
    lines = [json.loads(line) for line in (root / "run" / "progress.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == STEPS
    return lines[0]["losses"], lines[-1]["losses"]


@pytest.mark.parametrize("task", CONFIGS["qface_test"].tasks)
def test_faces_are_learned_by_heart_within_75_steps(losses: tuple[Losses, Losses], task: str) -> None:
    before, after = losses
    assert after[task] < SHARE * before[task]
