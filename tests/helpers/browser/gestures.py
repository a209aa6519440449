"""What a visitor's hands do that Playwright has no call for: files dropped and pasted."""

import base64
import mimetypes
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import JSHandle, Page

_TRANSFER = """files => {
    const transfer = new DataTransfer();
    for (const {name, type, bytes} of files) {
        const content = Uint8Array.from(atob(bytes), each => each.charCodeAt(0));
        transfer.items.add(new File([content], name, {type}));
    }
    return transfer;
}"""


def drop(page: Page, *files: Path) -> None:
    """Files dropped on the page, with the events that a drag over it fires."""
    transfer = _transfer(page, files)
    for event in ("dragenter", "dragover", "drop"):
        page.locator("main").dispatch_event(event, {"dataTransfer": transfer})


def paste(page: Page, *files: Path) -> None:
    """Files pasted from the clipboard."""
    page.evaluate(
        "transfer => document.dispatchEvent("
        "new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true, cancelable: true}))",
        _transfer(page, files),
    )


def _transfer(page: Page, files: Sequence[Path]) -> JSHandle:
    content = [
        {
            "name": file.name,
            "type": mimetypes.guess_type(file.name)[0] or "",
            "bytes": base64.b64encode(file.read_bytes()).decode(),
        }
        for file in files
    ]
    return page.evaluate_handle(_TRANSFER, content)
