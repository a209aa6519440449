"""What holds for every reader of a data set."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from training.data.inventory import take_inventory
from training.data.reader import LayoutError
from training.data.readers import reader_of, readers
from training.data.sample import five_of_68
from training.tasks import CATALOGUE


@pytest.mark.parametrize("name", readers())
def test_every_data_set_says_what_it_is_and_labels_tasks_of_the_catalogue(name: str) -> None:
    reader = reader_of(name)
    assert reader.name == name
    assert reader.title
    assert reader.licence
    assert reader.tree
    assert set(reader.tasks) <= set(CATALOGUE)


@pytest.mark.parametrize("name", readers())
def test_what_deviates_from_the_official_protocol_is_of_a_task_that_the_set_labels(name: str) -> None:
    reader = reader_of(name)
    assert {*reader.protocol_metrics, *reader.deviations} <= set(reader.tasks)


def test_readers_need_no_torch() -> None:
    code = "import sys; from training.data.readers import readers; readers(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", readers())
def test_an_empty_folder_is_not_the_data_set(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(LayoutError) as caught:
        take_inventory(reader_of(name), tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_five_points_follow_from_68() -> None:
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = [[i, 10] for i in range(6)], [[i + 20, 10] for i in range(6)]
    points[30], points[48], points[54] = [12, 20], [5, 30], [20, 30]
    assert five_of_68(points).tolist() == [[2.5, 10], [22.5, 10], [12, 20], [5, 30], [20, 30]]
    with pytest.raises(ValueError, match="68 points"):
        five_of_68(points[:5])
