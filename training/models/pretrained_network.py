"""A network that begins where another one stands: every weight that fits is taken, by task and by name.

Unlike `training.models.pretrained_encoder`, which takes the encoder alone, this takes fusion, decoder and the
queries of the tasks that both answer: for another generation of the same network.
"""

import pathlib
from collections.abc import Sequence

import torch

from training.models.checkpoint import load_checkpoint
from training.models.network import FaceNetwork
from training.models.qface import QFace
from training.models.qface.queries import QueryGroup


def load_network(model: FaceNetwork, path: pathlib.Path) -> list[str]:
    """Takes what fits of a checkpoint into a network; a line for each thing taken and not taken.

    Raises ValueError if the file can't be read, and for a network of another design (other stages, widths).
    """
    source = load_checkpoint(path).model
    if not isinstance(model, QFace) or not isinstance(source, QFace):
        raise ValueError(f"{path} or the run's network has no queries: take its encoder alone")
    own, theirs = model.state_dict(keep_vars=True), source.state_dict()
    grouped = {
        f"{name}.{parameter}"
        for name, module in model.named_modules()
        if isinstance(module, QueryGroup)
        for parameter in module.rows_by_task()
    }
    missing = [name for name in own if name not in grouped and name not in theirs]
    other = [n for n in own if n in theirs and n not in grouped and own[n].shape != theirs[n].shape]
    if other:
        raise ValueError(
            f"{path} does not fit the network {model.config.name!r} ({other[0]} is "
            f"{list(theirs[other[0]].shape)} instead of {list(own[other[0]].shape)}): "
            "give a checkpoint of the same design"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            if name in theirs and name not in grouped:
                tensor.copy_(theirs[name])
        fresh = _take_queries(model, source)
    report = [f"{len(own) - len(missing) - len(grouped)} weights and {_count(model, fresh)} come from {path}"]
    if fresh:
        report.append(f"random stays what is read off the queries of {', '.join(fresh)}")
    if missing:
        report.append(f"random stay {', '.join(missing[:4])}, which {path} does not have")
    return report


def _take_queries(model: QFace, source: QFace) -> list[str]:
    """Copies the rows of the tasks that both have; the tasks some of whose rows stay random."""
    fresh = []
    theirs = [group for group in source.modules() if isinstance(group, QueryGroup)]
    for group in (module for module in model.modules() if isinstance(module, QueryGroup)):
        for task in group.tasks:
            whole = True
            for name, rows in group.rows_by_task().items():
                if task.name not in rows:
                    continue
                found = next((g for g in theirs if task.name in g.rows_by_task().get(name, {})), None)
                taken = None
                if found is not None:
                    taken = getattr(found, name)[found.rows_by_task()[name][task.name]]
                place = getattr(group, name)[rows[task.name]]
                if taken is None or taken.shape != place.shape:
                    whole = False
                    continue
                place.copy_(taken)
            if not whole:
                fresh.append(task.name)
    return fresh


def _count(model: QFace, fresh: Sequence[str]) -> str:
    return f"the queries of {len(model.tasks) - len(fresh)} of {len(model.tasks)} tasks"
