"""The assembled model repository: where its models and its code lie, what they are called, who uses it."""

import dataclasses
import os
from pathlib import Path

from deploy.embedded.errors import RepositoryDamaged, RepositoryNotFound

_NO_GPU = (
    "serving on the CPU in fp32, by the exported network: the engine in this repository is for a GPU, and "
    "the wheel's Triton can't load it; --triton names an installed one, which the container has "
    "(deploy/container)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repository:
    """An assembled repository: `models/` for Triton, `lib/` for the models' imports."""

    folder: Path
    names: tuple[str, ...]
    on_gpu: bool  # whether its engine is loaded on GPUs; else the exported network runs on the CPU
    config_name: str | None  # which of each model's configs/ is to be preferred; None: config.pbtxt

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def library(self) -> Path:
        return self.folder / "lib"


def open_repository(folder: Path, *, serves_gpus: bool = False) -> Repository:
    """Follow the link `var/repository` once, so that all of this server sees one assembled state.

    `serves_gpus`: the server can load a GPU's engine, and shall where the repository has one. Raises
    RepositoryNotFound where there is none, or none with a model in it; RepositoryDamaged where it is not
    as its manifest says, or where its engine can't run on this machine.
    """
    resolved = folder.resolve()
    models = resolved / "models"
    if not models.is_dir():
        raise RepositoryNotFound(
            f"no model repository is assembled at {folder}: run `make repository` first, or in a container "
            "`python -m deploy.prepare`"
        )
    names = tuple(sorted(path.name for path in models.iterdir() if path.is_dir()))
    if not names:
        raise RepositoryNotFound(
            f"the model repository at {folder} has no model in it: run `make repository` again"
        )
    # Late, because `--check` runs before anything that this needs is installed.
    from build.acceptance.precision_decision import decided_elsewhere
    from build.errors import BuildError
    from build.serving.served_models import CPU_CONFIG, FULL_PRECISION_CONFIG
    from build.stages.verify import device_of, verify

    try:
        on_gpu = serves_gpus and device_of(resolved) == "gpu"
        manifest = verify(resolved, on_cpu=not on_gpu)
    except BuildError as error:
        raise RepositoryDamaged(str(error)) from None
    on_cpu = FULL_PRECISION_CONFIG if decided_elsewhere(manifest) else CPU_CONFIG
    repository = Repository(
        folder=resolved, names=names, on_gpu=on_gpu, config_name=None if on_gpu else on_cpu
    )
    if not repository.library.is_dir():
        raise RepositoryDamaged(f"{resolved} has no lib/ for its models: run `make repository` again")
    return repository


def precisions_served(folder: Path, *, serves_gpus: bool = False) -> list[str]:
    """In which precision the networks of a repository are served here, and why: a line for each.

    One line where its engine is for a GPU and the server can't load it. None where its manifest can't be
    read, which `open_repository` reports.
    """
    from build.acceptance.precision_decision import precision_lines
    from build.errors import BuildError
    from build.manifest import read_manifest
    from build.stages.verify import device_of

    try:
        if not serves_gpus and device_of(folder) == "gpu":
            return [_NO_GPU]
        return precision_lines(read_manifest(folder))
    except (BuildError, KeyError, TypeError, AttributeError):
        return []


class RepositoryUse:
    """A repository in use: `build` leaves its folder where it is as long as somebody holds this.

    It ends with this process at the latest. Where the folder is replaced or removed all the same, `check`
    finds it.
    """

    def __init__(self, folder: Path) -> None:
        """Raises RepositoryNotFound where the folder is gone, or is being removed."""
        self._folder = folder
        from build.stages.repository_files import hold  # late, as in `open_repository`

        try:
            self._descriptor: int | None = hold(folder)
        except OSError as error:
            raise RepositoryNotFound(
                f"the model repository {folder} is gone, or is being removed: {error.strerror}"
            ) from error
        try:
            self.check()
        except BaseException:
            self.release()
            raise

    def check(self) -> None:
        """Raises RepositoryNotFound once another folder, or none, lies at the path."""
        assert self._descriptor is not None
        held = os.fstat(self._descriptor)
        try:
            now = self._folder.stat()
        except OSError:
            now = None
        if now is None or (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino):
            raise RepositoryNotFound(
                f"the model repository {self._folder} was removed or replaced while in use: start again"
            )

    def release(self) -> None:
        """Let the folder be removed; do nothing the second time."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
