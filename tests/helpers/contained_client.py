"""What asks a service in a folder, from inside its network.

    python -m tests.helpers.contained_client WHAT --key KEY

It prints JSON. Nothing here runs longer than its bounds.
"""

import argparse
import concurrent.futures
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from qface_client import FaceClient
from tests.helpers.paths import ROOT

PHOTO = ROOT / "tests" / "assets" / "astronaut.jpg"
CLIENTS = 6
BEFORE, AFTER = 8.0, 4.0  # seconds of load around a signal


def get(url: str, *, data: bytes | None = None, key: str | None = None) -> tuple[int, str]:
    """Status and body."""
    request = urllib.request.Request(url, data=data, headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask(key: str) -> dict[str, Any]:
    """A photo over gRPC and over REST, with and without a key, and the metrics."""
    with FaceClient("localhost:8001", api_key=key, timeout=30, insecure_key=True) as client:
        faces = client.analyze(PHOTO)
    photo = PHOTO.read_bytes()
    status, body = get("http://localhost:8000/v1/analyze", data=photo, key=key)
    without, _ = get("http://localhost:8000/v1/analyze", data=photo)
    _, metrics = get("http://localhost:8002/metrics")
    return {
        "grpc_faces": len(faces),
        "rest_status": status,
        "rest_faces": len(json.loads(body).get("faces", [])),
        "without_key": without,
        "ready_series": "qface_gateway_ready 1" in metrics,
    }


def under_load(key: str, *, pid: int, number: int) -> dict[str, Any]:
    """Sends photos without pause, a signal in between, and counts what becomes of them.

    `drained` were sent before the signal and answered after it. `lost` are requests that had no answer and no
    refusal in a sentence, which a drain must not have; `after` those that found nobody, after the signal.
    """
    counts = {"answered": 0, "drained": 0, "refused": 0, "lost": 0, "after": 0}
    errors: list[str] = []
    lock, end = threading.Lock(), time.monotonic() + BEFORE + AFTER
    sent_at = time.monotonic() + BEFORE

    def work() -> None:
        with FaceClient(
            "localhost:8001", api_key=key, timeout=20, insecure_key=True, retries=False
        ) as client:
            while (began := time.monotonic()) < end:
                try:
                    client.analyze(PHOTO)
                    outcome = "drained" if began < sent_at < time.monotonic() else "answered"
                except Exception as error:  # counted by what it is
                    text = str(error)
                    refused = any(word in text for word in ("stopping", "ends", "not ready", "try again"))
                    # Nobody listens any more: it never became a request of the service's.
                    gone = began > sent_at and "connect" in text.lower()
                    outcome = "refused" if refused else "after" if gone else "lost"
                    with lock:
                        errors.append(f"{time.monotonic() - sent_at:+.1f} s: {text[:160]}")
                    time.sleep(0.1)
                with lock:
                    counts[outcome] += 1

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        works = [pool.submit(work) for _ in range(CLIENTS)]
        time.sleep(BEFORE)
        os.kill(pid, number)
        for one in works:
            one.result(timeout=60)
    return counts | {"errors": sorted(set(errors))[:8]}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("ask", "signal"))
    parser.add_argument("--key", required=True)
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM))
    options = parser.parse_args()
    found = (
        ask(options.key)
        if options.what == "ask"
        else under_load(options.key, pid=options.pid, number=options.signal)
    )
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
