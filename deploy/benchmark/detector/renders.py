"""Rendered heads as photos: landmarks known exactly, and faces seen from the side."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from deploy.benchmark.collages import pictures_in
from deploy.benchmark.detector.photos import Shot
from training.data.sample import five_of_68
from training.render.drawing.picture import Picture, Renderer
from training.render.head.head_file import load_head
from training.render.scene.scene import draw_scene

# A picture is drawn so large and enlarged to the photo's side: drawing takes a few tenths of a second.
_DRAWN, _SIDE = 384, 512
# Of the aligned crop in parts of the picture; the face is about six tenths of that.
_SIZES = (0.2, 0.65)


def rendered(
    head: Path, *, backgrounds: Path, yaw: tuple[float, float], count: int, seed: int, cache: Path
) -> Iterator[Shot]:
    """So many heads, turned to either side by an angle between these (degrees), before photos without a face.

    Pictures are kept in the folder `cache`. Raises ValueError for a file that is no head.
    """
    content = hashlib.sha256(head.read_bytes()).hexdigest()[:12]
    file = cache / f"renders-{content}-{yaw[0]:g}-{yaw[1]:g}-{count}-{seed}.npz"
    if not file.is_file():
        renderer = Renderer(load_head(head), backgrounds=pictures_in(backgrounds))
        pictures = [_draw(renderer, yaw=yaw, number=number, seed=seed) for number in range(count)]
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            file,
            pixels=np.stack([picture.pixels for picture in pictures]),
            landmarks=np.stack([picture.landmarks for picture in pictures]),
        )
    kept = np.load(file)
    for pixels, landmarks in zip(kept["pixels"], kept["landmarks"], strict=True):
        scale = _SIDE / pixels.shape[0]
        marks = (landmarks + 0.5) * scale
        five = five_of_68(marks)
        middle, half = (marks.max(axis=0) + marks.min(axis=0)) / 2, np.ptp(marks, axis=0).max() / 2
        yield Shot(
            pixels=np.asarray(
                cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8
            ),
            boxes=np.concatenate([middle - half, middle + half])[None],
            points=np.concatenate([five[:3], five[3:].mean(axis=0, keepdims=True)])[None],
            # From the side the eyes' distance measures nothing.
            exact=np.array([yaw[1] <= 45]),
            counted=np.array([True]),
        )


def _draw(renderer: Renderer, *, yaw: tuple[float, float], number: int, seed: int) -> Picture:
    random = np.random.default_rng([seed, number])
    scene = draw_scene(random, size=_DRAWN, identities=len(renderer.head.identity), names=renderer.head.names)
    side = -1.0 if number % 2 else 1.0
    angles = (side * random.uniform(*yaw), scene.angles[1] / 3, scene.angles[2] / 3)
    return renderer.render(
        dataclasses.replace(
            scene,
            angles=angles,
            body=(angles[0] / 2, 0.0, 0.0),
            side=_DRAWN * float(random.uniform(*_SIZES)),
            place=tuple(random.uniform(0.4, 0.6, 2).tolist()),
            occluder="none",
            mask=False,
        )
    )
