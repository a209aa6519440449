"""Whether Python's way into TensorRT is of the image's version: run once, while the image is built.

Exit status 0, or 2 with a sentence. It needs no GPU and no driver.
"""

import ctypes
import importlib.metadata
import sys

BINDINGS = "tensorrt-cu13-bindings"


def mismatch(bindings: str, library: int) -> str | None:
    """Why these two don't fit; None where they do.

    `library` is what getInferLibVersion() returns: 110300 is 11.3.0.
    """
    major, minor, patch = (int(part) for part in bindings.split(".")[:3])
    if library == major * 10_000 + minor * 100 + patch:
        return None
    found = f"{library // 10_000}.{library // 100 % 100}.{library % 100}"
    return (
        f"this image has TensorRT {found}, and requirements/serve-container-gpu.in names {BINDINGS} "
        f"{bindings}: name there the one of the image, run `make lock-container` and build again"
    )


def main() -> int:
    """0 where both are of one version, else 2."""
    bindings = importlib.metadata.version(BINDINGS)
    name = f"libnvinfer.so.{bindings.partition('.')[0]}"
    try:
        library = int(ctypes.CDLL(name).getInferLibVersion())
    except OSError as error:
        print(
            f"{name}, which {BINDINGS} {bindings} wants, can't be loaded ({error}): build on an image that "
            "has it; deploy/container/README.md has the table",
            file=sys.stderr,
        )
        return 2
    why = mismatch(bindings, library)
    if why is not None:
        print(why, file=sys.stderr)
    return 0 if why is None else 2


if __name__ == "__main__":
    sys.exit(main())
