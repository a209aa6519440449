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

STATE: dict[str, Any] = {}
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


def _keep_environment(environment: Any, **_: Any) -> None:
    STATE["environment"] = environment


def _begin(**_: Any) -> None:
    """All users have begun, which is when locust counts anew."""
    STATE["cores"] = time.process_time()


def _write_figures(**_: Any) -> None:
    """locust's own totals, once its last user has ended; its CSV file may lack the last second."""
    if "cores" not in STATE:
        return
    total = STATE["environment"].stats.total
    figures = {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "requests_per_second": total.total_rps,
        "failures_per_second": total.total_fail_per_sec,
        "percentiles_ms": {
            str(share): total.get_response_time_percentile(share) for share in OPTIONS["shares"]
        },
        "core_seconds": time.process_time() - STATE["cores"],
    }
    Path(OPTIONS["figures"]).write_text(json.dumps(figures))


events.init.add_listener(_keep_environment)
events.spawning_complete.add_listener(_begin)
events.quit.add_listener(_write_figures)
