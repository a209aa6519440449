"""What a request will take, read from the headers and markers of its encoded pictures before any decoding."""

import asyncio
import concurrent.futures
from collections.abc import Callable

import grpc

from deploy.gateway.front.request import InferRequest
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.signatures import WILDCARD, Signature, TensorSignature
from deploy.gateway.front.validation import rows_of
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal, invalid
from deploy.gateway.work import Cost
from runtime.errors import InvalidImage
from runtime.image.decode import read_picture

# Pictures up to this size are read in the event loop: at most some milliseconds, usually 0.1.
_AT_ONCE_BYTES = 256 * 1024
# Threads that read larger ones.
_THREADS = 2
# What is waited for it, at the longest, is not worth an estimate.
_RETRY_SECONDS = 0.2

_MEGA = 1e6
# A batch may cost as much as so many pictures of the dearest sort: others wait behind all of it.
_ROWS_OF_THE_DEAREST = 4


def cost_of(request: InferRequest, served: ServedModels, limits: Limits) -> Cost:
    """The cost of a validated request. It takes as long as its pictures are large; see `PictureCosts`.

    Raises Refusal (INVALID_ARGUMENT, in the sentences of `runtime.image.decode`) for pictures that can't be
    decoded or are too large.
    """
    signature = served.signatures[request.model]
    rows = rows_of(request, signature)
    pixels, scan_pixels = 0, 0.0
    for tensor in request.inputs:
        if not _is_encoded_picture(signature.inputs[tensor.name]):
            continue
        data = memoryview(tensor.raw or b"")
        size = len(data) // rows
        for row in range(rows):
            try:
                picture = read_picture(
                    data[row * size : (row + 1) * size],
                    max_pixels=round(limits.megapixels * _MEGA),
                    max_scan_pixels=round(limits.scan_megapixels * _MEGA),
                )
            except InvalidImage as error:
                where = f"row {row} (of 0 to {rows - 1}): " if rows > 1 else ""
                raise invalid(f"{where}{error}", reason="picture") from None
            area = picture.width * picture.height
            pixels += area
            scan_pixels += area * picture.scans
            if scan_pixels > _ROWS_OF_THE_DEAREST * limits.scan_megapixels * _MEGA:
                raise invalid(
                    f"the {rows} pictures of the batch take a decoder over more than "
                    f"{_ROWS_OF_THE_DEAREST * limits.scan_megapixels:,.0f} megapixels, passes of progressive "
                    "files counted each: send them in several requests",
                    reason="picture",
                )
    return Cost(
        bytes=len(request.raw),
        rows=rows,
        pixels=pixels,
        scan_pixels=round(scan_pixels),
        steps=_work_steps(request, signature),
    )


def _work_steps(request: InferRequest, signature: Signature) -> int:
    return sum(
        parameter.steps_below(float(request.parameters[name]))
        for name, parameter in signature.parameters.items()
        if name in request.parameters
    )


class PictureCosts:
    """`cost_of` for an event loop: what takes longer is read in one of a few threads.

    Requests that wait for a thread may hold as many bytes as `Limits.waiting_bytes`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="picture-cost")
        self._bytes = 0

    async def of(self, request: InferRequest, served: ServedModels) -> Cost:
        """The cost of a validated request.

        Raises Refusal: INVALID_ARGUMENT as `cost_of`, RESOURCE_EXHAUSTED where too much waits to be read.
        """
        size = len(request.raw)
        if size <= _AT_ONCE_BYTES or not _has_encoded_picture(request, served):
            return cost_of(request, served, self._limits)
        if self._bytes and self._bytes + size > self._limits.waiting_bytes:
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"The server is busy: {self._bytes:,} bytes of pictures wait to be looked at; "
                "send it again later.",
                reason="memory",
                retry_after=_RETRY_SECONDS,
            )
        self._bytes += size
        try:
            read: Callable[..., Cost] = cost_of
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, read, request, served, self._limits
            )
        finally:
            self._bytes -= size

    def close(self) -> None:
        """Ends the threads; what waits for them is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _has_encoded_picture(request: InferRequest, served: ServedModels) -> bool:
    inputs = served.signatures[request.model].inputs
    return any(_is_encoded_picture(inputs[tensor.name]) for tensor in request.inputs)


def _is_encoded_picture(tensor: TensorSignature) -> bool:
    """Bytes of any number are an encoded picture: what else a model takes has dimensions of its own."""
    return tensor.datatype == "UINT8" and tensor.dims == (WILDCARD,)
