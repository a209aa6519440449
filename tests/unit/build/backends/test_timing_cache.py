"""A timing cache is used where it fits, and never stands in a build's way."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build.backends.tensorrt_tools.timing_cache import keep_timing_cache, use_timing_cache


class Config:
    """A builder's configuration that knows caches of its own machine only: they begin with b"mine"."""

    def __init__(self) -> None:
        self.cache: bytes | None = None

    def create_timing_cache(self, data: bytes) -> bytes | None:
        return None if data == b"damaged" else data

    def set_timing_cache(self, cache: bytes, *, ignore_mismatch: bool) -> bool:
        if cache and not cache.startswith(b"mine") and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: b"mine and more")


@pytest.mark.parametrize(
    ("kept", "used"),
    [(b"mine", b"mine"), (b"another machine's", b""), (b"damaged", b""), (None, b"")],
)
def test_the_timing_cache_is_used_where_it_fits_and_written_anew(
    tmp_path: Path, kept: bytes | None, used: bytes
) -> None:
    path, config = tmp_path / "cache" / "timing.cache", Config()
    if kept is not None:
        path.parent.mkdir()
        path.write_bytes(kept)
    use_timing_cache(config, path)
    assert config.cache == used
    keep_timing_cache(config, path)
    assert path.read_bytes() == b"mine and more"
    assert list(path.parent.iterdir()) == [path]


def test_a_timing_cache_that_can_t_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keep_timing_cache(Config(), tmp_path / "file" / "timing.cache")
