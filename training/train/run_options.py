"""What the commands that train share: their options, and the cores that they take."""

import argparse
import contextlib
import datetime
import math
import os
import pathlib
from collections.abc import Sequence

import cv2
import torch

from training.data.prepared.face_set import adopt_tasks_of
from training.task_files import adopt_file
from training.train.loop.distributed import PATIENCE, Distributed, distributed

_MOST_THREADS = 8  # a core: beyond it they only wait for each other


def add_run_options(parser: argparse.ArgumentParser, *, folder: str, example: str) -> None:
    """--data, --run, --set, --tasks, --dry-run, --device, --threads and --patience.

    `folder` and `example` are help.
    """
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder of prepared sets")
    # torchrun takes --run for an abbreviation of its own --run-path, wherever it stands.
    parser.add_argument(
        "--run", "--output", type=pathlib.Path, required=True, help=f"{folder} (under torchrun: --output)"
    )
    add_settings_option(parser, "--set", dest="settings", help_text=f"change a field of the run: {example}")
    parser.add_argument("--tasks", type=pathlib.Path, metavar="FILE", help="a TOML file of tasks of your own")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan, with the time and memory that a few steps of it take, and train nothing",
    )
    add_place_options(parser)


def add_settings_option(parser: argparse.ArgumentParser, name: str, *, dest: str, help_text: str) -> None:
    """An option that may be given several times, each time with a FIELD=VALUE."""
    parser.add_argument(name, dest=dest, action="append", default=[], metavar="FIELD=VALUE", help=help_text)


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """--device, --threads and --patience: where a command trains (`place_of`, `take_cores`)."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, help="of torch, on a CPU; default: all cores")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE.total_seconds() / 60,
        metavar="MINUTES",
        help="of several processes, one that is silent within a step for so long is lost (%(default)g)",
    )


def place_of(options: argparse.Namespace) -> contextlib.AbstractContextManager[Distributed]:
    """This process's place among those that train together, by --device and --patience."""
    if not 0 < options.patience < math.inf:
        raise ValueError(f"--patience {options.patience:g} is no time to wait: take minutes above 0")
    return distributed(options.device, patience=datetime.timedelta(minutes=options.patience))


def adopt_own_tasks(
    file: pathlib.Path | None, *, data: pathlib.Path, sets: Sequence[str] | None = None
) -> None:
    """Adds the tasks of --tasks, and those that the prepared sets of `data` define, to the catalogue.

    `sets` are those that --sets names; None: all.
    """
    if file is not None:
        adopt_file(file)
    adopt_tasks_of(data, names=sets)


def print_plan(plan: str, *, where: Distributed) -> None:
    """A plan on standard output, by the leading process, when all have made theirs."""
    where.wait()
    if where.leads:
        print(plan)


def take_cores(threads: int | None) -> None:
    """So many threads for torch; None: this process's share of the cores. OpenCV's would only add to them.

    ValueError for a number that no machine computes with.
    """
    cores, local = os.cpu_count() or 1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    most = _MOST_THREADS * cores
    if threads is not None and not 1 <= threads <= most:
        raise ValueError(f"--threads {threads}: take 1 to {most} here, best the number of cores ({cores})")
    torch.set_num_threads(threads or max(1, cores // local))
    cv2.setNumThreads(1)
