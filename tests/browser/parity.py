"""How far the answers of a browser's network lie from a server's: `python -m tests.browser.parity`.

The server's side is `qface_client.local` over the same ONNX file in fp32: a server's own code. Each kind's
answers are held to what the acceptance gate allows an engine of lower precision; boxes to a tenth of a pixel
or, of large photos, a thousandth of the face.
"""

import argparse
import contextlib
import dataclasses
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from qface_client.local import LocalFaceClient
from runtime.kinds import kinds
from tests.helpers.browser.network_page import Answered, NetworkPage
from tests.helpers.browser.pictures import Pictures, make_pictures
from tests.helpers.paths import ROOT
from tests.helpers.tools import require_tool

NETWORK = ROOT / "weights" / "qface-tiny-open.onnx"
CHROMIUM = ("--no-sandbox", "--force-color-profile=srgb")
# An adapter that needs no graphics card: as slow as its processor.
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")

BOX_PIXELS, BOX_SHARE = 0.1, 0.001
SCORE = 0.005
QUALITY = 0.02
_CROP, _CROP_TO_BOX = 112, 3.4 / 2.35  # a crop's side in pixels, and in boxes' sides
# A server decodes large JPEGs at a part of their size, a browser whole: another picture by a little.
_REDUCED_FROM = 2 * 12 * _CROP
_REDUCED = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A photo, and what is asked about it."""

    name: str
    photo: bytes = dataclasses.field(repr=False)
    tasks: tuple[str, ...] | None = None
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def cases(made: Pictures) -> list[Case]:
    """The committed portraits and heads, and pictures made of them."""
    assets = ROOT / "tests" / "assets"
    portraits = [assets / "astronaut.jpg", *sorted((assets / "portraits").glob("*.jpg"))]
    heads = [assets / "heads" / f"{number:02}.webp" for number in (0, 10)]
    files = [*portraits, *heads, made.twenty, made.turned, made.faceless]
    twenty = made.twenty.read_bytes()
    return [
        *(Case(name=path.name, photo=path.read_bytes()) for path in files),
        Case(name="three of twenty", photo=twenty, parameters={"max_faces": 3}),
        Case(name="tiles", photo=_crowd(), parameters={"min_face": 0.018, "min_score": 0.4}),
        Case(name="two tasks", photo=portraits[0].read_bytes(), tasks=("age", "parsing")),
        Case(name="12 megapixels", photo=_large()),
    ]


def _crowd() -> bytes:
    """Many small faces on a photo that is looked at in tiles: 1600 x 1000."""
    with Image.open(ROOT / "tests" / "assets" / "astronaut.jpg") as picture:
        face = picture.convert("RGB").crop((150, 20, 350, 250))
    crowd = Image.new("RGB", (1600, 1000), (90, 110, 130))
    for number in range(8):
        side = 40 + 15 * number
        column, row = number % 4, number // 4
        crowd.paste(face.resize((side, round(side * 1.15))), (40 + 390 * column, 60 + 480 * row))
    return _encoded(crowd)


def _large() -> bytes:
    with Image.open(ROOT / "tests" / "assets" / "astronaut.jpg") as picture:
        return _encoded(picture.convert("RGB").resize((3464, 3464), Image.Resampling.BICUBIC))


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest of a case, in one respect."""

    of: str
    value: float
    allowed: float

    @property
    def is_allowed(self) -> bool:
        return self.value <= self.allowed


def differences(
    expected: Mapping[str, Any], answered: Mapping[str, Any], kind_of: Mapping[str, str]
) -> list[Difference]:
    """Of two answers with the same faces: boxes, scores, and each kind. AssertionError where more differs.

    `kind_of` gives a task's kind.
    """
    for key in ("width", "height", "faces_found", "faces_below_quality", "smallest_face"):
        left, right = expected.get(key), answered.get(key)
        assert left == right, f"{key}: {left} and {right}"
    assert [list(face) for face in expected["faces"]] == [list(face) for face in answered["faces"]]
    slack = _REDUCED if max(expected["width"], expected["height"]) >= _REDUCED_FROM else 1.0
    found: dict[str, Difference] = {}

    def add(of: str, value: float, allowed: float) -> None:
        largest = found.get(of)
        if largest is None or value / allowed > largest.value / largest.allowed:
            found[of] = Difference(of=of, value=value, allowed=allowed)

    for left, right in zip(expected["faces"], answered["faces"], strict=True):
        side = max(left["box"][2] - left["box"][0], left["box"][3] - left["box"][1])
        add("box", _apart(left["box"], right["box"]), max(BOX_PIXELS, BOX_SHARE * side))
        add("score", _apart(left["score"], right["score"]), SCORE)
        if "quality" in left:
            add("quality", _apart(left["quality"], right["quality"]), slack * QUALITY)
        for name, value in left.items():
            if (kind := kind_of.get(name)) is not None:
                apart = _APART.get(kind, _any_apart)(value, right[name], side)
                add(kind, apart, slack * kinds()[kind].low_precision_tolerance)
            elif (kind := kind_of.get(name.removesuffix("_error"))) is not None:
                apart = _ERRORS_APART.get(kind, _any_apart)(value, right[name], side)
                error = kinds()[kind].error
                assert error is not None
                add(f"error of {kind}", apart, slack * error.low_precision_tolerance)
    return list(found.values())


def _apart(left: Any, right: Any) -> float:
    """The largest difference of two JSON values of one form, texts compared as they are."""
    if isinstance(left, Mapping):
        assert list(left) == list(right)
        return max((_apart(left[key], right[key]) for key in left), default=0.0)
    if isinstance(left, Sequence) and not isinstance(left, str):
        assert len(left) == len(right)
        return max(map(_apart, left, right), default=0.0)
    return abs(left - right) if isinstance(left, int | float) else float(left != right)


