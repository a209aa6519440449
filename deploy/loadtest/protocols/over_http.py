"""What both ways over HTTP share: a session, how its requests end, and what is asked before a load."""

import errno
import json
import time
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.payload import BytesPayload

from deploy.loadtest.protocols.base import BROKEN, NO_DESCRIPTORS, Reply, Target
from deploy.loadtest.protocols.mistakes import error_of
from deploy.loadtest.protocols.secure import context_of
from deploy.measuring.http_statuses import code_of

_IDLE = 5.0  # seconds that a connection is kept for the next request: servers end theirs after 15 or more
_NOBODY = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
_JSON = "application/json"
_MISSING = ("NOT_FOUND", "UNIMPLEMENTED", "PERMISSION_DENIED", "INVALID_ARGUMENT")
_DETAILS = 500  # bytes of an error that is no JSON


class Session:
    """Connections to one target, as many as there are requests at a time."""

    def __init__(self, target: Target) -> None:
        context = context_of(target)
        self._base = f"{'https' if target.secure else 'http'}://{target.address}"
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_IDLE, ssl=True if context is None else context
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=dict(target.metadata),
            trust_env=False,  # no proxies
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        deadline: float,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Reply, bytes, Mapping[str, str]]:
        """How a request ended, its body and its headers; both empty where none came."""
        try:
            async with self._session.request(
                method,
                self._base + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=deadline),
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            return Reply(code="DEADLINE_EXCEEDED", details=f"no answer within {deadline:g} s"), b"", {}
        except (aiohttp.ClientError, OSError) as error:
            return _reply_of(error), b"", {}
        if answer.status == 200:
            return Reply(), content, answer.headers
        return (
            Reply(
                code=code_of(answer.status),
                details=_sentence_in(content),
                pushback=_seconds(answer.headers.get("Retry-After", "")),
            ),
            content,
            answer.headers,
        )

    async def close(self) -> None:
        await self._session.close()


def body_of(data: bytes, *, content_type: str) -> BytesPayload:
    """A request's body, made once and sent many times."""
    with warnings.catch_warnings():
        # It is warned of large ones, which hold up the event loop: a generator has no other work.
        warnings.simplefilter("ignore", ResourceWarning)
        return BytesPayload(data, content_type=content_type)


class Asker:
    """Asks one server this and that before a load, all within one time."""

    def __init__(self, session: Session, target: Target, *, timeout: float) -> None:
        self._session, self._target, self._timeout = session, target, timeout
        self._end = time.monotonic() + timeout

    async def get(self, path: str, *, post: Any = None, missing: bool = False) -> Any:
        """The JSON value of an answer; ConnectionError with a sentence where there is none.

        post        a JSON value, where the path takes one
        missing     None for what the server does not have
        """
        left = max(0.001, self._end - time.monotonic())
        body = None if post is None else body_of(json.dumps(post).encode(), content_type=_JSON)
        method = "GET" if body is None else "POST"
        reply, content, _ = await self._session.send(method, path, body=body, deadline=left)
        if missing and reply.code in _MISSING:
            return None
        return json_of(reply, content, target=self._target, timeout=self._timeout, path=path)


def json_of(reply: Reply, content: bytes, *, target: Target, timeout: float, path: str) -> Any:
    """The value of an answer in JSON; ConnectionError with a sentence where it is none."""
    if reply.code != "OK":
        raise error_of(reply, target=target, timeout=timeout, path=path)
    try:
        return json.loads(content)
    except ValueError:
        raise ConnectionError(
            f"{target.address} has no JSON at {path}: it is another server than {target.protocol} is for"
        ) from None


def _reply_of(error: Exception) -> Reply:
    """How a request ended that had no answer."""
    cause: BaseException | None = error
    while cause is not None:
        number = getattr(cause, "errno", None)
        if number in (errno.EMFILE, errno.ENFILE):
            return Reply(code=NO_DESCRIPTORS, details=str(error))
        if number in _NOBODY or isinstance(cause, aiohttp.ClientConnectorDNSError):
            return Reply(code="UNAVAILABLE", details=str(error))
        cause = cause.__cause__ or cause.__context__
    # A text of aiohttp's goes on with what came, on further lines.
    return Reply(code=BROKEN, details=f"{type(error).__name__}: {error}".partition("\n")[0])


def _sentence_in(content: bytes) -> str:
    """Of an error's body: REST's problem, Triton's error, or its text."""
    try:
        problem = json.loads(content)
        return str(problem.get("detail") or problem["error"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return content[:_DETAILS].decode(errors="replace")


def _seconds(text: str) -> float | None:
    """Of Retry-After; None of the other form, a date, and of none."""
    return float(text) if text.isdecimal() else None
