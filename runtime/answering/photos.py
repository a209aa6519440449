"""A whole photo -> its faces, and the answers about each of them."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.answering.batches import Answer
from runtime.answering.quality import FACES_BELOW_QUALITY, MIN_QUALITY, FaceQuality
from runtime.contract import Contract
from runtime.detect.faces import Detections, Infer, find_faces
from runtime.detect.search import Search, read_search
from runtime.image.crops import crop_of, crops_of, decode_for_crops
from runtime.image.photo import Photo
from runtime.parameters import Parameter, read_values
from runtime.postprocess import CONTRACT_TENSOR, Postprocessor, no_faces

# Pixels [N > 0, S, S, 3] uint8 and the names of heads -> these heads [N, ...].
Heads = Callable[[NDArray[np.uint8], Sequence[str]], Mapping[str, NDArray[Any]]]
# Around a part of the work, by its name.
Phase = Callable[[str], AbstractContextManager[None]]

# The parts of the work, as spans name them.
DECODE, DETECT, CROP, ENGINE, POSTPROCESS = "decode", "detect", "crop", "engine", "postprocess"

_NOTHING = contextlib.nullcontext()


def unmeasured(_name: str) -> AbstractContextManager[None]:
    """A Phase of which nothing is kept."""
    return _NOTHING


class PhotoDetections:
    """An encoded image [n] -> boxes, scores and landmarks of its faces, and its size."""

    def __init__(
        self, detect: Infer, parameters: Mapping[str, Parameter], *, phase: Phase = unmeasured
    ) -> None:
        """`parameters`: those that requests may bring."""
        self._detect = detect
        self._parameters = parameters
        self._phase = phase

    def answer(self, image: NDArray[np.uint8], *, sent: str) -> Answer:
        """What `detection_tensors` gives; `sent`: the request's parameters as JSON."""
        search = read_search(sent, self._parameters)
        photo = Photo(image)
        with self._phase(DETECT):  # which decodes what it looks at
            found = find_faces(photo, self._detect, search=search)
        return detection_tensors(found, photo)


class PhotoAnswers:
    """An encoded image [n] -> its faces with the answers about each: it is decoded once."""

    def __init__(
        self,
        contract: Contract,
        detect: Infer,
        parameters: Mapping[str, Parameter],
        heads: Heads,
        *,
        phase: Phase = unmeasured,
    ) -> None:
        """`parameters`: those that requests may bring."""
        self._contract = contract
        self._postprocessor = Postprocessor(contract)
        self._quality = None if contract.quality is None else FaceQuality(contract, contract.quality)
        self._crop = crop_of(contract.crop)
        self._detect = detect
        self._parameters = parameters
        self._heads = heads
        self._phase = phase

    def answer(self, image: NDArray[np.uint8], *, sent: str, requested: Collection[str]) -> Answer:
        """What `detection_tensors` gives, `contract`, and the requested answers [N, ...].

        `sent`: the request's parameters as JSON; `requested`: the outputs that it names. Where the network
        states a quality, the faces below the request's `min_quality` are left out of all tensors, and
        `faces_below_quality` [1] counts them.
        """
        values = read_values(sent, self._parameters)
        minimum = values.pop(MIN_QUALITY, 0.0)
        search = Search(**values)
        size = self._contract.input_size
        with self._phase(DECODE):
            photo = Photo(image)
            decode_for_crops(photo, size=size)
        with self._phase(DETECT):
            found = find_faces(photo, self._detect, search=search)
        needed = self._postprocessor.heads_for(requested)
        quality = self._quality if minimum > 0 else None
        computed = needed if quality is None or quality.head in needed else [*needed, quality.head]
        if not computed or not len(found):
            return self._answer(photo, found, no_faces(self._contract, needed))
        with self._phase(CROP):
            pixels, maps = crops_of(
                photo, boxes=found.boxes, landmarks=found.landmarks, crop=self._crop, size=size
            )
        with self._phase(ENGINE):
            heads = self._heads(pixels, computed)
        with self._phase(POSTPROCESS):
            below = 0
            if quality is not None and not (enough := quality.is_enough(heads, minimum=minimum)).all():
                below = int(np.count_nonzero(~enough))
                found, maps = found.only(enough), maps[enough]
                heads = {name: values[enough] for name, values in heads.items()}
            if not len(found):
                return self._answer(photo, found, no_faces(self._contract, needed), below=below)
            sizes = np.array([[photo.width, photo.height]] * len(found), dtype=np.int32)
            of_faces = self._postprocessor.answers(
                {name: heads[name] for name in needed}, maps, photo_size=sizes, requested=requested
            )
            return self._answer(photo, found, of_faces, below=below)

    def _answer(self, photo: Photo, found: Detections, of_faces: Answer, *, below: int = 0) -> Answer:
        answer = detection_tensors(found, photo)
        answer[CONTRACT_TENSOR] = np.array([self._contract.hash.encode()], dtype=np.object_)
        if self._quality is not None:
            answer[FACES_BELOW_QUALITY] = np.array([below], dtype=np.int32)
        return answer | of_faces


def detection_tensors(found: Detections, photo: Photo) -> Answer:
    """What is answered about the faces themselves.

    `boxes` [N, 4], `scores` [N], `landmarks` [N, 5, 2]; `photo_size` [2], width and height after EXIF
    rotation; `faces_found` [1] and `smallest_face` [1] as in `Detections`.
    """
    return {
        "boxes": found.boxes,
        "scores": found.scores,
        "landmarks": found.landmarks,
        "photo_size": np.array([photo.width, photo.height], dtype=np.int32),
        "faces_found": np.array([found.faces_found], dtype=np.int32),
        "smallest_face": np.array([found.smallest_face], dtype=np.float32),
    }
