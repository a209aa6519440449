"""What becomes of a browser that lacks something, a bundle that is not whole, a call that is not wanted."""

import base64
import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Route

from tests.helpers.browser.network_page import STILL, NetworkPage, Refused
from tests.helpers.browser.pictures import Pictures

_RUNTIME = "**/web/bundle/ort/ort.webgpu.min.mjs"
_WORKER = "**/web/network/worker.js"


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A visitor whose requests a test may answer itself."""
    with chromium.new_context() as context:
        context.set_default_timeout(0)  # the network is loaded, and a busy machine is slow
        yield context


def without_network(visitor: BrowserContext, url: str) -> Refused:
    """Why the network can't be loaded."""
    with pytest.raises(Refused) as refused:
        NetworkPage(visitor.new_page(), url).describe()
    return refused.value


def changed(route: Route) -> None:
    """A file with its last byte changed."""
    body = route.fetch().body()
    route.fulfill(body=body[:-1] + bytes([body[-1] ^ 1]), content_type="application/octet-stream")


def test_a_file_that_is_not_the_manifests_is_not_run(visitor: BrowserContext, pages_only: str) -> None:
    visitor.route("**/web/bundle/qface-tiny-open.onnx", changed)
    refused = without_network(visitor, pages_only)
    assert refused.sentence == (
        "the browser's network is not whole (qface-tiny-open.onnx is not what its manifest has): "
        "`make web-bundle` makes it again"
    )
    assert refused.reason == "bundle"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("manifest.json", "the browser's network is not whole (there is no manifest.json): "),
        ("qface-tiny-open.onnx", "the browser's network is not whole (there is no qface-tiny-open.onnx): "),
    ],
)
def test_a_missing_file_is_named(visitor: BrowserContext, pages_only: str, file: str, sentence: str) -> None:
    visitor.route(f"**/web/bundle/{file}", lambda route: route.fulfill(status=404))
    assert without_network(visitor, pages_only).sentence.startswith(sentence)


def test_a_manifest_that_is_none_is_refused(visitor: BrowserContext, pages_only: str) -> None:
    visitor.route("**/web/bundle/manifest.json", lambda route: route.fulfill(body='{"files": {}}'))
    assert "(its manifest can't be read)" in without_network(visitor, pages_only).sentence


def test_a_connection_that_ends_is_no_damage(visitor: BrowserContext, pages_only: str) -> None:
    visitor.route("**/web/bundle/qface-tiny-open.onnx", lambda route: route.abort("connectionreset"))
    refused = without_network(visitor, pages_only)
    assert refused.reason == "unreachable"
    assert refused.sentence.startswith("qface-tiny-open.onnx of the browser's network can't be loaded")


def test_a_page_whose_files_are_missing_says_what_to_do(visitor: BrowserContext, pages_only: str) -> None:
    visitor.route(_WORKER, lambda route: route.fulfill(status=404))
    refused = without_network(visitor, pages_only)
    assert refused.reason == "unsupported"
    assert refused.sentence.endswith("take a newer browser, or ask the server")


def test_without_webassembly_nothing_is_loaded(visitor: BrowserContext, pages_only: str) -> None:
    asked: list[str] = []
    visitor.on("request", lambda request: asked.append(request.url))
    visitor.route(_WORKER, lambda route: prefixed(route, "delete globalThis.WebAssembly;"))
    refused = without_network(visitor, pages_only)
    assert refused.reason == "unsupported"
    assert refused.sentence.startswith("this browser has WebAssembly switched off")
    assert not [url for url in asked if "/web/bundle/" in url]


def prefixed(route: Route, line: str) -> None:
    """A script with a line before it."""
    response = route.fetch()
    route.fulfill(response=response, body=f"{line}\n{response.text()}")


def test_where_threads_may_not_share_memory_one_computes(
    visitor: BrowserContext, pages_only: str, pictures: Pictures
) -> None:
    visitor.route(f"{pages_only}{STILL}", without_isolation)
    visitor.route("**/*.js", without_isolation)
    network = NetworkPage(visitor.new_page(), pages_only)
    network.describe()
    assert not network.page.evaluate("crossOriginIsolated")
    assert network.note.startswith("WebAssembly, 1 thread: the page was served without the headers")
    assert len(network.analyze(pictures.astronaut.read_bytes()).answer["faces"]) == 1


def without_isolation(route: Route) -> None:
    response = route.fetch()
    kept = {name: value for name, value in response.headers.items() if not name.startswith("cross-origin-")}
    route.fulfill(response=response, headers=kept)


