"""Waits for the answer of a blocking call, or until nobody wants it."""

from typing import Any

import grpc

from .._stopping import Abandoned, stop_of_thread


def wait_for(method: Any, sent: Any, **options: Any) -> tuple[Any, grpc.Call]:
    """What a method of a channel answers, and its call; Abandoned as soon as the thread's calls are stopped.

    A call that can be cancelled takes a thread of gRPC's more, so that others are none.
    """
    if (stop := stop_of_thread()) is None:
        response, call = method.with_call(sent, **options)
        return response, call
    future = method.future(sent, **options)
    with stop.cancels(future.cancel):
        try:
            return future.result(), future
        except grpc.FutureCancelledError:
            raise Abandoned from None
