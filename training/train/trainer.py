"""A run with its data: trained to its end, then evaluated and written as a checkpoint."""

import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from training.data.prepared.face_set import FaceSet, in_split
from training.evaluation.evaluate import evaluate, summary, torch_predict
from training.models import Checkpoint, ExportWrapper, FaceNetwork, build_model, save_checkpoint
from training.models.checkpoint import round_to_half
from training.plain_data import plain
from training.task_type import Task
from training.tasks import select
from training.train.checkpoint_card import make_card
from training.train.learned_labels import learned_labels
from training.train.loop.distributed import Distributed
from training.train.loop.training_loop import TrainingLoop
from training.train.objectives.multi_task import MultiTaskObjective
from training.train.overrides import recorded
from training.train.plan import check, describe, measure
from training.train.run_config import Run
from training.train.watching.samples import SampleSheet, sample_sheet
from training.train.watching.trackers import add_document


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
        check(
            run,
            tasks=tasks if tasks is not None else select(run.model.all_tasks),
            data=data,
            folder=folder,
            built=model is not None,
        )
        torch.manual_seed(run.seed)
        self.where, self.folder = where, folder
        self.sets = run.build_sets(data)
        largest = max(len(s) / source.batch for s, source in zip(self.sets, run.sources, strict=True))
        self.run = run = run.in_steps(largest)
        if model is None:
            model, report = run.build_model()
            if report and where.leads:
                print("\n".join(report), file=sys.stderr, flush=True)
        self.model = model
        self.tasks = tuple(tasks) if tasks is not None else model.tasks
        run.complete_labels(self.sets, tasks=self.tasks)
        # Data that can't make a contract is refused now rather than after the last step.
        learned = {**(contract_tasks or {}), **learned_labels(self.tasks, self.sets)}
        self.contract = model.contract(trained=learned)
        if where.device.type == "cpu":
            if not model.encoder.is_vit:
                model.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            # On a CPU the fused kernel takes longer than single bf16 operations, backward above all.
            model.set_explicit_attention(run.bf16 and where.has_bf16())
        self.loop = TrainingLoop(
            run.build_objective(model, tasks=self.tasks),
            optimisation=run,
            data=run.build_batches(
                self.sets,
                tasks=self.tasks,
                input_size=model.config.input_size,
                where=where,
                features=run.build_features(self.sets, data=data, where=where),
            ),
            where=where,
            folder=folder,
            identity=self._identity(),
            trainable=trainable,
            samples=self._samples(),
        )

    def _samples(self) -> SampleSheet | None:
        """What draws samples with predictions, where the run is long enough for any."""
        if not self.where.leads or not 0 < self.run.samples_every <= self.run.steps:
            return None
        tasks = [task.name for task in self.tasks]
        return sample_sheet(self.run, sets=self.sets, contract=self.contract, tasks=tasks)

    def plan(self) -> str:
        """What the run will do and take, by a few steps of it; the trainer is of no use afterwards."""
        said = describe(self.run, self.model, tasks=self.tasks, sets=self.sets)
        return f"{said}\n{measure(self.loop)}"

    def train(self) -> None:
        """To the last step. Raises what TrainingLoop.run does."""
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
        assert isinstance(averaged, MultiTaskObjective)
        model = build_model(self.model.config)
        model.adopt_tasks(self.model.tasks)
        model.load_state_dict(averaged.model.state_dict())
        round_to_half(model)
        model.to(self.where.device).eval()
        wrapper = ExportWrapper(model, self.contract)
        # A set whose subsets are sources of their own is one set here.
        folders = dict.fromkeys(s.folder for s in self.sets if "test" in s.manifest["faces"])
        kept_out = [FaceSet(folder, split="test", crop=self.contract.crop) for folder in folders]
        rows = evaluate(
            torch_predict(wrapper),
            self.contract.tasks,
            kept_out,
            input_size=model.config.input_size,
            limit=self.run.kept_out,
            bootstrap=0,
            training=in_split(kept_out, "train"),
        )
        card = make_card(
            self.run,
            sets=self.sets,
            steps=self.loop.step,
            seconds=self.loop.seconds,
            kept_out=summary(rows),
        )
        checkpoint = Checkpoint(model=model.cpu(), contract=self.contract, card=card)
        save_checkpoint(self.folder / "model.safetensors", checkpoint)
        add_document(
            self.run.trackers,
            self.folder,
            settings=self.loop.identity,
            step=self.loop.step,
            document=("card", card),
        )
        return checkpoint

    def _identity(self) -> dict[str, Any]:
        """What must agree for a run to be gone on with: its fields, its labels, its data."""
        return {
            "run": recorded(self.run),
            "network": plain(self.model.config),
            "labels": {task.name: task.labels for task in self.model.tasks},
            "data": {
                faces.name if faces.subset is None else f"{faces.name} ({faces.subset})": faces.fingerprint
                for faces in self.sets
            },
        }
