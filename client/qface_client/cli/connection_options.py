"""The options that say which server is called, and how: parents of every command that calls one."""

import argparse
from typing import Any

from .._connection import address
from .._connection.access import Tls, environment_files, read_key_file
from ..client import FaceClient
from ..errors import InvalidInput
from ..recorded import Replayed
from .argument_types import seconds

Commands = Any  # what `add_subparsers` returns; argparse has no public name for it


def make_parser() -> argparse.ArgumentParser:
    """A parent for a command's parser."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--json", action="store_true", help="plain data instead of text")
    server = parent.add_argument_group("server")
    server.add_argument(
        "--url",
        default=address.usual(),
        metavar="HOST:PORT",
        help=f"the server's gRPC (QFACE_URL, or {address.DEFAULT_URL}); several servers: HOST:PORT,"
        "HOST:PORT or dns:///NAME:PORT",
    )
    server.add_argument(
        "--timeout",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="for one photo, with all tries (%(default)g)",
    )
    server.add_argument(
        "--model",
        metavar="NAME",
        help="which of the server's networks answers (the first; `qface info` lists them)",
    )
    _add_access(parent)
    return parent


def add_stand_ins(parser: argparse.ArgumentParser) -> None:
    """Add the options of what answers in a server's place, and of how that is made."""
    group = parser.add_argument_group("in a server's place")
    instead = group.add_mutually_exclusive_group()
    instead.add_argument(
        "--local",
        metavar="SOURCE",
        help="answer in this process, from an assembled model repository or an ONNX file (needs "
        '"qface-client[local]")',
    )
    instead.add_argument(
        "--replay", metavar="FILE", help="answer from this recording: no server, the same answers at once"
    )
    group.add_argument(
        "--record", metavar="FILE", help="write the server's answers down for --replay (no picture, no key)"
    )


def client(options: argparse.Namespace) -> FaceClient:
    """The client that the options describe; InvalidInput for a key, certificate or file that is none."""
    local, replay, record = (getattr(options, name, None) for name in ("local", "replay", "record"))
    if local is not None:
        return _local(local, timeout=options.timeout, record=record)
    if replay is not None:
        return FaceClient(transport=Replayed(replay), timeout=options.timeout, record=record)
    return FaceClient(options.url, timeout=options.timeout, record=record, **access(options))


def answering(options: argparse.Namespace) -> str:
    """What answers, as it is printed: the server's address, or what is in its place."""
    return str(getattr(options, "local", None) or getattr(options, "replay", None) or options.url)


def _local(repository: str, **options: Any) -> FaceClient:
    try:
        from ..local import LocalFaceClient

        return LocalFaceClient(repository, **options)
    except ImportError as error:
        raise InvalidInput(str(error)) from error


def access(options: argparse.Namespace) -> dict[str, Any]:
    """FaceClient's arguments for key and encryption; raises InvalidInput for a key file that has none."""
    return {
        "api_key": None if options.api_key_file is None else read_key_file(options.api_key_file),
        "tls": tls(options),
        "insecure_key": options.insecure_key,
    }


def tls(options: argparse.Namespace) -> Tls | None:
    """FaceClient's argument for encryption; raises InvalidInput for half of a pair of files."""
    names = ("root_certificates", "certificate_chain", "private_key")
    files = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    # Without an option the environment decides; with one it still gives the files that are not named.
    return Tls(**{**environment_files(), **files}) if files or options.tls else None


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("key and encryption, where the server asks for them")
    access.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="a file with the API key (QFACE_API_KEY_FILE, or the key itself in QFACE_API_KEY); no option "
        "takes the key: other users of a machine can read command lines",
    )
    access.add_argument(
        "--insecure-key", action="store_true", help="send the key unencrypted to another machine"
    )
    access.add_argument("--tls", action="store_true", help="encrypt the connection (QFACE_TLS=1)")
    for option, name, text in (
        ("--tls-ca", "root_certificates", "PEM file of who signed the server's certificate (QFACE_TLS_CA)"),
        ("--tls-cert", "certificate_chain", "PEM file of the own certificate (QFACE_TLS_CERT)"),
        ("--tls-key", "private_key", "PEM file of the own certificate's key (QFACE_TLS_KEY)"),
    ):
        access.add_argument(option, dest=name, metavar="FILE", help=text)
