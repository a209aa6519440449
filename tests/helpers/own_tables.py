"""A table of faces, as somebody has it."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd

from training.data.addresses import Address
from training.data.own.opening import open_source
from training.data.own.source import Settings
from training.data.sample import BadSample, Sample


def written(folder: Path, rows: list[dict[str, Any]], *, name: str = "faces.csv") -> Path:
    """The rows in a file of that name's form."""
    path = folder / name
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(path)
    else:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def samples(source: Path | Address, **settings: Any) -> list[Sample | BadSample]:
    """What a source of one's own says of its faces."""
    return list(open_source(source, Settings(**settings)).read())


def only(source: Path, **settings: Any) -> Sample:
    """The one face of a source."""
    (sample,) = samples(source, **settings)
    assert isinstance(sample, Sample), sample
    return sample
