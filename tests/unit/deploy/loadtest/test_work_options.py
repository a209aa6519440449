"""The mix of a load test and the rest of what is sent: words become options, and what can't be is refused."""

import argparse
from pathlib import Path

import pytest

from deploy.loadtest.work.mix import Entry
from deploy.loadtest.work.options import WorkOptions, add_work_options, work_options


@pytest.mark.parametrize(
    ("text", "sort", "faces", "size", "share", "name"),
    [
        ("photo=1", "photo", 1, None, 1.0, "photo"),
        ("crop", "crop", 1, None, 1.0, "crop"),
        ("photo:8=2.5", "photo", 8, None, 2.5, "photo, 8 faces"),
        ("photo@1080p=1", "photo", 1, (1920, 1080), 1.0, "photo, 1080p"),
        ("photo:30@12MP=0.1", "photo", 30, (4000, 3000), 0.1, "photo, 30 faces, 12MP"),
        ("face@800x600=1", "face", 1, (800, 600), 1.0, "face, 800x600"),
    ],
)
def test_an_entry_has_sort_faces_size_and_share(
    text: str, sort: str, faces: int, size: tuple[int, int] | None, share: float, name: str
) -> None:
    entry = Entry.parse(text)
    assert (entry.sort, entry.faces, entry.size, entry.share) == (sort, faces, size, share)
    assert entry.name == name
    assert entry.made == (size is not None or faces > 1)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no entry"),
        ("=1", "no entry"),
        ("photo=1=2", "no entry"),
        ("photo=0", "the share '0'"),
        ("photo=-1", "the share '-1'"),
        ("photo=nan", "the share 'nan'"),
        ("photo=inf", "the share 'inf'"),
        ("photo=much", "the share 'much'"),
        ("photo:0=1", "'0' faces"),
        ("photo:many=1", "'many' faces"),
        ("photo:5000=1", "'5000' faces"),
        ("photo@huge=1", "the size 'huge'"),
        ("photo@10x10=1", "the size '10x10'"),
        ("photo@999mp=1", "the size '999mp'"),
        ("photo@0mp=1", "the size '0mp'"),
    ],
)
def test_what_is_no_entry_is_refused_with_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as error:
        Entry.parse(text)
    assert repr(text) in str(error.value)


def options(*words: str) -> WorkOptions:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_work_options(parser)
    return work_options(parser.parse_args(words))


def test_without_words_photos_of_one_face_are_sent() -> None:
    assert [entry.name for entry in options().mix] == ["photo"]


def test_words_become_options() -> None:
    found = options("--mix", "photo:8=2", "crop=1", "--tasks", "age,gender", "expression", "--photos", "here")
    assert [(entry.name, entry.share) for entry in found.mix] == [("photo, 8 faces", 2.0), ("crop", 1.0)]
    assert found.tasks == (("age", "gender"), ("expression",))
    assert found.photos == Path("here")
    to_model = options("--model", "m", "--shape", "a:b:3,4", "--shape", "c:5", "--batch", "2")
    assert to_model.shapes == {"a:b": (3, 4), "c": (5,)}
    assert (to_model.model, to_model.batch) == ("m", 2)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--mix", "photo=1", "photo=2"), "twice"),
        (("--photo-limit", "0"), "0 pictures"),
        (("--model", "m", "--batch", "0"), "batch of 0"),
        (("--batch", "2"), "name the model"),
        (("--shape", "a:1"), "name the model"),
        (("--model", "m", "--photos", "here"), "leave --photos"),
        (("--model", "m", "--tasks", "age"), "leave --photos"),
        (("--tasks", "age,age"), "twice"),
        (("--tasks", ","), "none"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        options(*words)


@pytest.mark.parametrize("word", ["a", "a:", ":3", "a:0", "a:-1", "a:x", "a:1,,2"])
def test_what_is_no_shape_is_refused(word: str) -> None:
    with pytest.raises(argparse.ArgumentError, match="is no shape"):
        options("--model", "m", "--shape", word)
