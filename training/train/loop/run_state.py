"""What a run needs to go on exactly where it stood: one file, replaced as a whole or not at all."""

import contextlib
import fcntl
import json
import os
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any

import torch

from training.train.loop.optimisation import HARMLESS


@contextlib.contextmanager
def held(folder: pathlib.Path, *, leads: bool) -> Iterator[None]:
    """Inside, the run's leading process alone writes into its folder; the lock ends with the process.

    ValueError where another run's does. On a file system without locks nothing is held.
    """
    if not leads:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            # A lock of POSIX's: the processes that draw batches don't inherit it and outlive a killed run.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise ValueError(
                f"another process trains in {folder}: wait for its end, or choose another --run folder"
            ) from None
        except OSError:
            pass
        yield


def save_state(path: pathlib.Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values. ValueError where there is no room; what was there stays."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    # torch's writer turns an error of the file's into a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or _cause(error)
        kept = "the last checkpoint stays as it was" if path.exists() else "there is none yet"
        raise ValueError(
            f"the checkpoint {path} can't be written ({reason}), {kept}: "
            "make room or make it writable, and give the same command again"
        ) from None


def load_state(path: pathlib.Path) -> dict[str, Any]:
    """What `save_state` wrote. ValueError for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror or error}): make it readable") from None
    except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError):
        raise ValueError(
            f"{path} is no training state: remove it to begin anew, or choose another --run folder"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no training state: remove it to begin anew")
    return state


def identity_of(state: dict[str, Any]) -> dict[str, Any]:
    """Which run a state belongs to (Loop's `identity`); KeyError, TypeError or ValueError without one."""
    identity: dict[str, Any] = json.loads(state["identity"])
    return identity


def differences(
    recorded: Any, current: Any, *, name: str = "", places: tuple[str, str] = ("there", "here")
) -> list[str]:
    """Where two pieces of plain data differ, in words; `places` say where each was found."""
    if isinstance(recorded, dict) and isinstance(current, dict):
        return [
            line
            for key in sorted(recorded.keys() | current.keys())
            if key not in HARMLESS
            for line in differences(
                recorded.get(key), current.get(key), name=f"{name}.{key}" if name else key, places=places
            )
        ]
    return (
        []
        if recorded == current
        else [f"{name} is {_short(recorded)} {places[0]}, {_short(current)} {places[1]}"]
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _cause(error: BaseException) -> str:
    """The file's own error behind torch's, where it can be known."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return "the disk is full or broken"
