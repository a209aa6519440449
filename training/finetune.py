"""Train Q-Face on prepared faces, all tasks at once.

`python -m training.finetune qface_tiny --data DIR --run DIR` draws, at every step, a batch of every
set and sums the weighted losses of all tasks (Q-Face, section 3.4, equation 8). A run is killed and
started again with the same command: it goes on where its last checkpoint stood, drawing the same
pictures that an unbroken run would have drawn. The first `encoder_steps` train the encoder alone, under
the paper's multi-head baseline, whose gradients reach it directly and at twice the speed. At the end
RUN/model.safetensors holds the averaged weights, rounded to fp16, with what they reached on the faces
kept out.
"""

import argparse
import copy
import dataclasses
import json
import math
import os
import pathlib
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor

from training.data import Augmentation, Batch, FaceSet, training_batch
from training.evaluate import answers_of, evaluate
from training.losses import task_loss
from training.models import CONFIGS, Checkpoint, ExportWrapper, build_qface, save_checkpoint
from training.models.baselines import MultiHead
from training.models.checkpoint import round_to_half
from training.tasks import CATALOGUE, Kind, make_contract


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """How a prepared set takes part."""

    name: str
    batch: int  # faces a step
    licence: str
    surround: bool  # its chips are cut close: their black frame gets other photos' surroundings
    from_teacher: tuple[str, ...] = ()  # tasks whose labels a teacher made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One training run."""

    model: str
    sources: tuple[Source, ...]
    weights: dict[str, float]  # alpha of equation 8
    encoder_steps: int  # first, the encoder under the multi-head baseline
    steps: int  # in all, the encoder's among them
    encoder_learning_rate: float = 1e-3
    learning_rate: float = 5e-4
    warmup_steps: int = 200  # of each of the two parts
    weight_decay: float = 0.05
    clip: float = 2.0
    ema_decay: float = 0.998
    seed: int = 1
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        if self.model not in CONFIGS:
            raise ValueError(f"unknown model {self.model!r}: choose from {', '.join(CONFIGS)}")
        if (
            0 < self.encoder_steps <= self.warmup_steps
            or self.steps - self.encoder_steps <= self.warmup_steps
        ):
            raise ValueError(
                f"{self.encoder_steps} steps of {self.steps} for the encoder leave a part "
                f"without any after its {self.warmup_steps} of warm-up: take more"
            )


TEACHER = "MediaPipe face landmarker (Apache-2.0)"

RUNS: dict[str, Run] = {
    # What `make train` does: two CPU cores, about an hour; see weights/README.md for what it reaches.
    "qface_tiny": Run(
        model="qface_tiny",
        sources=(
            Source(
                name="fairface",
                batch=20,
                licence="CC BY 4.0",
                surround=True,
                from_teacher=("action_units", "head_pose"),
            ),
            Source(
                name="utkface",
                batch=8,
                licence="non-commercial research",
                surround=True,
                from_teacher=("action_units", "head_pose"),
            ),
            Source(name="celeba", batch=16, licence="non-commercial research", surround=False),
            Source(name="fer2013", batch=20, licence="research, terms unclear", surround=True),
        ),
        weights={
            "expression": 1.0,
            "action_units": 2.0,
            "attributes": 2.0,
            "age": 1.0,
            "gender": 1.0,
            "head_pose": 2.0,
        },
        encoder_steps=4200,
        steps=6600,
    ),
}


def learning_rate(run: Run, step: int) -> float:
    """Linear warm-up, then a cosine to zero; the encoder's own part ends at a tenth of its peak."""
    if step < run.encoder_steps:
        return _warm_cosine(step, run.encoder_steps, run.encoder_learning_rate, run=run, end=0.1)
    return _warm_cosine(
        step - run.encoder_steps, run.steps - run.encoder_steps, run.learning_rate, run=run, end=0
    )


