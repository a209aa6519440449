"""What a server answers over gRPC: whether it is ready, who it is, its contract, how fast pictures are."""

import io
import time
from collections.abc import Iterator, Mapping

import grpc
from PIL import Image

from ..._connection.messages import error_of
from ..._exchange.exchange import require_contract
from ..._version import __version__
from ...errors import NotPermitted, QFaceError
from ...measuring.percentiles import percentile
from .. import output
from .findings import Check, Finding
from .servers import Server
from .way import CERTIFICATE, PORT, PROTOCOL

READY, SERVER, CONTRACT, CANARY = "ready", "server", "contract", "canary"
EMPTY_CALLS, CANARIES = 10, 5
CANARY_SECONDS = 20.0  # after which no further picture is sent
_LONG_MS = 50.0  # of a round trip
_SLOW_MS = 1000.0  # of a picture
_PLAIN = (640, 480)


def ready(server: Server) -> Iterator[Finding]:
    """What it reports by the health protocol."""
    with server.calls() as calls:
        try:
            serving = calls.is_serving()
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                yield Finding(
                    check=READY,
                    mark="note",
                    sentence="it does not speak the health protocol (grpc.health.v1)",
                    advice="of several servers such a one gets requests also while it is not ready",
                )
                return
            yield _failed(READY, error, server)
            return
    if serving:
        yield Finding(check=READY, mark="ok", sentence="it reports that it takes requests")
        return
    yield Finding(
        check=READY,
        mark="wrong",
        sentence="it reports that it takes no requests: it starts, drains or repairs itself",
        advice="wait, or look at its log if it stays so",
    )


def identity(server: Server) -> Iterator[Finding]:
    """Its name and version; the first call that needs a key where keys are wanted."""
    with server.calls() as calls:
        try:
            name, version = calls.server()
        except grpc.RpcError as error:
            yield _failed(SERVER, error, server)
            return
    yield Finding(check=SERVER, mark="ok", sentence=output.printable(f"{name} {version}"))


def contract(server: Server) -> Iterator[Finding]:
    """Whether this client can read what it answers."""
    try:
        with server.client() as client:
            found = require_contract(client.contract(model=server.model))
            models = client.models()
    except QFaceError as error:
        yield Finding(check=CONTRACT, mark="wrong", sentence=str(error))
        return
    server.contract = found.hash
    expected = server.caller.options.expect_contract
    if expected is not None and found.hash != expected:
        yield Finding(
            check=CONTRACT,
            mark="wrong",
            sentence=f"{found.hash}, not {expected} as --expect-contract names it",
            advice="its labels or their order may have changed: compare them with `qface info`",
        )
        return
    unreadable = [task.name for task in found.tasks if not task.readable]
    readable = len(found.tasks) - len(unreadable)
    sentence = f"{found.hash}, {readable} tasks that qface-client {__version__} can read" + (
        f", models: {', '.join(models)}" if models else ""
    )
    if unreadable:
        yield Finding(
            check=CONTRACT,
            mark="note",
            sentence=f"{sentence}; not {', '.join(unreadable)}",
            advice="upgrade qface-client",
        )
        return
    yield Finding(check=CONTRACT, mark="ok", sentence=output.printable(sentence))


def canary(server: Server) -> Iterator[Finding]:
    """How long a picture takes, and where."""
    try:
        picture = _plain_picture() if server.photo is None else server.photo.read_bytes()
        network = _round_trip(server)
        walls, timings, faces = _send(server, picture)
    except OSError as error:
        sentence = f"{server.photo} can't be read: {error.strerror}"
        yield Finding(check=CANARY, mark="wrong", sentence=sentence, advice="give another --photo")
        return
    except grpc.RpcError as error:
        yield _failed(CANARY, error, server)
        return
    except QFaceError as error:
        limited = isinstance(error, NotPermitted) and server.tasks is None
        advice = "where the key may ask for some tasks only, name them: --tasks A,B" if limited else ""
        yield Finding(check=CANARY, mark="wrong", sentence=str(error), advice=advice)
        return
    what = "a plain picture" if server.photo is None else str(server.photo)
    whole = percentile(walls, 0.5)
    head = f"{what}, {len(walls)} times, {faces} face{'' if faces == 1 else 's'}: {whole:.1f} ms"
    parts = {"network": network}
    if timings:
        total = percentile([each["total"] for each in timings], 0.5)
        queue = percentile([each.get("queue", 0.0) for each in timings], 0.5)
        parts |= {"client": max(0.0, whole - total - network), "queue": queue, "compute": total - queue}
        split = ", ".join(f"{name} {spent:.1f}" for name, spent in parts.items())
    else:
        split = f"network {network:.1f}, the rest is not split: the server does not state its time"
    advice = _advice(parts, whole)
    yield Finding(check=CANARY, mark="note" if advice else "ok", sentence=f"{head} ({split})", advice=advice)


