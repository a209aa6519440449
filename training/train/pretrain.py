"""Pretrain the encoder on faces without labels: masked image modelling (Q-Face, sections 3.1 and 4.1).

    python -m training.train.pretrain qface_base --data data/prepared --sets glint360k --run var/pretrained
    torchrun --nproc-per-node 8 -m training.train.pretrain qface_base --data ... --sets ... --output ...

`--data` holds sets that `training.data prepare` made; their labels are ignored. The run is killed
and started again with the same command as fine-tuning is. At its end RUN/encoder.safetensors holds the
encoder alone, for `training.train.finetune --set init=RUN/encoder.safetensors`.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

import safetensors
import torch

from training.cli import run_cli, words_of
from training.data.prepared.face_set import FaceSet
from training.data.sampling.unlabelled_batches import Cropping, UnlabelledBatches
from training.models.checkpoint import save_tensors
from training.models.encoder import TimmEncoder
from training.models.masked_autoencoder import MaskedAutoencoder
from training.models.qface import CONFIGS, QFaceConfig
from training.train.loop.distributed import Distributed
from training.train.loop.optimisation import Optimisation
from training.train.loop.training_loop import TrainingLoop
from training.train.objectives.masked_reconstruction import MaskedReconstruction
from training.train.overrides import overridden
from training.train.plan import check_unlabelled, describe_unlabelled, measure
from training.train.run_options import add_run_options, adopt_own_tasks, place_of, print_plan, take_cores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretraining:
    """One pretraining run. The defaults are the paper's (section 4.1) where it has any."""

    model: QFaceConfig
    sets: tuple[str, ...]  # prepared sets, all of whose training faces are taken
    epochs: int = 80  # passes over all faces, those of the warm-up among them
    warmup_epochs: int = 5
    batch: int = 2048  # faces a step, over all processes and micro-batches
    learning_rate: float = 1e-3
    end_learning_rate: float = 1e-6
    weight_decay: float = 0.05
    mask_ratio: float = 0.75  # of the patches, hidden (not in the paper)
    patch: int | None = None  # pixels a side that are hidden together; None: a ViT's own, else 16
    width: int = 512  # of the decoder (not in the paper)
    heads: int = 8  # of the decoder (not in the paper)
    blocks: int = 2  # of the decoder
    normalised: bool = False  # reconstruct patches without their own mean and variance
    cropping: Cropping = dataclasses.field(default_factory=Cropping)
    accumulate: int = 1  # micro-batches a step and process
    bf16: bool = True
    compile: bool = False
    recompute: bool = False  # activations of transformer blocks, in the backward pass: less memory
    shard: bool = False  # weights, gradients and moments are divided among the processes
    seed: int = 1
    workers: int = 2
    checkpoint_every: int = 200  # steps
    progress_every: int = 20  # steps
    trackers: tuple[str, ...] = ("tensorboard",)  # as Optimisation's

    def __post_init__(self) -> None:
        if not self.sets or len(set(self.sets)) != len(self.sets):
            raise ValueError(f"sets {self.sets} must name at least one prepared set, and none twice")
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio {self.mask_ratio} must be between 0 and 1")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be less than epochs {self.epochs}")

    def optimisation(self, faces: int) -> Optimisation:
        """The loop's settings for so many faces."""
        return Optimisation(
            steps=max(1, self.epochs * faces // self.batch),
            warmup_steps=self.warmup_epochs * faces // self.batch,
            learning_rate=self.learning_rate,
            end_learning_rate=self.end_learning_rate,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.95),  # as masked autoencoders are trained; not in the paper
            accumulate=self.accumulate,
            bf16=self.bf16,
            compile=self.compile,
            recompute=self.recompute,
            shard=self.shard,
            seed=self.seed,
            workers=self.workers,
            checkpoint_every=self.checkpoint_every,
            progress_every=self.progress_every,
            trackers=self.trackers,
        )

    def build_objective(self) -> MaskedReconstruction:
        """The encoder in its autoencoder, with random weights."""
        encoder = TimmEncoder(
            self.model.encoder,
            input_size=self.model.input_size,
            stages=self.model.stages,
            drop_path=0.0,
            options=self.model.encoder_options,
        )
        own = self.model.input_size // encoder.grids[0][0] if encoder.is_vit else 16
        autoencoder = MaskedAutoencoder(
            encoder,
            input_size=self.model.input_size,
            patch=self.patch or own,
            width=self.width,
            heads=self.heads,
            blocks=self.blocks,
            normalised=self.normalised,
        )
        return MaskedReconstruction(autoencoder, mask_ratio=self.mask_ratio)

    def build_sets(self, data: pathlib.Path) -> list[FaceSet]:
        """The training faces of each set."""
        return [FaceSet(data / name, split="train") for name in self.sets]

    def build_batches(
        self, sets: Sequence[FaceSet], *, steps: int, patches: int, where: Distributed
    ) -> UnlabelledBatches:
        """What each step draws from the sets, and which of a face's `patches` are hidden."""
        return UnlabelledBatches(
            sets,
            batch=self.batch,
            steps=steps,
            input_size=self.model.input_size,
            patches=patches,
            cropping=self.cropping,
            seed=self.seed,
            rank=where.rank,
            world=where.world,
        )


