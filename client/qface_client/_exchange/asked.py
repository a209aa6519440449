"""What a call of a client's method was for: for its error, and for the log where it took several tries."""

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar, cast

from .._photos import name_of
from .._telemetry import counted_tries
from ..errors import Call, InvalidInput, QFaceError

# What a sentence names that is about an argument of the call, and not about the picture.
_OF_ARGUMENTS = re.compile(r"\b(min_score|max_faces|min_face|min_quality|priority)\b")

F = TypeVar("F", bound=Callable[..., Any])


def describes_failures(method: F) -> F:
    """Each QFaceError of a client's method has its `call`; the outermost method's name is the one named.

    The client has the address as `_url`.
    """
    signature = inspect.signature(method)

    @contextlib.contextmanager
    def describing(*arguments: Any, **named: Any) -> Iterator[None]:
        name = method.__name__.lstrip("_")
        with counted_tries() as tries:
            try:
                yield
            except QFaceError as error:
                given = signature.bind_partial(*arguments, **named).arguments
                error.call = _described(error.call or Call(), method=name, given=given)
                if tries is not None and tries.to_log:
                    tries.log(name, file=error.call.file, error=error)
                raise
            if tries is not None and tries.to_log:
                given = signature.bind_partial(*arguments, **named).arguments
                tries.log(name, file=_file(given), error=None)

    if asyncio.iscoroutinefunction(method):

        @functools.wraps(method)
        async def described_later(*arguments: Any, **named: Any) -> Any:
            with describing(*arguments, **named):
                return await method(*arguments, **named)

        return cast(F, described_later)

    @functools.wraps(method)
    def described(*arguments: Any, **named: Any) -> Any:
        with describing(*arguments, **named):
            return method(*arguments, **named)

    return cast(F, described)


def of_picture(error: QFaceError, *, file: str | None, size: int) -> None:
    """Say of an error which file it is about, and how many bytes of it were to be sent."""
    error.call = dataclasses.replace(error.call or Call(), file=file, bytes=size)
    if not isinstance(error, InvalidInput) or _OF_ARGUMENTS.search(str(error)):
        return
    if error.file is None and file is not None:
        error.name_file(file)


def _described(call: Call, *, method: str, given: Mapping[str, Any]) -> Call:
    model = given.get("model")
    return dataclasses.replace(
        call,
        method=method,
        url=given["self"]._url,
        model=model if isinstance(model, str) else None,
        tasks=_names(given.get("tasks")),
        file=call.file or _file(given),
    )


def _names(tasks: Any) -> tuple[str, ...] | None:
    """The names of tasks, where they can be looked at twice."""
    if isinstance(tasks, str):
        return (tasks,)
    return tuple(map(str, tasks)) if isinstance(tasks, Collection) else None


def _file(given: Mapping[str, Any]) -> str | None:
    photo = given.get("photo", given.get("crop"))
    if isinstance(photo, str | os.PathLike):
        return os.fsdecode(photo)
    return name_of(photo) if hasattr(photo, "read") else None
