"""Each thing that can be wrong below gRPC is planted with real sockets, and found by its own line."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qface_client.cli import main
from qface_client.cli.doctor import sockets, way
from tests.helpers.client_doctor import doctor
from tests.helpers.described_server import DescribedServer, health
from tests.helpers.fake_v2_server import running
from tests.helpers.misbehaving_servers import misbehaving, silent, unused_address

Capsys = pytest.CaptureFixture[str]
REST = ["protocol", "certificate", "ready", "server", "contract", "canary"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way, "SECONDS", 0.3)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QFACE_API_KEY", "QFACE_API_KEY_FILE", "QFACE_TLS", "QFACE_TLS_CA", "QFACE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def http1() -> Iterator[str]:
    """A server of HTTP/1."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def dropping() -> Iterator[str]:
    """An address that answers nothing, as behind a firewall: its queue of connections is full."""
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [("http://faces:8001", "host:port"), ("", "host:port"), ("10.0.0.1:1,faces", "several servers")],
)
def test_an_address_that_grpc_can_not_take(capsys: Capsys, url: str, sentence: str) -> None:
    report = doctor(capsys, url)
    assert report.wrong == ["address"]
    assert sentence in report.of("address")["sentence"]
    assert "what stands above is wrong" in report.of("port")["sentence"]


def test_a_name_that_nobody_knows(capsys: Capsys) -> None:
    report = doctor(capsys, "faces..example:8001")
    assert report.status == 1
    assert report.wrong == ["name"]
    assert "spelled" in report.of("name")["advice"]


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ends.wait(5) and [])
    try:
        with pytest.raises(sockets.CannotConnect, match="no name server answered within"):
            sockets.addresses_of("faces.example", seconds=0.05)
    finally:
        ends.set()


def test_a_port_at_which_nothing_listens(capsys: Capsys) -> None:
    report = doctor(capsys, unused_address())
    assert report.wrong == ["port"]
    assert "connection refused" in report.of("port")["sentence"]
    assert "make serve" in report.of("port")["advice"]
    assert report.skipped == REST
    assert report.of("canary")["sentence"] == "port is wrong"


def test_a_port_behind_a_firewall(capsys: Capsys) -> None:
    with dropping() as url:
        report = doctor(capsys, url)
    assert report.wrong == ["port"]
    assert "no answer within 0.3 s" in report.of("port")["sentence"]
    assert "firewall" in report.of("port")["advice"]


def test_a_server_of_another_protocol(capsys: Capsys) -> None:
    with http1() as url:
        report = doctor(capsys, url)
        encrypted = doctor(capsys, url, "--tls")
    assert report.wrong == encrypted.wrong == ["protocol"]
    assert report.of("protocol")["sentence"] == "an HTTP/1 server answers"
    assert "8001" in encrypted.of("protocol")["advice"]


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ("reset", "accepted and closed"),
        ("close", "accepted and closed"),
        ("garbage", "neither HTTP nor TLS"),
        ("half an answer", "HTTP/1"),
    ],
)
def test_what_ends_connections(capsys: Capsys, ending: str, sentence: str) -> None:
    with misbehaving(ending) as url:
        report = doctor(capsys, url)
        encrypted = doctor(capsys, url, "--tls")
    assert report.wrong == encrypted.wrong == ["protocol"]
    assert sentence in report.of("protocol")["sentence"]


def test_a_server_that_keeps_silent(capsys: Capsys) -> None:
    with silent() as url:
        report = doctor(capsys, url)
    assert report.wrong == ["protocol"]
    assert "then nothing comes" in report.of("protocol")["sentence"]


def test_encryption_that_the_server_does_not_have(capsys: Capsys) -> None:
    with running(DescribedServer(), health=health()) as url:
        report = doctor(capsys, url, "--tls")
    assert report.wrong == ["protocol"]
    assert "HTTP/2 without encryption" in report.of("protocol")["sentence"]
    assert "leave out --tls" in report.of("protocol")["advice"]


def test_a_proxy_is_noted_unless_it_is_gone_past(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://who:secret@proxy.example:3128")
    noted = doctor(capsys, "faces..example:8001").of("proxy")
    assert noted["mark"] == "note"
    assert "proxy.example:3128" in noted["sentence"]
    assert "secret" not in str(noted)
    assert "no_proxy" in noted["advice"]
    monkeypatch.setenv("no_proxy", "localhost, .example")
    assert doctor(capsys, "faces..example:8001").of("proxy")["mark"] == "ok"


def test_several_addresses_whose_certificates_have_no_name_that_could_be_known(capsys: Capsys) -> None:
    report = doctor(capsys, "127.0.0.1:1,127.0.0.1:2", "--tls")
    assert report.wrong[0] == "address"
    assert "can't be known" in report.findings[4]["sentence"]


def test_of_several_names_the_unknown_one_is_named(capsys: Capsys) -> None:
    with running(DescribedServer(), health=health()) as url:
        report = doctor(capsys, f"faces..example:8001,{url}")
    assert report.wrong == ["name"]
    assert report.of("canary")["mark"] == "ok"


def test_a_way_through_a_proxy_is_looked_at_from_grpc_on(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{unused_address()}")
    report = doctor(capsys, "faces..example:8001")
    assert report.wrong == ["ready", "server"]
    assert report.skipped == ["port", "protocol", "contract", "canary"]
    assert "no_proxy" in report.of("ready")["sentence"]


def test_a_unix_socket_needs_no_name(capsys: Capsys, tmp_path: Path) -> None:
    report = doctor(capsys, f"unix:{tmp_path}/none.sock")
    assert report.wrong == ["port"]
    assert "no such file" in report.of("port")["sentence"]


def test_lines_for_people_say_what_to_do(capsys: Capsys) -> None:
    assert main(["doctor", "--url", unused_address()]) == 1
    text = capsys.readouterr().out
    assert "ok       address" in text
    assert "wrong    port" in text
    assert "-> start a server there" in text
    assert text.endswith("1 wrong\n")
