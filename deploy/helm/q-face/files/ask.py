"""`helm test`: asks a release for its health and about one photo. Standard library only.

Exit status 0 where all was as it should be, else 1 with a sentence.
"""

import argparse
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def main() -> int:
    """Asks; 0 where all answers were right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--health", required=True, help="URL of the page of health, made of canary requests")
    parser.add_argument("--analyze", help="URL to post the photo to")
    parser.add_argument("--photo", type=Path, help="a photo with at least one face")
    parser.add_argument("--key", type=Path, help="file with an API key")
    parser.add_argument("--trust", type=Path, help="folder with ca.crt or tls.crt")
    parser.add_argument("--refused", action="store_true", help="without a key the photo must be refused")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds for a pod to be ready")
    options = parser.parse_args()
    try:
        _health(options.health, seconds=options.wait)
        if options.analyze:
            _photo(options)
    except (OSError, ValueError, AssertionError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def _health(url: str, *, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while True:
        status, body = _ask(urllib.request.Request(url))
        if status == 200:
            print("ready: every model has answered a request or its canary")
            return
        if time.monotonic() > ends:
            raise AssertionError(f"{url} answers {status}: {body[:500].decode(errors='replace')}")
        time.sleep(1)


def _photo(options: argparse.Namespace) -> None:
    request = urllib.request.Request(
        options.analyze, data=options.photo.read_bytes(), headers={"Content-Type": "image/jpeg"}
    )
    if options.key:
        request.add_header("X-API-Key", options.key.read_text().strip())
    status, body = _ask(request, trusted=options.trust)
    if options.refused:
        if status != 401:
            raise AssertionError(f"a photo without a key is answered with {status}, not refused with 401")
        print("a photo without a key is refused")
        return
    if status != 200:
        raise AssertionError(f"the photo is answered with {status}: {body[:500].decode(errors='replace')}")
    faces = len(json.loads(body)["faces"])
    if not faces:
        raise AssertionError("no face is found in the photo")
    print(f"the photo is answered: {faces} face(s)")


def _ask(request: urllib.request.Request, *, trusted: Path | None = None) -> tuple[int, bytes]:
    """Status and body, whatever the status is; OSError where nobody answers."""
    context = None
    if trusted is not None:
        context = ssl.create_default_context()
        for name in ("ca.crt", "tls.crt"):
            if (trusted / name).exists():
                context.load_verify_locations(trusted / name)
        # The served certificate itself is trusted too, whoever signed it: the name must still be right.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


if __name__ == "__main__":
    sys.exit(main())
