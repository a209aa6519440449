"""What locust runs: users that post photos to /v1/analyze, one after the other.

Only locust imports this module: it brings gevent, which patches the libraries of its process.
"""

import itertools
import json
import os
import ssl
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events

BEGAN: dict[str, float] = {}
OPTIONS = json.loads(Path(os.environ["QFACE_LOCUST_OPTIONS"]).read_text())
PHOTOS = itertools.cycle([Path(file).read_bytes() for file in OPTIONS["photos"]])


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=OPTIONS["authorities"])
    if OPTIONS["certificate"]:
        context.load_cert_chain(OPTIONS["certificate"], OPTIONS["private_key"])
    return context


class Client(FastHttpUser):  # type: ignore[misc]  # locust is not where types are checked
    host = OPTIONS["host"]
    insecure = False
    ssl_context_factory = staticmethod(_context)
    connection_timeout = network_timeout = OPTIONS["deadline"]
    max_retries = max_redirects = 0

    def analyze(self) -> None:
        self.client.post(
            OPTIONS["path"],
            data=next(PHOTOS),
            headers={"Content-Type": "application/octet-stream", **OPTIONS["headers"]},
            name="analyze",
        )

    tasks = (analyze,)


def _begin(**_: Any) -> None:
    BEGAN.setdefault("seconds", time.monotonic())
    BEGAN.setdefault("core_seconds", time.process_time())


def _end(**_: Any) -> None:
    """Keeps what the process itself took while all users posted."""
    if BEGAN:
        spent = {
            "seconds": time.monotonic() - BEGAN["seconds"],
            "core_seconds": time.process_time() - BEGAN["core_seconds"],
        }
        Path(OPTIONS["cost"]).write_text(json.dumps(spent))


events.spawning_complete.add_listener(_begin)
events.quitting.add_listener(_end)
