"""A FaceClient that needs no server."""

import os
from typing import TYPE_CHECKING

from .._exchange.deadline import Timeout
from ..client import FaceClient
from .transport import LocalTransport

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class LocalFaceClient(FaceClient):
    """A FaceClient whose answers are computed in this process, by what a server would run.

    `source`: an assembled model repository, or an ONNX file of a network. `threads`: processor cores to use
    (None: what the repository states, of an ONNX file all). `detector`: the face detector's file for an ONNX
    file (None: that of the installed package). `timeout`: a call waits so long for its turn; one that
    computes is not interrupted. `expect_contract`, `record`, `tracing`: FaceClient's.

    Thread-safe; keep one. Networks are loaded when they are first needed. For asyncio:
    `AsyncFaceClient(transport=LocalTransport(source))`. Raises InvalidInput for a source that can't be
    read, and ImportError where the extra `local` is not installed.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        threads: int | None = None,
        detector: str | os.PathLike[str] | None = None,
        timeout: Timeout | float | None = None,
        expect_contract: str | None = None,
        record: str | os.PathLike[str] | None = None,
        tracing: "TracerProvider | bool | None" = None,
    ) -> None:
        super().__init__(
            transport=LocalTransport(source, threads=threads, detector=detector),
            timeout=timeout,
            expect_contract=expect_contract,
            record=record,
            tracing=tracing,
        )
