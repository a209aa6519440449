"""The first step of every ensemble: a picture -> the engine's pixels and the map back to the photo."""

import abc
import asyncio
import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.answering.batches import Answer
from runtime.answering.rows import Cut, cut_face, cut_faces, fit_crops, joined, row_by_row
from runtime.contract import ALIGNED
from runtime.image.align import Affine, invert, photo_to_crop
from runtime.image.crops import crop_of
from runtime.image.decode import read_picture
from runtime.image.stored_crop import StoredCrop, stored_crop
from runtime.serving.base import Refused, ServedModel, infer_async, tensor

# Of pictures that go to the warp model at once: a batch of the largest files would take 2 GiB.
_CALL_BYTES = 64 * 1024 * 1024


class _Preprocess(ServedModel, abc.ABC):
    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the side and the kind of the crop."""
        super().initialize(args)
        self.size = int(self.parameters["input_size"])
        self.crop = crop_of(self.parameters.get("crop", ALIGNED))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    @abc.abstractmethod
    def answer(self, request: Any) -> Answer:
        """The answer to one request."""


class FacePreprocess(_Preprocess):
    """An encoded image [B, n], box [B, 4] and landmarks [B, 5, 2] (NaN: none) -> pixels, crop_to_photo.

    With the parameter `warp_model` that model decodes and warps what it can, on a GPU. What it does not
    answer is decoded here: pictures of other kinds, and all of a batch in which it could not decode one.
    """

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads which model warps."""
        super().initialize(args)
        self.warp_model = self.parameters.get("warp_model")
        if self.warp_model is not None:
            if self.parameters.get("crop", ALIGNED) != ALIGNED:
                raise ValueError(f"{self.warp_model} makes {ALIGNED} crops only")
            self.loop = asyncio.new_event_loop()

    def finalize(self) -> None:
        """Ends the threads that wait for the warp model; the backend calls it once."""
        if self.warp_model is not None:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        if self.warp_model is None:
            return super().execute(requests)
        with self.spans.together(requests, name=self.warp_model):
            looked_at = [self._look_at(request) for request in requests]
            faces = [face for found in looked_at if isinstance(found, list) for face in found]
            self.loop.run_until_complete(self._warp([face for face in faces if face.stored is not None]))
        return [
            self.respond(request, functools.partial(self._answer, found))
            for request, found in zip(requests, looked_at, strict=True)
        ]

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2]."""
        images, boxes, points = (tensor(request, name) for name in ("image", "box", "landmarks"))
        return cut_faces(images, boxes=boxes, landmarks=points, crop=self.crop, size=self.size)

    def _look_at(self, request: Any) -> "list[_Face] | Exception":
        """Where the faces of a request lie, or what is wrong with it: it is answered with the others."""
        try:
            images, boxes, points = (tensor(request, name) for name in ("image", "box", "landmarks"))
            return row_by_row(
                lambda row: _look_at(images[row], box=boxes[row], landmarks=points[row], size=self.size),
                rows=len(images),
            )
        except Exception as error:
            return error

    def _answer(self, found: "list[_Face] | Exception", _: Any) -> Answer:
        """The answer to a request in which this was found."""
        if isinstance(found, Exception):
            raise found
        return joined(row_by_row(lambda row: self._cut_out(found[row]), rows=len(found)))

    async def _warp(self, faces: Sequence["_Face"]) -> None:
        """Gives the faces the pixels that the warp model makes of them, as far as it does."""
        # The pictures of one call are filled up to the longest: here to at most twice their length.
        groups: dict[int, list[_Face]] = {}
        for face in faces:
            groups.setdefault(face.image.size.bit_length(), []).append(face)
        await asyncio.gather(*(self._warp_in_turn(group) for group in groups.values()))

    async def _warp_in_turn(self, faces: Sequence["_Face"]) -> None:
        """The same for faces whose pictures are about as long: in one call, very long ones in several."""
        count = max(1, _CALL_BYTES // max(face.image.size for face in faces))
        for first in range(0, len(faces), count):
            await self._warp_together(faces[first : first + count])

    async def _warp_together(self, faces: Sequence["_Face"]) -> None:
        assert self.warp_model is not None
        images = np.zeros((len(faces), max(face.image.size for face in faces)), dtype=np.uint8)
        for filled, face in zip(images, faces, strict=True):
            filled[: face.image.size] = face.image
        crops = [face.stored for face in faces if face.stored is not None]
        inputs: Answer = {
            "image": images,
            "window": np.stack([crop.window for crop in crops]),
            "matrix": np.stack([crop.matrix for crop in crops]),
        }
        with contextlib.suppress(Refused):  # the model's statistics count it
            answer = await infer_async(self.warp_model, inputs, ["pixels"])
            for face, pixels in zip(faces, answer["pixels"], strict=True):
                face.pixels = pixels

    def _cut_out(self, face: "_Face") -> Cut:
        if face.pixels is None:
            return cut_face(
                face.image, box=face.box, landmarks=face.landmarks, crop=self.crop, size=self.size
            )
        return face.pixels, invert(face.forward), face.photo_size[::-1]


class CropPreprocess(_Preprocess):
    """An aligned crop [B, H, W, 3] as raw RGB, resized as a whole -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2].

        The photo is here the crop as it was sent.
        """
        return fit_crops(tensor(request, "crop"), crop=self.crop, size=self.size)


@dataclass(kw_only=True)
class _Face:
    """A row of a request, and where its crop lies in the picture, before a pixel is decoded."""

    image: NDArray[np.uint8]  # encoded
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    photo_size: tuple[int, int]  # width and height, upright
    forward: Affine  # from the photo's pixels to the crop's
    stored: StoredCrop | None  # None: not a picture for another decoder than ours
    pixels: NDArray[np.uint8] | None = None  # as the warp model made them


def _look_at(
    image: NDArray[np.uint8], *, box: NDArray[np.float32], landmarks: NDArray[np.float32], size: int
) -> _Face:
    """The face of one row; raises InvalidInput for a picture, box or landmarks that can't be used."""
    picture = read_picture(image.data)
    width, height = picture.width, picture.height
    if picture.orientation >= 5:
        width, height = height, width
    forward = photo_to_crop(width=width, height=height, box=box, landmarks=landmarks, size=size)
    return _Face(
        image=image,
        box=box,
        landmarks=landmarks,
        photo_size=(width, height),
        forward=forward,
        stored=stored_crop(picture, forward, size=size) if picture.ordinary else None,
    )
