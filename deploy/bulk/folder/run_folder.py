"""The folder of a run.

run.json                    what was asked for (`settings.RunSettings`)
inputs/part-000000.parquet  the listing (`listing`), taken once
photos/part-000000.parquet  of each chunk a row a photo: its presence shows that the chunk is whole
faces/part-000000.parquet   of each chunk a row a face
summary.json                at the end: every input accounted for
run.lock                    one run at a time
"""

from collections.abc import Iterator
from pathlib import Path

from deploy.bulk.chunks import Finished, Todo, Work
from deploy.bulk.errors import Refused, Stopped
from deploy.bulk.folder.files import UNFINISHED, remove_unfinished, write_whole
from deploy.bulk.folder.listing import Listing
from deploy.bulk.photo import Photo
from deploy.bulk.settings import RunSettings

_RUN, _SUMMARY, _INPUTS, _PHOTOS, _FACES = "run.json", "summary.json", "inputs", "photos", "faces"


class RunFolder:
    """The files of a run, by what they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.photos = path / _PHOTOS
        self.faces = path / _FACES
        self.summary = path / _SUMMARY

    def create(self) -> None:
        """Make the folder; Refused for one that has other things in it, or can't be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = [entry.name for entry in self.path.iterdir() if not self._is_own(entry.name)]
        except OSError as error:
            raise Refused(
                f"{self.path} can't be used as the run's folder ({error.strerror or error}): name another "
                "--output"
            ) from error
        if others and not self.begun:
            raise Refused(
                f"{self.path} has other things in it ({others[0]}): name a folder of its own by --output"
            )

    def clean(self) -> None:
        """Make the folders of results, and remove what a killed run left half written. Needs the lock."""
        try:
            for folder in (self.photos, self.faces):
                folder.mkdir(exist_ok=True)
            for folder in (self.path, self.photos, self.faces):
                remove_unfinished(folder)
        except OSError as error:
            raise Stopped(f"{self.path} can't be written ({error.strerror or error})") from error

    # -- what was asked for, and the listing

    @property
    def begun(self) -> bool:
        """Whether the listing is whole, and with it what was asked for."""
        return (self.path / _RUN).is_file() and (self.path / _INPUTS).is_dir()

    def settings(self) -> RunSettings:
        """Those of the run that has begun."""
        return RunSettings.read(self.path / _RUN)

    def listing(self) -> Listing:
        return Listing(self.path / _INPUTS)

    def fresh_listing(self) -> Path:
        """An empty folder for a listing that is being taken.

        Refused where results are there: they would count as those of another run.
        """
        results = (*self.path.glob(_INPUTS), *self.photos.glob("part-*"), *self.faces.glob("part-*"))
        if results:
            lost = _INPUTS if (self.path / _RUN).is_file() else _RUN
            raise Refused(
                f"{self.path} has results of a run, and its {lost} is gone: bring it back, or begin another "
                "run with another --output"
            )
        unfinished = self.path / f".{_INPUTS}{UNFINISHED}"
        try:
            unfinished.mkdir()
        except OSError as error:
            raise Stopped(f"{self.path} can't be written ({error.strerror or error})") from error
        return unfinished

    def begin(self, settings: RunSettings) -> None:
        """Keep what was asked for, and give the fresh listing its name."""
        # Bytes of a path that are no UTF-8 become what JSON has for them.
        write_whole(self.path / _RUN, settings.to_json().encode(errors="backslashreplace"))
        (self.path / f".{_INPUTS}{UNFINISHED}").replace(self.path / _INPUTS)

    # -- chunks

    def is_whole(self, chunk: int) -> bool:
        return self.photos_part(chunk).is_file()

    def left(self, settings: RunSettings) -> Iterator[int]:
        """The chunks that have no results yet."""
        return (chunk for chunk in range(settings.chunks) if not self.is_whole(chunk))

    def photos_of(self, chunk: int, settings: RunSettings) -> list[Photo]:
        """The chunk's rows of the listing; Stopped where it does not have them all."""
        first = chunk * settings.chunk_size
        count = min(settings.chunk_size, settings.inputs - first)
        photos = list(self.listing().photos(first=first, count=count))
        if [photo.number for photo in photos] != list(range(first, first + count)):
            raise Stopped(
                f"the listing {self.path / _INPUTS} does not have the inputs {first} to {first + count - 1}: "
                "bring it back, or begin again with another --output"
            )
        return photos

    def work(self, todo: Todo, settings: RunSettings) -> Work:
        """The photos of what is to be computed."""
        photos = self.photos_of(todo.chunk, settings)
        if todo.only is not None:
            photos = [photo for photo in photos if photo.number in todo.only]
        return Work(chunk=todo.chunk, photos=photos, of_all=todo.only is None)

    def keep(self, finished: Finished) -> None:
        """Write a chunk's results: faces first, as the photos' file shows that both are there.

        Stopped where the disk is full; then the chunk has no results.
        """
        photos = self.photos_part(finished.chunk)
        try:
            photos.unlink(missing_ok=True)
        except OSError as error:
            raise Stopped(f"{photos} can't be written ({error.strerror or error})") from error
        write_whole(self.faces_part(finished.chunk), finished.faces)
        write_whole(photos, finished.photos)

    def photos_part(self, chunk: int) -> Path:
        return self.photos / f"part-{chunk:06d}.parquet"

    def faces_part(self, chunk: int) -> Path:
        return self.faces / f"part-{chunk:06d}.parquet"

    @staticmethod
    def _is_own(name: str) -> bool:
        own = (_RUN, _SUMMARY, _INPUTS, _PHOTOS, _FACES, "run.lock")
        return name in own or name.endswith(UNFINISHED)
