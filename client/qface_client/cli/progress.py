"""The progress bar of many photos, on a terminal only."""

import threading
from types import TracebackType

from tqdm import tqdm

from .inputs import Inputs, Picture
from .outputs import Answered


class Progress:
    """Counts photos, faces and errors. Nothing is shown of one photo, or without a terminal.

    Photos of folders and patterns are counted in a thread, while the first ones are answered.
    shown: False: nothing, anywhere.
    """

    def __init__(self, inputs: Inputs, *, shown: bool) -> None:
        total = inputs.count()
        self._done = self._faces = self._errors = 0
        # None: tqdm looks whether standard error is a terminal.
        off = None if shown and total != 1 else True
        self._bar = tqdm(total=total, unit="photo", disable=off, dynamic_ncols=True)
        self._ended = threading.Event()
        if total is None and inputs.can_be_read_twice and not self._bar.disable:
            threading.Thread(target=self._count_all, args=(inputs,), daemon=True).start()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._bar.close()

    @property
    def done(self) -> str:
        """How many photos are done, of how many where that is known."""
        of = "" if self._bar.total is None else f" of {self._bar.total:,}"
        return f"{self._done:,}{of} photos"

    def count(self, answered: Answered) -> None:
        """One more photo is done."""
        self._done += 1
        self._faces += len(answered.analysis or ())
        self._errors += answered.error is not None
        self._bar.set_postfix_str(f"faces={self._faces}, errors={self._errors}", refresh=False)
        self._bar.update()

    def _count_all(self, inputs: Inputs) -> None:
        total = 0
        for picture in inputs:
            if self._ended.is_set():
                return
            total += isinstance(picture, Picture)
        self._bar.total = total
