"""A data set's own words for labels, mapped to the catalogue's."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from training.tasks import CATALOGUE

Word = TypeVar("Word")


def label_map(task: str, labels: Mapping[Word, str]) -> Mapping[Word, str]:
    """`labels` (the set's own word -> the catalogue's label), once every label is known to be the task's."""
    unknown = sorted(set(labels.values()) - set(CATALOGUE[task].labels))
    if unknown:
        raise ValueError(f"task {task!r} has no label {', '.join(unknown)}: correct the reader's mapping")
    return labels


def normalized(words: Iterable[str]) -> list[str]:
    """Words as `5_o_clock_shadow`: lower case, with one `_` for whatever is no letter or digit."""
    spaced = ("".join(c if c.isalnum() else " " for c in word.replace("'", "").lower()) for word in words)
    return ["_".join(word.split()) for word in spaced]
