"""The gRPC connection: how it is opened, who calls, and what is sent over it."""

from .access import Tls, authorization, tls_files
from .address import joined
from .channel import proxy_hint
from .messages import answer, error_of, model_info, request
from .transport import AsyncGrpcTransport, GrpcTransport

__all__ = [
    "AsyncGrpcTransport",
    "GrpcTransport",
    "Tls",
    "answer",
    "authorization",
    "error_of",
    "joined",
    "model_info",
    "proxy_hint",
    "request",
    "tls_files",
]