def _warm_cosine(step: int, steps: int, peak: float, *, run: Run, end: float) -> float:
    if step < run.warmup_steps:
        return peak * (step + 1) / run.warmup_steps
    done = (step - run.warmup_steps) / (steps - run.warmup_steps)
    return peak * (end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """Everything that a run carries from step to step."""

    def __init__(self, run: Run, *, data: pathlib.Path) -> None:
        torch.manual_seed(run.seed)
        self.run = run
        self.model = build_qface(CONFIGS[run.model])
        self.model.encoder.to(memory_format=torch.channels_last)
        # On a CPU the fused kernel takes longer than single bf16 operations, backward above all.
        self.model.set_explicit_attention()
        self.ema = ModelEmaV3(self.model, decay=run.ema_decay, use_warmup=True)
        self.multi_head = MultiHead(self.model)
        both = torch.nn.ModuleDict({"model": self.model, "head": self.multi_head.head})
        groups = param_groups_weight_decay(both, run.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=run.learning_rate, betas=(0.9, 0.99))
        self.noise = torch.Generator()
        self.sets = {source.name: FaceSet(data / source.name, test=False) for source in run.sources}
        open_sets = [source.name for source in run.sources if not source.surround]
        self.surroundings = self.sets[open_sets[0]] if open_sets else None
        self.step = 0
        self.seconds = 0.0
        unweighted = [task.name for task in self.model.tasks if task.name not in run.weights]
        if unweighted:
            raise ValueError(
                f"the run gives no weight to {', '.join(unweighted)}: name each task's in `weights`"
            )
        # Data that can't make a contract is refused now rather than after the last step.
        self.contract = make_contract(
            self.model.tasks, input_size=self.model.config.input_size, trained=self.trained_labels()
        )

    def draw(self, step: int, executor: Executor) -> list[tuple[torch.Tensor, Batch]]:
        """The faces of a step, a batch a source; decided by the seed and the step alone."""
        batches = []
        for number, source in enumerate(self.run.sources):
            pixels, targets = training_batch(
                self.sets[source.name],
                count=source.batch,
                seed=(self.run.seed, step, number),
                augmentation=self.run.augmentation,
                surroundings=self.surroundings if source.surround else None,
                executor=executor,
            )
            batches.append((torch.from_numpy(pixels), targets))
        return batches

    def learn(self, batches: list[tuple[torch.Tensor, Batch]]) -> dict[str, float]:
        """One step; the losses by task. ValueError names the task of a loss that is not finite."""
        network = self.multi_head if self.step < self.run.encoder_steps else self.model
        network.train()
        self.noise.manual_seed(self.run.seed * 1_000_003 + self.step)
        rate = learning_rate(self.run, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        pixels = torch.cat([pixels for pixels, _ in batches])
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(pixels)
        losses = self._losses(logits, batches)
        for name, loss in losses.items():
            if not bool(loss.isfinite()):
                raise ValueError(
                    f"the loss of {name} is {loss.item()} at step {self.step}: "
                    "look at its labels, or lower learning_rate"
                )
        total = sum((self.run.weights[name] * loss for name, loss in losses.items()), torch.zeros(()))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), self.run.clip)
        self.optimizer.step()
        self.step += 1
        self.ema.update(self.model, step=self.step)
        return {name: loss.item() for name, loss in losses.items()}

    def _losses(
        self, logits: dict[str, Tensor], batches: list[tuple[torch.Tensor, Batch]]
    ) -> dict[str, Tensor]:
        """Each task's mean loss over all faces labelled for it."""
        losses: dict[str, Tensor] = {}
        for task in self.model.tasks:
            rows, targets, start = [], [], 0
            for pixels, batch in batches:
                if task.name in batch:
                    rows.append(logits[task.name][start : start + len(pixels)])
                    targets.append(torch.from_numpy(batch[task.name]))
                start += len(pixels)
            if rows:
                losses[task.name] = task_loss(task, torch.cat(rows), torch.cat(targets), generator=self.noise)
        return losses

    def trained_labels(self) -> dict[str, list[str]]:
        """The labels that at least one training face has a value for."""
        trained: dict[str, set[str]] = {}
        for faces in self.sets.values():
            for key, values in faces.labels.items():
                name = "age" if key.startswith("age_") else key
                task = CATALOGUE[name]
                if task.kind is Kind.MULTILABEL:
                    known = {task.labels[i] for i in np.flatnonzero((~np.isnan(values)).any(axis=0))}
                elif task.kind is Kind.CLASSES:
                    # A class that nobody belongs to can't have been learned.
                    known = {task.labels[int(i)] for i in np.unique(values[~np.isnan(values)])}
                else:
                    known = set(task.labels) if (~np.isnan(values)).any() else set()
                trained.setdefault(name, set()).update(known)
        return {
            task.name: [label for label in task.labels if label in trained.get(task.name, ())]
            for task in self.model.tasks
        }

    def save(self, path: pathlib.Path) -> None:
        state = {
            "run": json.dumps(dataclasses.asdict(self.run)),
            "model": self.model.state_dict(),
            "multi_head": self.multi_head.head.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: pathlib.Path) -> None:
        state = torch.load(path, weights_only=True)
        if state["run"] != json.dumps(dataclasses.asdict(self.run)):
            raise ValueError(f"{path} belongs to a run with other settings: choose another --run folder")
        self.model.load_state_dict(state["model"])
        self.multi_head.head.load_state_dict(state["multi_head"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]


def train(trainer: Trainer, *, folder: pathlib.Path, log: Any = sys.stdout) -> None:
    """Run to the end, with a checkpoint now and then, and a line of progress in RUN/progress.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.pt"
    if last.exists():
        trainer.load(last)
        print(f"goes on at step {trainer.step}", file=log, flush=True)
    run = trainer.run
    faces = sum(source.batch for source in run.sources)
    with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(2) as workers:
        waiting: Future[list[tuple[torch.Tensor, Batch]]] = ahead.submit(trainer.draw, trainer.step, workers)
        means: dict[str, float] = {}
        since, steps = time.monotonic(), 0
        while trainer.step < run.steps:
            batches = waiting.result()
            if trainer.step + 1 < run.steps:
                waiting = ahead.submit(trainer.draw, trainer.step + 1, workers)
            losses = trainer.learn(batches)
            steps += 1
            for name, loss in losses.items():
                means[name] = means.get(name, 0.0) + loss
            if trainer.step % 50 == 0 or trainer.step == run.steps:
                now = time.monotonic()
                trainer.seconds += now - since
                rate = steps / (now - since)
                line = {
                    "step": trainer.step,
                    "faces_per_second": round(rate * faces, 1),
                    "minutes_left": round((run.steps - trainer.step) / rate / 60, 1),
                    **{name: round(value / steps, 4) for name, value in means.items()},
                }
                print(json.dumps(line), file=log, flush=True)
                with (folder / "progress.jsonl").open("a") as file:
                    print(json.dumps(line), file=file)
                means, since, steps = {}, now, 0
            if trainer.step % run.checkpoint_every == 0:
                trainer.save(last)
    trainer.save(last)


def finish(trainer: Trainer, *, data: pathlib.Path, path: pathlib.Path) -> Checkpoint:
    """The averaged weights as a checkpoint for others: rounded, evaluated as rounded, then written."""
    run = trainer.run
    model = copy.deepcopy(trainer.ema.module).to(memory_format=torch.contiguous_format)
    model.set_explicit_attention(False)
    round_to_half(model)
    model.eval()
    contract = trainer.contract
    wrapper = ExportWrapper(model, contract)
    results = evaluate(answers_of(wrapper), wrapper.entries, [data / source.name for source in run.sources])
    card = {
        "sources": [
            {
                "name": source.name,
                "licence": source.licence,
                "training_faces": len(trainer.sets[source.name]),
                "labelled_by_teacher": dict.fromkeys(source.from_teacher, TEACHER),
            }
            for source in run.sources
        ],
        "steps": trainer.step,
        "faces_seen": trainer.step * sum(source.batch for source in run.sources),
        "minutes": round(trainer.seconds / 60, 1),
        "seed": run.seed,
        "kept_out": results,
    }
    checkpoint = Checkpoint(model=model, contract=contract, card=card)
    save_checkpoint(path, checkpoint)
    return checkpoint


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", choices=sorted(RUNS))
    parser.add_argument(
        "--data", type=pathlib.Path, required=True, help="the folder that training.prepare filled"
    )
    parser.add_argument("--run", type=pathlib.Path, required=True, help="where checkpoints and progress go")
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    run = RUNS[args.config]
    try:
        if args.steps:
            run = dataclasses.replace(run, steps=args.steps)
        trainer = Trainer(run, data=args.data)
        train(trainer, folder=args.run)
        checkpoint = finish(trainer, data=args.data, path=args.run / "model.safetensors")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(checkpoint.card, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
