"""What a check found, and what checks look at."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from build.errors import BuildError
from build.stages.verify import device_of
from deploy.embedded.assembled_repository import Repository, open_repository
from deploy.embedded.errors import CannotStart
from deploy.embedded.installations import TritonInstallation, triton_in
from deploy.gateway.operation import places
from deploy.gateway.options import GatewayOptions

# fine; the service runs, but something is to be known; the service does not start, or ends.
Level = Literal["ok", "note", "stops"]
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at, in a sentence: what is, and where something is wrong, what to do."""

    check: str
    level: Level
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """As --json prints it."""
        return dataclasses.asdict(self)


class Host:
    """This host, for a gateway with these options."""

    def __init__(self, options: GatewayOptions) -> None:
        self.options = options

    @functools.cached_property
    def triton(self) -> TritonInstallation:
        """The Triton that would be started."""
        return triton_in(self.options.triton)

    @functools.cached_property
    def repository(self) -> Repository:
        """The repository that would be served; CannotStart where it can't be."""
        return open_repository(self.options.repository, serves_gpus=self.triton.serves_gpus)

    @property
    def models(self) -> tuple[Path, str | None] | None:
        """The folder of the models, and the variant of their configurations; None without a repository."""
        with contextlib.suppress(CannotStart):
            return self.repository.models, self.repository.config_name
        return None

    @functools.cached_property
    def is_for_gpus(self) -> bool:
        """Whether the repository's engine is for GPUs."""
        with contextlib.suppress(BuildError):
            return device_of(self.options.repository) == "gpu"
        return False

    @property
    def needs_gpu(self) -> bool:
        """Whether the repository's engine would be loaded on GPUs."""
        return self.triton.serves_gpus and self.is_for_gpus

    @functools.cached_property
    def runs(self) -> bool:
        """Whether a gateway of this repository runs already."""
        control = places.control_socket(self.options.control, repository=self.options.repository)
        try:
            places.check_unused(control)
        except CannotStart:
            return True
        return False


Check = Callable[[Host], Iterator[Finding]]


def attempt(check: str, action: Callable[[], Result], *, ok: Callable[[Result], str]) -> Finding:
    """A finding of what the service itself does when it starts: its sentence where it raises CannotStart."""
    try:
        return Finding(check=check, level="ok", sentence=ok(action()))
    except CannotStart as error:
        return Finding(check=check, level="stops", sentence=str(error))
