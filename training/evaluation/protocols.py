"""The official protocol of a data set, where it is not what its task has elsewhere or can't be followed here."""

from training.data.readers import readers
from training.tasks import CATALOGUE


def judged_by(task: str, name: str) -> str:
    """The metric that a task is judged by on a set."""
    reader = readers().get(name)
    own = CATALOGUE[task].metric
    return own if reader is None else reader.protocol_metrics.get(task, own)


def deviation(task: str, name: str) -> str:
    """What is not as in a set's official protocol; empty for a set that is measured as papers do.

    Where a set's own points are not the catalogue's, the error over other points is not comparable with
    what papers give for the set.
    """
    reader = readers().get(name)
    return "" if reader is None else reader.deviations.get(task, "")
