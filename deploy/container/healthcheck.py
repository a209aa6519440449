"""The container's health: the gateway's ready page, so each model has answered a request or its canary.

A script of its own, of the standard library only. Exit status 0 when it is ready, else 1 with the reasons.
QFACE_HTTP_PORT names the port where it is not 8002.
"""

import os
import sys
import urllib.error
import urllib.request

TIMEOUT = 4.0  # seconds: less than the Dockerfile's


def main() -> int:
    """0 where the page answers 200."""
    page = f"http://127.0.0.1:{os.environ.get('QFACE_HTTP_PORT', '8002')}/v2/health/ready"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy is set
    try:
        with opener.open(page, timeout=TIMEOUT) as answer:
            answer.read()
        return 0
    except urllib.error.HTTPError as error:
        print(error.read(2000).decode(errors="replace"), file=sys.stderr)
    except OSError as error:
        print(f"{page} does not answer ({error})", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
