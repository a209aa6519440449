"""sd_notify: the state of a service for systemd, where it started us with Type=notify."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Sends `state` ("READY=1", "STOPPING=1", ...); does nothing where systemd did not ask for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # of the abstract namespace
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sink:
        sink.sendto(state.encode(), address)
