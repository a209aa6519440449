"""All experiments by name. A paper is a module beside this one, with its EXPERIMENTS."""

from training.paper import facexformer, qface
from training.paper.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for experiment in (*qface.EXPERIMENTS, *facexformer.EXPERIMENTS)
}


def experiment_named(name: str) -> Experiment:
    """The experiment of this name; ValueError names those that there are."""
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}: choose from {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
