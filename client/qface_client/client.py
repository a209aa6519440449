"""The blocking client. Generated from aio.py by `python client/unasync.py`: edit that one.

    with FaceClient("localhost:8001") as client:
        for face in client.analyze("photo.jpg", tasks=["expression", "head_pose"]):
            print(face.box, face.expression.label, face.head_pose.yaw)

What is sent to the server, and in which order, stands in `_exchange`; this module sends it.
"""

import functools
import os
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import ArrayLike

from . import _connection as connection
from ._connection import GrpcTransport, Tls
from ._exchange.asked import describes_failures, of_picture
from ._exchange.budget import RetryBudget
from ._exchange.deadline import Timeout, as_timeout
from ._exchange.exchange import Exchange, require_contract
from ._exchange.steps import Infer, Pause, ReadModel, Steps
from ._lifecycle import Lifecycle, OfOneProcess
from ._many import PhotoResult, check_many, stream
from ._photos import (
    Crops,
    Encoded,
    Photo,
    encode,
    is_pixels,
    search_parameters,
    stack_crops,
    task_names,
)
from ._stopping import check_wanted
from ._telemetry import traced, tracing_of
from .contract import Contract
from .errors import QFaceError
from .recorded import Recorded
from .results import Analysis, Face
from .transports import Transport

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from typing_extensions import Self  # in typing since Python 3.11

__all__ = ["FaceClient"]

T = TypeVar("T")


