"""Prepared sets as training reads them: any face, by any thread or process."""

import json
import multiprocessing
import pathlib
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from training.data.derived_labels import assume_visible, derive
from training.data.prepared import face_set as faces_module
from training.data.prepared.face_set import FaceSet, adopt_tasks_of, prepared_sets
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.tasks import CATALOGUE

SIZE = 56
MARGIN = margin_of(SIZE)
SIDE = SIZE + 2 * MARGIN


def _pixels(i: int) -> np.ndarray:
    small = np.random.default_rng(i).integers(0, 256, (3, 3, 3), np.uint8)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def _mask(i: int) -> np.ndarray:
    mask = np.full((SIDE, SIDE), i % 19, np.uint8)
    mask[:MARGIN] = 255
    return mask


def _faces() -> list[Face]:
    """20 faces: odd ones have an age and points, those divisible by 3 a mask, every fifth is for testing."""
    points: list[Any] = [None] * 68
    points[0], points[1] = [MARGIN, MARGIN], [MARGIN + SIZE - 1, MARGIN + SIZE]
    return [
        Face(
            key=f"a b/{i}é.png",
            pixels=_pixels(i),
            labels={"age": [i, i], "landmarks": points} if i % 2 else {"gender": "female"},
            split="test" if i % 5 == 0 else "train",
            person=f"person {i % 3}",
            subset=["", "dark", "dark,blurred"][i % 3],
            masks={"parsing": _mask(i)} if i % 3 == 0 else {},
            confidence={"age": 0.5} if i == 7 else {},
        )
        for i in range(20)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A set in four shards."""
    root = tmp_path_factory.mktemp("data")
    write_set(root / "made", _faces(), size=SIZE, shard_faces=6)
    return root / "made"


def test_every_face_comes_back_with_its_own_picture_and_labels(folder: pathlib.Path) -> None:
    for split in ("train", "test"):
        written = [face for face in _faces() if face.split == split]
        faces = FaceSet(folder, split=split)
        assert list(faces.keys) == [face.key for face in written]
        assert list(faces.persons) == [face.person for face in written]
        assert list(faces.subsets) == [face.subset for face in written]
        assert faces.masks == {"parsing"}
        for i, face in enumerate(written):
            assert faces.key(i) == face.key
            assert np.abs(faces.stored_crop(i).astype(int) - face.pixels).mean() < 2
            mask = faces.mask("parsing", i)
            assert (mask is None) == (not face.masks)
            assert mask is None or (mask == face.masks["parsing"]).all()
            age = face.labels.get("age", [np.nan, np.nan])
            assert np.array_equal(faces.columns["age"][i], np.float32(age), equal_nan=True)
        assert {values.dtype for values in faces.columns.values()} == {np.dtype(np.float32)}


def test_classes_are_probabilities_and_what_is_not_labelled_is_nan(folder: pathlib.Path) -> None:
    faces = FaceSet(folder)
    female = CATALOGUE["gender"].labels.index("female")
    known = ~np.isnan(faces.columns["gender"]).any(axis=1)
    assert list(known) == [int(key.split("/")[1].split("é")[0]) % 2 == 0 for key in faces.keys]
    assert (faces.columns["gender"][known][:, female] == 1).all()
    assert (faces.columns["gender"][known].sum(axis=1) == 1).all()


def test_points_are_in_units_of_the_served_crop_from_edge_to_edge(folder: pathlib.Path) -> None:
    faces = FaceSet(folder)
    i = list(faces.keys).index("a b/1é.png")
    first, second, third = faces.columns["landmarks"][i, :3]
    assert first == pytest.approx([0.5 / SIZE, 0.5 / SIZE])
    assert second == pytest.approx([1 - 0.5 / SIZE, 1 + 0.5 / SIZE])
    assert np.isnan(third).all()


def test_confidence_is_one_where_nothing_else_is_said(folder: pathlib.Path) -> None:
    faces = FaceSet(folder)
    assert set(faces.confidence) == {"age", "gender", "landmarks", "parsing"}
    doubted = [key for key, value in zip(faces.keys, faces.confidence["age"], strict=True) if value != 1]
    assert doubted == ["a b/7é.png"]
    assert (faces.confidence["parsing"] == 1).all()


def test_a_subset_is_found_alone_and_among_several(folder: pathlib.Path) -> None:
    assert set(FaceSet(folder, subset="blurred").keys) == {
        face.key for face in _faces() if face.subset == "dark,blurred" and face.split == "train"
    }
    assert set(FaceSet(folder, subset="dark").subsets) == {"dark", "dark,blurred"}
    with pytest.raises(ValueError, match="no face in subset 'bright' of split train: it has 16 in train"):
        FaceSet(folder, subset="bright")


def test_plain_is_the_served_crop_and_other_sizes_show_the_same(folder: pathlib.Path) -> None:
    faces = FaceSet(folder)
    inner = slice(MARGIN, MARGIN + SIZE)
    assert (faces.served_crops([2], size=SIZE)[0] == faces.stored_crop(2)[inner, inner]).all()
    small, large = faces.served_crops([2, 3], size=SIZE // 2), faces.served_crops([2, 3], size=SIZE * 2)
    assert small.shape == (2, SIZE // 2, SIZE // 2, 3)
    back = np.stack(
        [cv2.resize(picture, (SIZE // 2,) * 2, interpolation=cv2.INTER_AREA) for picture in large]
    )
    assert np.abs(back.astype(int) - small).mean() < 2
    masks = faces.served_masks("parsing", [1, 2], size=SIZE // 2)  # faces 2 and 3: only the second has one
    assert (masks[0] == 255).all()
    assert (masks[1] == 3).all()
    assert (faces.served_masks("parsing_lapa", [1], size=8) == 255).all()


def _sum(faces: FaceSet) -> int:
    return sum(int(faces.stored_crop(i).sum()) for i in range(len(faces)))


def test_threads_and_forked_and_fresh_processes_read_the_same(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = FaceSet(folder)
    monkeypatch.setattr(faces_module, "_OPEN", 2)  # of four shards
    expected = _sum(faces)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(_sum, [faces] * 8)) == {expected}
    assert _sum(pickle.loads(pickle.dumps(faces))) == expected
    context = multiprocessing.get_context("fork")
    connection, other = context.Pipe()
    children = [context.Process(target=lambda: other.send(_sum(faces))) for _ in range(2)]
    for child in children:
        child.start()
    assert [connection.recv() for _ in children] == [expected] * 2
    for child in children:
        child.join()


def test_columns_that_follow_from_others_travel_to_fresh_processes(folder: pathlib.Path) -> None:
    faces = FaceSet(folder)
    derive(faces, ["age_group"])
    copy = pickle.loads(pickle.dumps(faces))
    assert list(copy.columns) == list(faces.columns)
    np.testing.assert_array_equal(copy.columns["age_group"], faces.columns["age_group"])
    np.testing.assert_array_equal(copy.confidence["age_group"], faces.confidence["age_group"])


def test_what_another_task_says_of_the_gender_is_taken_where_nobody_else_says_it(
    tmp_path: pathlib.Path,
) -> None:
    source, label = CATALOGUE["gender"].derived_from or ("", "")
    sources = [{label: 1.0}, {label: 0.0}, {"Smiling": 1.0}]
    made = [
        Face(key=str(i), pixels=_pixels(i), split="train", labels={source: labels})
        for i, labels in enumerate(sources)
    ]
    write_set(tmp_path / "one", made, size=SIZE)
    faces = FaceSet(tmp_path / "one")
    derive(faces, ["gender"])
    np.testing.assert_array_equal(faces.columns["gender"], [[1, 0], [0, 1], [np.nan, np.nan]])
    own = [Face(key="0", pixels=_pixels(0), split="train", labels={source: sources[0], "gender": "female"})]
    write_set(tmp_path / "two", own, size=SIZE)
    faces = FaceSet(tmp_path / "two")
    derive(faces, ["gender"])
    np.testing.assert_array_equal(faces.columns["gender"], [[0, 1]])


def test_a_face_that_looks_ahead_is_taken_to_hide_nothing(tmp_path: pathlib.Path) -> None:
    points = np.full((68, 2), SIDE / 2).tolist()
    poses = ([5.0, -10.0, 40.0], [30.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    made = [
        Face(
            key=str(i),
            pixels=_pixels(i),
            split="train",
            labels={"head_pose": pose, "landmarks": points if i < 2 else [None, *points[1:]]},
        )
        for i, pose in enumerate(poses)
    ]
    write_set(tmp_path / "set", made, size=SIZE)
    faces = FaceSet(tmp_path / "set")
    assume_visible(faces, confidence=0.25)
    column = faces.columns["visibility"]
    assert (column[0] == 1).all()
    assert np.isnan(column[1:]).all()  # one looks aside, and of one a point is not known
    np.testing.assert_array_equal(faces.confidence["visibility"], 0.25)


def test_a_part_that_is_set_aside_and_the_rest_share_no_person(tmp_path: pathlib.Path) -> None:
    made = [
        Face(key=str(i), pixels=_pixels(i), split="train", person=f"p{i // 3}" if i < 60 else "")
        for i in range(90)
    ]
    write_set(tmp_path / "set", made, size=SIZE)
    rest, aside = (FaceSet(tmp_path / "set", holdout_fraction=0.3, held_out=part) for part in (False, True))
    assert sorted([*rest.keys, *aside.keys]) == sorted(FaceSet(tmp_path / "set").keys)
    assert not set(rest.persons) & set(aside.persons) - {""}
    assert 10 < len(aside) < 45
    assert set(aside.keys) <= set(FaceSet(tmp_path / "set", holdout_fraction=0.5, held_out=True).keys)
    copy = pickle.loads(pickle.dumps(aside))
    np.testing.assert_array_equal(copy.keys, aside.keys)
    assert rest.fingerprint != aside.fingerprint
    with pytest.raises(ValueError, match="the 1e-09 held out of split train"):
        FaceSet(tmp_path / "set", holdout_fraction=1e-9, held_out=True)


def test_a_set_is_known_by_what_is_in_its_shards(tmp_path: pathlib.Path) -> None:
    def made(name: str, shift: int) -> str:
        faces = [Face(key=str(i), pixels=_pixels(i + shift), split="train") for i in range(3)]
        write_set(tmp_path / name, faces, size=SIZE)
        return FaceSet(tmp_path / name).fingerprint

    assert made("one", 0) == made("same", 0)
    assert made("other", 1) != made("another", 0)


def test_labels_stay_in_the_file_until_they_are_read(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_set(tmp_path / "made", (face for face in _faces() if face.split == "train"), size=SIZE)
    assert isinstance(FaceSet(tmp_path / "made").columns["age"], np.memmap)


def test_an_empty_split_is_refused_and_says_which_are_not(folder: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no face in split validation: it has 16 in train, 4 in test"):
        FaceSet(folder, split="validation")
    with pytest.raises(ValueError, match="split 'dev' is none of"):
        FaceSet(folder, split="dev")


def _changed(folder: pathlib.Path, target: pathlib.Path, **changes: Any) -> pathlib.Path:
    target.mkdir(parents=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def test_a_set_of_another_catalogue_or_format_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    tasks = {"gender": ["female", "male"]}
    with pytest.raises(ValueError, match="task 'gender' had other labels than the catalogue"):
        FaceSet(_changed(folder, tmp_path / "a", tasks=tasks))
    with pytest.raises(ValueError, match="task 'mood' had other labels"):
        FaceSet(_changed(folder, tmp_path / "b", tasks={"mood": ["good"]}))
    with pytest.raises(ValueError, match="is of format 2, not 1: prepare the set again"):
        FaceSet(_changed(folder, tmp_path / "c", format=2))
    (tmp_path / "c" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        FaceSet(tmp_path / "c")
    broken = _changed(folder, tmp_path / "others" / "c")
    (broken / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=r"c/manifest.json is damaged \(it has no 'format'\): prepare"):
        adopt_tasks_of(tmp_path / "others")
    with pytest.raises(ValueError, match="is not a prepared set"):
        FaceSet(tmp_path)


def test_a_damaged_picture_names_the_face(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = _changed(folder, tmp_path / "made")
    shard = copy / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[512:1024] = bytes(512)
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=r"face a b/0é.png of .* is damaged"):
        FaceSet(copy, split="test").stored_crop(0)
    shard.write_bytes(content[:2000])
    with pytest.raises(ValueError, match=r"face a b/4é.png of .* is damaged"):
        FaceSet(copy).stored_crop(3)
    shard.unlink()
    with pytest.raises(ValueError, match=r"shard-000000.tar is missing: prepare the set again"):
        FaceSet(copy).stored_crop(0)


def test_the_sets_of_a_folder_are_those_with_the_split(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _changed(folder, tmp_path / "first")
    write_set(tmp_path / "second", [Face(key="a", pixels=_pixels(0))], size=SIZE)
    _changed(folder, tmp_path / "third.partial")
    assert [faces.name for faces in prepared_sets(tmp_path, split="train")] == ["made", "second"]
    assert [faces.folder.name for faces in prepared_sets(tmp_path)] == ["first"]
    assert [faces.folder.name for faces in prepared_sets(tmp_path, split="train", names=["second"])] == [
        "second"
    ]
    with pytest.raises(ValueError, match="no prepared set fourth under"):
        prepared_sets(tmp_path, names=["first", "fourth"])
    with pytest.raises(ValueError, match=r"no set under .* has faces in split test"):
        prepared_sets(tmp_path, names=["second"])
    with pytest.raises(ValueError, match="no prepared set at all"):
        prepared_sets(tmp_path / "first")


def test_a_face_s_place_in_its_picture_is_read_from_its_shard(tmp_path: pathlib.Path) -> None:
    maps = [np.array([[0.5, 0.1 * i, i], [-0.1 * i, 0.5, 2.5 * i]]) for i in range(7)]
    faces = [
        Face(
            key=f"{i}é.png",
            pixels=_pixels(i),
            split="test" if i % 2 else "train",
            labels={"age": [i, i]},
            masks={"parsing": _mask(i)} if i % 3 == 0 else {},
            forward=None if i == 5 else maps[i],
        )
        for i in range(7)
    ]
    write_set(tmp_path / "made", faces, size=SIZE, shard_faces=3)
    for split, numbers in (("train", range(0, 7, 2)), ("test", range(1, 7, 2))):
        read = FaceSet(tmp_path / "made", split=split)
        for i, number in enumerate(numbers):
            about, forward = read.record(i), read.crop_transform(i)
            assert (about["key"], about["labels"]) == (f"{number}é.png", {"age": [number, number]})
            if number == 5:
                assert forward is None
            else:
                np.testing.assert_allclose(forward, maps[number])


def test_a_damaged_entry_names_the_face(tmp_path: pathlib.Path) -> None:
    write_set(tmp_path / "made", _faces(), size=SIZE)
    faces = FaceSet(tmp_path / "made", split="test")
    (shard,) = (tmp_path / "made").glob("*.tar")
    whole = shard.read_bytes()
    key = json.dumps(faces.key(0)).encode()
    for damage in (key[:1] + b"x" + key[2:], b" " * len(key)):  # another face's entry; no JSON
        shard.write_bytes(whole.replace(key, damage, 1))
        with pytest.raises(ValueError, match=re.escape(f"face {faces.key(0)} of")):
            FaceSet(tmp_path / "made", split="test").crop_transform(0)
