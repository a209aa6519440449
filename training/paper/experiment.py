"""What a table or a figure of a paper is made of: sets, networks, the protocol, and what is published."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from training.data.prepared.face_set import FaceSet
from training.train.loop.distributed import Distributed
from training.train.run_config import Run

MEAN = "AVG"  # the metric of a claim that is the plain mean of its method's others


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A figure that a paper prints."""

    method: str  # ours (`Paper.methods`)
    name: str  # the method's name in the paper
    task: str  # "" for MEAN
    set: str
    metric: str  # one of training.evaluation.metrics, or MEAN
    value: float  # in the metric's units: shares in 0..1, years, degrees
    source: str  # where it is printed
    subset: str = ""  # a named part of the set's test split
    other: str = ""  # what the paper measures instead of what is measured here; "" for the same


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting of a paper's training, and the same of a run."""

    name: str  # in a few words
    ours: Callable[[Run], Any]
    published: Any = None  # None: the paper leaves it open


def length(run: Run) -> Any:
    """How long a run trains: its epochs, or "20 steps" where they are counted instead."""
    return f"{run.steps} steps" if run.steps else run.epochs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What experiments are made from, as the command line gives it."""

    run: Run  # the paper's, with what is set otherwise
    data: Path  # the folder of prepared sets
    folder: Path  # where networks and reports go
    where: Distributed
    limit: int | None = None  # faces of each test split; None: all
    checkpoint: str | None = None  # measured instead of training: a checkpoint, an ONNX file, a server
    pretraining: tuple[str, ...] = ()  # fields of the pretraining set otherwise, as field=value
    labels: tuple[str, ...] = ()  # of figure 4, instead of the paper's


class Paper(abc.ABC):
    """A paper: how its networks are trained. `training.paper.registry` has those that there are."""

    name: str  # as its reports call it
    citation: str
    main: str  # the paper's own method, which a given checkpoint stands for
    settings: ClassVar[Sequence[Setting]]
    pretrains_on: str = ""  # the set without labels that its encoder learns first; "": none
    crop: str  # how its faces are cut, one of runtime.image.crops.CROPS
    # What every run here does otherwise than the paper, whatever is set: sentences.
    differences: Sequence[str] = ()
    # By set, the tasks that the paper learns from it.
    taught: ClassVar[Mapping[str, Sequence[str]]]

    @abc.abstractmethod
    def run(self, *, quick: bool) -> Run:
        """Its training by its settings; `quick`: a few steps of a tiny network."""

    @abc.abstractmethod
    def rows(self, job: Job, method: str, *, sets: Sequence[str]) -> list[dict[str, Any]]:
        """The results of a method on these sets as JSON rows, trained if need be; see `trained_results`."""

    @abc.abstractmethod
    def trained(self, job: Job, method: str) -> Path:
        """The checkpoint of a method, trained if need be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table or a figure."""

    name: str  # as the command line has it
    paper: Paper
    title: str
    protocol: str  # how the paper measures, in a sentence or two
    sets: tuple[str, ...]  # whose test faces are measured or drawn
    claims: tuple[Claim, ...] = ()  # in the table's order
    notes: tuple[str, ...] = ()  # what else keeps ours and the paper's from being comparable: sentences
    # A figure: draws faces of the sets into the job's folder and returns Markdown that tells of it.
    draw: Callable[["Experiment", Job, Path, Sequence[FaceSet]], str] | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose networks it needs."""
        return tuple(dict.fromkeys(claim.method for claim in self.claims)) or (self.paper.main,)
