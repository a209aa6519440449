"""Writes the blocking client from the asyncio one, so that the two stay twins.

python client/unasync.py            # writes client/qface_client/client.py
python client/unasync.py --check    # status 1 where that would change it
"""

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "qface_client"
SOURCE, TARGET = PACKAGE / "aio.py", PACKAGE / "client.py"

_MODULE = '''"""The blocking client. Generated from aio.py by `python client/unasync.py`: edit that one.

    with FaceClient("localhost:8001") as client:
        for face in client.analyze("photo.jpg", tasks=["expression", "head_pose"]):
            print(face.box, face.expression.label, face.head_pose.yaw)

What is sent to the server, and in which order, stands in `_exchange`; this module sends it.
"""
'''
_WORDS = (
    (r'"""The asyncio client.*?"""\n', _MODULE),
    (r"Keep one per\n    event loop, made inside it: all its calls share one connection to each server\.",
     "Keep one per\n    process: it is thread-safe, and all its calls share one connection to each server."),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"^import asyncio\n", ""),
    (r"import AsyncGenerator, AsyncIterable, Iterable", "import Generator, Iterable"),
    (r"Iterable\[Photo\] \| AsyncIterable\[Photo\]", "Iterable[Photo]"),
    (r"AsyncGenerator\[PhotoResult, None\]", "Generator[PhotoResult, None, None]"),
    (r"\bstream_async\b", "stream"),
    (r"\bawaited=True\b", "awaited=False"),
    (r"Transport \| AsyncTransport", "Transport"),
    (r"import AsyncTransport, Transport, awaitable", "import Transport"),
    (r"awaitable\(transport\)", "transport"),
    (r"\bAsyncGrpcTransport\b", "GrpcTransport"),
    (r"\bAsyncRecorded\b", "Recorded"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\bencode_in_thread\b", "encode"),
    (r"\bstack_in_thread\b", "stack_crops"),
    (r"\bAsyncFaceClient\b", "FaceClient"),
)  # fmt: skip


def blocking(source: str) -> str:
    """The blocking module's text for the asyncio module's."""
    for pattern, replacement in _WORDS:
        source, count = re.subn(pattern, replacement, source, flags=re.DOTALL | re.MULTILINE)
        if not count:
            raise ValueError(
                f"{SOURCE.name} has nothing like {pattern!r}: mend _WORDS in {Path(__file__).name}"
            )
    return source


def main(arguments: list[str]) -> int:
    text = blocking(SOURCE.read_text())
    if "--check" in arguments:
        if TARGET.read_text() != text:
            print(
                f"{TARGET} is not what {SOURCE.name} gives: run `python client/unasync.py`", file=sys.stderr
            )
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
