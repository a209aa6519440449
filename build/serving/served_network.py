"""A network of a repository, and the names of the models that serve it."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from build.errors import BuildError
from build.onnx_interface import Graph, Head, family_of, select_tasks
from build.serving.engine_settings import EngineSettings
from runtime.contract import Contract

# Models that all networks of a repository share.
SHARED_MODELS = ("face_detect",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a repository."""

    name: str  # by which a client picks it
    contract: Contract  # of the tasks that are served
    heads: Mapping[str, Head]  # all that it answers
    engine: EngineSettings  # as it runs on a GPU
    face_warp: bool = False  # whether a GPU decodes and warps its faces, by a model of that name
    prefix: str = ""  # what its models' names begin with; empty for the first network of a repository
    fallback: EngineSettings | None = None  # what a CPU runs where the engine was not accepted
    # By task and label the mean and the standard deviation of answers on reference faces; empty: unknown.
    answer_reference: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise BuildError(
                f"a model can't be called {self.name!r}: take small letters, digits and _, a letter first"
            )

    def model_name(self, model: str) -> str:
        """The name that a model has as one of this network's."""
        return model if model in SHARED_MODELS else f"{self.prefix}{model}"


def network_of(
    graph: Graph,
    *,
    tasks: Sequence[str] | None = None,
    engine: EngineSettings,
    further: str | None = None,
) -> Network:
    """An ONNX file's network as it is served; `further`: the name of one that is not a repository's first.

    `tasks` None: those served by default. Raises BuildError for a task that the network does not answer.
    """
    return Network(
        name=family_of(graph.metadata) if further is None else further,
        contract=select_tasks(graph.contract, tasks),
        heads=graph.heads,
        engine=engine,
        prefix="" if further is None else f"{further}_",
    )


def check_names(networks: Sequence[Network], *, first_models: Sequence[str]) -> None:
    """Raises BuildError where the models of two networks can't be told apart by their names.

    `first_models` are the names of the first network's models.
    """
    for one, other in itertools.combinations(networks, 2):
        if one.name == other.name:
            raise BuildError(f"two models are called {one.name}: give the further one another name")
        if one.prefix and (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)):
            raise BuildError(f"{one.name} and {other.name} can't be told apart: give one another name")
    for network in networks[1:]:
        if taken := sorted(name for name in first_models if name.startswith(network.prefix)):
            raise BuildError(
                f"a further model can't be called {network.name}, as names like {taken[0]} are the first "
                "one's: give it another name"
            )
