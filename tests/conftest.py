"""Fixtures for all tests, and what every test may rely on."""

import signal
import sys
from collections.abc import Generator, Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from deploy.gateway.operation.service import GatewayServer
from runtime.telemetry import switch_off
from tests.helpers.gateways import PATIENT
from tests.helpers.paths import ROOT

switch_off()  # before a test module imports a library that reports

# Places whose tests share what is made once, with its name: the served repository, a build, a small server.
TOGETHER = {
    "tests/browser/": "served",
    "tests/served/": "served",
    "tests/training/evaluation/": "served",
    "tests/integration/build/": "built",
    "tests/faults/": "attacked",
    "tests/deploy/served/": "served",
    "tests/integration/deploy/bulk/": "bulk",
}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Byte code of tests and sources is kept, whatever the environment says.

    To rewrite the tests' assertions takes half of the time of a collection, and each worker collects. Only
    while collecting: what tests write and import may change within the second that byte code is dated by.
    """
    without, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = without


def pytest_configure() -> None:
    """Signals mean what they mean in a terminal, for the tests and for every program that they start.

    A shell that starts the suite in the background ignores SIGINT, and children inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class SharedFixtures(LoadScopeScheduling):
    """Tests that share what is made once share a worker: those of places in `TOGETHER`, else of a file."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((shared for place, shared in TOGETHER.items() if path.startswith(place)), path)


@pytest.hookimpl(optionalhook=True)  # one worker alone has no scheduler
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedFixtures:
    """How several workers share the tests."""
    return SharedFixtures(config, log)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """The real server behind its gateway, over the assembled repository, on free ports.

    `server.grpc_address` is what to call. It starts with the first test that uses it. Where it can't start,
    those tests fail with the gateway's sentence.
    """
    log = tmp_path_factory.mktemp("server") / "server.log"
    with (
        log.open("w") as sink,
        GatewayServer(
            ROOT / "var" / "test" / "repository",
            log=sink,
            rest_port=0,
            arguments=(*PATIENT, "--shared-memory", "--web"),
        ) as running,
    ):
        yield running


@pytest.fixture
def catalogue_restored() -> Iterator[None]:
    """No task that a test adds to the catalogue stays."""
    from training.tasks import CATALOGUE

    before = dict(CATALOGUE)
    yield
    CATALOGUE.clear()
    CATALOGUE.update(before)
