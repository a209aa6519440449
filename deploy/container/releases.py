"""Which release of NVIDIA's Triton image holds what, from releases.toml, and which one is chosen.

`python -m deploy.container.releases` prints the table that deploy/container/README.md shows.
"""

import dataclasses
import sys
import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("releases.toml")
IMAGE = "nvcr.io/nvidia/tritonserver"
_UNKNOWN = "?"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """One monthly release. What was not found in public documentation is None."""

    name: str  # "26.09"
    triton: str | None = None
    tensorrt: str | None = None
    cuda: str
    ubuntu: str | None = None
    python: str | None = None  # of its Python backend, and so of our environment in it
    driver: str | None = None  # the one that belongs to its CUDA
    sources: tuple[str, ...]

    @property
    def image(self) -> str:
        """The image with Triton, its backends and TensorRT."""
        return f"{IMAGE}:{self.name}-py3"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Releases:
    """All known releases, the oldest first."""

    releases: tuple[Release, ...]
    chosen: Release
    driver_minimums: dict[int, int]  # CUDA's major version -> the oldest branch of drivers that runs it

    def driver_minimum(self, release: Release) -> int:
        """The oldest branch of drivers (580) that public documentation allows for a release.

        By CUDA's minor-version compatibility: within one major version of CUDA an older driver does, with
        fewer features. The chosen release has not been run by us with any driver.
        """
        return self.driver_minimums[int(release.cuda.partition(".")[0])]


def read_releases(file: Path = FILE) -> Releases:
    """The table of `file`; ValueError where what is chosen is not in it or not documented."""
    data = tomllib.loads(file.read_text())
    releases = tuple(Release(**(row | {"sources": tuple(row["sources"])})) for row in data["release"])
    chosen = next((release for release in releases if release.name == data["chosen"]), None)
    if chosen is None:
        raise ValueError(f"{file}: the chosen release {data['chosen']} has no row")
    if None in (chosen.triton, chosen.tensorrt, chosen.python):
        raise ValueError(
            f"{file}: the chosen release {chosen.name} lacks its Triton, TensorRT or Python: choose one "
            "that is documented"
        )
    return Releases(
        releases=releases,
        chosen=chosen,
        driver_minimums={row["major"]: row["driver_minimum"] for row in data["cuda"]},
    )


def table(known: Releases) -> str:
    """The releases as Markdown, the newest first."""
    head = ("release", "Triton", "TensorRT", "CUDA", "Python, Ubuntu", "driver", "oldest driver", "sources")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for release in reversed(known.releases):
        name = f"**{release.name}**" if release is known.chosen else release.name
        cells = (
            name,
            release.triton or _UNKNOWN,
            release.tensorrt or _UNKNOWN,
            release.cuda,
            f"{release.python or _UNKNOWN}, {release.ubuntu or _UNKNOWN}",
            release.driver or _UNKNOWN,
            str(known.driver_minimum(release)),
            ", ".join(f"[{number}]({url})" for number, url in enumerate(release.sources, start=1)),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table(read_releases()))
