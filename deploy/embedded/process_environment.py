"""The variables that the server and its models' processes are started with."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded.installations.base import RunnableTriton

# The server calls nobody: neither proxies nor anything that opens a door elsewhere is for it.
_WITHHELD = re.compile(
    r"(?:PYTHONHOME|VIRTUAL_ENV|GRPC_EXPERIMENTS|.*_PROXY|.*(?:SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY).*)",
    re.IGNORECASE,
)


def process_environment(
    triton: RunnableTriton, *, library: Path, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The launcher's variables without what the server has no use for, with its libraries and its Python.

    library     the repository's lib/, which the models import from
    inherited   the launcher's variables (default: those of this process)
    """
    given = os.environ if inherited is None else inherited
    variables = {name: value for name, value in given.items() if not _WITHHELD.fullmatch(name)}
    carrier = triton.carrier
    libraries = [*map(str, triton.libraries)]
    if carrier.library_folder is not None:
        libraries.append(str(carrier.library_folder))
    # Without an empty entry, as OpenCV leaves one: it would mean the working directory.
    libraries += filter(None, variables.get("LD_LIBRARY_PATH", "").split(":"))
    variables["LD_LIBRARY_PATH"] = ":".join(libraries)
    variables["PYTHONPATH"] = ":".join(map(str, (library, *carrier.site_packages)))
    variables["PYTHONNOUSERSITE"] = "1"
    # Models use one each. By itself OpenBLAS starts a thread a core in every process and keeps them: on a
    # host of many cores more than a container may have.
    variables.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The embedded interpreter takes its standard library from the first python3 on PATH.
    variables["PATH"] = f"{carrier.prefix / 'bin'}:{variables.get('PATH', os.defpath)}"
    return variables
