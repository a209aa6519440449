"""Reports whether this Python may carry the server.

A script of its own (standard library only), run by the Python in question, which may be an old one or
have nothing installed:

    interpreter_probe.py              its paths, versions and libpython, as JSON
    interpreter_probe.py --library    nothing; exit status 1 where its libpython is not found
"""

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import sys
import sysconfig

# The Python backend's stub embeds this Python, and is linked against this file.
LIBRARY = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
# Where the loader looks by itself. Named to it they would come before what ldconfig puts first: in a GPU's
# container on a host with an older driver that is libcuda of CUDA's compatibility package.
_LOADERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")


# Annotations are quoted so that a Python too old for them can still say that it is.
def library_folder() -> "str | None":
    """Where libpython lies; "" where the loader finds it by itself, None where nobody does."""
    folders = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]  # noqa: PTH118
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders += [os.path.join(folder, multiarch) for folder in folders if folder and multiarch]  # noqa: PTH118
    for folder in folders:
        if folder and os.path.exists(os.path.join(folder, LIBRARY)):  # noqa: PTH110, PTH118
            own = multiarch and os.path.basename(folder) == multiarch  # noqa: PTH119
            place = os.path.dirname(folder) if own else folder  # noqa: PTH120
            return "" if place in _LOADERS else str(folder)
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return ""


def version(name: str) -> "str | None":
    """Of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> int:
    """Prints the report; see the module's docstring."""
    folder = library_folder()
    if "--library" in sys.argv[1:]:
        return int(folder is None)
    spec = importlib.util.find_spec("pytriton")
    report = {
        "version": sys.version_info[:2],
        "prefix": sys.prefix,
        "purelib": sysconfig.get_path("purelib"),
        "platlib": sysconfig.get_path("platlib"),
        "library": LIBRARY,
        "library_folder": folder,
        "pytriton": None if spec is None else next(iter(spec.submodule_search_locations or ()), None),
        "pytriton_version": version("nvidia-pytriton"),
        "numpy_version": version("numpy"),
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
