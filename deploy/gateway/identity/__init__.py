"""Who calls: TLS, API keys, and what each may use."""

from deploy.gateway.identity.callers import ANYBODY, Caller, Identities
from deploy.gateway.identity.exposure import check_exposure
from deploy.gateway.identity.permissions import permit, tasks_of
from deploy.gateway.identity.tls import server_credentials, server_ssl_context

__all__ = [
    "ANYBODY",
    "Caller",
    "Identities",
    "check_exposure",
    "permit",
    "server_credentials",
    "server_ssl_context",
    "tasks_of",
]
