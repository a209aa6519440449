"""Writes the README's picture of the page: python -m tests.browser.screenshots [--variants DIR]

The astronaut on the real server, in Chromium: docs/images/web-page.png, at most 250 kB; a larger one is exit
status 1. With --variants also the page in the dark, on a phone and before the first photo, to be looked at.
All is the same from run to run but the times, which are this machine's: take it on a quiet one.
"""

import argparse
import dataclasses
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from deploy.gateway.operation.service import GatewayServer
from tests.browser.conftest import ARGUMENTS, PATIENCE
from tests.helpers.browser.gestures import drop
from tests.helpers.gateways import PATIENT
from tests.helpers.paths import ASTRONAUT, ROOT
from tests.helpers.tools import find_tool, how_to_install

PICTURE = ROOT / "docs" / "images" / "web-page.png"
MOST_BYTES = 250_000
_COLOURS = 256
_WARM = 5  # answers before the one that is shown: the first ones of a server take longer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shot:
    """How the page is looked at."""

    name: str
    width: int
    height: int
    dark: bool = False
    is_empty: bool = False

    def take(self, browser: Browser, url: str) -> bytes:
        """A PNG of few colours."""
        context = browser.new_context(
            viewport=ViewportSize(width=self.width, height=self.height),
            color_scheme="dark" if self.dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        try:
            page = context.new_page()
            page.goto(url)
            expect(page.locator("#tasks input").first).to_be_attached()  # on a phone they are folded
            if not self.is_empty:
                for _ in range(_WARM):
                    page.request.post(f"{url}v1/analyze", data=ASTRONAUT.read_bytes())
                _analysed(page)
            return _of_few_colours(page.screenshot())
        finally:
            context.close()


README = Shot(name=PICTURE.stem, width=1280, height=830)
VARIANTS = (
    Shot(name="dark", width=1280, height=830, dark=True),
    Shot(name="phone", width=390, height=1600),
    Shot(name="phone-dark", width=390, height=1600, dark=True),
    Shot(name="wide", width=1920, height=1000),
    Shot(name="empty", width=1280, height=830, is_empty=True),
)


def _analysed(page: Page) -> None:
    drop(page, ASTRONAUT)
    expect(page.get_by_role("status")).to_have_text(f"1 face found in {ASTRONAUT.name}")
    expect(page.locator("#list .thumb canvas")).to_be_visible()


def _of_few_colours(png: bytes) -> bytes:
    """A quarter of the bytes; the small fields of colour beside a photo keep theirs."""
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
        written = io.BytesIO()
        few.save(written, "PNG", optimize=True)
    return written.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=PICTURE)
    parser.add_argument("--variants", type=Path, help="a folder for the page as others see it")
    parser.add_argument("--url", help="of a page that is served already")
    options = parser.parse_args(arguments)
    program = find_tool("chromium")
    if program is None:
        print(f"chromium is not installed: {how_to_install('chromium')}", file=sys.stderr)
        return 1
    if options.url:
        return _write(options, program, options.url)
    repository = ROOT / "var" / "test" / "repository"
    with GatewayServer(repository, rest_port=0, arguments=(*PATIENT, "--web")) as server:
        return _write(options, program, f"http://{server.rest_address}/")


def _write(options: argparse.Namespace, program: Path, url: str) -> int:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            picture = README.take(browser, url)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_bytes(picture)
            print(f"{options.output}: {len(picture):,} bytes")
            if options.variants is not None:
                options.variants.mkdir(parents=True, exist_ok=True)
                for shot in VARIANTS:
                    path = options.variants / f"{shot.name}.png"
                    path.write_bytes(shot.take(browser, url))
                    print(path)
        finally:
            browser.close()
    if len(picture) > MOST_BYTES:
        print(f"the picture has more than {MOST_BYTES:,} bytes: make it smaller", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
