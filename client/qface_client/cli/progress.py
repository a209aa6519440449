"""The progress bar of many photos, on a terminal only."""

from types import TracebackType

from tqdm import tqdm

from .outputs import Answered


class Progress:
    """Counts photos, faces and errors; nothing is shown where standard error is no terminal.

    total: how many photos there are, None where that is not known. shown: False: nothing, anywhere.
    """

    def __init__(self, *, total: int | None, shown: bool) -> None:
        self._faces = self._errors = 0
        # None: tqdm looks whether standard error is a terminal.
        off = None if shown and total != 1 else True
        self._bar = tqdm(total=total, unit="photo", disable=off, dynamic_ncols=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def count(self, answered: Answered) -> None:
        """One more photo is done."""
        self._faces += len(answered.analysis or ())
        self._errors += answered.error is not None
        self._bar.set_postfix(faces=self._faces, errors=self._errors, refresh=False)
        self._bar.update()
