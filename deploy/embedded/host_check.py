"""Whether this machine can run the embedded server at all: `python -m deploy.embedded --check`.

Needs the standard library only, so that the Makefile can check before it downloads anything.
"""

import os
import platform

from deploy.embedded.errors import HostNotSupported

MINIMUM_GLIBC = (2, 35)
ELSEWHERE = "run the repository in Triton's container on a Linux x86-64 machine instead"


def check_host(*, system: str | None = None, machine: str | None = None, glibc: str | None = None) -> None:
    """Raise HostNotSupported unless this is Linux on x86-64 with glibc 2.35 or newer.

    The arguments replace what this machine reports.
    """
    system = platform.system() if system is None else system
    machine = platform.machine() if machine is None else machine
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise HostNotSupported(
            f"the embedded server runs on Linux x86-64 only, and this is {system} {machine}: {ELSEWHERE}"
        )
    if glibc is None:
        # "glibc 2.36"; other C libraries (musl) do not know the name.
        try:
            glibc = os.confstr("CS_GNU_LIBC_VERSION") or ""
        except (ValueError, OSError):
            glibc = ""
    name, _, version = glibc.partition(" ")
    if name != "glibc":
        raise HostNotSupported(f"the embedded server needs glibc, which this Linux does not use: {ELSEWHERE}")
    found = tuple(int(part) for part in version.split(".")[:2])
    if found < MINIMUM_GLIBC:
        needed = ".".join(map(str, MINIMUM_GLIBC))
        raise HostNotSupported(
            f"glibc is {version} here and the embedded server needs {needed} (Ubuntu 22.04, Debian 12): "
            f"{ELSEWHERE}"
        )
