"""The programs and commands of the client's documents run as they stand, against the real server.

What is run, and where: `tests/helpers/documents.py` and `folder` below.
"""

import contextlib
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient, cli
from runtime.image.align import align_face
from runtime.image.decode import decode_image
from tests.helpers.documents import PAGES, Command, commands, name_of, script
from tests.helpers.paths import ROOT

ASSETS = ROOT / "tests" / "assets"


@pytest.fixture(scope="module")
def pictures(server: GatewayServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photo.jpg`, a portrait; `crop.png`, its aligned crop; `photos/`, two portraits and a wall."""
    folder = tmp_path_factory.mktemp("documents")
    portrait = shutil.copy(ASSETS / "astronaut.jpg", folder / "photo.jpg")
    with FaceClient(server.grpc_address) as client:
        landmarks = client.detect(portrait)[0].landmarks5
    assert landmarks is not None
    crop, _ = align_face(decode_image(Path(portrait).read_bytes()), landmarks=landmarks, size=112)
    Image.fromarray(crop).save(folder / "crop.png")
    (folder / "photos").mkdir()
    shutil.copy(portrait, folder / "photos" / "astronaut.jpg")
    shutil.copy(ASSETS / "portraits" / "hopper.jpg", folder / "photos" / "hopper.jpg")
    Image.new("RGB", (640, 480), (200, 190, 170)).save(folder / "photos" / "wall.jpg")
    return folder


@pytest.fixture
def folder(server: GatewayServer, pictures: Path, tmp_path: Path) -> Iterator[Path]:
    """Where a page's programs run: a folder of its own. What they set for the process is taken back."""
    shutil.copytree(pictures, tmp_path, dirs_exist_ok=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "repository").symlink_to(ROOT / "var" / "test" / "repository")
    loggers = [logging.getLogger(), logging.getLogger("qface_client")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    address = {"QFACE_URL": server.grpc_address}
    with contextlib.chdir(tmp_path), mock.patch.dict(os.environ, address):
        yield tmp_path
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def at(server: GatewayServer, text: str) -> str:
    """The text with the running server's addresses in the place of the documents'."""
    text = text.replace("localhost:8001", server.grpc_address).replace("localhost:8000", server.rest_address)
    return text.replace("localhost:8002", server.http_address)


@pytest.mark.parametrize("page", [page for page in PAGES if script(page)], ids=name_of)
def test_a_pages_programs_run_in_order_as_one_script(server: GatewayServer, folder: Path, page: Path) -> None:
    """A failure's traceback has the page and the line in it."""
    program = compile(at(server, script(page)), name_of(page), "exec")
    exec(program, {"__name__": "__main__"})


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_a_pages_commands_end_with_the_status_that_it_states(
    server: GatewayServer, folder: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands(page):
        status = run(command, server)
        place, errors = f"{name_of(page)}:{command.line}", capsys.readouterr().err
        assert status == command.status, f"{place}: {command.text}\nended with status {status}\n{errors}"


def run(command: Command, server: GatewayServer) -> int:
    """The exit status of a line of `qface`."""
    words = shlex.split(at(server, command.text), comments=True)[1:]
    source = _taken(words, "<")
    target = _taken(words, ">")
    words = [name for word in words for name in (_matches(word) or [word])]
    with contextlib.ExitStack() as stack:
        if source:
            stack.enter_context(mock.patch.object(sys, "stdin", stack.enter_context(Path(source).open())))
        if target:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(target).open("w"))))
        try:
            return cli.main(words)
        except SystemExit as end:  # argparse's
            return end.code if isinstance(end.code, int) else int(end.code is not None)


def _matches(pattern: str) -> list[str]:
    """The files that a pattern of the shell's stands for, from here; none for another word."""
    is_pattern = "*" in pattern and not pattern.startswith(("/", "-"))
    return sorted(str(path) for path in Path().glob(pattern)) if is_pattern else []


def _taken(words: list[str], sign: str) -> str | None:
    """The file that a redirection names, taken out of the words."""
    if sign not in words:
        return None
    place = words.index(sign)
    _, file = words[place : place + 2]
    del words[place : place + 2]
    return file
