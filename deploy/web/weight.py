"""What the page weighs: the bytes of its files, as they are and as they are sent."""

from collections.abc import Callable
from pathlib import Path

from deploy.web.bundle import runtime
from deploy.web.bundle.contents import read_manifest
from deploy.web.site import BUNDLE_BELOW, PAGE, Site, SiteFile

# Of the page's own files, what only the network in the browser needs.
_NETWORK_CODE = ("/web/network/", "/web/sources/browser.js")


def table(*, page: Path = PAGE, bundle: Path) -> str:
    """A line a file and the sums of what a visit loads. BundleMissing without a bundle."""
    site = Site.read(page, bundle=bundle)
    manifest = read_manifest(bundle)
    networks = {f"{BUNDLE_BELOW}{manifest[key]}" for key in ("network", "detector")}
    on_cpu, on_gpu = (
        {f"{BUNDLE_BELOW}{runtime.FOLDER}/{name}" for name in names}
        for names in (runtime.ON_CPU, runtime.ON_GPU)
    )
    lines = [f"{'file':<52} {'bytes':>12} {'as sent':>12}"]
    lines += [_line(path, [file]) for path, file in sorted(site.files.items())]

    def total(title: str, belongs: Callable[[str], bool]) -> str:
        return _line(title, [file for path, file in site.files.items() if belongs(path)])

    def is_page(path: str) -> bool:
        return not path.startswith((BUNDLE_BELOW, *_NETWORK_CODE))

    def in_browser(runtime_files: set[str]) -> Callable[[str], bool]:
        wanted = {*networks, *runtime_files, f"{BUNDLE_BELOW}manifest.json"}
        return lambda path: path in wanted or path.startswith(_NETWORK_CODE)

    lines += [
        "",
        total("the page, answered by the server", is_page),
        total("more with the network in the browser", in_browser(on_cpu)),
        total("the same, but by WebGPU", in_browser(on_gpu)),
    ]
    return "\n".join(lines)


def _line(title: str, files: list[SiteFile]) -> str:
    plain = sum(len(file.content) for file in files)
    sent = sum(len(file.content if file.packed is None else file.packed) for file in files)
    return f"{title:<52} {plain:>12,} {sent:>12,}"
