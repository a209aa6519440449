"""The reference of answers: what weights answer on faces that they never learned from.

By task and label a mean and a standard deviation, in a file beside the exported network that
`python -m deploy.monitoring.answer_reference` writes. It travels in the configuration of the served models,
so that whoever watches a server has what its answers are to be compared with. It is no part of the contract.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build.errors import BuildError
from build.files import ROOT

if TYPE_CHECKING:
    from build.onnx_interface import Graph

PARAMETER = "answer_reference"  # of a served model's configuration
SUFFIX = ".answers.json"
CHECKPOINT = "checkpoint_sha256"
_SHIPPED = ROOT / "weights"


def answer_reference(graph: "Graph") -> Mapping[str, Any]:
    """Of an exported network by task and label, [mean, standard deviation]; empty where there is none.

    The file lies beside the network, or among the shipped weights, and names the checkpoint that it was
    measured on. BuildError for one that can't be read.
    """
    checkpoint = graph.metadata.get(CHECKPOINT)
    for path in (graph.path.with_suffix(SUFFIX), *sorted(_SHIPPED.glob(f"*{SUFFIX}"))):
        content = _read(path)
        if checkpoint is not None and content.get(CHECKPOINT) == checkpoint:
            return dict(content["answers"])
    return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        if not (isinstance(content, dict) and isinstance(content["answers"], dict)):
            raise ValueError("it has no answers")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError) as error:
        raise BuildError(
            f"the reference of answers {path} can't be read ({error}): remove it, or write it again with "
            "`python -m deploy.monitoring.answer_reference`"
        ) from None
    return content
