"""Answers that are kept, copied or sent to another process: all that they have, nothing of other faces."""

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import qface_client
from qface_client import Analysis, Contract, Face, Points, Provenance
from qface_client.contract import TaskSpec
from tests.helpers.random_answers import CONTRACT, photo_of, task_of

READS = """
import json, pickle, sys
analysis, face = pickle.load(sys.stdin.buffer)
json.dump([analysis.to_dict(provenance=True), face.to_dict(), face.landmarks5.tolist()], sys.stdout)
"""


@pytest.fixture
def analysis() -> Analysis:
    made = photo_of(3)
    return Analysis(
        made.faces,
        width=made.width,
        height=made.height,
        contract=CONTRACT,
        faces_found=5,
        smallest_face=21.5,
        provenance=Provenance(model="m", version="1", contract=CONTRACT.hash, timings={"total": 1.5}),
    )


def twins(value: Any) -> list[Any]:
    return [copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))]


def test_copies_of_an_analysis_have_all_of_it(analysis: Analysis) -> None:
    for twin in twins(analysis):
        assert twin.to_json_line(provenance=True) == analysis.to_json_line(provenance=True)
        assert twin.contract == CONTRACT
        assert [face.provenance for face in twin] == [face.provenance for face in analysis]


@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
def test_copies_of_each_answer_are_like_it(read: bool) -> None:
    for task, answer in photo_of(2)[1].answers.items():
        if read:
            answer.to_dict()
        for twin in twins(answer):
            assert type(twin) is type(answer), task
            assert twin.to_dict() == answer.to_dict(), task
            assert repr(twin) == repr(answer), task


def test_another_process_reads_what_this_one_was_answered(analysis: Analysis) -> None:
    source = Path(qface_client.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", READS],
        input=pickle.dumps((analysis, analysis[1])),
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        check=True,
    )
    landmarks5 = analysis[1].landmarks5
    assert landmarks5 is not None
    expected = [analysis.to_dict(provenance=True), analysis[1].to_dict(), landmarks5.tolist()]
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def held_bytes(face: Face) -> int:
    """Of all arrays and bytes that a face keeps alive, but for its contract."""
    seen: dict[int, Any] = {}
    left: list[Any] = [face]
    while left:
        value = left.pop()
        if id(value) in seen or isinstance(value, type | FunctionType | Contract | TaskSpec):
            continue
        seen[id(value)] = value
        left.extend(gc.get_referents(value))
        if isinstance(value, np.ndarray) and value.base is not None:
            left.append(value.base)
    arrays = [value for value in seen.values() if isinstance(value, np.ndarray) and value.flags.owndata]
    texts = [value for value in seen.values() if isinstance(value, bytes)]
    return sum(array.nbytes for array in arrays) + sum(map(len, texts))


def test_a_face_that_is_kept_keeps_nothing_of_the_other_faces() -> None:
    alone, among = photo_of(1, side=64)[0], photo_of(64, side=64)[7]
    assert held_bytes(alone) > 1000
    assert held_bytes(among) < 1.2 * held_bytes(alone)


def test_what_was_answered_can_not_be_changed(analysis: Analysis) -> None:
    arrays: list[Any] = [analysis[1].landmarks5, analysis[1].answer(task_of("points").name, Points).xy]
    for value in arrays:
        with pytest.raises(ValueError, match="read-only"):
            value[0] = 1
    with pytest.raises(AttributeError):
        analysis[0].score = 1.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        analysis.provenance.model = "other"  # type: ignore[misc]
