"""What the configurations of all families of networks have in common."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from runtime.contract import ALIGNED


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig(abc.ABC):
    """Everything that a network's shape depends on; each family is a dataclass with its own fields.

    The fields' order is that of the JSON in a checkpoint's metadata, so each family declares all of them.
    """

    family: ClassVar[str]  # the family's name (training.models.families), as checkpoints store it

    if TYPE_CHECKING:  # what every family declares, at its own place
        name: str
        encoder: str  # a timm model with intermediate features
        input_size: int  # side of the square crop in pixels

    @property
    def face_crop(self) -> str:
        """How its faces are cut out of photos (runtime.image.crops.CROPS)."""
        return ALIGNED

    @property
    @abc.abstractmethod
    def all_tasks(self) -> tuple[str, ...]:
        """The names of all tasks that the network answers, in the order of its outputs."""

    @abc.abstractmethod
    def with_tasks(self, names: Sequence[str]) -> Self:
        """The same configuration with these tasks."""
