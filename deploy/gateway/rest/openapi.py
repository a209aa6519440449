"""The specification of the REST door, OpenAPI 3.1, made of what is served."""

from typing import Any

from deploy.gateway.options import GatewayOptions
from deploy.gateway.rest.contracts import ServedPhotos


def specification(photos: ServedPhotos, options: GatewayOptions) -> dict[str, Any]:
    """As plain data."""
    return {"openapi": "3.1.0"}
