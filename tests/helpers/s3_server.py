"""An S3 server on 127.0.0.1 (moto's), whose answers a test may spoil request by request.

with S3Server() as server:
    server.fill("photos", {"a.jpg": data})
    server.rule = lambda request: DENIED if request.number > 10 else None
    subprocess.run(command, env=os.environ | server.environment)
"""

import contextlib
import dataclasses
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

_KEY = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "us-east-1"}

Environment = dict[str, Any]  # a request's, as WSGI has it
Start = Callable[..., Any]
Application = Callable[[Environment, Start], Iterable[bytes]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class S3Request:
    """A request as it comes in."""

    method: str
    bucket: str
    key: str  # "" of a request for the bucket itself, as a listing is
    number: int  # of the requests of this sort (reads of objects, others) the how manieth, from 1

    @property
    def reads_object(self) -> bool:
        """Whether it asks for an object's bytes."""
        return self.method == "GET" and self.key != ""


class Fault(Protocol):
    """What a request gets in the place of, or around, the server's answer."""

    def __call__(self, answer: Application, environment: Environment, start: Start) -> Iterable[bytes]: ...


Rule = Callable[[S3Request], Fault | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refused:
    """An error of S3's in the place of the answer."""

    status: str
    code: str

    def __call__(self, answer: Application, environment: Environment, start: Start) -> Iterable[bytes]:
        body = f"<Error><Code>{self.code}</Code><Message>made by a test</Message></Error>".encode()
        start(self.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


DENIED = Refused(status="403 Forbidden", code="AccessDenied")
OVERLOADED = Refused(status="503 Service Unavailable", code="SlowDown")
GONE = Refused(status="404 Not Found", code="NoSuchKey")


def cut(answer: Application, environment: Environment, start: Start) -> Iterator[bytes]:
    """Half of the answer's body, then a closed connection."""
    body = b"".join(answer(environment, start))
    yield body[: len(body) // 2]
    closed(answer, environment, start)


def closed(answer: Application, environment: Environment, start: Start) -> Iterable[bytes]:
    """A closed connection."""
    with contextlib.suppress(OSError):
        environment["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("made by a test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class After:
    """The answer once an event is set."""

    event: threading.Event

    def __call__(self, answer: Application, environment: Environment, start: Start) -> Iterable[bytes]:
        self.event.wait()
        return answer(environment, start)


class S3Server:
    """Buckets on a free port of this machine, as long as the context lasts."""

    def __init__(self) -> None:
        self._application: Application = DomainDispatcherApplication(create_backend_app)
        self._counts = {True: 0, False: 0}
        self._lock = threading.Lock()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self.rule: Rule | None = None  # called in the server's threads, of one request at a time
        self.requests: list[S3Request] = []

    def __enter__(self) -> Self:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # a line for each request
        self.start()
        self._client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=_KEY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_KEY["AWS_SECRET_ACCESS_KEY"],
            region_name=_KEY["AWS_DEFAULT_REGION"],
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()
        self.stop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to take this server for S3."""
        return {**_KEY, "AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}

    def start(self) -> None:
        """Listens; again at the same port after `stop`, with what the buckets have."""
        if self._server is not None:
            return
        server = make_server(
            "127.0.0.1", self._port, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        self._server, self._port = server, server.server_port
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """Refuses connections from now on."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def reset(self) -> None:
        """Answers everything as it should, and counts from 1 again."""
        with self._lock:
            self.rule = None
            self._counts = {True: 0, False: 0}
            self.requests.clear()

    # -- what the buckets hold --------------------------------------------------------------------

    def fill(self, bucket: str, objects: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> None:
        """Makes the bucket where there is none, and puts objects into it by their keys."""
        if bucket not in {found["Name"] for found in self._client.list_buckets()["Buckets"]}:
            self._client.create_bucket(Bucket=bucket)
        for key, data in objects.items() if isinstance(objects, Mapping) else objects:
            self._client.put_object(Bucket=bucket, Key=key, Body=data)

    def get(self, bucket: str, key: str) -> bytes:
        """An object's bytes."""
        data: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def remove(self, bucket: str, *keys: str) -> None:
        for key in keys:
            self._client.delete_object(Bucket=bucket, Key=key)

    # -- answers ------------------------------------------------------------------------------------

    def _answer(self, environment: Environment, start: Start) -> Iterable[bytes]:
        # What fills the buckets is never refused, nor counted.
        own = environment.get("HTTP_USER_AGENT", "").startswith("Boto3")
        fault = None if own else self._fault(environment)
        if fault is None:
            return self._application(environment, start)
        return fault(self._application, environment, start)

    def _fault(self, environment: Environment) -> Fault | None:
        path: str = environment["PATH_INFO"].encode("latin-1").decode()
        bucket, _, key = path.lstrip("/").partition("/")
        with self._lock:
            request = S3Request(method=environment["REQUEST_METHOD"], bucket=bucket, key=key, number=0)
            self._counts[request.reads_object] += 1
            request = dataclasses.replace(request, number=self._counts[request.reads_object])
            self.requests.append(request)
            return self.rule(request) if self.rule is not None else None
