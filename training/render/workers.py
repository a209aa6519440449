"""Renders many pictures in several processes, and crops them as the server does, in a fixed order."""

import hashlib
import itertools
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.detect.faces import Infer, find_faces
from runtime.errors import InvalidInput
from training.data.crops import crop_with_margin, select_face, transform_label, transform_mask
from training.data.labels import checked
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of
from training.data.sample import five_of_68
from training.render.drawing.picture import Picture, Renderer
from training.render.head.head_file import load_head
from training.render.scene.scene import draw_scene

PICTURE_SIDE, CROP_SIDE = 384, 112  # the picture that a crop of 112 pixels is taken from
TEST_EVERY = 20  # every so many pictures one is for testing

# One a process.
_renderer: Renderer | None = None


def picture_side(size: int) -> int:
    """The side of the pictures for crops of `size` pixels."""
    return max(96, round(PICTURE_SIDE * size / CROP_SIDE))


def key_of(number: int) -> str:
    return f"{number:07d}"


def split_of(number: int) -> str:
    return "test" if number % TEST_EVERY == TEST_EVERY - 1 else "train"


def pictures(
    numbers: Iterable[int], *, head: Path, backgrounds: Sequence[Path], size: int, seed: int, processes: int
) -> Iterator[tuple[int, Picture]]:
    """The pictures of these numbers, in their order; the same for the same seed, whatever the processes.

    `size` is a picture's side.
    """
    jobs = ((number, size, seed) for number in numbers)
    if processes <= 1:
        renderer = _load(head, backgrounds)
        for number, *_ in jobs:
            yield number, draw(renderer, number=number, size=size, seed=seed)
        return
    # Spawned, not forked: OpenVINO's and OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=_begin, initargs=(head, list(backgrounds))) as pool:
        # A batch at a time: a pool would otherwise render everything ahead of its consumer.
        while batch := list(itertools.islice(jobs, 4 * processes)):
            yield from pool.imap(_work, batch)


def draw(renderer: Renderer, *, number: int, size: int, seed: int) -> Picture:
    """The picture of one number."""
    head = renderer.head
    rng = np.random.default_rng([seed, number])
    return renderer.render(draw_scene(rng, size=size, identities=len(head.identity), names=head.names))


def _load(head: Path, backgrounds: Sequence[Path]) -> Renderer:
    return Renderer(load_head(head), backgrounds=backgrounds)


def _begin(head: Path, backgrounds: Sequence[Path]) -> None:
    global _renderer
    cv2.setNumThreads(1)
    _renderer = _load(head, backgrounds)


def _work(job: tuple[int, int, int]) -> tuple[int, Picture]:
    number, size, seed = job
    assert _renderer is not None
    return number, draw(_renderer, number=number, size=size, seed=seed)


def faces(
    rendered: Iterable[tuple[int, Picture]], *, infer: Infer | None, size: int
) -> Iterator[tuple[str, Face | None]]:
    """For each picture its key and its face, cropped by the detector's landmarks as in serving.

    Where the detector finds no face there (or `infer` is None), the picture's own landmarks crop it.
    None where the crop would lie outside of the picture.
    """
    for number, picture in rendered:
        five = five_of_68(picture.landmarks)
        landmarks = five
        if infer:
            height, width = picture.pixels.shape[:2]
            faces = find_faces(picture.pixels, infer)
            found = select_face(faces, width=width, height=height, five=five)
            landmarks = five if found is None else faces.landmarks[found].astype(np.float64)
        yield key_of(number), _face(number, picture, landmarks, size=size)


def _face(number: int, picture: Picture, landmarks: NDArray[np.float64], *, size: int) -> Face | None:
    margin = margin_of(size)
    try:
        pixels, forward = crop_with_margin(picture.pixels, landmarks, size=size, margin=margin)
    except InvalidInput:
        return None
    return Face(
        key=key_of(number),
        pixels=pixels,
        labels={
            task: transform_label(task, checked(task, label), forward)
            for task, label in picture.labels.items()
        },
        split=split_of(number),
        person=key_of(number),  # a head of its own each
        masks={"parsing": transform_mask(picture.mask, forward, side=size + 2 * margin)},
        forward=forward,
    )


def digest(head: Path, backgrounds: Sequence[Path]) -> str:
    """A hash of the head and the backgrounds, 16 hexadecimal digits."""
    total = hashlib.sha256()
    for path in sorted(head.glob("*.obj")) if head.is_dir() else [head]:
        total.update(path.read_bytes())
    for path in backgrounds:
        total.update(f"{path.name} {path.stat().st_size}\n".encode())
    return total.hexdigest()[:16]
