"""What the launcher needs to know of a Triton. Each other module here is a kind of installation."""

import dataclasses
from pathlib import Path
from typing import Protocol

from deploy.embedded.environment import Environment


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunnableTriton:
    """A Triton that can be started, and the Python that carries its models."""

    binary: Path
    backends: Path
    libraries: tuple[Path, ...]  # where the loader looks before all other places
    carrier: Environment


class TritonInstallation(Protocol):
    """A Triton on this machine."""

    @property
    def title(self) -> str:
        """As people call it."""
        ...

    @property
    def serves_gpus(self) -> bool:
        """Whether it can run engines on GPUs. One that can't serves any repository on the CPU."""
        ...

    def inspect(self, python: Path | None) -> Environment:
        """Checks the installation and the Python that carries its models (None: the usual one).

        EnvironmentNotSupported where they can't be used. Writes nothing.
        """
        ...

    def prepare(self, python: Path | None, *, cache: Path) -> RunnableTriton:
        """Makes it ready to be started, with the Python that carries its models (None: the usual one).

        `cache` is a folder for files that have to be written: NoRoom where that can't be. Raises what
        `inspect` raises.
        """
        ...
