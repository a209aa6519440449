"""What TensorRT's builder has timed, kept between builds: with it the next build is shorter."""

from pathlib import Path
from typing import Any

from build.files import replace_file


def use_timing_cache(config: Any, path: Path) -> None:
    """Gives the builder what earlier builds have timed; a cache that does not fit is left alone."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def keep_timing_cache(config: Any, path: Path) -> None:
    """Writes what was timed, in one step; a cache that can't be written is no reason to fail."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, bytes(memoryview(cache.serialize())))
    except OSError:
        return
