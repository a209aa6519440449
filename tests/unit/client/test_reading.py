"""Answers that a client has read: what takes time to make is made at its first use, and nobody can tell."""

import copy
import dataclasses
import io
import json
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qface_client import Classification, MultiLabel, ServerError
from qface_client.contract import TaskSpec, parse_contract
from qface_client.kinds import mask as masks
from qface_client.reading import read_tasks
from qface_client.results import OUTSIDE
from runtime.kinds.mask import as_png
from training.contract import make_contract
from training.tasks import CATALOGUE

CONTRACT = parse_contract(json.dumps(make_contract(list(CATALOGUE.values()), input_size=128).to_json()))
FACES = 2


def task_of(kind: str) -> TaskSpec:
    return next(task for task in CONTRACT.tasks if task.kind == kind)


def png_of(ids: Any, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(ids, np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def masks_of(*pngs: bytes, matrix: Any = ((1, 0, 2), (0, 1, 3))) -> list[Any]:
    """The masks that are read of these PNGs."""
    task = task_of("mask")
    tensors = {
        f"{task.name}_png": np.array([[png] for png in pngs], dtype=np.object_),
        f"{task.name}_map": np.stack([np.array(matrix, np.float32)] * len(pngs)),
    }
    return [answers[task.name] for answers in read_tasks(tensors, tasks=[task], count=len(pngs))]


def classified() -> tuple[list[Any], Classification]:
    """Answers as they are read, and the first one as a caller would write it."""
    task = task_of("classes")
    probabilities = np.random.default_rng(0).random((FACES, len(task.labels)), np.float32)
    tensors = {
        f"{task.name}_probabilities": probabilities,
        f"{task.name}_label": np.array([[task.labels[1].encode()]] * FACES, dtype=np.object_),
    }
    read = [answers[task.name] for answers in read_tasks(tensors, tasks=[task], count=FACES)]
    row = dict(zip(task.labels, map(float, probabilities[0]), strict=True))
    return read, Classification(label=task.labels[1], probabilities=row)


def test_a_class_that_was_read_is_like_one_that_was_written() -> None:
    (first, second), written = classified()
    assert first == written
    assert second != written
    assert repr(first) == repr(written)
    assert dataclasses.asdict(first) == dataclasses.asdict(written)
    assert json.dumps(first.probabilities) == json.dumps(written.probabilities)
    assert first.probabilities is first.probabilities
    assert dir(first) == dir(written)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.probabilities = {}
    with pytest.raises(AttributeError, match="no attribute 'probability_of'"):
        first.probability_of  # noqa: B018


@pytest.mark.parametrize("used", [False, True], ids=["before its first use", "after it"])
def test_what_was_read_can_be_copied_and_sent_to_another_process(used: bool) -> None:
    (answer, _), written = classified()
    if used:
        assert answer.probabilities
    for twin in (copy.copy(answer), copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
        assert twin == written


def test_labels_that_were_read_are_like_ones_that_were_written() -> None:
    task = next(task for task in CONTRACT.tasks if task.kind == "multilabel" and task.points_task is None)
    row = np.linspace(0, 1, len(task.labels), dtype=np.float32)[None]
    tensors = {f"{task.name}_probabilities": row, f"{task.name}_active": row > 0.5}
    probabilities = dict(zip(task.labels, map(float, row[0]), strict=True))
    written = MultiLabel(probabilities, active=[name for name, value in probabilities.items() if value > 0.5])

    def read() -> Any:
        return read_tasks(tensors, tasks=[task], count=1)[0][task.name]

    assert read() == written
    assert read().active == written.active
    for twin in (copy.deepcopy(read()), pickle.loads(pickle.dumps(read()))):
        assert repr(twin) == repr(written)


def test_points_that_can_be_seen_are_read_with_the_task_of_the_points() -> None:
    task = next(task for task in CONTRACT.tasks if task.points_task is not None)
    seen = np.arange(len(task.labels))[None] % 2 == 0
    tensors = {f"{task.name}_probabilities": seen.astype(np.float32), f"{task.name}_active": seen}
    answer: Any = read_tasks(tensors, tasks=[task], count=1)[0][task.name]
    twin = pickle.loads(pickle.dumps(answer))
    assert twin.hidden == answer.hidden == [i for i in task.points[1::2] if i is not None]
    assert twin.hidden_points() == (task.points_task, set(answer.hidden))


def test_a_mask_is_decompressed_when_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    ids = np.arange(12).reshape(3, 4) % 3
    decompress = masks._ids

    def counted(png: bytes, task: TaskSpec) -> Any:
        opened.append(task.name)
        return decompress(png, task)

    monkeypatch.setattr(masks, "_ids", counted)
    first, second = masks_of(png_of(ids), png_of(ids[::-1]))
    assert opened == []
    assert first.to_photo.tolist() == [[1, 0, 2], [0, 1, 3]]
    np.testing.assert_array_equal(first.ids, ids)
    assert first.ids is first.ids
    assert len(opened) == 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(second)).ids, ids[::-1])


def test_a_mask_is_what_the_server_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PIL, which is for PNGs of other programs."""
    ids = np.random.default_rng(0).integers(0, 3, (50, 40), dtype=np.uint8)
    ids[:5] = OUTSIDE
    monkeypatch.delattr("PIL.Image.open")
    (mask,) = masks_of(as_png(ids))
    np.testing.assert_array_equal(mask.ids, ids)
    assert mask.ids.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        mask.ids[0, 0] = 1


def test_what_is_read_of_a_damaged_mask_is_what_pil_reads_of_it() -> None:
    random = np.random.default_rng(0)
    whole = as_png(random.integers(0, 3, (9, 12), dtype=np.uint8))
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] = random.integers(256)
        try:
            expected: Any = np.asarray(Image.open(io.BytesIO(damaged), formats=["PNG"]))
        except (OSError, SyntaxError, ValueError):
            expected = None
        try:
            (mask,) = masks_of(bytes(damaged))
            np.testing.assert_array_equal(mask.ids, expected)
        except ServerError:
            pass  # an end that PIL does not read to, or a class that the contract does not have


@pytest.mark.parametrize(
    ("png", "message"),
    [
        (b"", "no PNG that can be read"),
        (b"GIF89a" + bytes(100), "no PNG that can be read"),
        (png_of([[1, 0]], "RGB"), "of mode RGB"),
        (png_of([[1, 0]], "1"), "of mode 1"),
    ],
)
def test_what_does_not_begin_as_a_mask_is_refused_at_once(png: bytes, message: str) -> None:
    with pytest.raises(ServerError, match=message):
        masks_of(png)


def test_a_damaged_mask_is_refused_where_it_is_looked_at() -> None:
    whole = png_of(np.random.default_rng(0).integers(0, 3, (40, 40)))
    damaged, foreign = masks_of(whole[:60], png_of([[0, 200]]))
    with pytest.raises(ServerError, match="no PNG that can be read"):
        damaged.ids  # noqa: B018
    with pytest.raises(ServerError, match="answered class 200, which its contract does not have"):
        foreign.to_json()


@pytest.mark.parametrize("matrix", [((1, 2, 0), (2, 4, 0)), ((1, 0, np.nan), (0, 1, 0))])
def test_a_mask_that_lies_nowhere_is_refused(matrix: Any) -> None:
    with pytest.raises(ServerError, match="leads to no place"):
        masks_of(png_of([[1]]), matrix=matrix)
