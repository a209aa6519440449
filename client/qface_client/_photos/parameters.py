"""What callers say beside the pictures, in the types that the protocol sends."""

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInput


def search_parameters(
    *,
    min_score: float | None,
    max_faces: int | None,
    min_face: float | None,
    min_quality: float | None = None,
) -> dict[str, int | float]:
    """The request parameters of a search for faces, in the types that the protocol sends; None: left out.

    InvalidInput for what is no number. The server checks the range.
    """
    parameters: dict[str, int | float] = {}
    shares = {"min_score": min_score, "min_face": min_face, "min_quality": min_quality}
    for name, share in shares.items():
        if share is not None:
            _check_number(name, share, numbers.Real, "a number")
            try:
                parameters[name] = float(share)
            except OverflowError:
                raise InvalidInput(f"{name} is a number of 1 at most, not one that is too large") from None
    if max_faces is not None:
        _check_number("max_faces", max_faces, numbers.Integral, "a whole number")
        if not 0 < max_faces < 1 << 63:  # what the protocol can send
            raise InvalidInput(f"max_faces is 1 or more, not {max_faces}")
        parameters["max_faces"] = int(max_faces)
    return parameters


def task_names(tasks: Iterable[str] | None) -> tuple[str, ...] | None:
    """The named tasks, one text as `--tasks` takes it; None: all. InvalidInput for what is no name."""
    if tasks is None:
        return None
    if isinstance(tasks, str):
        return tuple(name.strip() for name in tasks.split(","))
    names = tuple(tasks) if isinstance(tasks, Iterable) else (tasks,)
    for name in names:
        if not isinstance(name, str):
            raise InvalidInput(f"tasks are named by strings, not by {name!r}: `qface info` lists them")
    return names


def _check_number(name: str, value: Any, kind: type[Any], taken: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidInput(f"{name} is {taken}, not {value!r}")


def box_tensor(box: Sequence[float] | None) -> NDArray[np.float32]:
    """x0, y0, x1, y1 as FP32 [4]; None as NaN, which means "no box" to the server."""
    if box is None:
        return np.full(4, np.nan, np.float32)
    return _as_tensor(box, shape=(4,), what="a box is four numbers x0, y0, x1, y1 in pixels")


def landmarks_tensor(landmarks: ArrayLike | None) -> NDArray[np.float32]:
    """Five points as FP32 [5, 2]; None as NaN, which means "no landmarks" to the server."""
    if landmarks is None:
        return np.full((5, 2), np.nan, np.float32)
    return _as_tensor(landmarks, shape=(5, 2), what="landmarks are five points x, y in pixels")


def _as_tensor(values: ArrayLike, *, shape: tuple[int, ...], what: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # too large for FP32: infinite, which the server refuses
            tensor = np.asarray(np.asarray(values, dtype=np.float64), dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"{what}, not {values!r}") from error
    if tensor.shape != shape:
        raise InvalidInput(f"{what}, not an array of shape {list(tensor.shape)}")
    if np.isnan(tensor).any():
        raise InvalidInput(f"{what}, and NaN is none: leave the argument out where there is nothing to say")
    return tensor
