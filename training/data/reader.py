"""A data set in the layout of its official release: its description and its reading function.

Each data set is one module of training.data.readers that defines its `Reader`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from training.data.sample import BadSample, Sample


class LayoutError(ValueError):
    """A folder does not have the data set's layout: the message names what is missing and where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """The content of the official release."""

    counts: Mapping[str, int]  # split (or "all") -> pictures; empty: not checked
    files: Sequence[str] = ()  # paths below --source that must exist


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """A data set: its description, and the function that reads it."""

    name: str  # as in `prepare NAME`
    title: str  # the set's usual name, with its paper or page
    licence: str  # short: "CC BY 4.0", "non-commercial research"
    page: str = ""  # where the set is asked for, and who gets it; "": it has no page
    tasks: tuple[str, ...]  # the tasks that it labels
    tree: str  # the official layout as a short tree, shown when something is missing
    expected: Expected
    # Yields samples in a fixed order without opening pictures, decides splits, keeps no state: it is
    # called twice, once to count. Raises LayoutError for a missing index file or folder; yields a
    # BadSample for a malformed entry.
    read: Callable[[Path], Iterator[Sample | BadSample]]
    takes_files: bool = False  # its source may be a file
    not_read: Sequence[str] = ()  # what lies in a source of one's own and is not taken, a sentence each
    named_by_source: bool = False  # another source's set may have the same name
    # Task -> the metric of the set's official protocol, where it is not the task's own (Task.metric).
    protocol_metrics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Task -> what is measured here instead of what the official protocol measures, where the two differ.
    # Such figures are not comparable with published ones.
    deviations: Mapping[str, str] = dataclasses.field(default_factory=dict)
