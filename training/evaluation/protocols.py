"""How the field judges a set, where that is not how its task is judged elsewhere or can't be done here."""

from training.tasks import CATALOGUE

# (task, set) -> the metric that papers give for it.
_METRICS = {
    # Faces seen from the side have one eye's corner behind the other: their box is divided by.
    ("landmarks", "aflw2000"): "box_normalized_error",
}

# (task, set) -> what is measured of a set whose own points are not the catalogue's. Their error over other
# points is not comparable with what papers give for the set.
UNOFFICIAL = {
    ("landmarks", "wflw"): "68 of its 98 points",
    ("landmarks", "cofw"): "21 of its 29 points",
    ("landmarks", "lapa"): "68 points made of its 106",
}


def judged_by(task: str, name: str) -> str:
    """The metric that a task is judged by on a set."""
    return _METRICS.get((task, name), CATALOGUE[task].metric)


def deviation(task: str, name: str) -> str:
    """What is not as in a set's official protocol; empty for a set that is measured as papers do."""
    return UNOFFICIAL.get((task, name), "")
