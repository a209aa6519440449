"""Reading ahead: which failures are a photo's, and which end the run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from deploy.bulk.errors import Stopped
from deploy.bulk.photo import Cause, Failed, Photo
from deploy.bulk.store.base import Listed, NotRead, gone
from deploy.bulk.store.reader import Reader
from deploy.bulk.store.sources import Stores, root_of_photo

PHOTOS = [Photo(number=number, address=f"/in/{number}.jpg", size=1, version=None) for number in range(100)]


class StandInStore:
    """Gives b"NUMBER" unless `rule` raises; reachable unless `lost` says why not."""

    def __init__(self, rule: Callable[[Photo], None], *, lost: str | None = None) -> None:
        self.rule = rule
        self.lost = lost

    def list(self, source: str) -> Iterator[Listed]:
        raise NotImplementedError

    def look_up(self, address: str) -> Listed:
        raise NotImplementedError

    def read(self, photo: Photo) -> bytes:
        self.rule(photo)
        return str(photo.number).encode()

    def why_unreachable(self, root: str) -> str | None:
        return self.lost


@contextmanager
def reader_of(store: StandInStore, *, patience: float) -> Iterator[Reader]:
    stores = Stores({})
    stores.of = lambda address: store  # type: ignore[method-assign]
    reader = Reader(stores, named=["/in"], patience=patience)
    try:
        yield reader
    finally:
        reader.close()


def read(store: StandInStore, *, patience: float = 30.0) -> list[bytes | Failed]:
    with reader_of(store, patience=patience) as reader:
        return [data for _, data in reader.read_ahead(PHOTOS)]


def test_photos_come_in_order_however_their_reads_end() -> None:
    first = threading.Event()

    def rule(photo: Photo) -> None:
        if photo.number == 0:
            first.wait()
        elif photo.number == 5:
            first.set()

    assert read(StandInStore(rule)) == [str(photo.number).encode() for photo in PHOTOS]


def test_a_photo_that_is_gone_fails_where_its_folder_is_there() -> None:
    def rule(photo: Photo) -> None:
        if photo.number == 7:
            raise gone()

    found = read(StandInStore(rule))
    assert [data.cause for data in found if isinstance(data, Failed)] == [Cause.GONE]
    assert len(found) == len(PHOTOS)


def test_a_store_that_is_lost_stops_the_run_and_fails_no_photo() -> None:
    def rule(photo: Photo) -> None:
        raise gone()

    with pytest.raises(Stopped, match="/in is empty: when it is back, the same command goes on"):
        read(StandInStore(rule, lost="/in is empty"), patience=0.01)


def test_without_patience_what_cannot_be_read_fails_at_once() -> None:
    def rule(photo: Photo) -> None:
        raise gone()

    found = read(StandInStore(rule, lost="/in is empty"), patience=0.0)
    assert [data.cause for data in found if isinstance(data, Failed)] == [Cause.GONE] * len(PHOTOS)


def test_what_may_pass_is_read_again() -> None:
    tries: dict[int, int] = {}

    def rule(photo: Photo) -> None:
        tries[photo.number] = tries.get(photo.number, 0) + 1
        if photo.number == 3 and tries[3] < 3:
            raise NotRead(Cause.UNREADABLE, "slow down", by_store=True, may_pass=True)

    found = read(StandInStore(rule))
    assert not [data for data in found if isinstance(data, Failed)]
    assert tries[3] == 3
    assert tries[4] == 1


def test_a_photo_that_never_passes_fails_in_the_end() -> None:
    def rule(photo: Photo) -> None:
        if photo.number == 3:
            raise NotRead(Cause.UNREADABLE, "slow down", by_store=True, may_pass=True)

    found = read(StandInStore(rule), patience=0.01)
    assert [data.reason for data in found if isinstance(data, Failed)] == ["slow down"]


def test_the_root_of_a_photo_is_that_of_its_source() -> None:
    photo = Photo(number=0, address="s3://bucket/a/b/1.jpg", size=None, version=None)
    assert root_of_photo(photo, ["s3://bucket", "s3://bucket/a/*/1.jpg"]) == "s3://bucket/a"
    assert root_of_photo(photo, ["/elsewhere"]) == "s3://bucket/a/b"
