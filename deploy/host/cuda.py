"""Whether a host's driver runs the CUDA of the image, by CUDA's minor-version compatibility.

Which driver a major version of CUDA needs at least stands in deploy/container/releases.toml, with its source.
"""

import os
import re
from collections.abc import Mapping

from deploy.container.releases import read_releases

OLDEST_CAPABILITY = (7, 5)  # of a GPU: Turing; what the chosen image's release notes name


def needed_cuda(environment: Mapping[str, str] = os.environ) -> int:
    """The major version of CUDA: of the image that this runs in, else of the one that is deployed."""
    found = re.match(r"\d+", environment.get("CUDA_VERSION", "")) or re.match(
        r"\d+", read_releases().chosen.cuda
    )
    assert found is not None
    return int(found[0])


def driver_fault(driver: str, *, needed: int, library: str | None) -> str | None:
    """Why a driver does not run a major version of CUDA; None where it does, or where nothing is known of it.

    `driver` is its version ("570.86.15"), `library` the newest CUDA that libcuda.so.1 runs as this process
    finds it ("12.8"; None: not known), which NVIDIA's forward-compatibility package makes newer.
    """
    branch = re.match(r"\d+", driver)
    minimum = read_releases().driver_minimums.get(needed)
    if branch is None or minimum is None or int(branch[0]) >= minimum:
        return None
    if library is not None and int(library.partition(".")[0]) >= needed:
        return None
    return (
        f"the NVIDIA driver is {driver}, and CUDA {needed} needs {minimum} or newer: update the driver on "
        "the host (with a data-centre GPU NVIDIA's forward-compatibility package may do)"
    )
