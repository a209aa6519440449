"""`analyze_many` of the blocking client: bounds, order, errors, and how it ends."""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qface_client import (
    FaceClient,
    InvalidInput,
    NotPermitted,
    PhotoResult,
    ServerBusy,
    ServerError,
    UnknownTask,
)
from qface_client.transports import Infer, Reply
from tests.helpers.paths import ROOT
from tests.helpers.planted_transport import Planted, first_byte, one_face, until


def photos(count: int, *, drawn: list[int] | None = None) -> Generator[bytes, None, None]:
    for number in range(count):
        if drawn is not None:
            drawn.append(number)
        yield bytes([number % 256, 1])


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def no_worker() -> bool:
    return not any(thread.name.startswith("qface-many") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert no_worker()


def test_each_photo_has_its_own_result() -> None:
    with FaceClient(transport=Planted()) as client:
        results = list(client.analyze_many(photos(50), concurrency=4))
    assert sorted(result.index for result in results) == list(range(50))
    for result in results:
        assert result.photo == bytes([result.index, 1])
        assert result.faces[0].box[0] == result.index
        assert result.error is None
        assert result.analysis is not None
        assert result.analysis.width == 400


def test_the_contract_is_read_once() -> None:
    transport = Planted()
    with FaceClient(transport=transport) as client:
        list(client.analyze_many(photos(20)))
    assert (transport.reads, transport.infers) == (1, 20)


@pytest.mark.parametrize(("ordered", "bound"), [(False, 4), (True, 8)])
def test_no_more_photos_are_drawn_than_there_is_room_for(ordered: bool, bound: int) -> None:
    transport, drawn = Planted(), list[int]()
    with FaceClient(transport=transport) as client:
        for given, _ in enumerate(
            client.analyze_many(photos(60, drawn=drawn), concurrency=4, ordered=ordered)
        ):
            assert len(drawn) <= given + bound
    assert len(drawn) == 60
    assert transport.most_under_way <= 4


def test_nothing_is_drawn_before_a_result_is_wanted() -> None:
    transport, drawn = Planted(), list[int]()
    with FaceClient(transport=transport) as client:
        client.analyze_many(photos(5, drawn=drawn))
    assert drawn == []
    assert transport.reads == 0


def test_results_come_as_they_complete() -> None:
    release = threading.Event()

    def answer(step: Infer) -> Reply:
        if first_byte(step) == 0:
            assert release.wait(10)
        return one_face(step)

    with FaceClient(transport=Planted(answer)) as client:
        results = client.analyze_many(photos(10), concurrency=3)
        early = [next(results).index for _ in range(9)]
        release.set()
        assert [*early, next(results).index][-1] == 0
        assert sorted(early) == list(range(1, 10))
        assert list(results) == []


def test_a_result_that_is_there_does_not_wait_for_photos_to_come() -> None:
    drawn: list[int] = []

    def as_they_come() -> Iterator[bytes]:
        for photo in photos(6, drawn=drawn):
            yield photo
            until(lambda: len(answered) == len(drawn))
            time.sleep(0.05)  # from the answer to the result

    answered: list[int] = []

    def answer(step: Infer) -> Reply:
        answered.append(first_byte(step))
        return one_face(step)

    with FaceClient(transport=Planted(answer)) as client:
        results = client.analyze_many(as_they_come(), concurrency=6)
        assert next(results).index == 0
        assert len(drawn) < 6
        results.close()


def test_a_thread_that_cannot_be_started_is_the_error_that_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def two_only(thread: threading.Thread) -> None:
        if thread.name == "qface-many-2":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", two_only)
    source = photos(10)
    with (
        FaceClient(transport=Planted()) as client,
        pytest.raises(RuntimeError, match="can't start new thread"),
    ):
        list(client.analyze_many(source, concurrency=4))
    assert source.gi_frame is None


def test_in_order_a_slow_photo_holds_up_those_behind_it() -> None:
    random = np.random.default_rng(0)
    seconds = random.uniform(0, 0.01, 256)

    def answer(step: Infer) -> Reply:
        time.sleep(seconds[first_byte(step)])
        return one_face(step)

    with FaceClient(transport=Planted(answer)) as client:
        results = client.analyze_many(photos(100), concurrency=8, ordered=True)
        assert [result.index for result in results] == list(range(100))


def test_a_photos_error_is_its_result(tmp_path: Path) -> None:
    def answer(step: Infer) -> Reply:
        if first_byte(step) == 2:
            raise NotPermitted("not you")
        if first_byte(step) == 3:
            raise ServerError("it failed")
        return one_face(step)

    missing = tmp_path / "missing.jpg"
    given: list[Any] = [b"\x00a", missing, b"\x02a", b"\x03a", 17, b"\x05a"]
    with FaceClient(transport=Planted(answer)) as client:
        results = list(client.analyze_many(given, ordered=True))
    kinds = [None, InvalidInput, NotPermitted, ServerError, InvalidInput, None]
    assert [result.error and type(result.error) for result in results] == kinds
    assert results[1].photo is missing
    assert str(missing) in str(results[1].error)
    with pytest.raises(NotPermitted, match="not you"):
        results[2].faces  # noqa: B018
    assert results[2].analysis is None


def test_what_all_photos_would_meet_is_raised_before_one_is_drawn() -> None:
    transport, drawn = Planted(), list[int]()
    with FaceClient(transport=transport, retries=False) as client:
        with pytest.raises(UnknownTask, match="this server has mood"):
            next(client.analyze_many(photos(5, drawn=drawn), tasks=["age"]))
        transport.read_error = NotPermitted("not you")
        with pytest.raises(NotPermitted):
            next(client.analyze_many(photos(5, drawn=drawn), tasks=["age"]))
    assert drawn == []
    assert transport.infers == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"photos": "photo.jpg"}, "not one photo"),
        ({"photos": "photos"}, r"of a folder, qface_client.photo_files\(folder\)"),
        ({"photos": Path("photos")}, r"not PosixPath: .* qface_client.photo_files\(folder\) of a folder"),
        ({"photos": b"\xff\xd8"}, "not one photo"),
        ({"photos": np.zeros((4, 4, 3), np.uint8)}, "not one photo"),
        ({"photos": Path("photo.jpg")}, "not PosixPath"),
        ({"photos": 3}, "not int"),
        ({"photos": nothing()}, "not async_generator: AsyncFaceClient takes it"),
        ({"photos": [], "concurrency": 0}, "1 or more, not 0"),
        ({"photos": [], "concurrency": True}, "not True"),
        ({"photos": [], "max_faces": 0}, "max_faces is 1 or more"),
        ({"photos": [], "tasks": [3]}, "not by 3"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(arguments: Any, words: str) -> None:
    with FaceClient(transport=Planted()) as client, pytest.raises(InvalidInput, match=words):
        client.analyze_many(**arguments)


def test_no_photos_give_no_results() -> None:
    with FaceClient(transport=Planted()) as client:
        assert list(client.analyze_many([])) == []


def test_the_iterables_own_error_comes_after_the_results_under_way() -> None:
    def broken() -> Iterator[bytes]:
        yield from photos(7)
        raise LookupError("the disk is gone")

    seen: list[int] = []
    with FaceClient(transport=Planted()) as client:
        results = client.analyze_many(broken(), concurrency=4)
        with pytest.raises(LookupError, match="the disk is gone"):
            seen.extend(result.index for result in results)
    assert sorted(seen) == list(range(7))


def test_who_stops_early_leaves_nothing() -> None:
    transport = Planted()
    source = photos(1000)
    with FaceClient(transport=transport) as client:
        for result in client.analyze_many(source, concurrency=4):
            if result.index >= 10:
                break
        assert no_worker()
        assert transport.under_way == 0
        assert transport.infers < 30
        assert list(source) == []  # closed
        client.analyze(b"\x01")  # the client itself goes on


def test_a_consumer_that_raises_leaves_nothing() -> None:
    transport = Planted()
    with FaceClient(transport=transport) as client, pytest.raises(ZeroDivisionError):
        sum(result.index // 0 for result in client.analyze_many(photos(1000), concurrency=4))
    assert transport.infers < 30


def test_retries_end_with_the_iterator() -> None:
    def answer(step: Infer) -> Reply:
        if first_byte(step):
            raise ServerBusy("not now", retry_after=30.0)
        return one_face(step)

    with FaceClient(transport=Planted(answer), timeout=3600) as client:
        results = client.analyze_many(photos(4))
        assert next(results).index == 0
        results.close()  # in time, though the others wait for half a minute
        assert no_worker()


@pytest.mark.parametrize(
    "consume",
    [
        "take()",
        "consumer = threading.Thread(target=take); consumer.start(); consumer.join()",
        "threading.Thread(target=list, args=(results,), daemon=True).start(); time.sleep(0.1); take = None",
    ],
)
def test_an_iterator_that_is_left_open_does_not_hold_up_the_interpreters_end(consume: str) -> None:
    script = f"""
import threading, time
from qface_client import FaceClient, ServerBusy
from tests.helpers.planted_transport import Planted, first_byte, one_face

def answer(step):
    if first_byte(step):
        raise ServerBusy("not now", retry_after=1800.0)
    return one_face(step)

client = FaceClient(transport=Planted(answer), timeout=7200)
results = client.analyze_many([bytes([number]) for number in range(4)])

def take():
    next(results)

{consume}
print("the end")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "client")))}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the end\n", "")


def test_ctrl_c_in_the_iterable_leaves_nothing() -> None:
    def interrupted() -> Iterator[bytes]:
        yield from photos(3)
        raise KeyboardInterrupt

    with FaceClient(transport=Planted()) as client, pytest.raises(KeyboardInterrupt):
        list(client.analyze_many(interrupted()))
    assert no_worker()


def test_the_client_may_be_closed_in_the_middle() -> None:
    client = FaceClient(transport=Planted())
    results = client.analyze_many(photos(100), concurrency=4)
    next(results)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        list(results)
    with pytest.raises(RuntimeError, match="closed"):
        next(client.analyze_many(photos(1)))


def test_what_is_no_error_of_a_photo_ends_the_iteration() -> None:
    def answer(step: Infer) -> Reply:
        raise ZeroDivisionError("a transport's mistake")

    with FaceClient(transport=Planted(answer)) as client, pytest.raises(ZeroDivisionError):
        list(client.analyze_many(photos(100)))


def test_a_result_of_a_file_keeps_no_picture(tmp_path: Path) -> None:
    kept: list[Any] = []

    def answer(step: Infer) -> Reply:
        kept.append(weakref.ref(step.inputs["image"]))
        if len(kept) % 2:
            raise ServerError("it failed")
        return one_face(step)

    path = tmp_path / "photo.jpg"
    path.write_bytes(b"picture")
    with FaceClient(transport=Planted(answer)) as client:
        results = list(client.analyze_many([path] * 20, concurrency=2))
    assert len(results) == 20
    gc.collect()
    assert [ref for ref in kept if ref() is not None] == []


def test_a_result_prints_without_its_picture() -> None:
    result = PhotoResult(index=3, photo=b"secret", analysis=None, error=ServerError("it failed"))
    assert "secret" not in repr(result)
    assert "it failed" in repr(result)


def test_several_iterations_share_a_client() -> None:
    counts: list[int] = []
    with FaceClient(transport=Planted()) as client:

        def run() -> None:
            counts.append(sum(len(result.faces) for result in client.analyze_many(photos(50), concurrency=3)))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [50] * 4
    until(no_worker)


def test_an_error_before_the_first_photo_carries_the_call() -> None:
    with FaceClient(transport=Planted()) as client, pytest.raises(UnknownTask) as caught:
        next(client.analyze_many([], tasks=["age"], model=None))
    assert caught.value.call is not None
    assert caught.value.call.method == "analyze_many"
    assert caught.value.call.tasks == ("age",)


def test_the_text_of_a_result_names_its_file() -> None:
    result = PhotoResult(index=3, photo=Path("a/b.jpg"), analysis=None, error=ServerBusy("later"))
    assert repr(result).startswith("PhotoResult(3, 'a/b.jpg', ")
