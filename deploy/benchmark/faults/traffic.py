"""Faults of traffic: too much of it, clients that leave or never finish, pictures that decode for minutes."""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.load import End, half_open, http2, leaving
from deploy.benchmark.load.mix import CROPS, EVERYTHING, PHOTOS
from deploy.benchmark.load.outcomes import end_of_error
from deploy.benchmark.load.picture_bombs import progressive
from deploy.benchmark.load.sample_requests import CHANNEL, jpeg, picture, question_of, request_for
from deploy.benchmark.overload import Measurement
from deploy.loadtest.generator import GeneratorPool
from deploy.loadtest.protocols.base import WRONG, Target
from qface_client.measuring.percentiles import percentile

_OVERLOAD = 4.0  # times the measured capacity
_OVERLOAD_SECONDS = 60.0
_CAPACITY_SECONDS = 8.0
_SHORT = 0.15  # what the short form takes of any seconds here
_SENDING_PROCESSES = 2
_DEADLINE = 30.0
_LEAVING = 200  # clients, of each of three sorts
_CONNECTIONS = 50  # that are slow, and as many that are half open
_SLOW_SECONDS = 15.0
_BOMBS = 40
_BOMBING_CLIENTS = 4

_LEAVING_WORD = "leaving"


def faults() -> Iterator[Fault]:
    overload = _Overload()
    yield Fault("four times the capacity, Poisson arrivals", overload.happen, prepare=overload.prepare)
    for name, end, leave in _WAYS:
        yield Fault(f"clients that {name}", partial(_leave, end, leave))
    yield Fault("slow clients, a byte a second, and half-open ones", _slow_and_half_open)
    yield Fault("photo bombs among good photos", _bombs, prepare=_prepare_bombs)
    for name, end, leave in _WAYS:
        yield Fault(
            f"leaving: on every ensemble clients that {name}",
            partial(_leave_all, end, leave),
            only=_LEAVING_WORD,
        )


class _Overload:
    """More independent arrivals than can be answered: what is too much is refused, and all stays typed.

    Of their answers the tensors are looked at alone; those of the scene's clients meanwhile are compared.
    """

    def __init__(self) -> None:
        self._capacity = 0.0

    @contextlib.contextmanager
    def _measurement(self, scene: Scene, *, seconds: float) -> Iterator[Measurement]:
        target = Target(protocol="grpc", address=scene.gateway.grpc_address)
        question = question_of(scene.samples.of(PHOTOS, 0).request)
        with GeneratorPool(target, [question], processes=_SENDING_PROCESSES, deadline=_DEADLINE) as pool:
            yield Measurement(pool, seconds=seconds, learning=0.0)

    def prepare(self, scene: Scene) -> None:
        """Measures the capacity while nobody else sends."""
        with self._measurement(scene, seconds=_short(_CAPACITY_SECONDS, scene)) as measurement:
            self._capacity = measurement.capacity()
        assert self._capacity > 0, "nothing was answered"

    def happen(self, scene: Scene) -> float:
        before = (scene.gateway.pid, scene.gateway.triton_pid)
        offered_for = _short(_OVERLOAD_SECONDS, scene)
        with self._measurement(scene, seconds=offered_for) as measurement:
            tally = measurement.offered(_OVERLOAD * self._capacity)
        for seconds in tally.answered:
            scene.count(End.ANSWERED, seconds=seconds)
        for seconds in tally.refused:
            scene.count(End.REFUSED, code="RESOURCE_EXHAUSTED", seconds=seconds)
        for code, count in tally.others.items():
            for _ in range(count):
                end = End.WRONG if code == WRONG else end_of_error(code, "", seconds=0, deadline=_DEADLINE)
                scene.count(end, code=code)
        scene.notes.append(
            f"{_OVERLOAD * self._capacity:.0f} photos/s were offered for {offered_for:.0f} s, of which "
            f"{len(tally.answered) / offered_for:.1f}/s were answered (capacity: {self._capacity:.1f}/s); "
            f"refusals took {1e3 * percentile(tally.refused, 0.5):.0f} ms (p50)"
        )
        assert set(tally.others) <= {WRONG}, f"other ends: {dict(tally.others)}"
        assert (scene.gateway.pid, scene.gateway.triton_pid) == before, "something was replaced"
        return scene.whole()


def _short(whole: float, scene: Scene) -> float:
    """Of seconds, or of so many times, what the scene's form takes."""
    return whole * (_SHORT if scene.quick else 1.0)


