"""A new task on an old model, which the paper names as its limit (section 5).

New queries are learned with everything else frozen. The old queries take no notice of them: no tensor on
their way changes its shape, so that the same calls compute the old answers. The new ones attend to
the old ones, and so may use what those found.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from torch import nn

from training.kinds import kind_of
from training.models.network import FaceNetwork
from training.models.qface.build import build_qface
from training.models.qface.network import QFace
from training.tasks import select


def extended(model: FaceNetwork, tasks: Sequence[str]) -> QFace:
    """A copy of a network that also answers `tasks`, by random queries (torch's generator), in eval mode.

    Everything that was there is frozen. Raises ValueError for a task that it answers already or that the
    catalogue does not have, and for a network without queries.
    """
    if not isinstance(model, QFace):
        raise ValueError(f'{model.config.name} has no queries to add to: extend a Q-Face with head "queries"')
    config = model.config
    known = [name for name in tasks if name in config.all_tasks]
    if known:
        raise ValueError(
            f"the model answers {', '.join(known)} already: name tasks that it never learned, "
            "or fine-tune it anew"
        )
    laterals = config.mask_laterals
    if _has_mask(tasks) and not _has_mask(config.all_tasks) and not model.encoder.is_vit:
        laterals = tuple(range(config.stages[0]))  # all that is finer than what it was made to look at
    new = build_qface(
        dataclasses.replace(config, extensions=(*config.extensions, tuple(tasks)), mask_laterals=laterals)
    )
    new.adopt_tasks(model.tasks)
    new.load_state_dict({**new.state_dict(), **model.state_dict()})
    new.eval()
    new.freeze()
    return new


def last_extension(model: QFace) -> Iterator[nn.Parameter]:
    """The parameters that learn when a network is extended: those of its last extension."""
    if not model.extensions:
        raise ValueError("only a network with an extension can learn nothing but its last one")
    return model.extensions[-1].parameters()


def _has_mask(tasks: Sequence[str]) -> bool:
    return any(kind_of(task).needs_places for task in select(tasks))
