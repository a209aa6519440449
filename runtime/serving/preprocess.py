"""The first step of every ensemble: a picture -> the engine's pixels and the map back to the photo."""

import abc
import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.contract import ALIGNED
from runtime.errors import InvalidImage, InvalidInput
from runtime.image.align import Affine, invert, photo_to_crop
from runtime.image.crops import crop_of
from runtime.image.decode import MAX_PIXELS, read_picture
from runtime.image.photo import Photo
from runtime.image.stored_crop import StoredCrop, stored_crop
from runtime.serving.base import Answer, Refused, ServedModel, infer, tensor


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

    With the parameter `warp_model` that model decodes and warps what it can, on a GPU. It gets each picture
    alone and puts them together by itself; whatever it does not answer is decoded here: pictures of other
    kinds, and all of a batch in which one was damaged.
    """

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads which model warps, and has as many threads wait for it as a batch has rows."""
        super().initialize(args)
        self.warp_model = self.parameters.get("warp_model")
        if self.warp_model is not None:
            if self.parameters.get("crop", ALIGNED) != ALIGNED:
                raise ValueError(f"{self.warp_model} makes {ALIGNED} crops only")
            rows = int(json.loads(args["model_config"])["max_batch_size"])
            self.loop = asyncio.new_event_loop()
            self.loop.set_default_executor(ThreadPoolExecutor(rows))

    def finalize(self) -> None:
        """Ends the threads that wait for the warp model; the backend calls it once."""
        if self.warp_model is not None:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        if self.warp_model is None:
            return super().execute(requests)

        async def answers() -> list[Any]:
            return await asyncio.gather(
                *(self.respond_async(request, self.answer_by_warp_model) for request in requests)
            )

        return self.loop.run_until_complete(answers())

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2]."""
        images, boxes, points = (tensor(request, name) for name in ("image", "box", "landmarks"))
        return _joined(
            _row_by_row(lambda row: self._cut(images[row], boxes[row], points[row]), rows=len(images))
        )

    async def answer_by_warp_model(self, request: Any) -> Answer:
        """The same, by the warp model as far as it can."""
        images, boxes, points = (tensor(request, name) for name in ("image", "box", "landmarks"))

        def plan(row: int) -> _Plan:
            return _plan(images[row], box=boxes[row], landmarks=points[row], size=self.size)

        plans = _row_by_row(plan, rows=len(images))
        # Every request of this batch is looked at before the first is sent on: they arrive there together.
        await asyncio.sleep(0)
        warped = await asyncio.gather(
            *(self._warped(images[row : row + 1], plan) for row, plan in enumerate(plans))
        )

        def cut(row: int) -> _Cut:
            plan, pixels = plans[row], warped[row]
            if pixels is None:
                return self._cut(images[row], boxes[row], points[row])
            return pixels, invert(plan.forward), plan.photo_size[::-1]

        return _joined(_row_by_row(cut, rows=len(images)))

    def _cut(
        self, encoded: NDArray[np.uint8], box: NDArray[np.float32], landmarks: NDArray[np.float32]
    ) -> "_Cut":
        """One row, decoded and warped here."""
        photo = Photo(encoded)
        pixels, back = self.crop(photo, box=box, landmarks=landmarks, size=self.size)
        return pixels, back, (photo.height, photo.width)

    async def _warped(self, image: NDArray[np.uint8], plan: "_Plan") -> NDArray[np.uint8] | None:
        """The warp model's crop of one picture [1, n]; None where it has to be made here."""
        if plan.stored is None:
            return None
        assert self.warp_model is not None
        inputs: Answer = {
            "image": image,
            "window": plan.stored.window[None],
            "matrix": plan.stored.matrix[None],
        }
        try:
            answer = await infer(self.warp_model, inputs, ["pixels"])
        except Refused:  # the model's statistics count it
            return None
        return np.asarray(answer["pixels"][0])


class CropPreprocess(_Preprocess):
    """An aligned crop [B, H, W, 3] as raw RGB, resized as a whole -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2].

        The photo is here the crop as it was sent.
        """
        crops = tensor(request, "crop")
        if 0 in crops.shape:
            raise InvalidImage(
                f"the crop has the shape {list(crops.shape[1:])}, so no pixels: send height x width x 3"
            )
        height, width = crops.shape[1:3]
        if height * width > MAX_PIXELS:
            raise InvalidImage(
                f"the crop is {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} accepted: "
                "send a smaller one"
            )
        return _joined(
            _row_by_row(
                lambda row: (*self.crop(crops[row], size=self.size), (height, width)), rows=len(crops)
            )
        )


# A crop's pixels, the map back to its photo, and the photo's height and width.
_Cut = tuple[NDArray[np.uint8], Affine, tuple[int, ...]]
_Row = TypeVar("_Row")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Where a face's crop lies in its picture, before a pixel is decoded."""

    photo_size: tuple[int, int]  # width and height, upright
    forward: Affine  # from the photo's pixels to the crop's
    stored: StoredCrop | None  # None: not a picture for another decoder than ours


def _plan(
    image: NDArray[np.uint8], *, box: NDArray[np.float32], landmarks: NDArray[np.float32], size: int
) -> _Plan:
    """The plan of one row; raises InvalidInput for a picture, box or landmarks that can't be used."""
    picture = read_picture(image.data)
    width, height = picture.width, picture.height
    if picture.orientation >= 5:
        width, height = height, width
    forward = photo_to_crop(width=width, height=height, box=box, landmarks=landmarks, size=size)
    stored = stored_crop(picture, forward, size=size) if picture.ordinary else None
    return _Plan(photo_size=(width, height), forward=forward, stored=stored)


def _row_by_row(function: Callable[[int], _Row], *, rows: int) -> list[_Row]:
    """What `function` returns for each row; of several rows, an error names its row."""
    results = []
    for row in range(rows):
        try:
            results.append(function(row))
        except InvalidInput as error:
            if rows == 1:
                raise
            raise type(error)(f"row {row} (of 0 to {rows - 1}): {error}") from None
    return results


def _joined(faces: Sequence[_Cut]) -> Answer:
    """The answer made of its rows."""
    return {
        "pixels": np.stack([pixels for pixels, _, _ in faces]),
        "crop_to_photo": np.stack([back for _, back, _ in faces]),
        "photo_size": np.array([shape[::-1] for _, _, shape in faces], dtype=np.int32),
    }
