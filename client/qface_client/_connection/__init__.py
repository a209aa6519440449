"""The gRPC connection: how it is opened, who calls, and tritonclient's objects in and out of numpy."""

from .access import Tls, authorization, tls_files
from .channel import client_arguments, proxy_hint
from .messages import answer, error_of, model_info, request, with_file

__all__ = [
    "Tls",
    "answer",
    "authorization",
    "client_arguments",
    "error_of",
    "model_info",
    "proxy_hint",
    "request",
    "tls_files",
    "with_file",
]
