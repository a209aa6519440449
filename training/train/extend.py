"""Teach an old model a new task and leave its old answers as they are (the limit that section 5 names).

    python -m training.train.extend CHECKPOINT --task race_utkface --data data/prepared --run var/races

New queries and what is read off them are learned from the prepared sets that have labels of the task;
everything else is frozen. It is killed, stopped and gone on with as fine-tuning is. At the end
RUN/model.safetensors answers the old tasks, as before, and the new one. An extended model can be extended
again.
"""

import argparse
import dataclasses
import hashlib
import json
import pathlib
import sys
from collections.abc import Sequence

import torch

from runtime.contract import Contract
from training.cli import run_cli, words_of
from training.data.prepared.face_set import FaceSet, prepared_sets, read_manifest
from training.data.sampling.augmentation import NO_AUGMENTATION, Augmentation
from training.kinds import kind_of
from training.models import Checkpoint, QFaceConfig, load_checkpoint, save_checkpoint
from training.models.qface.extension import extended, last_extension
from training.tasks import select
from training.train.loop.distributed import Distributed
from training.train.overrides import overridden
from training.train.run_config import Run, Source
from training.train.run_options import add_run_options, adopt_own_tasks, place_of, print_plan, take_cores
from training.train.trainer import Trainer

# Faces a step, shared among the sets.
_BATCH = 64
_PASSES, _FEWEST_STEPS, _MOST_STEPS = 40, 150, 1500