_Leave = Callable[[str, Sequence[bytes], int], Mapping[str, int]]


def _by_deadline(address: str, messages: Sequence[bytes], times: int) -> Mapping[str, int]:
    return leaving.expire(address, messages, times=times)


def _by_cancelling(address: str, messages: Sequence[bytes], times: int) -> Mapping[str, int]:
    return leaving.cancel(address, messages, times=times)


def _by_dying(address: str, messages: Sequence[bytes], times: int) -> Mapping[str, int]:
    return {"killed": leaving.kill_clients(address, messages[0], clients=times)}


_WAYS: tuple[tuple[str, str, _Leave], ...] = (
    ("let their deadline pass", "DEADLINE_EXCEEDED", _by_deadline),
    ("cancel", "CANCELLED", _by_cancelling),
    ("are killed", "killed", _by_dying),
)


def _leave(end: str, leave: _Leave, scene: Scene) -> None:
    _leave_one(end, leave, scene, EVERYTHING, int(_short(_LEAVING, scene)))


def _leave_all(end: str, leave: _Leave, scene: Scene) -> None:
    for model in scene.samples.ensembles:
        _leave_one(end, leave, scene, model, scene.times)


def _leave_one(end: str, leave: _Leave, scene: Scene, model: str, times: int) -> None:
    """No Triton and no other client is harmed by so many clients that leave one model.

    Of those with a deadline many are refused at once, as an answer would come too late.
    """
    before = (scene.gateway.pid, scene.gateway.triton_pid)
    messages = []
    for seed in range(4):
        crop = picture(seed, size=64)
        request = request_for(scene.samples.configs[model], encoded=jpeg(crop), pixels=crop)
        assert request is not None
        messages.append(request.SerializeToString())
    ends = leave(scene.gateway.grpc_address, messages, times)
    scene.notes.append(f"{model}: {', '.join(f'{count} {code}' for code, count in ends.items())}")
    assert ends[end] > 0, "no client left"
    assert (scene.gateway.pid, scene.gateway.triton_pid) == before, "something was replaced"


def _slow_and_half_open(scene: Scene) -> None:
    before = (scene.gateway.pid, scene.gateway.triton_pid)
    address = scene.gateway.grpc_address
    message = scene.samples.of(CROPS, 0).request.SerializeToString()
    call = http2.call(message, authority=address)
    end = time.monotonic() + _short(_SLOW_SECONDS, scene)
    with (
        half_open.half_sent(address, message, _CONNECTIONS),
        half_open.connected(address, _CONNECTIONS) as slow,
    ):
        sent = 0
        for sent in half_open.byte_by_byte(slow, call):  # noqa: B007 (the last one counts)
            if time.monotonic() >= end:
                break
            time.sleep(1.0)
        scene.wait_for(16)
    scene.notes.append(f"{_CONNECTIONS} sent {sent} bytes each, {_CONNECTIONS} half a request")
    assert (scene.gateway.pid, scene.gateway.triton_pid) == before, "something was replaced"


@functools.cache
def _bomb_files() -> tuple[bytes, ...]:
    return (
        progressive(width=7000, height=7000, scans=100),
        progressive(width=2000, height=2000, scans=900),
    )


def _prepare_bombs(_scene: Scene) -> None:
    """Made before the clients start: it takes this process's time."""
    _bomb_files()


def _bombs(scene: Scene) -> None:
    """Each is refused as what it is; good photos are answered meanwhile."""
    before = (scene.gateway.pid, scene.gateway.triton_pid)
    requests = []
    for bomb in _bomb_files():
        request = request_for(scene.samples.configs[PHOTOS], encoded=bomb, pixels=picture(0, size=64))
        assert request is not None
        requests.append(request)
    count = int(_short(_BOMBS, scene))
    with (
        grpc.insecure_channel(scene.gateway.grpc_address, options=CHANNEL) as channel,
        ThreadPoolExecutor(_BOMBING_CLIENTS) as pool,
    ):
        send = partial(scene.ask, v2_grpc.GRPCInferenceServiceStub(channel), deadline=_DEADLINE)
        codes = set(pool.map(send, itertools.islice(itertools.cycle(requests), count)))
    assert codes == {"INVALID_ARGUMENT"}, f"bombs ended with {codes}"
    assert (scene.gateway.pid, scene.gateway.triton_pid) == before, "something was replaced"
    slowest = max(outcome.seconds for outcome in scene.outcomes)
    scene.notes.append(f"{count} bombs were refused, after {1000 * slowest:.0f} ms at the most")
