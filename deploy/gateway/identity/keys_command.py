"""python -m deploy.gateway keys: add, list and remove API keys. Each is shown once, only its hash is kept."""

import argparse
import contextlib
import fcntl
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.gateway.identity.keys import NAME, TASK, ApiKey, hash_of, new_key, parse_keys, read_keys
from deploy.gateway.identity.protected_files import UnusableFile

_HEADER = re.compile(r"\s*\[")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m deploy.gateway keys",
        description="The API keys of a gateway. It reads the file again when it has changed.",
    )
    commands = command_line.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="make a key, print it once, and keep its hash")
    add.add_argument("name", type=_name, help="whose it is: letters, digits, - and _")
    add.add_argument(
        "--rate", type=_rate, metavar="N", help="requests a second (default: no rate of its own)"
    )
    add.add_argument(
        "--tasks", type=_tasks, metavar="A,B", help="the tasks it may ask for (default: all that are served)"
    )
    show = commands.add_parser("list", help="names, rates and tasks of all keys")
    remove = commands.add_parser("remove", help="end a key")
    remove.add_argument("name", type=_name)
    for command in (add, show, remove):
        command.add_argument("--file", type=Path, required=True, help="the file of keys, TOML")
    return command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 with a sentence on standard error where it can't be."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "add":
            _add(options.file, name=options.name, rate=options.rate, tasks=options.tasks)
        elif options.command == "list":
            for key in read_keys(options.file):
                print(_line(key))
        else:
            _remove(options.file, options.name)
    except UnusableFile as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{options.file} can't be written: {error.strerror}")
    return 0


def _add(path: Path, *, name: str, rate: float | None, tasks: tuple[str, ...] | None) -> None:
    with _changing(path):
        text, keys = _read(path)
        if any(key.name == name for key in keys):
            raise UnusableFile(f"{path} has a key {name} already: remove it first, or use another name")
        key = new_key()
        lines = [f"[keys.{name}]", f'sha256 = "{hash_of(key).hex()}"']
        if rate is not None:
            lines.append(f"rate = {rate!r}")
        if tasks is not None:
            lines.append(f"tasks = {json.dumps(tasks)}")
        separator = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        _write(path, text + separator + "\n".join(lines) + "\n", expected={*(k.name for k in keys), name})
    print(f"qface: {name} was added to {path}; its key is shown now and never again:", file=sys.stderr)
    print(key, flush=True)


def _remove(path: Path, name: str) -> None:
    with _changing(path):
        keys = read_keys(path)
        names = {key.name for key in keys}
        if name not in names:
            raise UnusableFile(f"{path} has no key {name}; it has {', '.join(sorted(names)) or 'none'}")
        text = path.read_text(encoding="utf-8")
        _write(path, _without(text, name), expected=names - {name})
    print(f"qface: {name} was removed from {path}", file=sys.stderr)


def _without(text: str, name: str) -> str:
    """The text without the table of a key; everything else, comments included, stays."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            inside = bool(re.match(rf"""\s*\[\s*keys\s*\.\s*["']?{re.escape(name)}["']?\s*\]""", line))
        if not inside:
            kept.append(line)
    return "".join(kept)


def _read(path: Path) -> tuple[str, tuple[ApiKey, ...]]:
    if not path.exists():
        return "", ()
    keys = read_keys(path)
    return path.read_text(encoding="utf-8"), keys


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One command at a time on the files of a folder."""
    folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, text: str, *, expected: set[str]) -> None:
    """Replace the file at once, with its old mode and owner, or 0600; first its keys are compared."""
    if {key.name for key in parse_keys(text, source=str(path))} != expected:
        raise UnusableFile(f"{path} is not written as this command writes it: change it by hand")
    target = path.resolve()  # a link stays one
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            with contextlib.suppress(FileNotFoundError):
                old = target.stat()
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), old.st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _line(key: ApiKey) -> str:
    rate = "any rate" if key.rate is None else f"{key.rate:g} requests a second"
    tasks = "all tasks" if key.tasks is None else ", ".join(sorted(key.tasks))
    return f"{key.name}: {rate}; {tasks}"


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"a name has letters, digits, - and _, at most 64 of them, not {text!r}"
        )
    return text


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise argparse.ArgumentTypeError(f"a rate is requests a second, more than 0, not {text!r}")
    return rate


def _tasks(text: str) -> tuple[str, ...]:
    tasks = tuple(part.strip() for part in text.split(","))
    for task in tasks:
        if not TASK.fullmatch(task):
            raise argparse.ArgumentTypeError(f"tasks are names with commas between, not {text!r}")
    return tasks


def _fail(sentence: str) -> int:
    print(f"qface: {sentence}", file=sys.stderr, flush=True)
    return 2
