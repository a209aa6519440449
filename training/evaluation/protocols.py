"""The official protocol of a data set, where it differs from its task's or can't be followed here."""

from training.data.readers import readers
from training.tasks import CATALOGUE


def main_metric(task: str, name: str) -> str:
    """The main metric of a task on a set: its protocol's, or else the task's."""
    reader = readers().get(name)
    own = CATALOGUE[task].metric
    return own if reader is None else reader.protocol_metrics.get(task, own)


def protocol_deviation(task: str, name: str) -> str:
    """How the measurement deviates from a set's official protocol; empty where it follows it.

    Where a set's own points are not the catalogue's, the error over other points is not comparable with
    what papers give for the set.
    """
    reader = readers().get(name)
    return "" if reader is None else reader.deviations.get(task, "")
