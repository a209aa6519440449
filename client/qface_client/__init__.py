"""Asks a Q-Face server about the faces in a photo.

    from qface_client import FaceClient

    with FaceClient("localhost:8001") as client:
        for face in client.analyze("photo.jpg", tasks=["expression", "head_pose"]):
            print(face.box, face.score, face.expression.label, face.head_pose.yaw)

The labels come from the server: this package knows none by heart. `qface_client.aio` has the asyncio
twin, `qface_client.draw` draws answers on a picture, and `qface` is the command line.
"""

from ._connection import Tls
from ._exchange.budget import RetryBudget
from ._exchange.deadline import Timeout
from ._many import PhotoResult
from ._photos import photo_files
from ._version import __version__
from .aio import AsyncFaceClient
from .client import FaceClient
from .contract import Contract, TaskSpec
from .errors import (
    Call,
    ConnectError,
    ContractError,
    ContractMismatch,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotPermitted,
    NotRecorded,
    NotServed,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
    UnknownKind,
    UnknownModel,
    UnknownTask,
)
from .results import (
    Analysis,
    Answer,
    Classification,
    Face,
    Mask,
    MultiLabel,
    Points,
    Provenance,
    Rotation,
    Value,
    Visibility,
)
from .tables import faces_to_frame

__all__ = [
    "Analysis",
    "Answer",
    "AsyncFaceClient",
    "Call",
    "Classification",
    "ConnectError",
    "Contract",
    "ContractError",
    "ContractMismatch",
    "Face",
    "FaceClient",
    "InvalidInput",
    "Mask",
    "MultiLabel",
    "NotAuthenticated",
    "NotAuthorized",
    "NotPermitted",
    "NotRecorded",
    "NotServed",
    "PhotoResult",
    "Points",
    "Provenance",
    "QFaceError",
    "RequestTimeout",
    "RetryBudget",
    "Rotation",
    "ServerBusy",
    "ServerError",
    "TaskSpec",
    "Timeout",
    "Tls",
    "UnknownKind",
    "UnknownModel",
    "UnknownTask",
    "Value",
    "Visibility",
    "__version__",
    "faces_to_frame",
    "photo_files",
]
