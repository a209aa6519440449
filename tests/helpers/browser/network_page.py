"""A page whose network answers in the browser, driven without its forms: photos in, answers out."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from playwright.sync_api import Page

# A document of the page's origin and headers that asks for nothing itself.
STILL = "web/icon.svg"

_OPEN = """async ([options]) => {
  const { BrowserSource } = await import(new URL("web/sources/browser.js", options.base).href);
  globalThis.source = new BrowserSource(options);
  globalThis.progress = [];
  globalThis.source.onprogress = (text) => globalThis.progress.push(text);
  return await globalThis.outcome(() => globalThis.source.describe());
}"""

_ANALYZE = """async ([photo, tasks, parameters]) => {
  const bytes = Uint8Array.from(atob(photo), (character) => character.charCodeAt(0));
  const request = { tasks, parameters, signal: new AbortController().signal };
  return await globalThis.outcome(() => globalThis.source.analyze(new Blob([bytes]), request));
}"""

_OUTCOME = """() => void (globalThis.outcome = async (call) => {
  try {
    return { answered: await call() };
  } catch (error) {
    return { refused: { sentence: error.message, reason: error.reason ?? null, name: error.name } };
  }
})"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refused(Exception):
    """A SourceError of the page, or another error's name and message."""

    sentence: str
    reason: str | None
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """What `source.analyze` gave."""

    answer: dict[str, Any]
    timings: dict[str, float]  # ms by the part's name


class NetworkPage:
    """`page` with a BrowserSource in it, of the page at `url`, which is not opened itself."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        page.goto(f"{url}{STILL}")
        page.evaluate(_OUTCOME)

    def describe(self, **options: Any) -> dict[str, Any]:
        """Loads the network, with these options of a BrowserSource. Refused where it can't be."""
        description: dict[str, Any] = _answered(self.page.evaluate(_OPEN, [{"base": self._url, **options}]))
        return description

    def analyze(
        self,
        photo: bytes,
        *,
        tasks: Sequence[str] | None = None,
        parameters: Mapping[str, float] | None = None,
    ) -> Answered:
        """The photo's answer. Refused where it gets none."""
        wish = [base64.b64encode(photo).decode(), tasks, dict(parameters or {})]
        answered = _answered(self.page.evaluate(_ANALYZE, wish))
        return Answered(
            answer=answered["answer"], timings={part["name"]: part["ms"] for part in answered["timings"]}
        )

    @property
    def note(self) -> str:
        """Where and how the network computes."""
        return str(self.page.evaluate("globalThis.source.note"))

    @property
    def progress(self) -> list[str]:
        """What was shown while it was loaded."""
        return list(self.page.evaluate("globalThis.progress"))


def _answered(outcome: Mapping[str, Any]) -> Any:
    if "refused" in outcome:
        raise Refused(**outcome["refused"])
    return outcome["answered"]
