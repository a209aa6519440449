"""Train a network on prepared faces, all its tasks at once (Q-Face, section 3.4).

    python -m training.train.finetune qface_tiny --data data/prepared --run var/tiny [--set steps=1000 ...]
    torchrun --nproc-per-node 4 -m training.train.finetune qface_paper --data data/prepared --output var/paper

Every step draws a batch of every set and sums the weighted losses of all tasks (equation 8). A run that
was killed or stopped (SIGTERM) goes on with the same command, as if nothing had happened. At the end
RUN/model.safetensors holds the averaged weights, rounded to fp16, with what they reached on the faces kept
out; RUN/progress.jsonl and RUN/tensorboard tell how it went.
"""

import argparse
import dataclasses
import hashlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.contract import ALIGNED
from training.data.derived_labels import assume_visible, derive
from training.data.prepared.face_set import FaceSet
from training.data.sampling.step_batches import StepBatches
from training.evaluation.evaluate import evaluate, summary, torch_predict
from training.kinds import kind_of
from training.models import Checkpoint, ExportWrapper, build_model, save_checkpoint
from training.models.checkpoint import round_to_half
from training.models.network import FaceNetwork
from training.models.pretrained_encoder import IMAGENET, load_encoder, load_imagenet
from training.task import Task
from training.train.command import add_run_options, take_cores
from training.train.distillation import LOSS as DISTILLATION
from training.train.distillation import FeatureDistillation, descriptors, standardised
from training.train.loop import Distributed, Loop, Objective, Stopped, distributed
from training.train.loss_weighting import UncertaintyBalance, make_balance
from training.train.losses import known, loss_sum
from training.train.overrides import overridden
from training.train.runs import RUNS, Run, run_named

HUMAN = "human"  # who labelled a task, in a manifest


