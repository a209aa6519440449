"""Renders of the ICT head: training.render writes them, with exact labels, as a prepared set."""

from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.sample import BadSample, Sample


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Raises LayoutError with the command that makes the set."""
    raise LayoutError(
        f"ict is rendered and not read from {source}: `python -m training.render --head FILE --count N "
        "--output DIR` makes the prepared set"
    )


READER = Reader(
    name="ict",
    title="Renders of the ICT FaceKit's head (Li et al., CVPR 2020)",
    licence="MIT",
    tasks=("head_pose", "landmarks", "visibility", "parsing", "action_units", "expression"),
    tree="made by python -m training.render",
    expected=Expected(counts={}),
    read=read,
)
