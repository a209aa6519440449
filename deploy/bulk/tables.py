"""The two tables of a chunk's results as Parquet: a row a photo, and a row a face.

Rows of faces have the columns of `qface_client.tables`, and with --masks those of `answering.masks`. Both
files have in their metadata what makes them readable alone: contract, network, tasks, libraries.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from deploy.bulk.answering.masks import mask_columns
from deploy.bulk.chunks import Counts, Finished
from deploy.bulk.errors import Stopped
from deploy.bulk.photo import Answered, Failed, Outcome, Photo, Status, status_of
from deploy.bulk.settings import RunSettings
from qface_client.contract import Contract
from qface_client.tables import Column, columns

BELOW_QUALITY = "faces_below_quality"  # of both tables, where the network states a face's quality
_PHOTO_FIELDS = [
    ("photo", pyarrow.int64()),  # its number in the listing, by which faces name it
    ("file", pyarrow.string()),  # its address
    ("status", pyarrow.string()),  # photo.Status
    ("cause", pyarrow.string()),  # photo.Cause, of a failed one
    ("reason", pyarrow.string()),  # the sentence
    ("faces_found", pyarrow.int64()),
    (BELOW_QUALITY, pyarrow.int64()),
    ("width", pyarrow.int64()),
    ("height", pyarrow.int64()),
]
_TYPES = {"string": pyarrow.string(), "Int64": pyarrow.int64(), "float32": pyarrow.float32()}


class Tables:
    """The tables of one run's settings."""

    def __init__(self, settings: RunSettings) -> None:
        contract = Contract.from_dict(settings.answered_by.contract)
        self._columns = columns(contract, settings.tasks)
        fields = [(column.name, _type(column)) for column in self._columns]
        if settings.masks:
            for task in contract.select(settings.tasks):
                if (names := mask_columns(task)) is not None:
                    picture, place = names
                    fields += [(picture, pyarrow.binary()), (place, pyarrow.list_(pyarrow.float32()))]
        metadata = metadata_of(settings)
        unstated = () if contract.quality is not None else (BELOW_QUALITY,)
        of_photos = [field for field in _PHOTO_FIELDS if field[0] not in unstated]
        self.photos = pyarrow.schema(of_photos, metadata=metadata)
        self.faces = pyarrow.schema(fields, metadata=metadata)
        self._others = [field for field in self.faces if field.name not in {c.name for c in self._columns}]
        self._contract = contract.hash

    def finished(
        self, outcomes: Sequence[tuple[Photo, Outcome]], *, chunk: int, of_all: bool = True
    ) -> Finished:
        """The files of a chunk, its photos in the order of the listing."""
        ordered = sorted(outcomes, key=lambda pair: pair[0].number)
        photos = pyarrow.Table.from_pylist([_photo_row(*pair) for pair in ordered], schema=self.photos)
        rows = [row for pair in ordered for row in self._face_rows(*pair)]
        statuses = [status_of(outcome) for _, outcome in ordered]
        return Finished(
            chunk=chunk,
            photos=written(photos),
            faces=written(self._faces_table(rows)),
            counts=Counts(
                done=statuses.count(Status.DONE),
                no_face=statuses.count(Status.NO_FACE),
                failed=statuses.count(Status.FAILED),
                faces=len(rows),
            ),
            of_all=of_all,
        )

    def _face_rows(self, photo: Photo, outcome: Outcome) -> Iterable[dict[str, Any]]:
        if isinstance(outcome, Failed):
            return
        about = {
            "file": photo.address,
            "photo": photo.number,
            "width": outcome.width,
            "height": outcome.height,
            "faces_found": outcome.faces_found,
            BELOW_QUALITY: outcome.faces_below_quality,
        }
        for face in outcome.faces:
            yield {**face, **about, "contract": self._contract}

    def _faces_table(self, rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
        arrays = [_array(column, [row.get(column.name) for row in rows]) for column in self._columns]
        arrays += [
            pyarrow.array([row.get(field.name) for row in rows], type=field.type) for field in self._others
        ]
        return pyarrow.Table.from_arrays(arrays, schema=self.faces)


def merged(earlier_photos: Path, earlier_faces: Path, again: Finished) -> tuple[bytes, bytes, Counts]:
    """A chunk's files whose failed photos were answered again. Stopped where earlier ones can't be read."""
    try:
        photos, faces = read_part(earlier_photos), read_part(earlier_faces)
    except (OSError, pyarrow.ArrowException) as error:
        raise Stopped(
            f"{earlier_photos} can't be read ({error}): remove it, and its photos are answered again"
        ) from error
    kept = photos.filter(pyarrow.compute.not_equal(photos["status"], Status.FAILED.value))
    new_photos, new_faces = (_read(data) for data in (again.photos, again.faces))
    photos = pyarrow.concat_tables([kept, new_photos.cast(photos.schema)]).sort_by("photo")
    faces = pyarrow.concat_tables([faces, new_faces.cast(faces.schema)])
    faces = faces.sort_by([("photo", "ascending"), ("face", "ascending")])
    statuses = photos["status"].to_pylist()
    counts = Counts(
        done=statuses.count(Status.DONE),
        no_face=statuses.count(Status.NO_FACE),
        failed=statuses.count(Status.FAILED),
        faces=len(faces),
    )
    return written(photos), written(faces), counts


def metadata_of(settings: RunSettings) -> dict[str, str]:
    """What a file says of itself; nothing that another run of the same settings would have otherwise."""
    by = settings.answered_by
    return {
        "qface.contract": json.dumps(by.contract, ensure_ascii=False),
        "qface.contract_hash": by.contract_hash,
        "qface.network": by.network,
        "qface.network_digest": by.digest,
        "qface.precision": by.precision,
        "qface.tasks": ",".join(settings.tasks),
        "qface.search": json.dumps(settings.search.given()),
        "qface.versions": json.dumps(dict(by.versions)),
    }


def written(table: pyarrow.Table) -> bytes:
    """The table as a Parquet file: the same rows give the same bytes."""
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_part(path: Path, *, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The rows of one file alone: `read_table` would take a folder above it called year=2026 for a column."""
    with pyarrow.parquet.ParquetFile(path) as opened:
        return opened.read(columns=None if columns is None else list(columns))


def _read(data: bytes) -> pyarrow.Table:
    return pyarrow.parquet.read_table(pyarrow.BufferReader(data))


def _photo_row(photo: Photo, outcome: Outcome) -> dict[str, Any]:
    row = {"photo": photo.number, "file": photo.address, "status": status_of(outcome).value}
    if isinstance(outcome, Answered):
        return row | {
            "faces_found": outcome.faces_found,
            "width": outcome.width,
            "height": outcome.height,
            BELOW_QUALITY: outcome.faces_below_quality,
        }
    return row | {"cause": outcome.cause.value, "reason": outcome.reason}


def _type(column: Column) -> Any:
    if column.categories:
        return pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    return _TYPES[column.dtype]


def _array(column: Column, values: list[Any]) -> Any:
    if not column.categories:
        return pyarrow.array(values, type=_type(column))
    # With all labels in the contract's order, also those that no face has.
    places = {label: place for place, label in enumerate(column.categories)}
    indices = pyarrow.array([places.get(value) for value in values], type=pyarrow.int32())
    return pyarrow.DictionaryArray.from_arrays(indices, list(column.categories))
