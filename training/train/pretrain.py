"""Pretrain the encoder on faces without labels: masked image modelling (Q-Face, sections 3.1 and 4.1).

    python -m training.train.pretrain qface_base --data data/prepared --sets glint360k --run var/pretrained
    torchrun --nproc-per-node 8 -m training.train.pretrain qface_base --data ... --sets ... --output ...

`--data` holds sets that `training.data prepare` made; their labels are not looked at. The run is killed
and started again with the same command as fine-tuning is. At its end RUN/encoder.safetensors holds the
encoder alone, for `training.train.finetune --set init=RUN/encoder.safetensors`.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence

import safetensors
import torch
from torch import Tensor, nn

from training.data.prepared.face_set import FaceSet
from training.data.sampling.unlabelled_batches import Cropping, UnlabelledBatches
from training.models.checkpoint import save_tensors
from training.models.encoder import TimmEncoder
from training.models.masked_autoencoder import MaskedAutoencoder
from training.models.network import PIXEL_MEAN, PIXEL_STD
from training.models.qface import CONFIGS, QFaceConfig
from training.train.command import add_run_options, take_cores
from training.train.loop import Distributed, Loop, Objective, Optimisation, Stopped, distributed
from training.train.overrides import overridden

LOSS = "masked_l1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretraining:
    """One pretraining run. The defaults are the paper's (section 4.1) where it says anything."""

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
    seed: int = 1
    workers: int = 2
    checkpoint_every: int = 200  # steps
    progress_every: int = 20  # steps

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
            seed=self.seed,
            workers=self.workers,
            checkpoint_every=self.checkpoint_every,
            progress_every=self.progress_every,
        )


class MaskedObjective(Objective):
    """Equation 2, as the mean L1 distance over hidden patches."""

    mean: Tensor
    std: Tensor

    def __init__(self, run: Pretraining) -> None:
        super().__init__()
        config = run.model
        encoder = TimmEncoder(
            config.encoder,
            input_size=config.input_size,
            stages=config.stages,
            drop_path=0.0,
            options=config.encoder_options,
        )
        own = config.input_size // encoder.grids[0][0] if encoder.is_vit else 16
        self.autoencoder = MaskedAutoencoder(
            encoder,
            input_size=config.input_size,
            patch=run.patch or own,
            width=run.width,
            heads=run.heads,
            blocks=run.blocks,
            normalised=run.normalised,
        )
        self.input_size = config.input_size
        self.patches = self.autoencoder.side**2
        self.visible = max(1, round(self.patches * (1 - run.mask_ratio)))
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD) * 255, persistent=False)

    def network(self) -> nn.Module:
        return self.autoencoder

    def images(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [B, S, S, 3] as the encoder wants them [B, 3, S, S]."""
        return ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)

    def pixels(self, images: Tensor) -> Tensor:
        """The inverse of `images`: [B, S, S, 3], not rounded and maybe out of 0 to 255."""
        return images.permute(0, 2, 3, 1) * self.std + self.mean

    def counts(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {LOSS: torch.tensor(float(len(batch["pixels"])), device=batch["pixels"].device)}

    def sums(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, _ = self.autoencoder(self.images(batch["pixels"]), batch["order"], visible=self.visible)
        return {LOSS: loss.sum()}


def pretrain(run: Pretraining, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed) -> Loop:
    """Run to the end and write FOLDER/encoder.safetensors. ValueError, Stopped: see Loop.run."""
    torch.manual_seed(run.seed)
    sets = [FaceSet(data / name, split="train") for name in run.sets]
    objective = MaskedObjective(run)
    optimisation = run.optimisation(sum(len(faces) for faces in sets))
    batches = UnlabelledBatches(
        sets,
        batch=run.batch,
        steps=optimisation.steps,
        input_size=run.model.input_size,
        patches=objective.patches,
        cropping=run.cropping,
        seed=run.seed,
        rank=where.rank,
        world=where.world,
    )
    loop = Loop(
        objective,
        optimisation=optimisation,
        data=batches,
        where=where,
        folder=folder,
        identity={
            "pretraining": dataclasses.asdict(run),
            "data": {faces.name: faces.fingerprint for faces in sets},
        },
    )
    loop.run()
    if where.leads:
        save_encoder(folder / "encoder.safetensors", objective.autoencoder.encoder, run=run)
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
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
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
    take_cores(options.threads)
    try:
        run = Pretraining(model=CONFIGS[options.model], sets=tuple(options.sets.split(",")))
        run = overridden(run, options.settings)
        with distributed(options.device) as where:
            loop = pretrain(run, data=options.data, folder=options.run, where=where)
    except Stopped as stopped:
        print(f"training.train.pretrain: {stopped}", file=sys.stderr)
        return 128 + stopped.number
    except ValueError as error:
        print(f"training.train.pretrain: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"training.train.pretrain: {error.filename or options.run} can't be read or written "
            f"({error.strerror or error}): make room, or make it accessible",
            file=sys.stderr,
        )
        return 2
    if where.leads:
        print(f"{options.run / 'encoder.safetensors'}: {loop.step} steps in {loop.seconds / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
