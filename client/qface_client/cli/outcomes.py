"""What becomes of the photos of a run: their answers in order, their errors, the command's exit status."""

import argparse
import collections
import contextlib
from collections.abc import Callable, Generator, Sequence

from ..client import FaceClient
from ..errors import InvalidInput, NotRecorded, QFaceError, RequestTimeout, ServerBusy, ServerError
from . import output, statuses
from .inputs import Inputs, Picture, hint
from .outputs import Answered
from .photo_options import search


class Outcomes:
    """The photos of one run of a command with the options of `photo_options`.

    `tasks`: that are asked for; None: all. `on_unlisted`: gets the error of a folder, a pattern or a list
    that gives no photo, which is reported all the same.

    `status`: of the command, by the errors so far. `fatal`: an error that all further photos would meet too;
    then none is begun any more, and those under way are waited for.
    """

    def __init__(
        self,
        client: FaceClient,
        options: argparse.Namespace,
        tasks: Sequence[str] | None,
        *,
        on_unlisted: Callable[[InvalidInput], None] = lambda error: None,
    ) -> None:
        self._client = client
        self._options = options
        self._tasks = tasks
        self._on_unlisted = on_unlisted
        self._sent: collections.deque[Picture] = collections.deque()
        self.status = statuses.OK
        self.fatal: QFaceError | None = None

    def answered(self, inputs: Inputs, *, first: int = 0) -> Generator[Answered, None, None]:
        """Each photo's outcome in the order of the photos, a few of them under way at once.

        `first`: the number of the first photo.
        """
        options = self._options
        results = self._client.analyze_many(
            self._photos(inputs),
            self._tasks,
            model=options.model,
            **search(options),
            priority=options.priority,
            concurrency=options.concurrency,
            ordered=True,
        )
        with contextlib.closing(results):
            for result in results:
                yield Answered(
                    index=first + result.index,
                    picture=self._sent.popleft(),
                    analysis=result.analysis,
                    error=result.error,
                )

    def take(self, answered: Answered) -> bool:
        """Report a photo's error; False where the photo was not answered at all."""
        error, name = answered.error, answered.picture.name
        if isinstance(error, InvalidInput):
            self.report(error, name=name, hint=hint(answered.picture))
        elif isinstance(error, ServerBusy | ServerError | RequestTimeout | NotRecorded):
            output.log(_named(error, name))
            self.status = max(self.status, statuses.SERVER_FAILED)
        elif error is not None:
            self.fatal = self.fatal or error
            return False
        return True

    def report(self, error: InvalidInput, *, name: str = "", hint: str = "") -> None:
        """Print an error of a photo, a folder or a drawing."""
        output.log(f"{_named(error, name)}{hint}")
        self.status = max(self.status, statuses.BAD_INPUT)

    def _photos(self, inputs: Inputs) -> Generator[str | bytes, None, None]:
        for picture in inputs:
            if self.fatal is not None:
                return
            if isinstance(picture, InvalidInput):
                self.report(picture)
                self._on_unlisted(picture)
            else:
                self._sent.append(picture)
                yield picture.photo


def _named(error: QFaceError, name: str) -> str:
    """The error's sentence with the photo's name, which errors of files have themselves."""
    return str(error) if isinstance(error, InvalidInput) and error.file else f"{name}: {error}"
