"""Photos by their addresses: listed in one order, read only as they were listed."""

import os
from pathlib import Path

import fsspec
import pytest

from deploy.bulk.errors import Refused
from deploy.bulk.photo import Cause, Photo
from deploy.bulk.store.base import Listed, NotRead, Store
from deploy.bulk.store.local import LocalStore
from deploy.bulk.store.other import OtherStore
from deploy.bulk.store.registry import open_store, protocol_of
from deploy.bulk.store.s3 import S3Store
from deploy.bulk.store.sources import Sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a/c.PNG", "a/.hidden.jpg", ".dot/d.jpg", "notes.txt", "z 1#.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def names(listed: list[Listed], folder: Path) -> list[str]:
    return [os.path.relpath(item.address, folder) for item in listed]


def photo(listed: Listed) -> Photo:
    return Photo(number=0, **listed.row())


def cause(store: Store, listed: Listed) -> Cause:
    with pytest.raises(NotRead) as failure:
        store.read(photo(listed))
    return failure.value.cause


def test_a_folder_gives_its_pictures_by_name_files_before_folders(folder: Path) -> None:
    listed = list(LocalStore().list(str(folder)))
    assert names(listed, folder) == ["b.jpg", "z 1#.webp", "a/c.PNG"]
    assert listed == list(LocalStore().list(f"file://{folder}"))
    assert [item.size for item in listed] == [5, 9, 7]


def test_a_pattern_and_a_file_are_sources_too(folder: Path) -> None:
    assert names(list(LocalStore().list(f"{folder}/**/*.PNG")), folder) == ["a/c.PNG"]
    assert names(list(LocalStore().list(f"{folder}/notes.txt")), folder) == ["notes.txt"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [("missing", "does not exist"), ("*.gif", "no picture matches"), (".dot/..", "b.jpg")],
)
def test_a_source_that_gives_nothing_is_refused(folder: Path, source: str, sentence: str) -> None:
    try:
        listed = names(list(LocalStore().list(f"{folder}/{source}")), folder)
    except Refused as error:
        assert sentence in str(error)  # noqa: PT017 - one of the sources is a folder after all
    else:
        assert sentence in listed


def test_a_photo_is_read_only_as_it_was_listed(folder: Path) -> None:
    store = LocalStore()
    listed = next(iter(store.list(str(folder))))
    path = Path(listed.address)
    assert store.read(photo(listed)) == b"b.jpg"

    os.utime(path, ns=(1, 1))
    assert cause(store, listed) is Cause.CHANGED
    path.write_bytes(b"longer than before")
    assert cause(store, listed) is Cause.CHANGED
    path.unlink()
    assert cause(store, listed) is Cause.GONE


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    store = LocalStore()
    assert cause(store, store.look_up(str(folder / "pipe.jpg"))) is Cause.UNREADABLE


def test_a_name_that_is_no_text_is_found_again(folder: Path) -> None:
    name = os.fsencode(folder) + b"/\xff.jpg"
    with open(name, "wb") as opened:  # noqa: PTH123 - bytes are no Path
        opened.write(b"x")
    (listed,) = LocalStore().list(os.fsdecode(name))
    assert listed.address.endswith("\\xff.jpg")
    assert LocalStore().read(photo(listed)) == b"x"


def test_an_empty_folder_is_no_store_that_is_there(tmp_path: Path) -> None:
    store = LocalStore()
    assert store.why_unreachable(str(tmp_path)) == f"{tmp_path} is empty"
    assert "can't be read" in str(store.why_unreachable(str(tmp_path / "gone")))
    (tmp_path / "x").touch()
    assert store.why_unreachable(str(tmp_path)) is None


def test_what_fsspec_knows_is_a_source() -> None:
    files = fsspec.filesystem("memory")
    for name in ("b.jpg", "a/c.png", "a/.d.png", "e.txt"):
        files.pipe(f"/bulk/{name}", name.encode())
    try:
        store = OtherStore("memory", {})
        listed = list(store.list("memory://bulk"))
        assert [item.address for item in listed] == ["memory:///bulk/b.jpg", "memory:///bulk/a/c.png"]
        assert [item.address for item in store.list("memory://bulk/**/*.png")] == ["memory:///bulk/a/c.png"]
        assert store.read(photo(listed[0])) == b"b.jpg"
        assert store.why_unreachable("memory://bulk") is None
        files.pipe("/bulk/b.jpg", b"other")
        files.rm("/bulk/a/c.png")
        assert (
            store.read(photo(listed[0])) == b"other"
        )  # as large as before, and fsspec has no more to compare
        files.pipe("/bulk/b.jpg", b"longer")
        assert cause(store, listed[0]) is Cause.CHANGED
        assert cause(store, listed[1]) is Cause.GONE
        with pytest.raises(Refused, match="does not exist"):
            list(store.list("memory://nowhere"))
    finally:
        files.rm("/bulk", recursive=True)


def test_the_protocol_is_that_of_the_address() -> None:
    assert [protocol_of(name) for name in ("photos/a:b.jpg", "/x", "s3://b/k", "GS://b/k")] == [
        "file",
        "file",
        "s3",
        "gs",
    ]
    with pytest.raises(Refused, match="nosuch://"):
        open_store("nosuch", {})


def test_a_list_names_photos_that_need_not_exist(folder: Path, tmp_path: Path) -> None:
    names_file = tmp_path / "names"
    names_file.write_text(f"{folder}/notes.txt\n\n{folder}/gone.jpg\r\n")
    listed = list(Sources(named=[], files_from=str(names_file)).listed())
    assert [item.size for item in listed] == [9, None]
    with pytest.raises(Refused, match="can't be read"):
        list(Sources(named=[], files_from=str(tmp_path / "no list")).listed())


def test_an_address_of_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    names_file = tmp_path / "names"
    # It begins with the mark that some editors begin a file with.
    names_file.write_bytes(b"\xef\xbb\xbfmemory://photos/\xff.jpg\n")
    with pytest.raises(Refused, match="is no UTF-8, as addresses of memory:// are"):
        list(Sources(named=[], files_from=str(names_file)).listed())
    with pytest.raises(Refused, match="names no object: an address is s3://bucket/key"):
        S3Store.__new__(S3Store).look_up("s3://photos")  # before anything is asked of s3fs