# A WebGPU that is wrong: WebAssembly's numbers, and one added to each.
_WRONG_RUNTIME = """
export { Tensor, env } from "./ort.wasm.min.mjs";
import { InferenceSession as Sessions } from "./ort.wasm.min.mjs";
export const InferenceSession = {
  async create(model, options) {
    const isWrong = options.executionProviders[0] === "webgpu";
    const session = await Sessions.create(model, { ...options, executionProviders: ["wasm"] });
    return {
      async run(feeds, outputs) {
        const answers = await session.run(feeds, outputs);
        const wrong = (name) => [name, { data: answers[name].data.map((number) => number + 1) }];
        return isWrong ? Object.fromEntries(outputs.map(wrong)) : answers;
      },
    };
  },
};
"""
_ADAPTER = (
    'Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({ info: {} }) } });'
)


def test_a_webgpu_that_computes_other_numbers_is_left_aside(
    visitor: BrowserContext, pages_only: str, pictures: Pictures
) -> None:
    visitor.route(_RUNTIME, lambda route: route.fulfill(body=_WRONG_RUNTIME, content_type="text/javascript"))
    # The runtime that stands in is WebAssembly's: its core in the place of WebGPU's.
    visitor.route(_WORKER, lambda route: prefixed(route, _ADAPTER))
    visitor.route("**/web/network/engine.js", with_core_of_webassembly)
    network = NetworkPage(visitor.new_page(), pages_only)
    network.describe()
    assert network.note.startswith("WebAssembly, ")
    assert network.note.endswith(
        "; WebGPU is not used: this browser's WebGPU computes other numbers than WebAssembly"
    )
    assert len(network.analyze(pictures.astronaut.read_bytes()).answer["faces"]) == 1


def with_core_of_webassembly(route: Route) -> None:
    response = route.fetch()
    body = response.text().replace("ort-wasm-simd-threaded.asyncify", "ort-wasm-simd-threaded")
    route.fulfill(response=response, body=body)


# Three calls: one is cancelled while it is computed, two go on; then the source is closed under a fourth.
_CALLS = """async ([photo]) => {
  const bytes = Uint8Array.from(atob(photo), (character) => character.charCodeAt(0));
  const { source, outcome } = globalThis;
  const call = (signal) =>
    outcome(() => source.analyze(new Blob([bytes]), { tasks: ["age"], parameters: {}, signal }));
  const never = new AbortController().signal;
  const cancelled = new AbortController();
  const calls = [call(cancelled.signal), call(never), call(never)];
  cancelled.abort();
  const outcomes = await Promise.all(calls);
  const closed = call(never);
  source.close();
  const again = call(never);
  return [...outcomes, await closed, await again];
}"""


def test_a_call_that_is_cancelled_ends_and_the_others_are_answered(
    visitor: BrowserContext, pages_only: str, pictures: Pictures
) -> None:
    network = NetworkPage(visitor.new_page(), pages_only)
    network.describe()
    assert network.page.evaluate("crossOriginIsolated")
    photo = base64.b64encode(pictures.astronaut.read_bytes()).decode()
    cancelled, first, second, closed, again = network.page.evaluate(_CALLS, [photo])
    assert cancelled["refused"]["name"] == "AbortError"
    assert closed["refused"]["name"] == "AbortError"
    answers = {json.dumps(each["answered"]["answer"]) for each in (first, second, again)}
    assert len(answers) == 1
    assert network.note.startswith("WebAssembly, ")


def test_a_network_that_fails_on_one_photo_answers_the_others(
    visitor: BrowserContext, pages_only: str, pictures: Pictures
) -> None:
    # As where memory ends: the first photo of this page breaks the worker.
    visitor.route("**/web/network/image/photo.js", breaking_once)
    network = NetworkPage(visitor.new_page(), pages_only)
    network.describe(threads=1)
    photo = pictures.astronaut.read_bytes()
    with pytest.raises(Refused) as refused:
        network.analyze(photo)
    assert refused.value.reason == "memory"
    assert refused.value.sentence.startswith("this browser has no memory left for the photo")
    assert len(network.analyze(photo).answer["faces"]) == 1


def breaking_once(route: Route, *, broken: list[bool] = []) -> None:  # noqa: B006 - what it has done
    """The decoder, whose first copy has no memory."""
    response = route.fetch()
    body = response.text()
    if not broken:
        broken.append(True)
        body = body.replace("  const file = await bytesOf(blob);", '  throw new RangeError("out of memory");')
        assert "out of memory" in body
    route.fulfill(response=response, body=body)