def extension_run(
    base: Checkpoint, *, checkpoint: pathlib.Path, config: QFaceConfig, sets: Sequence[str], faces: int
) -> Run:
    """How the last extension of a configuration is learned from so many `faces`, where no setting changes it.

    The settings are for a small encoder on a CPU: what was there needs no gradient, so a step costs little
    more than an answer. Few faces are learned by heart when they come round more than some dozens of times.
    """
    steps = min(max(_PASSES * faces // _BATCH, _FEWEST_STEPS), _MOST_STEPS)
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return Run(
        name=f"{base.card.get('run', checkpoint.stem)} + {', '.join(config.extensions[-1])}",
        model=config,
        sources=tuple(Source(name=name, batch=max(1, _BATCH // len(sets))) for name in sets),
        # Another old model is another run: a state of the one is not gone on with for the other.
        init=f"{checkpoint.name}, sha256 {sha256[:16]}",
        steps=steps,
        warmup_steps=min(100, steps // 10),
        learning_rate=2e-3,
        betas=(0.9, 0.99),
        clip=2.0,
        ema_decay=0.99,
        # As the old model's: training.train.calibrate takes them.
        holdout_fraction=float(base.card.get("aside", 0)),
        augmentation=_augmentation(config.extensions[-1]),
    )


def _augmentation(tasks: Sequence[str]) -> Augmentation:
    """What may be changed of a face that is learned from for these tasks."""
    exact = any(task.exact_pixels for task in select(tasks))
    return dataclasses.replace(NO_AUGMENTATION, mirror=Augmentation.mirror) if exact else Augmentation()


def extend(trainer: Trainer, base: Checkpoint, *, checkpoint: pathlib.Path) -> Checkpoint | None:
    """Train the extension of `base`, which `checkpoint` holds, and write the folder's model.safetensors.

    The leading process returns it. Raises ValueError where the old answers did not stay what they were.
    """
    trainer.train()
    learned = trainer.finish()
    if learned is None:
        return None
    written = trainer.folder / "model.safetensors"
    try:
        _check_old_answers(base, learned, checkpoint=checkpoint)
    except ValueError:
        written.unlink(missing_ok=True)  # which the trainer has written
        raise
    new = Checkpoint(
        model=learned.model,
        contract=_with_old_entries(learned.contract, base.contract),
        card={**base.card, "extensions": [*base.card.get("extensions", []), learned.card]},
    )
    save_checkpoint(written, new)
    return new


def build_trainer(
    base: Checkpoint,
    *,
    checkpoint: pathlib.Path,
    tasks: Sequence[str],
    data: pathlib.Path,
    folder: pathlib.Path,
    where: Distributed,
    sets: Sequence[str] | None = None,
    settings: Sequence[str] = (),
) -> Trainer:
    """What learns `tasks` on top of `base`, which `checkpoint` holds, in `folder`.

    `sets` names the prepared sets to learn from (None: all of `data` with labels of a new task); `settings`
    change the run's fields (training.train.overrides). Raises ValueError for what can't be extended or
    learned.
    """
    config = extended(base.model, tasks).config
    chosen = sets if sets is not None else _labelled(data, tasks)
    standard = extension_run(
        base, checkpoint=checkpoint, config=config, sets=chosen, faces=_training_faces(data, chosen)
    )
    run = overridden(standard, settings)
    if run.model != config:
        raise ValueError("the shape of an old model can't change: leave out --set model.…")
    torch.manual_seed(run.seed)
    network = extended(base.model, tasks)
    return Trainer(
        run,
        data=data,
        folder=folder,
        where=where,
        model=network,
        tasks=select(tasks),
        trainable=lambda _: last_extension(network),
        contract_tasks={entry.name: entry.labels for entry in base.contract.tasks},
    )


def _training_faces(data: pathlib.Path, sets: Sequence[str]) -> int:
    """How many training faces there are; what keeps a set from being read is told later."""
    return sum(
        int(read_manifest(data / name)["faces"].get("train", 0))
        for name in sets
        if (data / name / "manifest.json").exists()
    )


def _labelled(data: pathlib.Path, tasks: Sequence[str]) -> list[str]:
    """The prepared sets whose training faces have labels of one of the tasks."""
    names = [faces.name for faces in prepared_sets(data, split="train") if _has(faces, tasks)]
    if not names:
        raise ValueError(
            f"no prepared set under {data} has training faces labelled for {', '.join(tasks)}: "
            "prepare one with `python -m training.data prepare`"
        )
    return names


def _has(faces: FaceSet, tasks: Sequence[str]) -> bool:
    return any(kind_of(task).labelled(task, faces) for task in select(tasks))


def _check_old_answers(base: Checkpoint, learned: Checkpoint, *, checkpoint: pathlib.Path) -> None:
    """The promise, held to before anything is handed over: ValueError where it is broken."""
    size = base.model.config.input_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, size, size, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        old, new = base.model(pixels), learned.model(pixels)
    changed = [name for name, values in old.logits.items() if not torch.equal(values, new.logits[name])]
    changed += [name for name, values in old.errors.items() if not torch.equal(values, new.errors[name])]
    if changed:
        raise ValueError(
            f"extending {checkpoint} changed its answers of {', '.join(changed)}, so that the result is not "
            "kept: extend a model whose weights are rounded to fp16, as training.train.finetune leaves them"
        )


def _with_old_entries(contract: Contract, old: Contract) -> Contract:
    """The contract with the old tasks' entries as they were, thresholds, expected errors and all."""
    known = {entry.name: entry for entry in old.tasks}
    tasks = tuple(known.get(entry.name, entry) for entry in contract.tasks)
    return dataclasses.replace(contract, tasks=tasks, quality=old.quality)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train.extend", description=__doc__.splitlines()[0]
    )
    parser.add_argument("checkpoint", type=pathlib.Path, help="the .safetensors file of the old model")
    parser.add_argument("--task", required=True, help="what it learns; several separated by commas")
    add_run_options(
        parser,
        folder="where checkpoints and progress go",
        example="steps=3000, learning_rate=1e-3",
    )
    parser.add_argument(
        "--sets", help="learn from these, separated by commas (default: all that have labels)"
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        take_cores(options.threads)
        sets = words_of(options.sets) if options.sets else None
        adopt_own_tasks(options.tasks, data=options.data, sets=sets)
        with place_of(options) as where:
            base = load_checkpoint(options.checkpoint)
            trainer = build_trainer(
                base,
                checkpoint=options.checkpoint,
                tasks=words_of(options.task),
                data=options.data,
                folder=options.run,
                where=where,
                sets=sets,
                settings=options.settings,
            )
            if options.dry_run:
                print_plan(trainer.plan(), where=where)
                return
            checkpoint = extend(trainer, base, checkpoint=options.checkpoint)
        if checkpoint is not None:
            print(json.dumps(checkpoint.card["extensions"][-1], indent=1))

    return run_cli("training.train.extend", work, place=options.run)


if __name__ == "__main__":
    sys.exit(main())
