"""Answers a photo without a server, by the installed client's extra `local`; prints what came of it as JSON.

python -I use_local.py PHOTO REPOSITORY
"""

import importlib.metadata
import json
import sys

from qface_client.local import LocalFaceClient


def main(photo: str, repository: str) -> None:
    with LocalFaceClient(repository) as client:
        answer = client.analyze(photo).to_dict()
    installed = sorted(found.metadata["Name"] for found in importlib.metadata.distributions())
    print(json.dumps({"installed": installed, "answer": answer}))


if __name__ == "__main__":
    main(*sys.argv[1:])
