"""The gRPC connection: how it is opened, who calls, and what is sent over it."""

from .access import Tls, authorization, tls_files
from .channel import open_channel, proxy_hint
from .messages import Calls, answer, config_request, error_of, model_info, request, with_file

__all__ = [
    "Calls",
    "Tls",
    "answer",
    "authorization",
    "config_request",
    "error_of",
    "model_info",
    "open_channel",
    "proxy_hint",
    "request",
    "tls_files",
    "with_file",
]
