"""A training run as one typed object, which builds all that it consists of.

`training.train.recipes` has the runs that have a name.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.derived_labels import assume_visible, derive, imply
from training.data.prepared.face_set import FaceSet
from training.data.sampling.augmentation import Augmentation
from training.data.sampling.balance import Balance, draw_weights
from training.data.sampling.step_batches import StepBatches
from training.models import FaceNetwork, NetworkConfig, build_model
from training.models.pretrained_encoder import IMAGENET, load_encoder, load_imagenet
from training.models.pretrained_network import load_network
from training.plain_data import ADDED_LATER
from training.task_type import Task
from training.tasks import CATALOGUE, select
from training.train.loop.distributed import Distributed
from training.train.loop.optimisation import Optimisation
from training.train.objectives.distillation import LOSS as DISTILLATION
from training.train.objectives.distillation import Distillation
from training.train.objectives.loss_weighting import build_loss_weighting, loss_weighting_named
from training.train.objectives.multi_task import MultiTaskObjective
from training.train.objectives.task_loss import loss_of
from training.train.overrides import RECORDED_AS

RANDOM = "random"
ENCODER, NETWORK = "encoder", "network"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """How a prepared set takes part."""

    name: str
    batch: int = 16  # faces a step, over all processes
    surround: bool = False  # its chips are cut close: their black frame gets other photos' surroundings
    subset: str | None = None  # only this named part of its training split
    # What is rare among its labels is drawn more often.
    balance: tuple[Balance, ...] = dataclasses.field(default=(), metadata={ADDED_LATER: True})

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(
                f"source {self.name!r} has a batch of {self.batch}: take at least 1, or leave it out"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Optimisation):
    """One run of fine-tuning (Q-Face, sections 3.4 and 4.1)."""

    name: str
    model: NetworkConfig
    sources: tuple[Source, ...]
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)  # alpha of equation 8, else 1
    losses: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by task, other than its own
    # One of LOSS_WEIGHTINGS: "fixed" or "uncertainty".
    loss_weighting: str = dataclasses.field(default="fixed", metadata={RECORDED_AS: "balance"})
    init: str = RANDOM  # the encoder's: "random", "imagenet", or a file (pretrained, or any checkpoint)
    # What of the file in `init` is taken: "encoder", or "network": every weight that fits.
    init_scope: str = dataclasses.field(default=ENCODER, metadata={ADDED_LATER: True})
    noise: bool = True  # the paper's, on the labels of age and pose
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    # A teacher for the encoder's features.
    distillation: Distillation | None = dataclasses.field(default=None, metadata={RECORDED_AS: "distil"})
    assumed_visible: float = 0.0  # how much it counts that a photo's face that looks ahead hides no point
    # How much weak labels count that follow from others (Task.implied_by).
    implied_labels: float = dataclasses.field(default=0.0, metadata={ADDED_LATER: True})
    # The part of each set that is not learned from: for calibration, and to choose by.
    holdout_fraction: float = dataclasses.field(default=0.0, metadata={RECORDED_AS: "aside"})
    kept_out: int | None = None  # faces of each test split that the result is evaluated on; None: all

    def __post_init__(self) -> None:
        super().__post_init__()
        tasks = {task.name: task for task in select(self.model.all_tasks)}
        names = [source.name for source in self.sources]
        if not names:
            raise ValueError(f"run {self.name!r} has no source: name at least one prepared set")
        if len({(s.name, s.subset) for s in self.sources}) != len(names):
            raise ValueError(f"run {self.name!r} names a source twice: {', '.join(names)}")
        for field, named in (("weights", self.weights), ("losses", self.losses)):
            unknown = sorted(named.keys() - CATALOGUE.keys())
            if unknown:
                raise ValueError(f"{field} names {', '.join(unknown)}, which no task is called")
        for name, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name} is {weight}: take a number that is not negative")
        for name, loss in self.losses.items():
            if name in tasks:
                loss_of(tasks[name], loss)
        if not 0 <= self.assumed_visible <= 1:
            raise ValueError(f"assumed_visible = {self.assumed_visible} is no weight: take 0 to 1")
        if self.init_scope not in (ENCODER, NETWORK):
            raise ValueError(f'init_scope {self.init_scope!r} is unknown: choose "{ENCODER}" or "{NETWORK}"')
        if not 0 <= self.implied_labels <= 1:
            raise ValueError(f"implied_labels = {self.implied_labels} is no weight: take 0 to 1")
        if not 0 <= self.holdout_fraction < 1:
            raise ValueError(
                f"holdout_fraction = {self.holdout_fraction} is no part of a set: "
                "take at least 0 and less than 1"
            )
        if self.kept_out is not None and self.kept_out < 1:
            raise ValueError(
                f"kept_out = {self.kept_out} leaves no face to measure on: take 1 or more, or none"
            )
        loss_weighting_named(self.loss_weighting)

    def with_tasks(self, names: Sequence[str]) -> "Run":
        """The same run of a model with these tasks."""
        return dataclasses.replace(self, model=self.model.with_tasks(names))

    def with_sources(self, names: Sequence[str]) -> "Run":
        """The same run with these sets; those that it does not name take part with `Source`'s defaults."""
        known: dict[str, list[Source]] = {}  # a set may be several sources, a subset each
        for source in self.sources:
            known.setdefault(source.name, []).append(source)
        chosen = [source for name in names for source in known.get(name, [Source(name=name)])]
        return dataclasses.replace(self, sources=tuple(chosen))

    def build_sets(self, data: pathlib.Path) -> list[FaceSet]:
        """The training faces of each source, from the prepared sets in `data`."""
        return [
            FaceSet(
                data / source.name,
                split="train",
                subset=source.subset,
                holdout_fraction=self.holdout_fraction,
                crop=self.model.face_crop,
            )
            for source in self.sources
        ]

    def complete_labels(self, sets: Sequence[FaceSet], *, tasks: Sequence[Task]) -> None:
        """Adds the labels that follow from others, to the sets in place."""
        for faces in sets:
            derive(faces, [task.name for task in tasks])
            if self.implied_labels:
                imply(faces, [task.name for task in tasks], confidence=self.implied_labels)
            if self.assumed_visible:
                assume_visible(faces, confidence=self.assumed_visible)

    def build_model(self) -> tuple[FaceNetwork, list[str]]:
        """The network with the encoder's first weights, and a line on each part of them (`init`)."""
        model = build_model(self.model)
        if self.init == RANDOM:
            return model, []
        if self.init == IMAGENET:
            return model, load_imagenet(model)
        load = load_network if self.init_scope == NETWORK else load_encoder
        return model, load(model, pathlib.Path(self.init))

    def build_objective(self, model: FaceNetwork, *, tasks: Sequence[Task]) -> MultiTaskObjective:
        """What is minimised of a network: the losses of `tasks`, and a teacher's where there is one."""
        names, weights = [task.name for task in tasks], dict(self.weights)
        distillation = None
        if self.distillation is not None:
            distillation = self.distillation.build_loss(channels=model.encoder.channels[-1])
            names.append(DISTILLATION)
            weights[DISTILLATION] = self.distillation.weight
        return MultiTaskObjective(
            model,
            tasks=tasks,
            losses=self.losses,
            weighting=build_loss_weighting(self.loss_weighting, losses=names, weights=weights),
            distillation=distillation,
        )

    def build_batches(
        self,
        sets: Sequence[FaceSet],
        *,
        tasks: Sequence[Task],
        input_size: int,
        where: Distributed,
        features: Mapping[str, Sequence[NDArray[np.float32]]],
    ) -> StepBatches:
        """What each step draws from the sets. `features` are further numbers of each face, by name."""
        return StepBatches(
            sets,
            counts=[source.batch for source in self.sources],
            tasks=tasks,
            size=input_size,
            steps=self.steps,
            seed=self.seed,
            augmentation=self.augmentation,
            noise=self.noise,
            surround=[source.surround for source in self.sources],
            draw_weights=[
                draw_weights(faces, source.balance) if source.balance else None
                for source, faces in zip(self.sources, sets, strict=True)
            ],
            rank=where.rank,
            world=where.world,
            features=features,
        )

    def build_features(
        self, sets: Sequence[FaceSet], *, data: pathlib.Path, where: Distributed
    ) -> dict[str, list[NDArray[np.float32]]]:
        """The teacher's descriptors of the faces of each set; empty without a teacher."""
        if self.distillation is None:
            return {}
        return {DISTILLATION: self.distillation.describe(sets, folder=data / ".descriptors", where=where)}
