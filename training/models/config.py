"""What the configurations of all families of networks have in common."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig(abc.ABC):
    """Everything that a network's shape depends on; each family adds its own fields.

    The fields' order is that of the JSON in a checkpoint's metadata.
    """

    family: ClassVar[str]  # the family's name (training.models.families), as checkpoints store it

    name: str
    encoder: str  # a timm model with intermediate features
    input_size: int  # side of the square crop in pixels

    @property
    @abc.abstractmethod
    def all_tasks(self) -> tuple[str, ...]:
        """The names of all tasks that the network answers, in the order of its outputs."""

    @abc.abstractmethod
    def with_tasks(self, names: Sequence[str]) -> Self:
        """The same configuration with these tasks."""
