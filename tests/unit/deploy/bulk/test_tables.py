"""The two tables of a chunk: the same rows give the same bytes, and each file explains itself."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from deploy.bulk.answering.masks import mask_cells, mask_columns
from deploy.bulk.chunks import Counts
from deploy.bulk.photo import Answered, Cause, Failed, Outcome, Photo
from deploy.bulk.settings import Search, chunk_size_for, differences
from deploy.bulk.tables import Tables, merged
from qface_client.contract import Contract
from qface_client.results import Face, Mask
from tests.helpers.bulk_stand_in import CONTRACT, run_settings

FACE = {"box.x0": 1.0, "score": 0.75, "age": 31.5, "mood": "glad", "mood.calm": 0.25, "mood.glad": 0.75}


def photo(number: int) -> Photo:
    return Photo(number=number, address=f"/{number}.jpg", size=1, version="v")


def faces(count: int) -> Answered:
    rows = [{"face": index, **FACE} for index in range(count)]
    return Answered(width=64, height=48, faces_found=count, faces=rows)


BROKEN = Failed(cause=Cause.UNUSABLE, reason="it is no picture")
OUTCOMES: list[tuple[Photo, Outcome]] = [(photo(4), faces(2)), (photo(5), BROKEN), (photo(6), faces(0))]


def table(data: bytes) -> pyarrow.Table:
    return pyarrow.parquet.read_table(pyarrow.BufferReader(data))


def test_each_photo_and_each_face_has_a_row() -> None:
    finished = Tables(run_settings()).finished(OUTCOMES, chunk=2)
    assert finished.counts == Counts(done=1, no_face=1, failed=1, faces=2)
    rows = table(finished.photos).to_pylist()
    assert [(row["photo"], row["file"], row["status"], row["cause"]) for row in rows] == [
        (4, "/4.jpg", "done", None),
        (5, "/5.jpg", "failed", "unusable"),
        (6, "/6.jpg", "no_face", None),
    ]
    assert rows[1]["reason"] == "it is no picture"
    found = table(finished.faces).to_pylist()
    assert [(row["photo"], row["face"], row["age"], row["mood"]) for row in found] == [
        (4, 0, 31.5, "glad"),
        (4, 1, 31.5, "glad"),
    ]
    assert found[0]["contract"] == CONTRACT.hash


def test_the_order_in_which_photos_were_answered_changes_no_byte() -> None:
    tables = Tables(run_settings())
    once, again = tables.finished(OUTCOMES, chunk=2), tables.finished(OUTCOMES[::-1], chunk=2)
    assert (once.photos, once.faces) == (again.photos, again.faces)


def test_each_file_says_what_answered_it() -> None:
    finished = Tables(run_settings(tasks=("age",), search=Search(max_faces=3))).finished([], chunk=0)
    for data in (finished.photos, finished.faces):
        stored = {key.decode(): value.decode() for key, value in table(data).schema.metadata.items()}
        assert Contract.from_dict(json.loads(stored["qface.contract"])) == CONTRACT
        assert stored["qface.contract_hash"] == CONTRACT.hash
        assert stored["qface.tasks"] == "age"
        assert json.loads(stored["qface.search"]) == {"max_faces": 3}
        assert json.loads(stored["qface.versions"]) == {"stand-in": "1"}
    columns = table(finished.faces).column_names
    assert "age" in columns
    assert "mood" not in columns


def test_failed_photos_that_are_answered_later_make_the_files_of_an_unbroken_run(tmp_path: Path) -> None:
    tables = Tables(run_settings())
    earlier = tables.finished(OUTCOMES, chunk=2)
    (tmp_path / "photos").write_bytes(earlier.photos)
    (tmp_path / "faces").write_bytes(earlier.faces)
    again = tables.finished([(photo(5), faces(1))], chunk=2, of_all=False)
    photos, found, counts = merged(tmp_path / "photos", tmp_path / "faces", again)
    whole = tables.finished([OUTCOMES[0], (photo(5), faces(1)), OUTCOMES[2]], chunk=2)
    assert counts == whole.counts
    assert (photos, found) == (whole.photos, whole.faces)


def test_expected_errors_quality_and_what_was_left_out_have_columns_where_they_are_stated(
    tmp_path: Path,
) -> None:
    """Where the contract states none the columns are those that were before."""
    plain = Tables(run_settings())
    assert "faces_below_quality" not in plain.photos.names
    assert not {"quality", "age.error", "faces_below_quality"} & set(plain.faces.names)
    data = CONTRACT.to_dict()
    for task in data["tasks"]:
        if task["name"] == "age":
            task["error"] = {"unit": "years", "within": [[0.5, 0.7], [0.8, 1.6]]}
    data |= {"contract": "another", "quality": {"task": "mood", "label": "glad", "minimum": 0.25}}
    settings = run_settings()
    described = dataclasses.replace(settings.answered_by, contract=data)
    settings = dataclasses.replace(settings, answered_by=described)
    row = {"face": 0, **FACE, "age.error": 4.25, "quality": 0.75}
    rated = Answered(width=64, height=48, faces_found=3, faces_below_quality=2, faces=[row])
    outcomes = [(photo(0), rated), (photo(1), BROKEN)]
    finished = Tables(settings).finished(outcomes, chunk=0)
    assert [each["faces_below_quality"] for each in table(finished.photos).to_pylist()] == [2, None]
    (face,) = table(finished.faces).to_pylist()
    assert (face["age.error"], face["quality"], face["faces_below_quality"]) == (4.25, 0.75, 2)


def test_masks_are_kept_as_pictures_with_their_place() -> None:
    contract = Contract.from_dict(
        {
            **CONTRACT.to_dict(),
            "tasks": [{"name": "parsing", "kind": "mask", "labels": ["back", "skin"], "unit": "id"}],
        }
    )
    ids = np.zeros((4, 4), np.uint8)
    place = np.eye(2, 3, dtype=np.float32)
    mask = Mask(ids=ids, labels=("back", "skin"), to_photo=place)
    face = Face(box=(0, 0, 4, 4), score=1, landmarks5=None, answers={"parsing": mask}, contract=contract)
    assert mask_columns(contract.tasks[0]) == ("parsing.png", "parsing.map")
    cells = mask_cells(face)
    assert cells["parsing.png"].startswith(b"\x89PNG")
    assert cells["parsing.map"] == [1, 0, 0, 0, 1, 0]
    described = run_settings().answered_by.__class__(
        contract=contract.to_dict(), network="n", precision="fp32", versions={}
    )
    settings = run_settings(tasks=("parsing",), masks=True, answered_by=described)
    answered = Answered(width=4, height=4, faces_found=1, faces=[{"face": 0, **cells}])
    (row,) = table(Tables(settings).finished([(photo(0), answered)], chunk=0).faces).to_pylist()
    assert row["parsing.png"] == cells["parsing.png"]


def test_settings_that_would_give_other_results_are_named() -> None:
    kept = run_settings(search=Search(max_faces=3))
    asked = run_settings(tasks=("age",))
    assert list(differences(kept, asked)) == [
        "--tasks was age, mood, and is age",
        'the search for faces was {"max_faces": 3}, and is {}',
    ]
    assert not list(differences(kept, kept))


def test_chunks_are_neither_tiny_nor_huge() -> None:
    assert [chunk_size_for(inputs) for inputs in (1, 2_000, 10_000, 10**6)] == [25, 32, 157, 500]
