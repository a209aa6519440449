"""TensorBoard: event files in RUN/tensorboard."""

import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from training.train.watching.tracker import Outcome, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_SECONDS = 30


class TensorBoard(Tracker):
    """See the module."""

    name = "tensorboard"
    packages = ("tensorboard",)
    install = "make .venv"

    def __init__(self, writer: "SummaryWriter") -> None:
        self._writer = writer

    @classmethod
    def opened(cls, folder: pathlib.Path, *, settings: Mapping[str, Any], step: int) -> Self:
        # Takes a second to import.
        from torch.utils.tensorboard import SummaryWriter

        # TensorBoard hides what was written of `purge_step` and later, by a process that was killed.
        tracker = cls(
            SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1, flush_secs=_FLUSH_SECONDS)
        )
        if not step:
            tracker.document("settings", settings)
        return tracker

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def document(self, name: str, content: Mapping[str, Any]) -> None:
        # Four spaces make a block of code in Markdown.
        text = json.dumps(content, indent=1)
        self._writer.add_text(name, "".join(f"    {line}\n" for line in text.splitlines()), 0)

    def close(self, outcome: Outcome) -> None:
        self._writer.close()
