"""What locust runs: users that post photos to /v1/analyze, one after the other.

Only locust imports this module: it brings gevent, which patches the libraries of its process.
"""

import itertools
import json
import os
import ssl
from pathlib import Path

from locust import FastHttpUser, task

OPTIONS = json.loads(Path(os.environ["QFACE_LOCUST_OPTIONS"]).read_text())
PHOTOS = itertools.cycle([Path(file).read_bytes() for file in OPTIONS["photos"]])


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=OPTIONS["authorities"])
    if OPTIONS["certificate"]:
        context.load_cert_chain(OPTIONS["certificate"], OPTIONS["private_key"])
    return context


class Client(FastHttpUser):
    host = OPTIONS["host"]
    insecure = False
    ssl_context_factory = staticmethod(_context)
    connection_timeout = network_timeout = OPTIONS["deadline"]
    max_retries = max_redirects = 0

    @task
    def analyze(self) -> None:
        self.client.post(
            OPTIONS["path"],
            data=next(PHOTOS),
            headers={"Content-Type": "application/octet-stream", **OPTIONS["headers"]},
            name="analyze",
        )
