"""`python -m training.data`: prepare data sets for training, list the data sets, check prepared sets."""

import argparse
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from runtime.contract import ALIGNED
from runtime.image.crops import CROPS
from training.data.addresses import Address, place_of
from training.data.own.describe import describe
from training.data.own.opening import OWN, open_source, own_reader
from training.data.own.report import as_text, write_report
from training.data.own.source import Settings
from training.data.prepare import Options, prepare_set
from training.data.prepared.check import check_set
from training.data.prepared.writer import SIZE
from training.data.reader import Reader
from training.data.readers import reader_of, readers
from training.data.sample import SPLITS
from training.task_files import adopt_file

_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        status = int(args.command(args))
        sys.stdout.flush()
        return status
    except ValueError as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:  # who reads the output has enough
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno in _FULL:
            place = getattr(args, "output", None) or getattr(args, "report", None) or error.filename
            where = f"the disk under {place}" if place else "the disk of standard output"
            stays = "; whole shards stay" if hasattr(args, "output") else ""
            print(f"{where} is full: make room and repeat the command{stays}", file=sys.stderr)
        else:
            print(f"{error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        _drop_output()
    except KeyboardInterrupt:
        print("stopped: the same command goes on from here", file=sys.stderr)
        return 130
    return 2


def _drop_output() -> None:
    """Lets go of what standard output does not take, which Python would try and report again at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare(args: argparse.Namespace) -> int:
    if args.tasks is not None:
        adopt_file(args.tasks)
    options = Options(
        size=args.size,
        subset=args.subset,
        limit=args.limit,
        teachers=args.teacher,
        max_unreadable=args.max_unreadable,
        detector=args.detector,
        crop=args.crop,
    )
    bar: tqdm[None] | None = None

    def progress(processed: int, total: int) -> None:
        nonlocal bar
        if bar is None:  # the total and an earlier process's progress are known only now
            bar = tqdm(desc=args.name, unit=" pictures", mininterval=1, total=total, initial=processed - 1)
        bar.update(processed - bar.n)

    if args.name != OWN and isinstance(args.source, Address):
        raise ValueError(f"{args.source}: only tars of your own ({OWN}) are read from an address")
    reader = _own_reader(args) if args.name == OWN else reader_of(args.name)
    folder = args.output / reader.name
    before = _written(folder)
    for line in reader.not_read:
        _log(f"not taken: {line}")
    try:
        manifest = prepare_set(
            reader, source=args.source, output=args.output, options=options, progress=progress
        )
    finally:
        if bar is not None:
            bar.close()
    _log_manifest(manifest, folder=folder)
    if before is not None and before == _written(folder):
        _log(f"{folder} is as it was prepared before: delete it to prepare it anew")
    return 0


def _written(folder: Path) -> tuple[int, int] | None:
    """What tells one writing of a set from the next; None for no set."""
    try:
        found = (folder / "manifest.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _own_reader(args: argparse.Namespace) -> Reader:
    settings = Settings(task=args.task, root=args.root, split=args.split)
    return own_reader(args.source, settings, name=args.set_name, licence=args.licence)


def _describe(args: argparse.Namespace) -> int:
    if args.tasks is not None:
        adopt_file(args.tasks)
    source = open_source(args.source, Settings(task=args.task, root=args.root, split=args.split))
    with tqdm(desc="read", unit=" faces", mininterval=1) as bar:
        found = describe(source, pictures=not args.quick, progress=lambda _: bar.update())
    _log(as_text(found))
    if args.report is not None:
        _log(f"{write_report(found, args.report, title=args.source.name)} has it in full")
    return 1 if found.faults else 0


def _log_manifest(manifest: dict[str, Any], *, folder: Path) -> None:
    faces = ", ".join(f"{count} for {split}" for split, count in manifest["faces"].items())
    skipped = {reason: entry["count"] for reason, entry in manifest["skipped"].items()}
    counts = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in skipped.items()) or "none"
    tasks = ", ".join(f"{task} ({manifest['labelled_by'][task]})" for task in manifest["tasks"]) or "none"
    _log(f"{folder}: faces {faces}; left out {counts}; labels {tasks}")
    for reason, entry in manifest["skipped"].items():
        for line in entry["first"][:3]:
            _log(f"  {reason.replace('_', ' ')}: {line}")
    if manifest["skipped"]:
        _log(f"  {folder / 'manifest.json'} names the first 100 of each")


def _log(line: str) -> None:
    # A file's name may hold bytes that are no text.
    print(line.encode("utf-8", "backslashreplace").decode())


def _list(args: argparse.Namespace) -> int:
    for name, reader in readers().items():
        print(f"{name:14} {reader.title}\n{'':14} {', '.join(reader.tasks) or 'no labels'}; {reader.licence}")
        if reader.page:
            print(f"{'':14} {reader.page}")
        if args.trees:
            print("\n".join(f"{'':16}{line}" for line in reader.tree.splitlines()))
    return 0


def _check(args: argparse.Namespace) -> int:
    single = (args.folder / "manifest.json").exists()
    folders = [args.folder] if single else sorted(p.parent for p in args.folder.glob("*/manifest.json"))
    if not folders:
        raise ValueError(f"there is no prepared set in {args.folder}")
    status = 0
    for folder in folders:
        try:
            found = check_set(folder)
        except ValueError as error:
            print(error, file=sys.stderr)
            status = 2
            continue
        faces = ", ".join(f"{count} for {split}" for split, count in found.items())
        print(f"{folder}: whole, faces {faces}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prepare = commands.add_parser("prepare", help="find, align and crop the faces of a data set")
    prepare.set_defaults(command=_prepare)
    names = [*readers(), OWN]
    prepare.add_argument(
        "name", choices=names, metavar="NAME", help=f"of a data set (see list), or {OWN!r} for your own"
    )
    prepare.add_argument(
        "--source", type=place_of, required=True, help="the folder that it was unpacked into (see describe)"
    )
    prepare.add_argument(
        "--output", type=Path, default=Path("data/prepared"), help="OUTPUT/NAME is written (%(default)s)"
    )
    prepare.add_argument("--size", type=int, default=SIZE, help="of the crop in pixels (%(default)s)")
    prepare.add_argument(
        "--crop",
        choices=CROPS,
        default=ALIGNED,
        help="how faces are cut: upright by eyes and mouth, or FaceXFormer's box (%(default)s)",
    )
    prepare.add_argument("--subset", action="store_true", help="accept fewer files than the official release")
    prepare.add_argument("--limit", type=int, help="only so many pictures, evenly spread")
    prepare.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        default=(),
        help="labels of training.teachers.pseudolabel, for tasks that the set does not label",
    )
    prepare.add_argument(
        "--max-unreadable",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="of the pictures may be unreadable or badly labelled (%(default)s)",
    )
    prepare.add_argument("--tasks", type=Path, metavar="FILE", help="a TOML file of tasks of your own")
    prepare.add_argument("--detector", type=Path, help="the face detector's .tflite file")
    own = prepare.add_argument_group(
        f"{OWN!r}", "a table, folders by class, a COCO file or WebDataset's tars (see describe)"
    )
    own.add_argument("--set-name", help="OUTPUT/SET_NAME is written (default: as --source is called)")
    own.add_argument("--licence", default="private", help="what the manifest says of it (%(default)s)")
    _add_own_options(own)
    words = commands.add_parser("describe", help="what is understood of data of your own, and what is wrong")
    words.set_defaults(command=_describe)
    words.add_argument(
        "source",
        type=place_of,
        help="a table, a folder by class, a COCO file, or tars, here or at an address such as s3://BUCKET/FOLDER",
    )
    words.add_argument("--tasks", type=Path, metavar="FILE", help="a TOML file of tasks of your own")
    words.add_argument("--report", type=Path, metavar="DIR", help="leave report.md and sheet.jpg here")
    words.add_argument("--quick", action="store_true", help="read no picture: no copies, damage, examples")
    _add_own_options(words)
    listed = commands.add_parser("list", help="the data sets that can be read")
    listed.set_defaults(command=_list)
    listed.add_argument("--trees", action="store_true", help="with their official layouts")
    check = commands.add_parser("check", help="whether prepared sets are whole")
    check.set_defaults(command=_check)
    check.add_argument("folder", type=Path, help="a prepared set, or a folder of them")
    return parser


def _add_own_options(group: argparse._ActionsContainer) -> None:
    group.add_argument("--task", help="of folders by class, of COCO's categories, of .cls files")
    group.add_argument("--root", type=Path, help="where pictures' paths begin (default: beside the file)")
    group.add_argument("--split", choices=SPLITS, help="of what states none (default: by a hash of its name)")


if __name__ == "__main__":
    sys.exit(main())
