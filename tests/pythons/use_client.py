"""Uses the installed client in every way that needs no more than itself; prints what came of it as JSON.

python -I use_client.py PHOTO HOST:PORT
"""

import asyncio
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
from typing import Any

import qface_client
from qface_client import AsyncFaceClient, FaceClient


def main(photo: str, url: str) -> None:
    package = pathlib.Path(qface_client.__file__).parent
    if sys.prefix not in str(package):
        raise SystemExit(f"imported {package}, which is not in this environment")
    if not (package / "py.typed").is_file():
        raise SystemExit("py.typed is missing: type checkers would ignore the package's types")
    with FaceClient(url) as client:
        answers = {"FaceClient": client.analyze(photo).to_json()}
    answers["AsyncFaceClient"] = asyncio.run(analyze(photo, url))
    for program in (["qface"], [sys.executable, "-I", "-m", "qface_client"]):
        command = [*program, "analyze", photo, "--json", "--url", url]
        line = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        del line["file"]
        answers["qface" if program == ["qface"] else "python -m qface_client"] = line
    installed = {
        found.metadata["Name"]: found.version
        for found in importlib.metadata.distributions(path=[str(package.parent)])
    }
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "installed": dict(sorted(installed.items())),
                "answers": answers,
            }
        )
    )


async def analyze(photo: str, url: str) -> Any:
    async with AsyncFaceClient(url) as client:
        return (await client.analyze(photo)).to_json()


if __name__ == "__main__":
    main(*sys.argv[1:])
