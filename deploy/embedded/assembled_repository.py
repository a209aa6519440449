"""The assembled model repository: where its models and its code lie, and what the models are called."""

import dataclasses
from pathlib import Path

from deploy.embedded.errors import RepositoryDamaged, RepositoryNotFound


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repository:
    """An assembled repository: `models/` for Triton, `lib/` for the models' imports."""

    folder: Path
    names: tuple[str, ...]

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def library(self) -> Path:
        return self.folder / "lib"


def open_repository(folder: Path) -> Repository:
    """Follow the link `var/repository` once, so that all of this server sees one assembled state.

    Raises RepositoryNotFound where there is none, or none with a model in it; RepositoryDamaged where it is
    not as its manifest says.
    """
    resolved = folder.resolve()
    models = resolved / "models"
    if not models.is_dir():
        raise RepositoryNotFound(f"no model repository is assembled at {folder}: run `make repository` first")
    names = tuple(sorted(path.name for path in models.iterdir() if path.is_dir()))
    if not names:
        raise RepositoryNotFound(
            f"the model repository at {folder} has no model in it: run `make repository` again"
        )
    # Late, because `--check` runs before anything that this needs is installed.
    from build.errors import BuildError
    from build.stages.verify import verify

    try:
        verify(resolved, on_cpu=True)
    except BuildError as error:
        raise RepositoryDamaged(str(error)) from None
    repository = Repository(folder=resolved, names=names)
    if not repository.library.is_dir():
        raise RepositoryDamaged(f"{resolved} has no lib/ for its models: run `make repository` again")
    return repository