class FaceClient(OfOneProcess):
    """A client of one server (or of one address that stands for many), or of several servers. Keep one per
    process: it is thread-safe, and all its calls share one connection to each server.

    `url`: host:port of the server's gRPC. Several servers: ["a:8001", "b:8001"], or a name that has all their
    addresses, "dns:///faces:8001". Requests go in turn to those that are ready. None: what QFACE_URL says, or
    localhost:8001.
    `timeout`: seconds for each call, always finite; a number sets `Timeout.request`. `timeout=` of a call is
    the call's own: it bounds all its tries, and the server knows it. ValueError for what is no such number.
    `expect_contract`: the hash (`qface info` prints it) of the only contract to accept; ContractMismatch
    otherwise. Without it the client follows the server's contract as it changes.
    `api_key`: who calls; without it what QFACE_API_KEY says, or the file that QFACE_API_KEY_FILE names.
    `tls`: True, or the PEM files; None: what QFACE_TLS says (files: QFACE_TLS_CA, _CERT and _KEY).
    `insecure_key`: allow a key over an unencrypted connection to another machine, where everybody in
    between can read it; InvalidInput otherwise.
    `retries`: ask again where the server could not be reached or turned the request away, until the
    deadline; a server that has never answered is looked for a second only. `retry_budget` bounds the retries
    of all calls together; those beyond wait.
    `options`: gRPC channel options, which are added to the defaults.
    `transport`: what carries the calls in gRPC's place (`qface_client.transports`), which the client closes;
    address, key, encryption and options are then its own business.
    `record`: a file into which the answers are written (`qface_client.recorded`), which plays them again.
    `tracing`: True (the program's own tracer provider), or a TracerProvider of OpenTelemetry: each call has a
    span, each of its requests one, and the server gets the trace's header. It needs the extra `otel`.
    `shared_memory`: large requests are left in memory that a gateway on this machine copies, if it runs with
    --shared-memory; else they go over gRPC, after one line in the log.

    `priority=` of a call: Triton's request parameter. 1 goes before all others that wait at the gateway; 0,
    as none, is the server's default. The gateway takes no other (InvalidInput).

    A server may have several networks: `model=` of a call names the one that answers (`models()` lists
    them); without it the first one does. UnknownModel for a name that the server does not have.

    Every method raises the errors of `qface_client.errors`, and RuntimeError after `close()`.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        timeout: Timeout | float | None = None,
        expect_contract: str | None = None,
        api_key: str | None = None,
        tls: Tls | bool | None = None,
        insecure_key: bool = False,
        retries: bool = True,
        retry_budget: RetryBudget | None = None,
        options: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
        record: str | os.PathLike[str] | None = None,
        tracing: "TracerProvider | bool | None" = None,
        shared_memory: bool = False,
    ) -> None:
        address = connection.joined(url)
        self._url = address if transport is None else ""
        self._exchange = Exchange(
            timeout=as_timeout(timeout),
            expect_contract=expect_contract,
            retries=retries,
            retry_budget=retry_budget,
            hint=connection.proxy_hint(address),
            server=self._url,
        )
        self._tracing = tracing_of(tracing, url=self._url)
        if transport is None:
            transport = GrpcTransport(
                address,
                tls=tls,
                api_key=api_key,
                insecure_key=insecure_key,
                options=options,
                shared_memory=shared_memory,
            )
        if record is not None:
            transport = Recorded(transport, record)
        self._transport = transport
        self._lifecycle = Lifecycle("FaceClient")

    @describes_failures
    @traced
    def analyze(
        self,
        photo: Photo,
        tasks: Iterable[str] | None = None,
        *,
        model: str | None = None,
        min_score: float | None = None,
        max_faces: int | None = None,
        min_face: float | None = None,
        min_quality: float | None = None,
        priority: int | None = None,
        timeout: float | None = None,
    ) -> Analysis:
        """Every face of a photo, best score first, with the answers of `tasks` (None: all).

        `photo`: a path; bytes or a binary file object, which is read to its end; a picture of Pillow; or an
        array [height, width(, channels)], uint8, uint16 or bool, grey, RGB or either with alpha. The server
        reads JPEG, PNG, WebP and PPM; other formats that Pillow reads (BMP, TIFF, GIF, AVIF, ...) are decoded
        here. EXIF rotation is applied, transparent pixels lie on white.

        The server computes the wanted tasks only. A photo without a face gives an empty Analysis.

        `min_score`: the detector's score from which on a face counts (0.5). `max_faces`: of more faces the
        best seen (the server's limit). `min_face`: the smallest face to look for, as a share of the photo's
        longer side; a small one finds more faces in large photos and takes several times as long.
        `min_quality`: the quality below which a face is left out (the server's `contract.quality.minimum`;
        0: none is).
        """
        search = search_parameters(
            min_score=min_score, max_faces=max_faces, min_face=min_face, min_quality=min_quality
        )
        exchange = self._exchange.within(timeout)
        encoded = encode(photo)
        steps = exchange.photo(encoded, tasks=tasks, network=model, search=search, priority=priority)
        return self._run(steps, photo=encoded)

    @describes_failures
    def analyze_many(
        self,
        photos: Iterable[Photo],
        tasks: Iterable[str] | None = None,
        *,
        model: str | None = None,
        min_score: float | None = None,
        max_faces: int | None = None,
        min_face: float | None = None,
        min_quality: float | None = None,
        priority: int | None = None,
        timeout: float | None = None,
        concurrency: int = 16,
        ordered: bool = False,
    ) -> Generator[PhotoResult, None, None]:
        """`analyze` for each of many photos, `concurrency` at a time: results as they complete, or in the
        photos' order (`ordered`).

        `photos` is read while results are taken: at most `concurrency` photos (twice as many in order) are
        read and not yet given back. A photo's error is its result. The iteration ends with an exception
        before the first photo is read where all would fail (UnknownTask, NotAuthorized, no server at the
        address), when the client is closed, and after the last result where `photos` raises one. To stop
        early, close the iterator or drop it: calls under way are cancelled, a generator `photos` is closed.
        """
        search = search_parameters(
            min_score=min_score, max_faces=max_faces, min_face=min_face, min_quality=min_quality
        )
        names = task_names(tasks)
        check_many(photos, concurrency=concurrency, awaited=False)
        exchange = self._exchange.within(timeout)
        rest: dict[str, Any] = {**search, "model": model, "priority": priority, "timeout": timeout}
        return stream(
            photos,
            prepare=functools.partial(self._analyze_many, exchange, tasks=names, model=model, search=search),
            analyze=functools.partial(self.analyze, tasks=names, **rest),
            concurrency=concurrency,
            ordered=ordered,
        )

    @describes_failures
    def _analyze_many(
        self, exchange: Exchange, *, tasks: tuple[str, ...] | None, model: str | None, search: dict[str, Any]
    ) -> None:
        """What comes before the first photo: an error here is that of all photos."""
        self._run(exchange.prepare(tasks=tasks, network=model, search=search), photo=None)

    @describes_failures
    @traced
    def detect(
        self,
        photo: Photo,
        *,
        min_score: float | None = None,
        max_faces: int | None = None,
        min_face: float | None = None,
        priority: int | None = None,
        timeout: float | None = None,
    ) -> Analysis:
        """Every face of a photo, best score first: box, score and five landmarks, no task.

        `min_score`, `max_faces`, `min_face`: as for `analyze`.
        """
        search = search_parameters(min_score=min_score, max_faces=max_faces, min_face=min_face)
        exchange = self._exchange.within(timeout)
        encoded = encode(photo)
        steps = exchange.detect(encoded, search=search, priority=priority)
        return self._run(steps, photo=encoded)

    @describes_failures
    @traced
    def analyze_face(
        self,
        photo: Photo,
        *,
        box: Sequence[float] | None = None,
        landmarks: ArrayLike | None = None,
        tasks: Iterable[str] | None = None,
        model: str | None = None,
        priority: int | None = None,
        timeout: float | None = None,
    ) -> Face:
        """One face whose place is known: no detection.

        `box`: x0, y0, x1, y1 and `landmarks`: [5, 2] (right eye, left eye, nose tip, right and left mouth
        corner of the subject), both in the photo's pixels after its EXIF rotation. With neither, the
        whole picture is the face. Asked for one task, its own ensemble answers.
        """
        exchange = self._exchange.within(timeout)
        encoded = encode(photo)
        steps = exchange.face(
            encoded, box=box, landmarks=landmarks, tasks=tasks, network=model, priority=priority
        )
        return self._run(steps, photo=encoded)

    @describes_failures
    @traced
    def analyze_crop(
        self,
        crop: Photo,
        tasks: Iterable[str] | None = None,
        *,
        model: str | None = None,
        priority: int | None = None,
        timeout: float | None = None,
    ) -> Face:
        """One aligned crop of a face: no detection. Points and box are in the crop's own pixels."""
        if is_pixels(crop):
            faces = self.analyze_crops([crop], tasks, model=model, priority=priority, timeout=timeout)
            return faces[0]
        return self.analyze_face(crop, tasks=tasks, model=model, priority=priority, timeout=timeout)

    @describes_failures
    @traced
    def analyze_crops(
        self,
        crops: Crops,
        tasks: Iterable[str] | None = None,
        *,
        model: str | None = None,
        priority: int | None = None,
        timeout: float | None = None,
    ) -> list[Face]:
        """Aligned crops of one size, pictures of any sort or one array [N, height, width, 3], in one request.

        More of them than the server's largest batch go in several requests, one after the other.
        """
        exchange = self._exchange.within(timeout)
        stacked = stack_crops(crops)
        steps = exchange.crops(stacked, tasks=tasks, network=model, priority=priority)
        return self._run(steps, photo=None)

    @describes_failures
    @traced
    def contract(self, *, model: str | None = None, timeout: float | None = None) -> Contract:
        """What the server says of its tasks now; each of its networks has a contract of its own."""
        info = self._run(self._exchange.within(timeout).info(network=model), photo=None)
        return require_contract(info.contract)

    @describes_failures
    @traced
    def notice(self, *, model: str | None = None, timeout: float | None = None) -> str:
        """What people whose faces are analysed are to be informed of, as the server's operator words it."""
        info = self._run(self._exchange.within(timeout).info(network=model), photo=None)
        return info.notice

    @describes_failures
    @traced
    def precision(self, *, model: str | None = None, timeout: float | None = None) -> str:
        """The number format in which the server's engine computes ("fp32", "bf16"); "": it does not state it.

        Answers differ by it within the tolerances of its acceptance gate.
        """
        return self._run(self._exchange.within(timeout).precision(network=model), photo=None)

    @describes_failures
    @traced
    def models(self, *, timeout: float | None = None) -> tuple[str, ...]:
        """The names of the networks that the server has now, by which `model=` picks one."""
        return self._run(self._exchange.within(timeout).networks(), photo=None)

    @describes_failures
    def is_ready(self, *, timeout: float = 1.0) -> bool:
        """Whether a server answers this caller now, by the right contract: one try; why not is in the log."""
        return self._run(self._exchange.within(timeout).is_ready(), photo=None)

    @describes_failures
    def wait_until_ready(self, timeout: float = 120.0) -> None:
        """Wait until a server answers, also where nothing listens at the address yet.

        After `timeout` seconds it raises the last try's error; at once what waiting does not mend.
        """
        self._run(self._exchange.within(timeout).wait_until_ready(), photo=None)

    def close(self) -> None:
        """End the connection: calls under way and all after this raise RuntimeError. Once is enough."""
        if self._lifecycle.end():
            self._transport.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T], *, photo: Encoded | None) -> T:
        self._check_open()
        if self._tracing is not None:
            steps = self._tracing.steps(steps)
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._do(step)
                except BaseException as error:  # who is cancelled gives up its place among the retries
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result
        except QFaceError as error:
            if photo is not None:
                of_picture(error, file=photo.file, size=photo.data.nbytes)
            raise

    def _do(self, step: ReadModel | Infer | Pause) -> Any:
        self._check_open()
        if isinstance(step, Pause):
            return self._pause(step.seconds)
        try:
            if isinstance(step, ReadModel):
                return self._transport.read_model(step)
            return self._transport.infer(step)
        except Exception:
            self._check_open()
            raise

    def _check_open(self) -> None:
        self._lifecycle.check()
        check_wanted()

    def _pause(self, seconds: float) -> None:
        """Wait, but not past the end of the client or of its caller."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_open()
            time.sleep(min(left, 0.1))
