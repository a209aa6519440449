"""The command line of a run."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.bulk import statuses
from deploy.bulk.answering.base import LocalEngine, Servers, Source
from deploy.bulk.errors import Refused
from deploy.bulk.settings import Search
from deploy.bulk.store.registry import LOCAL, protocol_of
from deploy.bulk.store.sources import STANDARD_INPUT, Sources
from qface_client.cli import connection_options
from qface_client.cli.argument_types import names, seconds, share, whole_number
from qface_client.errors import QFaceError

ROOT = Path(__file__).resolve().parents[2]
# What `make serve` would serve, else what ships.
NETWORKS = (ROOT / "var" / "repository", ROOT / "weights" / "qface-tiny.onnx")

_EXAMPLES = f"""\
examples:
  python -m deploy.bulk photos/ --tasks expression,age --output var/bulk
  python -m deploy.bulk s3://bucket/2026 --tasks age --output var/bulk           a bucket
  python -m deploy.bulk "photos/**/*.png" --tasks age --masks --output out       a pattern; masks as pictures
  python -m deploy.bulk --files-from list.txt --tasks age --output out           an address a line
  python -m deploy.bulk photos/ --tasks age --output out --url a:8001,b:8001     servers answer
  python -m deploy.bulk s3://bucket --tasks age --output out --ray-address auto  on the cluster's cores
  python -m deploy.bulk photos/ --tasks age --output out --retry-failed          those that failed, once more

The same command goes on where a run ended, however it ended. The output folder has `photos/` (Parquet, a
row a photo: done, no_face, or failed with its reason), `faces/` (a row a face) and `summary.json`. Tasks are
named, each: one that deduces race is answered only where it is named, by a network that serves it.
docs/bulk.md is the guide.

exit statuses:
{statuses.in_lines()}
"""


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; argparse ends the process with status 2 for what is none."""
    options = _parser().parse_args(arguments)
    if not options.sources and options.files_from is None:
        _parser().error("name a folder, a bucket or a pattern, or a list of addresses by --files-from")
    if "" in options.sources:  # as of a variable of the shell that is not set; it is no name of this folder
        _parser().error("a SOURCE is empty: name a folder, a bucket or a pattern")
    return options


def sources_of(options: argparse.Namespace) -> Sources:
    """Where the photos are; Refused for options of storage that are none."""
    return Sources(
        named=[_absolute(source) for source in options.sources],
        files_from=options.files_from
        if options.files_from in (None, STANDARD_INPUT)
        else os.path.abspath(options.files_from),  # noqa: PTH100
        options=storage_of(options),
    )


def storage_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options of fsspec's file systems."""
    if options.storage is None:
        return {}
    try:
        found = json.loads(options.storage)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise Refused(f"--storage is a JSON object like '{{\"anon\": true}}' ({error})") from error
    return found


def answering_of(options: argparse.Namespace) -> Source:
    """What answers; Refused where nothing is named and nothing ships, and for a key or file that is none."""
    if options.url is not None:
        try:
            access = connection_options.access(options)
        except QFaceError as error:
            raise Refused(str(error)) from error
        return Servers(
            urls=tuple(url.strip() for url in options.url.split(",") if url.strip()),
            concurrency=options.concurrency,
            timeout=options.timeout,
            model=options.model,
            access=access,
        )
    network = options.network or next((str(path) for path in NETWORKS if path.exists()), None)
    if network is None:
        raise Refused("there is no network here: `make repository` assembles one, or name one by --network")
    return LocalEngine(network=os.path.abspath(network), model=options.model)  # noqa: PTH100 - a link stays one


def search_of(options: argparse.Namespace) -> Search:
    """How faces are looked for."""
    return Search(
        min_score=options.min_score,
        max_faces=options.max_faces,
        min_face=options.min_face,
        min_quality=options.min_quality,
    )


def _absolute(source: str) -> str:
    """A source that means the same in every process: of another folder, of a cluster."""
    if protocol_of(source) != LOCAL:
        return source
    return os.path.abspath(source.removeprefix("file://"))  # noqa: PTH100 - resolve() would follow links


def _seconds_or_none(text: str) -> float:
    """Seconds from 0 on."""
    return 0.0 if text.strip() in ("0", "0.0") else seconds(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bulk",
        description="Answers photos of a folder or a bucket to Parquet, and goes on where it was ended.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[connection_options.make_parser()],
        conflict_handler="resolve",
        allow_abbrev=False,
    )
    photos = parser.add_argument_group("photos")
    photos.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="a folder, a file, a pattern in quotes, or an address (s3://bucket/prefix; others with the "
        "packages that fsspec names)",
    )
    photos.add_argument(
        "--files-from",
        metavar="LIST",
        help="a file with one path or address a line; - reads it from standard input",
    )
    photos.add_argument(
        "--storage",
        metavar="JSON",
        help="options of fsspec's file system, like '{\"anon\": true}'; no secrets: those are read from "
        "the environment",
    )
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--tasks", type=names, required=True, metavar="A,B", help="by name; a wrong one lists what there is"
    )
    asked.add_argument(
        "--masks", action="store_true", help="keep masks as PNG, not only the shares of their areas"
    )
    asked.add_argument(
        "--min-score", type=share, metavar="SCORE", help="the score from which on a face counts (0.5)"
    )
    asked.add_argument("--max-faces", type=whole_number, metavar="N", help="of more faces the best seen")
    asked.add_argument(
        "--min-face",
        type=share,
        metavar="SHARE",
        help="the smallest face, as a share of the photo's longer side",
    )
    asked.add_argument(
        "--min-quality",
        type=share,
        metavar="QUALITY",
        help="the quality below which a face is left out and counted; 0 leaves out none (the network's own)",
    )
    answers = parser.add_argument_group("what answers")
    answers.add_argument(
        "--network",
        metavar="PATH",
        help="an assembled repository or an ONNX file (var/repository, or weights/qface-tiny.onnx)",
    )
    answers.add_argument(
        "--url", default=None, metavar="HOST:PORT,HOST:PORT", help="servers answer, instead of a network here"
    )
    answers.add_argument(
        "--concurrency",
        type=whole_number,
        default=8,
        metavar="N",
        help="photos that a worker has under way at servers (%(default)s)",
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="the run's folder, of its own; of an earlier run: goes on",
    )
    run.add_argument("--retry-failed", action="store_true", help="answer the photos once more that failed")
    run.add_argument(
        "--chunk",
        type=whole_number,
        metavar="N",
        help="photos of a chunk: the unit of work and of files (25 to 500, by the inputs)",
    )
    run.add_argument("--workers", type=whole_number, metavar="N", help="(one a core)")
    run.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="of a Ray cluster, or auto (a Ray of this run's own, on this machine)",
    )
    run.add_argument(
        "--in-process",
        action="store_true",
        help="one worker and no Ray: for few photos, and to look for faults",
    )
    run.add_argument(
        "--patience",
        type=_seconds_or_none,
        default=30.0,
        metavar="SECONDS",
        help="for a bucket that can't be reached, before the run stops (%(default)g); 0: what can't be "
        "read fails at once",
    )
    run.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return parser
