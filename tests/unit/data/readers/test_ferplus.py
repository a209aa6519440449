"""FER+ is read from a small copy of its official layout."""

import pathlib

import pytest

from tests.helpers.faces.reader_tables import read, touch, write
from training.data.reader import LayoutError
from training.data.readers.ferplus import distribution

_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def _write_copy(root: pathlib.Path, *rows: str) -> None:
    write(root / "fer2013new.csv", _HEADER, *rows)
    touch(root, "FER2013Train/fer0000000.png", "FER2013Valid/fer0028638.webp")


def test_votes_become_a_distribution_over_the_catalogue_s_expressions(tmp_path: pathlib.Path) -> None:
    _write_copy(
        tmp_path,
        "Training,fer0000000.png,6,0,2,1,0,0,0,0,1,0",
        "Training,fer0000001.png,4,0,0,0,4,2,0,0,0,0",  # people disagree
        "Training,fer0000002.png,1,0,0,0,0,0,0,9,0,0",  # contempt
        "Training,,0,0,0,0,0,0,0,0,0,10",  # a removed picture
        "PublicTest,fer0028638.png,0,10,0,0,0,0,0,0,0,0",
        "PrivateTest,fer0032220.png,0,10,0,0,0,0,0,0,0,0",  # its folder is missing
    )
    samples, bad = read("ferplus", tmp_path)
    assert not bad
    assert [sample.labels["expression"] for sample in samples] == [
        {"neutral": 0.75, "surprise": 0.25},
        {"neutral": 0.4, "anger": 0.4, "disgust": 0.2},
        {"happiness": 1.0},
    ]
    assert [(sample.key, sample.split) for sample in samples] == [
        ("FER2013Train/fer0000000", "train"),
        ("FER2013Train/fer0000001", "train"),
        ("FER2013Valid/fer0028638", "test"),
    ]
    assert [sample.picture for sample in samples] == [
        tmp_path / "FER2013Train/fer0000000.png",
        tmp_path / "FER2013Train/fer0000001.png",
        tmp_path / "FER2013Valid/fer0028638.webp",
    ]


def test_the_valid_part_is_for_validation_where_the_test_part_exists(tmp_path: pathlib.Path) -> None:
    votes = "0,10,0,0,0,0,0,0,0,0"
    _write_copy(
        tmp_path, f"PublicTest,fer0028638.png,{votes}", f"PrivateTest,fer0032220.png,{votes}", "Other,x.png,1"
    )
    touch(tmp_path, "FER2013Test/fer0032220.png")
    samples, bad = read("ferplus", tmp_path)
    assert [sample.split for sample in samples] == ["validation", "test"]
    assert [(entry.key, entry.reason) for entry in bad] == [
        ("fer2013new.csv:4", "its line is not a usage, a name and votes")
    ]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),
        ([4, 0, 0, 1, 1, 1, 1, 1, 0, 1], {"neutral": 1.0}),  # single votes are outliers
        ([0, 0, 0, 0, 0, 0, 3, 0, 7, 0], None),
    ],
)
def test_only_a_majority_for_one_of_the_seven_expressions_is_a_label(
    votes: list[int], expected: dict[str, float] | None
) -> None:
    assert distribution(votes) == expected


def test_to_test_on_one_expression_needs_the_majority_and_to_train_on_all_together() -> None:
    votes = [4, 0, 0, 0, 4, 2, 0, 0, 0, 0]
    assert distribution(votes) is None
    assert distribution(votes, majority=False) == {"neutral": 0.4, "anger": 0.4, "disgust": 0.2}
    assert distribution([3, 0, 0, 0, 0, 0, 0, 0, 7, 0], majority=False) is None


def test_what_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(LayoutError, match=r"votes is missing: it belongs at .*fer2013new.csv"):
        read("ferplus", tmp_path)
    write(tmp_path / "fer2013new.csv", "a,b")
    with pytest.raises(LayoutError, match=r"folders FER2013Train, FER2013Valid, FER2013Test belong in"):
        read("ferplus", tmp_path)
    touch(tmp_path, "FER2013Train/fer0000000.png")
    with pytest.raises(LayoutError, match="does not begin with Usage,Image name,neutral"):
        read("ferplus", tmp_path)
