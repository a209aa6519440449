"""Routes: from a path and a method to what answers, with HTTP's own rules about both."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from deploy.gateway.rest.problems import HEADERS, Problem, no_such_method, no_such_place

Answer = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Routes:
    """By path, by method. HEAD is GET without a body; OPTIONS says which methods there are."""

    def __init__(self, routes: Mapping[str, Mapping[str, Answer]]) -> None:
        self._routes = routes

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Raises Problem for another path or method."""
        # An encoded slash is none: what stands in front and looks at paths would be passed by.
        has_encoded = "%2f" in request.rel_url.raw_path.lower()
        methods = None if has_encoded else self._routes.get(request.path)
        if methods is None:
            places = ", ".join(self._routes)
            raise Problem(no_such_place(f"nothing is here: there are {places}"))
        allowed = [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
        allow = ", ".join(sorted(allowed))
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={**HEADERS, "Allow": allow})
        answer = methods.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            raise Problem(no_such_method(f"{request.path} takes {allow}: use one of them"), allow=allow)
        return await answer(request)
