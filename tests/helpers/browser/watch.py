"""Watch: what a page does that a visitor would not see: errors of the console, requests to elsewhere."""

import dataclasses
import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError

_LOCAL = ("blob", "data", "about")  # schemes whose bytes come from nowhere


@dataclasses.dataclass(kw_only=True)
class Watch:
    """Collects from every page of a context; `findings` is what nothing in the test has announced.

    A refused script or style (CSP), an uncaught error and a request that failed all end up in the console.
    """

    console: list[str] = dataclasses.field(default_factory=list)  # errors and warnings, as they came
    requests: list[str] = dataclasses.field(default_factory=list)  # URLs, those with bytes from a server
    _expected: list[str] = dataclasses.field(default_factory=list)

    def attach(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", self._uncaught)
        context.on("request", self._request)

    def expect(self, pattern: str) -> None:
        """Lines of the console in which this regular expression is found are none of the findings."""
        self._expected.append(pattern)

    def expect_status(self, *codes: int) -> None:
        """Chromium writes a line for each answer of 400 and more, whatever a page makes of it."""
        for code in codes:
            self.expect(rf"Failed to load resource: the server responded with a status of {code}\b")

    def expect_no_server(self) -> None:
        """Chromium writes a line for each connection that can't be made, or breaks."""
        self.expect(r"Failed to load resource: net::ERR_")

    @property
    def origins(self) -> set[str]:
        """Scheme, host and port of everything that was requested."""
        return {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in self.requests}

    def findings(self) -> list[str]:
        """One line each; empty where the page was quiet and asked one origin only."""
        found = [
            line for line in self.console if not any(re.search(pattern, line) for pattern in self._expected)
        ]
        if len(self.origins) > 1:
            found.append(f"requests went to more than one origin: {', '.join(sorted(self.origins))}")
        return found

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            where = message.location
            self.console.append(f"{message.text} ({where.get('url', '')}:{where.get('lineNumber', '')})")

    def _uncaught(self, error: WebError) -> None:
        self.console.append(f"uncaught: {error.error}")

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in _LOCAL:
            self.requests.append(request.url)