class FineTuning(Objective):
    """Equation 8: the weighted sum of the tasks' losses, each a mean over the labelled faces of a step.

    A frozen network may answer more tasks than are trained: `tasks` are those that have losses.
    """

    def __init__(self, model: FaceNetwork, *, run: Run, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.model, self.tasks, self.losses = model, tuple(tasks), dict(run.losses)
        weights = dict(run.weights)
        names = [task.name for task in tasks]
        self.distillation: FeatureDistillation | None = None
        if run.distil is not None:
            self.distillation = FeatureDistillation(run.distil, channels=model.encoder.channels[-1])
            weights[DISTILLATION] = run.distil.weight
            names.append(DISTILLATION)
        self.balance = make_balance(run.balance, losses=names, weights=weights)

    def learned_weights(self) -> dict[str, float]:
        return self.balance.factors() if isinstance(self.balance, UncertaintyBalance) else {}

    def network(self) -> nn.Module:
        return self.model

    def counts(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        counts = {
            task.name: known(
                task,
                batch[task.name],
                batch[f"{task.name}/confidence"],
                loss=self.losses.get(task.name),
            ).sum()
            for task in self.tasks
        }
        if self.distillation is not None:
            counts[DISTILLATION] = self.distillation.count(batch[DISTILLATION])
        return counts

    def sums(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        output = self.model(batch["pixels"], masked_rows=self._masked_rows(batch))
        raw, masked = output.logits, output.mask_rows
        sums = {}
        for task in self.tasks:
            target, confidence = batch[task.name], batch[f"{task.name}/confidence"]
            if masked is not None and kind_of(task).needs_places:
                target, confidence = target[masked], confidence[masked]
            loss = self.losses.get(task.name)
            sums[task.name] = loss_sum(task, raw[task.name], target, confidence=confidence, loss=loss)
        if self.distillation is not None:
            sums[DISTILLATION] = self.distillation(output.features, batch[DISTILLATION]).sum()
        return sums

    def _masked_rows(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Indices [R] of the faces that have a mask; None where no task has masks.

        The first face where none has: every part of the network gets a gradient, if one of zero.
        """
        masks = [task for task in self.tasks if kind_of(task).needs_places]
        if not masks:
            return None
        has_mask = [kind_of(task).has_target(batch[task.name]) for task in masks]
        there = torch.stack(has_mask).any(dim=0)
        return there.nonzero()[:, 0] if bool(there.any()) else torch.zeros_like(there[:1], dtype=torch.long)

    def total(self, means: Mapping[str, Tensor], *, counts: Mapping[str, Tensor], share: float) -> Tensor:
        total: Tensor = self.balance(means, counts=counts, share=share)
        return total


class Trainer:
    """A run with its data: `train`, then `finish`."""

    def __init__(
        self,
        run: Run,
        *,
        data: pathlib.Path,
        folder: pathlib.Path,
        where: Distributed,
        model: FaceNetwork | None = None,
        tasks: Sequence[Task] | None = None,
        trainable: Callable[[nn.Module], Iterable[nn.Parameter]] | None = None,
        contract_tasks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`data` holds the prepared sets, `folder` gets the run's files.

        By default the run's model is built, and learns all its tasks. An old model that is to learn more
        is given as `model`, with the `tasks` that have losses, the `trainable` parameters and, by task, the
        labels that it has learned before (`contract_tasks`). Raises ValueError for data that can't train
        the run.
        """
        torch.manual_seed(run.seed)
        self.where, self.folder = where, folder
        self.sets = [
            FaceSet(data / source.name, split="train", subset=source.subset, holdout_fraction=run.aside)
            for source in run.sources
        ]
        largest = max(len(s) / source.batch for s, source in zip(self.sets, run.sources, strict=True))
        self.run = run = run.in_steps(largest)
        if model is None:
            model = build_model(run.model)
            self._initialise(model)
        self.model = model
        self.tasks = tuple(tasks) if tasks is not None else model.tasks
        for faces in self.sets:
            derive(faces, [task.name for task in self.tasks])
            if run.assumed_visible:
                assume_visible(faces, confidence=run.assumed_visible)
        # Data that can't make a contract is refused now rather than after the last step.
        learned = {**(contract_tasks or {}), **self._learned_labels()}
        self.contract = model.contract(trained=learned)
        if (crop := self.contract.get("crop", ALIGNED)) != ALIGNED:
            raise ValueError(
                f"the network says that its faces are cut as {crop!r}, and prepared ones are {ALIGNED}: "
                f"set model.crop={ALIGNED}"
            )
        if where.device.type == "cpu":
            if not model.encoder.is_vit:
                model.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            # On a CPU the fused kernel takes longer than single bf16 operations, backward above all.
            model.set_explicit_attention(run.bf16)
        self.loop = Loop(
            FineTuning(model, run=run, tasks=self.tasks),
            optimisation=run,
            data=StepBatches(
                self.sets,
                counts=[source.batch for source in run.sources],
                tasks=self.tasks,
                size=model.config.input_size,
                steps=run.steps,
                seed=run.seed,
                augmentation=run.augmentation,
                noise=run.noise,
                surround=[source.surround for source in run.sources],
                rank=where.rank,
                world=where.world,
                features=self._features(data),
            ),
            where=where,
            folder=folder,
            identity=self._identity(),
            trainable=trainable,
        )

    def train(self) -> None:
        """To the last step. Raises what Loop.run does."""
        self.loop.run()

    def finish(self) -> Checkpoint | None:
        """The averaged weights as a checkpoint for others: rounded, evaluated as rounded, then written.

        Into FOLDER/model.safetensors, by the leading process; None on the others, which wait for it.
        """
        checkpoint = self._finished() if self.where.leads else None
        self.where.wait()
        return checkpoint

    def _finished(self) -> Checkpoint:
        averaged = self.loop.averaged()
        assert isinstance(averaged, FineTuning)
        model = build_model(self.model.config)
        model.adopt_tasks(self.model.tasks)
        model.load_state_dict(averaged.model.state_dict())
        round_to_half(model)
        model.to(self.where.device).eval()
        wrapper = ExportWrapper(model, self.contract)
        # A set whose subsets are sources of their own is one set here.
        folders = dict.fromkeys(s.folder for s in self.sets if "test" in s.manifest["faces"])
        rows = evaluate(
            torch_predict(wrapper),
            wrapper.entries,
            [FaceSet(folder, split="test") for folder in folders],
            input_size=model.config.input_size,
            limit=self.run.kept_out,
            bootstrap=0,
        )
        checkpoint = Checkpoint(model=model.cpu(), contract=self.contract, card=self._card(summary(rows)))
        path = self.folder / "model.safetensors"
        try:
            save_checkpoint(path, checkpoint)
        except (OSError, safetensors.SafetensorError) as error:
            path.with_name(path.name + ".partial").unlink(missing_ok=True)
            raise ValueError(
                f"the checkpoint {path} can't be written ({error}): make room or make it writable, "
                "and give the same command again"
            ) from None
        return checkpoint

    def _initialise(self, model: FaceNetwork) -> None:
        """The encoder's first weights; a state of the run, if there is one, replaces them."""
        if self.run.init == "random":
            return
        report = (
            load_imagenet(model)
            if self.run.init == IMAGENET
            else load_encoder(model, pathlib.Path(self.run.init))
        )
        if self.where.leads:
            print("\n".join(report), file=sys.stderr, flush=True)

    def _features(self, data: pathlib.Path) -> dict[str, list[NDArray[np.float32]]]:
        """A teacher's descriptors of the faces of each set; the leading process asks, the others read."""
        if (distillation := self.run.distil) is None:
            return {}
        described: list[NDArray[np.float32]] = []
        for leading in (True, False):
            if self.where.leads == leading:
                described = [
                    descriptors(
                        faces,
                        distillation=distillation,
                        device=self.where.device,
                        folder=data / ".descriptors",
                    )
                    for faces in self.sets
                ]
            self.where.wait()
        return {DISTILLATION: standardised(described)}

    def _learned_labels(self) -> dict[str, list[str]]:
        """The labels of each task that at least one training face has; ValueError for a task without.

        Of several independent labels some may be missing, and are then not served. A class that nobody
        belongs to can't be learned, and neither can a point that nobody has marked.
        """
        learned: dict[str, list[str]] = {}
        names = ", ".join(faces.name for faces in self.sets)
        for task in self.tasks:
            there = np.zeros(len(task.labels), bool)
            for faces in self.sets:
                there |= kind_of(task).learned(task, faces)
            missing = [label for label, known_one in zip(task.labels, there, strict=True) if not known_one]
            if len(missing) == len(task.labels):
                raise ValueError(
                    f"no face of {names} is labelled for task {task.name!r}: add a set that is, "
                    f"or leave the task out with --set model.tasks=..."
                )
            if missing and not kind_of(task).partial_labels:
                raise ValueError(
                    f"task {task.name!r}: no face of {names} has {', '.join(missing[:5])}"
                    f"{' and others' if len(missing) > 5 else ''}, which can't be learned without samples: "
                    "add a set that has it, or leave the task out with --set model.tasks=..."
                )
            learned[task.name] = [
                label for label, known_one in zip(task.labels, there, strict=True) if known_one
            ]
        return learned

    def _identity(self) -> dict[str, Any]:
        """What must agree for a run to be gone on with: its fields, its labels, its data."""
        return {
            "run": dataclasses.asdict(self.run),
            "network": dataclasses.asdict(self.model.config),
            "labels": {task.name: task.labels for task in self.model.tasks},
            "data": {
                faces.name if faces.subset is None else f"{faces.name} ({faces.subset})": faces.fingerprint
                for faces in self.sets
            },
        }

    def _card(self, kept_out: Mapping[str, Any]) -> dict[str, Any]:
        faces = sum(source.batch for source in self.run.sources)
        return {
            "run": self.run.name,
            "sources": [_source(faces) for faces in self.sets],
            "aside": self.run.aside,
            "init": _initial(self.run.init),
            "steps": self.loop.step,
            "faces_seen": self.loop.step * faces,
            "minutes": round(self.loop.seconds / 60, 1),
            "seed": self.run.seed,
            "kept_out": dict(kept_out),
        }


def finetune(run: Run, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed) -> Checkpoint | None:
    """Train a run to its end and write FOLDER/model.safetensors, which the leading process returns."""
    trainer = Trainer(run, data=data, folder=folder, where=where)
    trainer.train()
    return trainer.finish()


def _initial(init: str) -> str:
    """Where an encoder came from, for the card: of a file its name and sum, not its folder."""
    path = pathlib.Path(init)
    if init in ("random", IMAGENET) or not path.is_file():
        return path.name
    return f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _source(faces: FaceSet) -> dict[str, Any]:
    """What a checkpoint's card says of one of its sets."""
    teachers = {task: who for task, who in faces.manifest.get("labelled_by", {}).items() if who != HUMAN}
    return {
        "name": faces.name,
        "licence": faces.manifest.get("licence", ""),
        "training_faces": len(faces),
        "labelled_by_teacher": teachers,
        "subset": bool(faces.manifest.get("subset", False)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(description=lines[0])
    parser.add_argument("run_name", metavar="NAME", help=f"one of {', '.join(RUNS)}")
    add_run_options(
        parser,
        folder="where checkpoints and progress go",
        example="steps=1000, model.drop_path=0.1, weights.age=2, sources.ict.batch=8",
    )
    parser.add_argument("--sets", help="take these sets, separated by commas, instead of the run's")
    args = parser.parse_args(arguments)
    take_cores(args.threads)
    try:
        run = run_named(args.run_name)
        if args.sets:
            run = run.with_sources([name.strip() for name in args.sets.split(",")])
        run = overridden(run, args.settings)
        with distributed(args.device) as where:
            checkpoint = finetune(run, data=args.data, folder=args.run, where=where)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"{error.filename or args.run} can't be read or written ({error.strerror or error}): "
            "make room, or make it accessible",
            file=sys.stderr,
        )
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.number
    if checkpoint is not None:
        print(json.dumps(checkpoint.card, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
