"""What a report states of the run that it is of."""

import argparse
import dataclasses
import os
import shlex
from collections.abc import Sequence
from datetime import datetime

from ..._version import __version__
from ...client import FaceClient
from ...contract import Contract, TaskSpec
from ...errors import NotRecorded
from .. import connection_options
from ..direct_calls import stated_server


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """Of one run: what answered, by which contract, when, and how it was called."""

    title: str
    answering: str  # the server's address, or what is in its place
    server: str  # name and version by which the server calls itself; "": it has none, or there is none
    model: str
    contract: Contract
    tasks: Sequence[TaskSpec]
    unreadable: Sequence[str]  # tasks of kinds that this client does not know
    unnamed: Sequence[str]  # tasks that are left out because none of them was named
    precision: str
    notice: str
    when: datetime
    command: str

    def below(self, photo: str) -> str:
        """A photo's name without the folder's that the whole report is of."""
        return photo.removeprefix(self.title.rstrip("/\\") + os.sep) or photo

    def facts(self) -> dict[str, str]:
        """Name -> text, without those that have none."""
        client = f"qface-client {__version__}"
        found = {
            "answered by": self.answering,
            "server": self.server,
            "network": self.model,
            "precision": self.precision,
            "contract": self.contract.hash,
            "tasks": ", ".join(task.name for task in self.tasks) or "none",
            "left out, as not named": ", ".join(self.unnamed),
            "left out, as unknown to this client": ", ".join(self.unreadable),
            "when": f"{self.when:%Y-%m-%d %H:%M %Z}",
            "made by": client,
            "command": self.command,
        }
        return {name: words for name, words in found.items() if words}


def about(options: argparse.Namespace, client: FaceClient, *, title: str, when: datetime) -> About:
    """What the server states before photos are sent; raises the client's errors."""
    contract = client.contract(model=options.model)
    tasks = chosen_tasks(contract, options.tasks)
    stated = stated_server(options)
    models = client.models()
    return About(
        title=title,
        answering=connection_options.answering(options),
        server="" if stated is None else f"{stated['name']} {stated['version']}",
        model=options.model or next(iter(models), ""),
        contract=contract,
        tasks=tasks,
        unreadable=[task.name for task in contract.tasks if not task.readable],
        unnamed=[task.name for task in contract.tasks if task.readable and task not in tasks]
        if options.tasks is None
        else [],
        precision=_precision(client, options),
        notice=client.notice(model=options.model),
        when=when,
        command=shlex.join(["qface", *options.words]),
    )


def _precision(client: FaceClient, options: argparse.Namespace) -> str:
    """In which the network is computed; "" where that is not stated, or was not recorded."""
    try:
        return client.precision(model=options.model)
    except NotRecorded:
        return ""


def chosen_tasks(contract: Contract, names: Sequence[str] | None) -> tuple[TaskSpec, ...]:
    """The tasks of a report: those that are named, or all that a server has by default."""
    if names is not None:
        return contract.select(names)
    return tuple(task for task in contract.select(None) if task.by_default)