def _any_apart(left: Any, right: Any, side: float) -> float:
    return _apart(left, right)


def _classes_apart(left: Any, right: Any, side: float) -> float:
    """The label follows from the probabilities."""
    return _apart(left["probabilities"], right["probabilities"])


def _points_apart(left: Any, right: Any, side: float) -> float:
    """In the crop's pixels."""
    return _apart(left, right) * _CROP / (_CROP_TO_BOX * side)


def _masks_apart(left: Any, right: Any, side: float) -> float:
    """The share of the pixels that differ; the map has to be that of the same place."""
    assert left["labels"] == right["labels"]
    assert _apart(left["map"], right["map"]) <= max(0.1, 0.002 * side)
    ids = [np.repeat(*np.array(mask["runs"]).T) for mask in (left, right)]
    return float((ids[0] != ids[1]).mean())


_APART: Mapping[str, Callable[[Any, Any, float], float]] = {
    "classes": _classes_apart,
    "points": _points_apart,
    "mask": _masks_apart,
}
_ERRORS_APART: Mapping[str, Callable[[Any, Any, float], float]] = {"points": _points_apart}


def expected_answers(wanted: Sequence[Case]) -> list[dict[str, Any]]:
    """What a server answers, in the cases' order."""
    with LocalFaceClient(NETWORK) as client:
        return [client.analyze(case.photo, tasks=case.tasks, **case.parameters).to_dict() for case in wanted]


def table(rows: Mapping[str, Sequence[Difference]]) -> str:
    """By case, each difference and what part of the allowed one it is."""
    names = list(dict.fromkeys(difference.of for row in rows.values() for difference in row))
    lines = [["", *names]]
    for case, row in rows.items():
        by_name = {difference.of: difference for difference in row}
        cells = [f"{by_name[name].value:.4f}" if name in by_name else "-" for name in names]
        lines.append([case, *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def compared(
    wanted: Sequence[Case], answered: Sequence[Answered], description: Mapping[str, Any]
) -> dict[str, list[Difference]]:
    """By case, how far a browser's answers lie from a server's."""
    kind_of = {task["name"]: task["kind"] for task in description["tasks"]}
    expected = expected_answers(wanted)
    return {
        case.name: differences(server, browser.answer, kind_of)
        for case, server, browser in zip(wanted, expected, answered, strict=True)
    }


def ask(network: NetworkPage, case: Case) -> Answered:
    """The browser's answer."""
    return network.analyze(case.photo, tasks=case.tasks, parameters=case.parameters)


# -- the command ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def served_pages() -> Iterator[str]:
    """The address at which `python -m deploy.web --browser-only` serves while the context is open."""
    command = (sys.executable, "-m", "deploy.web", "--browser-only", "--port", "0")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            marker = "the page: "
            yield next(line.removeprefix(marker).strip() for line in process.stdout if marker in line)
        finally:
            process.terminate()
            process.stdout.read()


def main() -> int:
    """Prints the differences and what was measured; 1 where a difference is larger than allowed."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.parity", description=__doc__)
    parser.add_argument("--threads", type=int, help="of WebAssembly (default: as many as the page takes)")
    parser.add_argument("--webgpu", action="store_true", help="by a software adapter: minutes")
    parser.add_argument("--repeat", type=int, default=10, help="of what is timed (default: %(default)s)")
    arguments = parser.parse_args()
    options = {"threads": arguments.threads, "webgpu": "on" if arguments.webgpu else "off"}
    flags = [*CHROMIUM, *(SOFTWARE_GPU if arguments.webgpu else ())]
    with tempfile.TemporaryDirectory() as folder, served_pages() as url, sync_playwright() as playwright:
        wanted = cases(make_pictures(Path(folder)))[: 2 if arguments.webgpu else None]
        with playwright.chromium.launch(executable_path=require_tool("chromium"), args=flags) as browser:
            page = browser.new_page()
            page.set_default_timeout(0)
            loaded: list[int] = []
            page.context.on(
                "requestfinished", lambda request: loaded.append(request.sizes()["responseBodySize"])
            )
            network = NetworkPage(page, url)
            began = time.perf_counter()
            description = network.describe(**options)
            seconds = time.perf_counter() - began
            answered = [ask(network, case) for case in wanted]
            print(f"{network.note}; Chromium {browser.version}")
            print(
                f"loaded in {seconds:.1f} s, {sum(loaded) / 1e6:.1f} MB over the wire: {network.progress[-2]}"
            )
            rows = compared(wanted, answered, description)
            print(f"\n{table(rows)}")
            if not arguments.webgpu:
                print(f"\n{_speed(network, wanted, repeat=arguments.repeat)}")
    worse = [f"{case}: {each.of}" for case, row in rows.items() for each in row if not each.is_allowed]
    print(f"\nlarger than allowed: {', '.join(worse) or 'none'}")
    return 1 if worse else 0


def _speed(network: NetworkPage, wanted: Sequence[Case], *, repeat: int) -> str:
    """Faces and photos a second: of one face, and of twenty in a photo."""
    lines = []
    for case in (wanted[0], next(case for case in wanted if case.name == "twenty.jpg")):
        timed = [network.analyze(case.photo) for _ in range(repeat)]
        faces = len(timed[0].answer["faces"])
        median = {part: statistics.median(each.timings[part] for each in timed) for part in timed[0].timings}
        whole = sum(median.values())
        parts = ", ".join(f"{part} {ms:.0f}" for part, ms in median.items())
        lines.append(
            f"{case.name}: {1000 / whole:.1f} photos/s, {1000 * faces / whole:.1f} faces/s; "
            f"the network alone {1000 * faces / median['engine']:.0f} faces/s; ms: {parts}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
