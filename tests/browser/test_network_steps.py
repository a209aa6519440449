"""Single steps of the browser's network beside the server's: pixels, copies, crops, roundings, metadata."""

import base64
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from runtime.contract import ErrorBounds, TaskEntry
from runtime.image.align import align_face
from runtime.image.decode import decode_image
from runtime.image.photo import copy_of
from runtime.kinds import kind_of
from runtime.kinds.base import PhotoGeometry
from tests.browser.parity import NETWORK
from tests.helpers.browser.network_page import STILL
from tests.helpers.paths import ASTRONAUT
from tests.helpers.requests import BOX, LANDMARKS

_ORIENTATION = 0x0112  # EXIF's tag

_HELPERS = """() => {
globalThis.bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
globalThis.shown = ({ width, height, data }) => {
  let text = "";
  const part = 30000;
  for (let at = 0; at < data.length; at += part) text += String.fromCharCode(...data.subarray(at, at + part));
  return { width, height, data: btoa(text) };
};
globalThis.pixels = ({ width, height, data }) => ({ width, height, data: bytes(data) });
}"""


@pytest.fixture(scope="module")
def steps(chromium: Browser, pages_only: str) -> Iterator[Page]:
    """A page that can import the network's modules."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{pages_only}{STILL}")
        page.evaluate(_HELPERS)
        yield page


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return decode_image(ASTRONAUT.read_bytes())


def encoded(content: bytes | NDArray[np.uint8]) -> str:
    return base64.b64encode(content if isinstance(content, bytes) else content.tobytes()).decode()


def sent(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "data": encoded(np.ascontiguousarray(pixels)),
    }


def received(shown: dict[str, Any]) -> NDArray[np.uint8]:
    flat = np.frombuffer(base64.b64decode(shown["data"]), np.uint8)
    return flat.reshape(shown["height"], shown["width"], 3)


def files() -> dict[str, bytes]:
    """Of the accepted formats: turned, with transparent parts, grey, progressive, of other samplings."""
    made: dict[str, bytes] = {}

    def add(name: str, picture: Image.Image, **options: Any) -> None:
        file = io.BytesIO()
        picture.save(file, name.partition(" ")[0], **options)
        made[name] = file.getvalue()

    with Image.open(ASTRONAUT) as opened:
        picture = opened.convert("RGB").crop((130, 0, 330, 260))
    for form in ("JPEG", "WebP"):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[_ORIENTATION] = orientation
            add(f"{form} {orientation}", picture, exif=exif)
    fading = picture.copy()
    fading.putalpha(Image.linear_gradient("L").resize(picture.size))
    add("PNG with transparent parts", fading)
    add("PNG grey", picture.convert("L"))
    add("JPEG grey", picture.convert("L"))
    add("JPEG progressive", picture, progressive=True)
    add("JPEG 4:4:4", picture, subsampling=0)
    add("WebP lossless", picture, lossless=True)
    return made


def test_pictures_are_decoded_to_the_servers_pixels(steps: Page) -> None:
    made = files()
    decoded = steps.evaluate(
        """async (files) => {
          const { decodePhoto } = await import("/web/network/image/photo.js");
          return Promise.all(files.map(async (file) => shown(await decodePhoto(new Blob([bytes(file)])))));
        }""",
        [encoded(file) for file in made.values()],
    )
    for (name, file), pixels in zip(made.items(), decoded, strict=True):
        np.testing.assert_array_equal(received(pixels), decode_image(file), err_msg=name)


# Averaged by wholes, by parts, by halves first; between pixels; enlarged.
@pytest.mark.parametrize(
    ("size", "most"), [((192, 192), 0), ((128, 100), 0), ((77, 61), 0), ((400, 390), 0), ((700, 600), 1)]
)
def test_copies_are_the_servers(
    steps: Page, photo: NDArray[np.uint8], size: tuple[int, int], most: int
) -> None:
    part = (3, 5, 509, 500)
    copied = steps.evaluate(
        """async ([photo, width, height, [x0, y0, x1, y1]]) => {
          const { copyOf } = await import("/web/network/image/resample.js");
          const copy = copyOf(pixels(photo), { width, height, part: { x0, y0, x1, y1 } });
          return [shown(copy.pixels), copy.scale, copy.offset];
        }""",
        [sent(photo), *size, part],
    )
    expected = copy_of(photo, size=size, part=part)
    assert np.abs(received(copied[0]).astype(int) - expected.pixels).max() <= most
    assert copied[1] == expected.scale.tolist()
    assert copied[2] == expected.offset.tolist()


# Upright, turned; as it is, cut by the photo's edge, so large that it is averaged first, enlarged.
@pytest.mark.parametrize("angle", [0, 30, 180])
@pytest.mark.parametrize(("zoom", "shift"), [(1.0, 0), (1.0, 110), (2.2, 0), (0.25, 0)])
def test_crops_are_the_servers(
    steps: Page, photo: NDArray[np.uint8], angle: int, zoom: float, shift: float
) -> None:
    box, landmarks = np.array(BOX, dtype=np.float32), np.array(LANDMARKS, dtype=np.float32)
    middle = landmarks.mean(axis=0)
    turn = np.float32(cv2.getRotationMatrix2D((0, 0), -angle, zoom)[:, :2])
    landmarks = (landmarks - middle) @ turn.T + middle - np.float32(shift)
    box = box - np.float32(shift)
    cropped = steps.evaluate(
        """async ([photo, box, landmarks]) => {
          const { alignFace } = await import("/web/network/image/align.js");
          const { crop, toPhoto } = alignFace(pixels(photo), { box, landmarks, size: 112 });
          return [shown(crop), toPhoto];
        }""",
        [sent(photo), box.tolist(), landmarks.ravel().tolist()],
    )
    crop, back = align_face(photo, box=box, landmarks=landmarks, size=112)
    np.testing.assert_allclose(cropped[1], back.ravel(), rtol=1e-6, atol=1e-5)
    assert np.abs(received(cropped[0]).astype(int) - crop).max() <= 1


def test_numbers_are_rounded_as_python_rounds_them(steps: Page) -> None:
    source = random.Random(0)
    numbers = [0.125, 0.375, -0.125, 2.5, 1.005, 0.0, 123456.125, 1e-9, 0.5, 1.5]
    numbers += [float(np.float32(source.uniform(-600, 600))) for _ in range(500)]
    numbers += [source.randrange(-4000, 4000) / 64 for _ in range(500)]
    for digits in (0, 2, 4):
        rounded = steps.evaluate(
            """async ([numbers, digits]) => {
              const { roundTo } = await import("/web/network/numbers.js");
              return numbers.map((number) => roundTo(number, digits));
            }""",
            [numbers, digits],
        )
        assert rounded == [round(number, digits) for number in numbers]


def test_expected_errors_are_a_servers(steps: Page) -> None:
    """Of points in the photo's pixels, where the crop is turned and enlarged."""
    maps = np.float32([[[1.5, -0.8, 30], [0.8, 1.5, 40]]])
    photo = PhotoGeometry(maps=maps, sizes=None, requested=None)
    for kind, labels in (("value", ("years",)), ("rotation", ("yaw", "pitch", "roll")), ("points", "abcd")):
        error = ErrorBounds(unit="years", within=((0.5, 0.7), (0.8, 1.6)))
        entry = TaskEntry(name="asked", kind=kind, labels=tuple(labels), unit="years", error=error)
        head = np.random.default_rng(1).random((1, len(labels)), np.float32) * 20
        answered = steps.evaluate(
            """async ([task, head, toPhoto]) => {
              const { headsOf } = await import("/web/network/kinds/index.js");
              const [, error] = headsOf([task]);
              return [error.name, error.kind.answer(task, Float32Array.from(head), { toPhoto })];
            }""",
            [entry.to_json(), head[0].tolist(), maps.ravel().tolist()],
        )
        kind_of_error = kind_of(entry).error
        assert kind_of_error is not None
        (expected,) = kind_of_error.postprocess(entry, head, photo)["asked_error"].tolist()
        found = list(answered[1].values()) if isinstance(answered[1], dict) else answered[1]
        assert (answered[0], found) == ("asked_error", [round(number, 2) for number in expected])


def test_the_metadata_is_the_onnx_files_own(steps: Page) -> None:
    metadata = steps.evaluate(
        """async (file) => {
          const { readMetadata } = await import("/web/network/onnx_metadata.js");
          return Object.fromEntries(readMetadata(bytes(file)));
        }""",
        encoded(Path(NETWORK).read_bytes()),
    )
    network = onnx.load(NETWORK, load_external_data=False)
    assert metadata == {entry.key: entry.value for entry in network.metadata_props}


def test_a_file_that_is_no_network_states_no_contract(steps: Page) -> None:
    sentences = steps.evaluate(
        """async (files) => {
          const { readContract } = await import("/web/network/contract.js");
          return files.map((file) => {
            try {
              readContract(bytes(file));
            } catch (error) {
              return error.message;
            }
          });
        }""",
        [encoded(content) for content in (b"", b"\xff" * 40, NETWORK.read_bytes()[:100_000])],
    )
    assert set(sentences) == {"the network's file states no contract that can be read: make the bundle again"}
