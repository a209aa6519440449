"""Routes: from a path and a method to what answers, with HTTP's own rules about both."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from deploy.gateway.rest.problems import HEADERS, Problem, no_such_method, no_such_place

Answer = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Routes:
    """By path, by method. HEAD is GET without a body; OPTIONS says which methods there are.

    below  for every path that begins with this and has no route of its own; each ends with a slash
    """

    def __init__(
        self,
        routes: Mapping[str, Mapping[str, Answer]],
        *,
        below: Mapping[str, Mapping[str, Answer]] | None = None,
    ) -> None:
        self._routes = routes
        self._below = below or {}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Raises Problem for another path or method."""
        # An encoded slash is none: what stands in front and looks at paths would be passed by.
        has_encoded = "%2f" in request.rel_url.raw_path.lower()
        methods = None if has_encoded else self._methods(request.path)
        if methods is None:
            places = ", ".join((*self._routes, *(f"{beginning}..." for beginning in self._below)))
            raise Problem(no_such_place(f"nothing is here: there are {places}"))
        allowed = [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
        allow = ", ".join(sorted(allowed))
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={**HEADERS, "Allow": allow})
        answer = methods.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            raise Problem(no_such_method(f"{request.path} takes {allow}: use one of them"), allow=allow)
        return await answer(request)

    def _methods(self, path: str) -> Mapping[str, Answer] | None:
        if (found := self._routes.get(path)) is not None:
            return found
        return next(
            (methods for beginning, methods in self._below.items() if path.startswith(beginning)), None
        )
