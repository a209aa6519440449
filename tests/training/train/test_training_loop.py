"""The loop: learning rates, weight decay, several processes, losses that are not finite, what is frozen."""

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from tests.helpers.small_run import SMALL, TASKS, small_run
from training.cli import run_cli
from training.models import CONFIGS, build_model
from training.tasks import select
from training.train.loop.distributed import Distributed, distributed, share_batch_norm
from training.train.loop.optimisation import Optimisation
from training.train.loop.run_state import held
from training.train.trainer import Trainer


def test_the_learning_rate_warms_up_falls_and_is_lower_in_early_layers() -> None:
    optimisation = Optimisation(steps=100, warmup_steps=10, learning_rate=1e-3, layer_decay=0.5)
    model = build_model(dataclasses.replace(CONFIGS["qface_test"], tasks=("age",)))
    optimizer = optimisation.build_optimizer(model, network=model)
    schedule = optimisation.build_schedule(optimizer)
    rates = []
    for step in range(100):
        schedule.step_update(step)
        rates.append(max(group["lr"] for group in optimizer.param_groups))
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] < 1e-6
    rate_of = {
        id(parameter): group["lr"] / rates[-1]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    parts = dict(model.named_parameters())
    # Patches, then four blocks, then all that is behind the encoder.
    assert rate_of[id(parts["encoder.model.blocks.3.attn.qkv.weight"])] == pytest.approx(0.5)
    assert rate_of[id(parts["encoder.model.blocks.0.attn.qkv.weight"])] == pytest.approx(0.5**4)
    assert rate_of[id(parts["encoder.model.patch_embed.proj.weight"])] == pytest.approx(0.5**5)
    assert (
        rate_of[
            id(parts["fusion.block.norm1.weight" if "fusion.block.norm1.weight" in parts else "decoder.bias"])
        ]
        == 1
    )


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_what_an_encoder_says_must_not_decay_does_not(layer_decay: float | None) -> None:
    optimisation = Optimisation(steps=10, learning_rate=1e-3, layer_decay=layer_decay)
    run = small_run()
    objective = run.build_objective(build_model(run.model), tasks=select(TASKS))
    optimizer = optimisation.build_optimizer(objective, network=objective.model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    parts = dict(objective.named_parameters())
    assert decay[id(parts["model.encoder.model.cls_token"])] == 0
    assert decay[id(parts["model.encoder.model.patch_embed.proj.weight"])] == 0.05
    assert decay[id(parts["model.decoder.queries"])] == 0.05


def test_batchnorms_that_hold_an_activation_keep_it_when_gpus_share_their_faces() -> None:
    parts = nn.Sequential(nn.BatchNorm2d(2), BatchNormAct2d(2))
    place = Distributed(rank=0, world=2, device=torch.device("cuda"))
    plain, active = share_batch_norm(parts, where=place)
    assert isinstance(plain, nn.SyncBatchNorm)
    assert isinstance(active, SyncBatchNormAct)  # torch's own would never call its `act`
    assert isinstance(active.act, nn.ReLU)


def test_faces_whose_loss_is_not_finite_are_named_and_the_checkpoint_stays(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(small_run(checkpoint_every=1, steps=1), data=small_data, folder=tmp_path, where=where)
    trainer.train()
    before = trainer.loop.state_path.read_bytes()
    trainer.loop.step = 0
    batch = {name: torch.from_numpy(np.array(value)) for name, value in trainer.loop.data[0].items()}
    batch["age/confidence"][2] = float("nan")
    guilty = trainer.loop.data.names(0)[2]
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(
        ValueError, match=rf"loss of age is not finite at step 0 \(from {guilty}\); the last"
    ) as told:
        trainer.loop.train_step(batch)
    assert "gender" not in str(told.value)
    assert all(torch.equal(value, weights[name]) for name, value in trainer.model.state_dict().items())
    assert trainer.loop.state_path.read_bytes() == before


def test_weights_that_have_diverged_are_told_from_bad_files(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(small_run(), data=small_data, folder=tmp_path, where=where)
    with torch.no_grad():
        next(iter(trainer.model.encoder.parameters())).fill_(float("nan"))
    with pytest.raises(
        ValueError, match=r"every one of its 4 faces, so that the weights have diverged\); there is no"
    ):
        trainer.train()
    assert not trainer.loop.state_path.exists()


def test_what_is_frozen_stays_as_it_was_to_the_last_bit(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    def behind(module: nn.Module) -> Iterator[nn.Parameter]:
        return (p for name, p in module.named_parameters() if name.startswith("model.decoder."))

    trainer = Trainer(
        small_run(model=SMALL, ema_decay=0.9), data=small_data, folder=tmp_path, where=where, trainable=behind
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    averaged = trainer.loop.averaged().state_dict()
    changed = {
        name
        for name, value in trainer.model.state_dict().items()
        if not (torch.equal(value, before[name]) and torch.equal(averaged[f"model.{name}"], before[name]))
    }
    assert "decoder.bias" in changed
    assert all(name.startswith("decoder.") for name in changed)
    assert any("running_mean" in name for name in before)


def test_a_processor_without_bf16_calculates_in_fp32_and_says_so(
    small_data: pathlib.Path,
    where: Distributed,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    losses = []
    # Of what this processor has, only bf16 is looked for.
    for run, capabilities in (
        (small_run(bf16=True), {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}),
        (small_run(bf16=False), {}),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        trainer = Trainer(run, data=small_data, folder=tmp_path, where=where)
        batch = {name: torch.from_numpy(np.array(value)) for name, value in trainer.loop.data[0].items()}
        losses.append(trainer.loop.train_step(batch).sums)
    assert losses[0] == losses[1]
    assert capsys.readouterr().err == "this processor has no bf16 of its own: calculates in fp32\n"


def test_a_gpu_that_only_emulates_bf16_counts_as_having_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not Distributed(rank=0, world=1, device=torch.device("cuda")).has_bf16()


def test_outside_of_steps_processes_wait_for_hours_and_all_end_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    patience: list[datetime.timedelta] = []

    def begin(backend: str, *, timeout: datetime.timedelta, **more: object) -> str:
        done.append("begun")
        patience.append(timeout)
        return "group"

    monkeypatch.setattr(torch.distributed, "init_process_group", begin)
    monkeypatch.setattr(torch.distributed, "new_group", begin)
    monkeypatch.setattr(torch.distributed, "barrier", lambda *, group: done.append(f"waited in {group}"))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: done.append("ended"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with distributed("cpu", patience=datetime.timedelta(minutes=3)):
        done.append("worked")
    assert done == ["begun", "begun", "worked", "waited in group", "ended"]
    assert patience[0] == datetime.timedelta(minutes=3)
    assert patience[1] >= datetime.timedelta(hours=6)
    done.clear()
    # An error must not wait for those that don't know of it.
    with pytest.raises(ValueError, match="broken"), distributed("cpu"):
        raise ValueError("broken")
    assert done == ["begun", "begun"]


def test_a_folder_is_one_run_s_at_a_time(tmp_path: pathlib.Path) -> None:
    def other_process() -> str:
        reads, writes = os.pipe()
        if not os.fork():
            try:
                with held(tmp_path / "run", leads=True):
                    os.write(writes, b"held")
            except ValueError as error:
                os.write(writes, str(error).encode())
            finally:
                os._exit(0)
        os.wait()
        said = os.read(reads, 1000).decode()
        os.close(reads)
        os.close(writes)
        return said

    with held(tmp_path / "run", leads=True), held(tmp_path / "run", leads=False):
        assert other_process().startswith(f"another process trains in {tmp_path / 'run'}: wait for its end")
    assert other_process() == "held"


def test_ctrl_c_outside_of_steps_ends_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert run_cli("train", interrupted, place=tmp_path) == 130
    assert capsys.readouterr().err == "train: stopped by SIGINT: give the same command again\n"


def test_processes_that_are_gone_are_told_apart_from_errors_of_this_one(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    where = Distributed(rank=1, world=2, device=torch.device("cpu"))

    def lose(text: str) -> None:
        with where.noticing_loss():
            raise RuntimeError(text)

    gone = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:1"
    assert run_cli("train", lambda: lose(gone), place=tmp_path) == 75
    said = capsys.readouterr().err
    assert said.startswith("train: process 1 lost the others (Connection closed by peer [10.0.0.2]:1): ")
    assert said.count("\n") == 1
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        lose("mat1 and mat2 shapes cannot be multiplied")


def test_blocks_that_are_computed_again_learn_the_same_to_the_last_bit(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    learned, calls = [], []
    model = dataclasses.replace(small_run().model, drop_path=0.3)
    for recompute in (False, True):
        run = small_run(model=model, recompute=recompute)
        trainer = Trainer(run, data=small_data, folder=tmp_path / str(recompute), where=where)
        calls.append(0)
        for name, part in trainer.model.named_modules():
            if name in ("encoder.model.blocks.1", "fusion.block", "decoder.blocks.0"):
                part.register_forward_pre_hook(lambda *_: calls.append(calls.pop() + 1))
        trainer.train()
        learned.append(trainer.model.state_dict())
    assert calls == [2 * 3, 2 * 2 * 3]  # steps, blocks; and once more in the backward pass
    assert all(torch.equal(value, learned[1][name]) for name, value in learned[0].items())


def test_a_network_that_torch_cant_compile_is_trained_as_it_is(
    small_data: pathlib.Path,
    where: Distributed,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*words: object, **more: object) -> None:
        raise TorchDynamoException("backend='inductor' raised:\nno C++ compiler")

    as_it_is = Trainer(small_run(model=SMALL), data=small_data, folder=tmp_path / "plain", where=where)
    as_it_is.train()
    # As torch has it: compiled at the first call.
    monkeypatch.setattr(nn.Module, "compile", lambda self: setattr(self, "_compiled_call_impl", broken))
    compiled = Trainer(
        small_run(model=SMALL, compile=True), data=small_data, folder=tmp_path / "compiled", where=where
    )
    assert (
        "compile: torch can't compile this network here (backend='inductor' raised: no C++ compiler): it runs"
        in (capsys.readouterr().err)
    )
    compiled.train()
    learned = compiled.model.state_dict()
    assert all(torch.equal(value, learned[name]) for name, value in as_it_is.model.state_dict().items())
