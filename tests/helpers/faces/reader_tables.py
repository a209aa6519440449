"""Small copies of data sets in their official layouts: making the files, reading what a reader yields."""

from pathlib import Path

from training.data.labels import checked
from training.data.readers import reader_of
from training.data.sample import BadSample, Sample


def read(name: str, source: Path) -> tuple[list[Sample], list[BadSample]]:
    """What a reader yields; read twice, because it must yield the same both times."""
    entries = list(reader_of(name).read(source))
    again = list(reader_of(name).read(source))
    assert [(entry.key, getattr(entry, "split", "")) for entry in entries] == [
        (entry.key, getattr(entry, "split", "")) for entry in again
    ]
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    for sample in samples:
        assert all(checked(task, label) is not None for task, label in sample.labels.items())
        assert set(sample.labels) <= set(reader_of(name).tasks)
    assert len({sample.key for sample in samples}) == len(samples)
    return samples, [entry for entry in entries if isinstance(entry, BadSample)]


def touch(root: Path, *places: str) -> None:
    """Files that only have to be there: a reader opens no picture."""
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(b"")


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
