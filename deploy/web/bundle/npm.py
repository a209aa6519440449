"""How npm is configured here: where its registry is, which proxy leads to it, and whose certificates count.

As npm has it: variables NPM_CONFIG_* (in any case), then the user's .npmrc. Without either it is the public
registry, the proxies of the environment and this machine's certificates (SSL_CERT_FILE names others).
"""

import os
import re
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

PUBLIC_REGISTRY = "https://registry.npmjs.org"
_PREFIX = "npm_config_"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class NpmSettings:
    """The settings by npm's own names: "registry", "cafile", "https-proxy"."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._given = {
            name.lower().removeprefix(_PREFIX).replace("_", "-"): value
            for name, value in environment.items()
            if name.lower().startswith(_PREFIX) and value
        }
        home = Path(environment.get("HOME") or Path.home())
        self._file = _settings_of(Path(self._given.get("userconfig", home / ".npmrc")), environment)

    def get(self, name: str) -> str | None:
        """One setting; None without it."""
        return self._given.get(name) or self._file.get(name)

    @property
    def registry(self) -> str:
        """Its URL, without a slash at the end. ValueError where it is none over HTTP."""
        url = (self.get("registry") or PUBLIC_REGISTRY).rstrip("/")
        if not url.lower().startswith(("https://", "http://")):
            raise ValueError("`npm config get registry` is no URL of https:// or http://")
        if "@" in urllib.parse.urlsplit(url).netloc:
            raise ValueError("`npm config get registry` has a login in it, which is not used here")
        return url

    def opener(self) -> urllib.request.OpenerDirector:
        """What opens URLs by way of these proxies. OSError where the certificates can't be read."""
        context = ssl.create_default_context(cafile=self.get("cafile"))
        proxies = urllib.request.getproxies()
        for scheme, name in (("https", "https-proxy"), ("http", "proxy")):
            if given := self.get(name):
                proxies[scheme] = given
        return urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
        )


def _settings_of(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of an .npmrc: a line each, ${NAME} for a variable. None where it can't be read."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith((";", "#")):
            value = _VARIABLE.sub(lambda match: environment.get(match[1], ""), value.strip().strip("\"'"))
            found[name.strip()] = value
    return found
