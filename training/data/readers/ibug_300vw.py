"""300-VW: videos of one face each, 68 points in every frame.

Shen, Zafeiriou, Chrysos, Kossaifi, Tzimiropoulos, Pantic, The First Facial Landmark Tracking
in-the-Wild Challenge, ICCV Workshops 2015. 50 videos are for training, 64 for testing in three
categories: well lit, unconstrained light, arbitrary conditions.
"""

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.point_files import points_label, read_pts
from training.data.sample import BadSample, Sample

_TRAINING = """
001 002 003 004 007 009 010 011 013 015 016 017 018 019 020 022 025 027 028 029 031 033 034 035 037 039
041 043 044 046 047 048 049 053 057 059 112 113 115 119 120 123 138 143 144 160 204 205 223 225
"""
_TESTING = {
    "category_1": """
114 124 125 126 150 158 401 402 505 506 507 508 509 510 511 514 515 518 519 520 521 522 524 525 537 538
540 541 546 547 548
""",
    "category_2": """
203 208 211 212 213 214 218 224 403 404 405 406 407 408 409 412 550 551 553
""",
    "category_3": """
410 411 516 517 526 528 529 530 531 533 557 558 559 562
""",
}

# Video -> split, subset.
_VIDEOS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_TRAINING.split(), ("train", "")),
    **{video: ("test", category) for category, videos in _TESTING.items() for video in videos.split()},
}


class _OpenVideo(threading.local):
    """The video that this thread read last and the position in it: the next frame costs one decoding."""

    video: Path | None = None
    capture: cv2.VideoCapture | None = None
    next_frame = 1
    process = 0

    def frame(self, video: Path, number: int) -> NDArray[np.uint8]:
        # A decoder does not survive a fork, and frames can only be found exactly by going forward.
        if (video, os.getpid()) != (self.video, self.process) or number < self.next_frame:
            self.video, self.process, self.next_frame = video, os.getpid(), 1
            self.capture = cv2.VideoCapture(str(video))
        assert self.capture is not None
        while self.next_frame < number and self.capture.grab():
            self.next_frame += 1
        read, pixels = self.capture.read() if self.next_frame == number else (False, None)
        if not read or pixels is None:
            self.video = None
            raise OSError(f"{video} has no frame {number}, or can't be decoded: fetch it again")
        self.next_frame += 1
        return cv2.cvtColor(pixels.astype(np.uint8, copy=False), cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


_OPEN = _OpenVideo()


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame of a video: calling it decodes it, RGB [H, W, 3]. Cheap in the order of the frames."""

    video: Path
    number: int  # from 1

    def __call__(self) -> NDArray[np.uint8]:
        return _OPEN.frame(self.video, self.number)


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every annotated frame, video by video, in their order. A video counts as a person."""
    folders = sorted(folder for folder in source.glob("[0-9]*") if folder.name in _VIDEOS and folder.is_dir())
    if not folders:
        raise LayoutError(f"300VW's videos are missing: 001/vid.avi and so on belong in {source}")
    for folder in folders:
        split, subset = _VIDEOS[folder.name]
        video = folder / "vid.avi"
        if not video.exists():
            yield BadSample(key=f"{folder.name}/vid.avi", reason="the video is missing")
            continue
        for path in sorted((folder / "annot").glob("*.pts")):
            key = f"{folder.name}/{path.stem}"
            try:
                if not path.stem.isdecimal() or int(path.stem) < 1:
                    raise ValueError(f"{path.name} is not the number of a frame")
                points = read_pts(path)
            except ValueError as error:
                yield BadSample(key=key, reason=str(error))
                continue
            yield Sample(
                key=key,
                picture=Frame(video, int(path.stem)),
                labels={"landmarks": points_label(points)},
                split=split,
                person=folder.name,
                subset=subset,
            )


READER = Reader(
    name="300vw",
    title="300-VW (Shen et al., ICCV Workshops 2015)",
    licence="research only",
    page="https://ibug.doc.ic.ac.uk/resources/300-VW/: a download for research, after a form",
    tasks=("landmarks",),
    tree="""\
001/vid.avi
001/annot/000001.pts    one file a frame, the first is 1
...                     114 videos""",
    # Annotated frames.
    expected=Expected(
        counts={"train": 95192, "test": 121278}, files=tuple(f"{video}/vid.avi" for video in sorted(_VIDEOS))
    ),
    read=read,
)
