"""PageFiles: the page over HTTP: from memory, compressed where a client takes it, anew only when changed."""

from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web

from deploy.gateway.rest.problems import Problem, no_such_place
from deploy.gateway.rest.routes import Answer
from deploy.web.policy import HEADERS
from deploy.web.site import BELOW, BUNDLE_BELOW, Site

_PACKED = "gzip"
_PIECE = 1 << 16  # bytes
_WITHOUT_BUNDLE = (
    "the browser's network is not on this server: `make web-bundle` makes it there, and a start serves it"
)


class PageFiles:
    """Answers GET and HEAD for the page. `site`: what there is, looked up at each request."""

    def __init__(self, site: Callable[[], Site]) -> None:
        self._site = site

    @property
    def places(self) -> Mapping[str, Mapping[str, Answer]]:
        """The page's own path."""
        return {"/": {"GET": self}}

    @property
    def below(self) -> Mapping[str, Mapping[str, Answer]]:
        """What the paths of all other files begin with."""
        return {BELOW: {"GET": self}}

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Problem where there is no such file."""
        site = self._site()
        file = site.files.get(request.path)
        if file is None:
            if site.without_bundle and request.path.startswith(BUNDLE_BELOW):
                raise Problem(no_such_place(_WITHOUT_BUNDLE))
            raise Problem(no_such_place("the page has no such file: it begins at /"))
        content, tag, headers = file.content, file.tag, {**HEADERS, "Content-Type": file.media_type}
        if file.packed is not None:
            headers["Vary"] = "Accept-Encoding"
            if _takes_packed(request.headers.get("Accept-Encoding", "")):
                content, tag = file.packed, f"{tag}-{_PACKED}"
                headers["Content-Encoding"] = _PACKED
        headers["ETag"] = f'"{tag}"'
        if any(each.value in ("*", tag) for each in request.if_none_match or ()):
            del headers["Content-Type"]
            headers.pop("Content-Encoding", None)
            return web.Response(status=304, headers=headers)
        if len(content) <= _PIECE:
            return web.Response(body=content, headers=headers)
        headers["Content-Length"] = str(len(content))
        return web.Response(body=_in_pieces(content), headers=headers)


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    """A client that reads slowly holds one of them in memory, and not another copy of the file."""
    for begin in range(0, len(content), _PIECE):
        yield content[begin : begin + _PIECE]


def _takes_packed(accepted: str) -> bool:
    """Whether an Accept-Encoding takes gzip; only what names it does."""
    for each in accepted.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() == _PACKED:
            return not weight or weight.strip().removeprefix("q=").strip("0.") != ""
    return False