def pretraining_of(model: QFaceConfig, sets: Sequence[str]) -> Pretraining:
    """The paper's pretraining for its encoder, a short one for the small ones that two cores can train."""
    if model.encoder == CONFIGS["qface_base"].encoder:
        return Pretraining(model=model, sets=tuple(sets))
    return Pretraining(model=model, sets=tuple(sets), epochs=10, warmup_epochs=1, batch=256)


def build_loop(
    run: Pretraining, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed
) -> TrainingLoop:
    """What pretrains, before its first step. ValueError for sets that it can't be done with."""
    check_unlabelled(run.sets, batch=run.batch, data=data, tracked_by=run.trackers)
    sets = run.build_sets(data)
    optimisation = run.optimisation(sum(len(faces) for faces in sets))
    torch.manual_seed(run.seed)
    objective = run.build_objective()
    return TrainingLoop(
        objective,
        optimisation=optimisation,
        data=run.build_batches(sets, steps=optimisation.steps, patches=objective.patches, where=where),
        where=where,
        folder=folder,
        identity={
            "pretraining": dataclasses.asdict(run),
            "data": {faces.name: faces.fingerprint for faces in sets},
        },
    )


def pretrain(
    run: Pretraining, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed
) -> TrainingLoop:
    """Run to the end and write FOLDER/encoder.safetensors. ValueError, Stopped: see TrainingLoop.run."""
    loop = build_loop(run, data=data, folder=folder, where=where)
    loop.run()
    if where.leads:
        learned = loop.averaged()
        assert isinstance(learned, MaskedReconstruction)
        save_encoder(folder / "encoder.safetensors", learned.autoencoder.encoder, run=run)
    return loop


def save_encoder(path: pathlib.Path, encoder: TimmEncoder, *, run: Pretraining) -> None:
    """The encoder's weights, atomically, under the names that a checkpoint has them by."""
    tensors = {f"encoder.{name}": tensor.cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    metadata = {"pretraining": json.dumps(dataclasses.asdict(run))}
    partial = path.with_name(path.name + ".partial")
    try:
        save_tensors(partial, tensors, metadata)
        partial.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise ValueError(
            f"{path} can't be written ({error}): make room, and give the same command again"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train.pretrain", description=__doc__.splitlines()[0]
    )
    parser.add_argument("model", choices=CONFIGS, help="the configuration whose encoder is trained")
    parser.add_argument("--sets", required=True, help="their names, separated by commas")
    add_run_options(
        parser,
        folder="where state, progress and weights go",
        example="epochs=20, batch=256, cropping.smallest=0.5",
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        take_cores(options.threads)
        sets = words_of(options.sets)
        adopt_own_tasks(options.tasks, data=options.data, sets=sets)
        run = pretraining_of(CONFIGS[options.model], sets)
        run = overridden(run, options.settings)
        with place_of(options) as where:
            if options.dry_run:
                loop = build_loop(run, data=options.data, folder=options.run, where=where)
                said = describe_unlabelled(
                    loop.optimisation, batch=run.batch, sets=run.build_sets(options.data)
                )
                print_plan(f"{said}\n{measure(loop)}", where=where)
                return
            loop = pretrain(run, data=options.data, folder=options.run, where=where)
        if where.leads:
            file = options.run / "encoder.safetensors"
            print(f"{file}: {loop.step} steps in {loop.seconds / 60:.1f} minutes")

    return run_cli("training.train.pretrain", work, place=options.run)


if __name__ == "__main__":
    sys.exit(main())