def _advice(parts: Mapping[str, float], whole: float) -> str:
    if parts.get("queue", 0.0) > whole / 2:
        return "requests wait for others most of the time: send fewer at once, or add a server"
    if parts["network"] > _LONG_MS:
        return "the way there and back is long: several pictures under way at once make up for it"
    if whole > _SLOW_MS:
        return (
            "that is slow even without a GPU, unless the picture is of a crowd: look whether others use its "
            "processor, and at the server's log and metrics"
        )
    return ""


def _send(server: Server, picture: bytes) -> tuple[list[float], list[Mapping[str, float]], int]:
    """Milliseconds of each answer here, what the server states of each (empty: not of all), faces."""
    walls, timings, faces = list[float](), list[Mapping[str, float]](), 0
    with server.client(timeout=server.timeout) as client:
        client.analyze(picture, server.tasks, model=server.model)  # connects, and reads the contract
        end = time.monotonic() + CANARY_SECONDS
        while not walls or (len(walls) < CANARIES and time.monotonic() < end):
            began = time.perf_counter()
            analysis = client.analyze(picture, server.tasks, model=server.model)
            walls.append(1e3 * (time.perf_counter() - began))
            timings.append(analysis.provenance.timings)
            faces = len(analysis)
    return walls, timings if all("total" in each for each in timings) else [], faces


def _round_trip(server: Server) -> float:
    """Milliseconds of a call with nothing in it."""
    walls = []
    with server.calls() as calls:
        calls.is_live()  # connects
        for _ in range(EMPTY_CALLS):
            began = time.perf_counter()
            calls.is_live()
            walls.append(1e3 * (time.perf_counter() - began))
    return percentile(walls, 0.5)


def _plain_picture() -> bytes:
    """A JPEG without a face."""
    with io.BytesIO() as file:
        Image.new("RGB", _PLAIN, (96, 128, 160)).save(file, "JPEG")
        return file.getvalue()


def _failed(check: str, error: grpc.RpcError, server: Server) -> Finding:
    """A call that failed, by gRPC's status."""
    words = output.printable(" ".join(str(error.details() or "").split()))
    if error.code() in _STATUSES:
        sentence, advice = _STATUSES[error.code()]
        return Finding(check=check, mark="wrong", sentence=sentence.format(words=words), advice=advice)
    return Finding(check=check, mark="wrong", sentence=str(error_of(error, url=server.url, model=check)))


_STATUSES = {
    grpc.StatusCode.UNAUTHENTICATED: (
        "it does not know who calls ({words})",
        "give a key that it knows: --api-key-file FILE, QFACE_API_KEY_FILE or QFACE_API_KEY",
    ),
    grpc.StatusCode.PERMISSION_DENIED: (
        "it knows who calls, and does not permit this ({words})",
        "ask who runs the server for a key that may",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "no answer in time",
        "it is stopped or far too busy, or something on the way keeps its answers: look at its log",
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
        "gRPC answers, but no Triton ({words})",
        "give the address of a Q-Face server's gRPC by --url",
    ),
}

CHECKS = (
    Check(name=READY, look=ready, needs=(PORT, PROTOCOL, CERTIFICATE)),
    Check(name=SERVER, look=identity, needs=(PORT, PROTOCOL, CERTIFICATE)),
    Check(name=CONTRACT, look=contract, needs=(PORT, PROTOCOL, CERTIFICATE, SERVER)),
    Check(name=CANARY, look=canary, needs=(PORT, PROTOCOL, CERTIFICATE, READY, SERVER, CONTRACT)),
)
