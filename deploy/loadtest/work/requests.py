"""Requests to Q-Face's models: photos, faces whose place is known, and crops."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.loadtest.work.asked_server import AskedServer
from deploy.loadtest.work.mix import Entry
from deploy.loadtest.work.question import Question
from deploy.measuring.pictures.photos import Photo, made_jpeg, read_rgb
from deploy.measuring.pictures.portrait import PORTRAIT
from qface_client.contract import Contract
from qface_client.errors import QFaceError
from qface_client.reading import CONTRACT_OUTPUT, FACE_OUTPUTS, PHOTO_MODEL, QUALITY_OUTPUT, SEARCH_OUTPUTS
from runtime.image.crops import crop_of

Tasks = tuple[str, ...] | None

_FACE_MODEL, _CROP_MODEL = "face_analysis", "crop_analysis"
_BOXES, _, _LANDMARKS, _SIZE = FACE_OUTPUTS
_SEVERAL_FACES = (1920, 1080)  # pixels of a photo of several faces
# The names of classes of photos in reports: below so many megapixels, and up to so many faces.
_MEGAPIXELS = (0.5, 1, 2, 4, 8, 16)
_FACES = ((0, "no face"), (1, "1 face"), (4, "2-4 faces"), (15, "5-15 faces"))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Maker:
    """Makes questions of entries; `own` are pictures in the place of the portrait, for photos."""

    server: AskedServer
    own: tuple[Path, ...] = ()

    def questions(self, entry: Entry, tasks: Tasks) -> Iterator[Question]:
        """Those of an entry, whose shares add up to the entry's.

        ValueError or ConnectionError with a sentence where the server has no answer to one.
        """
        if entry.sort not in SORTS:
            raise ValueError(
                f"the mix has {entry.sort!r}, which is none of {', '.join(SORTS)}: give one of them"
            )
        return SORTS[entry.sort](self, entry, tasks)

    def photos(self, entry: Entry, tasks: Tasks) -> Iterator[Question]:
        """One of a made photo, or one of each of the own pictures."""
        if not self.own or entry.made:
            question = self._photo(entry, self._picture(entry), tasks)
            yield self.server.counted(question, what=entry.name)[0]
            return
        for path in self.own:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise ValueError(
                    f"{path} can't be read ({error.strerror}): mend it, or leave it out"
                ) from None
            question, answer = self.server.counted(self._photo(entry, data, tasks), what=str(path))
            kind = f"folder, {_class_of(answer.tensors[_SIZE], question.faces or 0)}"
            yield dataclasses.replace(question, kind=_name(kind, tasks), share=entry.share / len(self.own))

    def faces(self, entry: Entry, tasks: Tasks) -> Iterator[Question]:
        """A photo with the box and the landmarks of its face, as FaceClient.analyze_face sends it."""
        contract = self._contract(entry)
        if entry.faces > 1:
            raise ValueError(f"{entry.name!r} has several faces, where its place is one face's: leave :N out")
        data = self._picture(entry)
        box, landmarks = self._place(data, what=entry.name)
        # One task has an ensemble of its own, which runs no other head.
        model = _FACE_MODEL if tasks is None or len(tasks) > 1 else tasks[0]
        question = Question(
            kind=_name(entry.name, tasks),
            model=model,
            inputs={
                "image": np.frombuffer(data, np.uint8)[None],
                "box": box[None],
                "landmarks": landmarks[None],
            },
            outputs=(*_of_tasks(contract, tasks), CONTRACT_OUTPUT),
            tasks=tasks,
            share=entry.share,
        )
        yield self.server.counted(question, what=entry.name)[0]

    def crops(self, entry: Entry, tasks: Tasks) -> Iterator[Question]:
        """Aligned crops of the portrait, as FaceClient.analyze_crops sends them."""
        contract = self._contract(entry)
        if entry.size is not None:
            raise ValueError(f"{entry.name!r} has a size, where a crop has the network's: leave @SIZE out")
        _, landmarks = self._place(PORTRAIT.read_bytes(), what=entry.name)
        crop, _ = crop_of(contract.crop)(read_rgb(PORTRAIT), landmarks=landmarks, size=contract.input_size)
        question = Question(
            kind=_name(entry.name, tasks),
            model=_CROP_MODEL,
            inputs={"crop": np.stack([crop] * entry.faces)},
            outputs=(*_of_tasks(contract, tasks), CONTRACT_OUTPUT),
            tasks=tasks,
            share=entry.share,
        )
        yield self.server.counted(question, what=entry.name)[0]

    def _photo(self, entry: Entry, data: bytes, tasks: Tasks) -> Question:
        contract = self.server.contract
        optional = (*SEARCH_OUTPUTS, QUALITY_OUTPUT)
        searched = (name for name in optional if name in self.server.outputs(PHOTO_MODEL))
        return Question(
            kind=_name(entry.name, tasks),
            model=PHOTO_MODEL,
            inputs={"image": np.frombuffer(data, np.uint8)},
            outputs=()
            if contract is None
            else (*_of_tasks(contract, tasks), *FACE_OUTPUTS, *searched, CONTRACT_OUTPUT),
            photo=data,
            tasks=tasks,
            share=entry.share,
        )

    def _picture(self, entry: Entry) -> bytes:
        if not entry.made:
            return PORTRAIT.read_bytes()
        width, height = entry.size or _SEVERAL_FACES
        return made_jpeg(Photo(name=entry.name, width=width, height=height, faces=entry.faces))

    def _place(self, data: bytes, *, what: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The box [4] and the landmarks [5, 2] of a photo's face, as the server finds them."""
        question = Question(
            kind=what,
            model=PHOTO_MODEL,
            inputs={"image": np.frombuffer(data, np.uint8)},
            outputs=FACE_OUTPUTS,
        )
        found = self.server.answer(question, what=what).tensors
        if not len(found[_BOXES]):
            raise ValueError(f"the server finds no face in the picture of {what}: give it another size")
        return found[_BOXES][0], found[_LANDMARKS][0]

    def _contract(self, entry: Entry) -> Contract:
        if self.server.contract is None:
            raise ValueError(
                f"{entry.name!r} is no photo, and {self.server.door.name} takes photos alone: leave it out "
                "of the mix, or call the server over grpc"
            )
        return self.server.contract


SORTS: Mapping[str, Callable[[Maker, Entry, Tasks], Iterator[Question]]] = {
    "photo": Maker.photos,
    "face": Maker.faces,
    "crop": Maker.crops,
}


def _of_tasks(contract: Contract, tasks: Tasks) -> tuple[str, ...]:
    """The outputs that answer these tasks; ValueError for a task that is not served."""
    try:
        return tuple(output for task in contract.select(tasks) for output in task.outputs)
    except QFaceError as error:
        raise ValueError(str(error)) from None


def _name(kind: str, tasks: Tasks) -> str:
    return kind if tasks is None else f"{kind}, {'+'.join(tasks)}"


def _class_of(size: NDArray[np.int32], faces: int) -> str:
    """Of a picture's width and height [2], and its faces: "1-2 MP, 1 face"."""
    megapixels = float(size[0]) * float(size[1]) / 1e6
    above = max((each for each in _MEGAPIXELS if each <= megapixels), default=0)
    below = next((each for each in _MEGAPIXELS if each > megapixels), None)
    pixels = f"{above:g} MP or more" if below is None else f"{above:g}-{below:g} MP"
    return f"{pixels}, {next((name for most, name in _FACES if faces <= most), '16 faces or more')}"
