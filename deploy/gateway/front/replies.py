"""What goes with the end of a gRPC call: a Refusal as its status, failures of our own, an answer's times."""

import logging
import traceback
from typing import Any, NoReturn

import grpc

from deploy.gateway.observability.server_timing import METADATA, ServerTiming
from deploy.gateway.refusals import Refusal

PUSHBACK = "grpc-retry-pushback-ms"

_DETAILS = 4000  # characters: headers of more than 8 KB break the call
_LOG = logging.getLogger(__name__)


async def abort(context: Any, refusal: Refusal) -> NoReturn:
    """Ends the call with a refusal's status; `grpc-retry-pushback-ms` says when another try makes sense."""
    metadata: tuple[tuple[str, str], ...] = ()
    if refusal.retry_after is not None:
        metadata = ((PUSHBACK, str(max(1, round(refusal.retry_after * 1000)))),)
    await context.abort(refusal.code, refusal.sentence[:_DETAILS], metadata)
    raise AssertionError("abort returned")


def in_trailing_metadata(context: Any, timing: ServerTiming) -> None:
    """States with an answer where its time went."""
    context.set_trailing_metadata(((METADATA, timing.to_text()),))


def own_failure(error: Exception, *, doing: str) -> Refusal:
    """A mistake of the gateway's own: INTERNAL for the client, one line for the log.

    The line has the error's type and place, and nothing of what the client sent.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "an unknown place"
    _LOG.error("the gateway failed %s: %s at %s", doing, type(error).__name__, place)
    return Refusal(
        grpc.StatusCode.INTERNAL,
        f"the gateway failed {doing} ({type(error).__name__}): it is not the request's fault; the gateway's "
        "log says where",
        reason="gateway",
    )
