"""Descriptions: what the REST door says of itself and of what is served."""

import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from deploy.gateway.authority import Authority
from deploy.gateway.front.answers import not_ready
from deploy.gateway.identity import Identities
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal, unavailable
from deploy.gateway.rest.call import Head
from deploy.gateway.rest.contracts import ServedContracts, ServedPhotos
from deploy.gateway.rest.docs_page import POLICY, page
from deploy.gateway.rest.openapi import specification
from deploy.gateway.rest.problems import HEADERS, Problem

_RETRY_AFTER = 1.0  # seconds
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


class Descriptions:
    """Each method answers one path; Problem where it can't."""

    def __init__(
        self,
        authority: Authority,
        *,
        identities: Identities,
        contracts: ServedContracts,
        options: GatewayOptions,
        is_open: Callable[[], bool],
    ) -> None:
        self._authority = authority
        self._identities = identities
        self._contracts = contracts
        self._options = options
        self._is_open = is_open

    async def live(self, request: web.BaseRequest) -> web.Response:
        return _json({"live": True})

    async def ready(self, request: web.BaseRequest) -> web.Response:
        is_ready, reason = self._authority.health() if self._is_open() else (False, "the server is stopping")
        if not is_ready:
            raise Problem(
                unavailable(reason or "the server is not ready", reason="not_ready", retry_after=_RETRY_AFTER)
            )
        return _json({"ready": True})

    async def tasks(self, request: web.BaseRequest) -> web.Response:
        photos = self._photos(request)
        return _json(described(photos))

    async def openapi(self, request: web.BaseRequest) -> web.Response:
        return _json(specification(self._photos(request), self._options))

    async def docs(self, request: web.BaseRequest) -> web.Response:
        photos = self._photos(request)
        scheme = "http" if self._options.identity.certificate is None else "https"
        host = request.host if _HOST.fullmatch(request.host) else "HOST"  # it goes into commands to copy
        text = page(
            specification(photos, self._options),
            described(photos),
            place=f"{scheme}://{host}",
            has_web=self._options.web,
        )
        headers = {**HEADERS, "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}
        return web.Response(body=text.encode(), headers=headers)

    def _photos(self, request: web.BaseRequest) -> ServedPhotos:
        """To callers that are known."""
        head = Head(request)
        try:
            self._identities.identify(head.invocation_metadata(), head.auth_context)
            served = self._authority.served()
            if served is None:
                raise not_ready(self._authority)
            return self._contracts.of(served)
        except Refusal as refusal:
            raise Problem(refusal) from None


def described(photos: ServedPhotos) -> dict[str, Any]:
    """The contract of the first network, as `qface info --json` prints it, and what a request may name."""
    first = photos.first
    return {
        **first.contract.to_json(),
        "models": list(photos.networks),
        "precision": photos.precision,
        "notice": first.info.notice,
        "request_parameters": {name: each.to_json() for name, each in first.parameters.items()},
    }


def _json(content: object) -> web.Response:
    body = json.dumps(content).encode() + b"\n"
    return web.Response(body=body, headers={**HEADERS, "Content-Type": "application/json"})
