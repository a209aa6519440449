"""Answers in the own process, without a server: the networks, the detector and the code that a server runs.

    from qface_client.local import LocalFaceClient

    with LocalFaceClient("var/repository") as client:  # as `make repository` assembles it; or an ONNX file
        for face in client.analyze("photo.jpg"):
            print(face.box, face.expression.label)

Needs the extra `local`: `pip install ./runtime "./client[local]"`, Python 3.11 or later.
"""

from .client import LocalFaceClient
from .transport import LocalTransport

__all__ = ["LocalFaceClient", "LocalTransport"]
