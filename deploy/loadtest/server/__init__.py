"""The server's side of a stage: where the time of its requests went, and what they cost it."""

from deploy.loadtest.server.side import Look, ServerSide, server_side

__all__ = ["Look", "ServerSide", "server_side"]
