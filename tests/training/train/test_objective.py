"""What fine-tuning minimises: weighted losses, a teacher's features, masks of those faces that have one."""

import dataclasses
import json
import pathlib

import pytest
import torch
from torch import nn

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.small_run import TASKS, small_run
from training.models import CONFIGS, build_model
from training.tasks import CATALOGUE, select
from training.train.loop.distributed import Distributed, distributed
from training.train.objectives import distillation as distil
from training.train.objectives.loss_weighting import UncertaintyWeighting, build_loss_weighting
from training.train.objectives.task_loss import loss_sum
from training.train.run_config import Source
from training.train.trainer import Trainer


def test_learned_weights_count_hard_tasks_less() -> None:
    weighting = build_loss_weighting(
        "uncertainty", losses=["hard", "easy", "absent"], weights={"absent": 2.0}
    )
    assert isinstance(weighting, UncertaintyWeighting)
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.1)
    means = {"hard": torch.tensor(4.0), "easy": torch.tensor(0.05), "absent": torch.tensor(0.0)}
    counts = {"hard": torch.tensor(8.0), "easy": torch.tensor(8.0), "absent": torch.tensor(0.0)}
    for _ in range(400):
        optimizer.zero_grad()
        weighting(means, counts=counts, share=1.0).backward()
        optimizer.step()
    factors = weighting.factors()
    assert factors["hard"] < 0.5
    assert factors["easy"] > 2
    assert factors["absent"] == 2
    fixed = build_loss_weighting("fixed", losses=["hard", "easy"], weights={"easy": 10.0})
    assert float(fixed({n: means[n] for n in ("hard", "easy")}, counts=counts, share=1.0)) == pytest.approx(
        4.5
    )


def test_learned_weights_are_told_with_the_losses(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for balance in ("fixed", "uncertainty"):
        run = small_run(loss_weighting=balance, weights={"age": 2.0}, learning_rate=0.1)
        Trainer(run, data=small_data, folder=tmp_path / balance, where=where).train()
    lines = [
        json.loads((tmp_path / name / "progress.jsonl").read_text().splitlines()[-1])
        for name in ("fixed", "uncertainty")
    ]
    assert "weights" not in lines[0]
    assert set(lines[1]["weights"]) == set(TASKS)
    assert lines[1]["weights"]["age"] not in (0, 2)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step 2/2")]
    assert " x " not in said[0]
    assert f"  age {lines[1]['losses']['age']:.4g} x " in said[1]


class _Teacher(nn.Module):
    """Says of a face how bright it is."""

    @classmethod
    def load(cls, path: pathlib.Path) -> nn.Module:
        return cls()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean(dim=(1, 2)) - 128


def test_a_teacher_of_features_is_one_loss_more(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(distil.TEACHERS, "brightness", (_Teacher.load, 3))
    run = small_run(
        distillation=distil.Distillation(path=str(small_data), teacher="brightness", weight=0.5), steps=3
    )
    trainer = Trainer(run, data=small_data, folder=tmp_path, where=where)
    before = next(iter(trainer.loop.objective.distillation.map.parameters())).clone()  # type: ignore[union-attr]
    trainer.train()
    after = next(iter(trainer.loop.objective.distillation.map.parameters()))  # type: ignore[union-attr]
    assert not torch.equal(before, after)
    line = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[0])
    assert set(line["losses"]) == {*TASKS, "distillation"}
    # The teacher is no part of what is kept.
    assert trainer.finish() is not None


def test_masks_are_asked_for_where_there_are_some_and_cost_nothing_elsewhere(tmp_path: pathlib.Path) -> None:
    tasks = ("age", "parsing")
    make_set(tmp_path / "masked", count=4, tasks=tasks)
    make_set(tmp_path / "plain", count=4, tasks=["age"], seed=1)
    model = dataclasses.replace(CONFIGS["qface_test"], tasks=tasks)
    sources = (Source(name="plain", batch=3), Source(name="masked", batch=2))
    with distributed("cpu") as where:
        trainer = Trainer(
            small_run(model=model, sources=sources), data=tmp_path, folder=tmp_path / "run", where=where
        )
    objective = trainer.loop.objective.eval()
    batch = {name: torch.as_tensor(value) for name, value in trainer.loop.data[0].items()}
    seen: list[int] = []
    places = objective.model.decoder.pixel_decoder  # type: ignore[union-attr]
    places.register_forward_hook(lambda *told: seen.append(len(told[2])))  # type: ignore[union-attr]
    sums = objective.sums(batch)
    raw = objective.model(batch["pixels"]).logits  # type: ignore[operator]
    whole = loss_sum(
        CATALOGUE["parsing"], raw["parsing"], batch["parsing"], confidence=batch["parsing/confidence"]
    )
    torch.testing.assert_close(sums["parsing"], whole)
    assert seen == [2, 5]
    # Without a single mask the decoder of places still gets a gradient, of zero.
    unmasked = {name: value[:3] for name, value in batch.items()}
    objective.zero_grad()
    objective.sums(unmasked)["parsing"].backward()
    gradients = [p.grad for p in places.parameters()]  # type: ignore[union-attr]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_states_of_runs_from_before_the_weighting_was_renamed_are_read() -> None:
    run = small_run(loss_weighting="uncertainty")
    objective = run.build_objective(build_model(run.model), tasks=select(TASKS))
    former = {
        name.replace("weighting.", "balance."): value + 1 for name, value in objective.state_dict().items()
    }
    assert "balance.log_noise" in former
    objective.load_state_dict(former)
    assert torch.equal(objective.state_dict()["weighting.log_noise"], torch.ones(len(TASKS)))
