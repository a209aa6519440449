"""What a network answers on faces that it never learned from: means and standard deviations, to compare with.

    python -m deploy.monitoring.answer_reference weights/qface-tiny.onnx --data data/prepared

Writes weights/qface-tiny.answers.json beside the exported network: for each label of each task that is
watched (`deploy.gateway.observability.answer_sums`), over the test splits of all prepared sets, each face
once. Assembling a repository puts it beside the contract. The table that is printed has how far the sets lie
apart by themselves, in standard deviations, and how far pictures that were spoilt on purpose: a bound for
alarms has to lie between.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.acceptance.answer_reference import CHECKPOINT, SUFFIX
from build.errors import BuildError
from build.files import replace_file
from build.onnx_interface import Graph, read_graph
from deploy.gateway.observability.answer_sums import Watched, watched_tensors
from runtime.postprocess import postprocess_all
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.evaluation.predictors import BATCH, Predict, onnx_predictor

_DIGITS = 5
# Smaller standard deviations count as this one, as in deploy/monitoring/rules/objectives.yaml.
LEAST_DEVIATION = 0.1
# What may happen to pictures before they arrive, done to crops uint8 [N, S, S, 3].
SPOILT: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "red and blue exchanged": lambda crops: crops[..., ::-1],
    "upside down": lambda crops: crops[:, ::-1],
    "a fifth as bright": lambda crops: (crops // 5).astype(np.uint8),
    "an eighth of the pixels a side": lambda crops: crops[:, 4::8, 4::8].repeat(8, axis=1).repeat(8, axis=2),
    "all the same face": lambda crops: np.broadcast_to(crops[:1], crops.shape),
    "black": lambda crops: np.zeros_like(crops),
}
_SPOILT_FACES = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moments:
    """Of the answers [N, labels] of one task."""

    faces: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, answers: NDArray[np.floating[Any]]) -> "Moments":
        numbers = answers.astype(np.float64)
        return cls(faces=len(numbers), mean=numbers.mean(axis=0), deviation=numbers.std(axis=0))


def answers_of(
    predict: Predict, graph: Graph, faces: FaceSet, chosen: NDArray[np.int64] | None = None
) -> dict[str, NDArray[np.float32]]:
    """The watched tensors [N, labels] for faces of a set (None: all), in their photos' frames."""
    watched = watched_tensors(graph.contract.to_text())
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in watched}
    for indices in _batches(np.arange(len(faces)) if chosen is None else chosen):
        heads = predict(faces.served_crops(indices, size=graph.contract.input_size))
        maps = np.stack([_crop_to_photo(faces, int(i)) for i in indices])
        answers = postprocess_all(graph.contract, heads, maps, requested=set(watched))
        for name, collected in parts.items():
            collected.append(answers[name])
    return {name: np.concatenate(collected) for name, collected in parts.items()}


def reference_of(graph: Graph, by_set: dict[str, dict[str, NDArray[np.float32]]]) -> dict[str, Any]:
    """The file's content."""
    answers: dict[str, dict[str, list[float]]] = {}
    for name, tensor in watched_tensors(graph.contract.to_text()).items():
        moments = Moments.of(np.concatenate([of_set[name] for of_set in by_set.values()]))
        answers[tensor.task] = {
            label: [_rounded(mean), _rounded(deviation)]
            for label, mean, deviation in zip(tensor.labels, moments.mean, moments.deviation, strict=True)
        }
    return {
        CHECKPOINT: graph.metadata[CHECKPOINT],
        "faces": {name: len(next(iter(of_set.values()))) for name, of_set in by_set.items()},
        "answers": answers,
    }


def distances(
    watched: Watched, by_set: dict[str, dict[str, NDArray[np.float32]]]
) -> Iterator[tuple[str, str, float, str, float]]:
    """By task: the set whose means lie farthest from those of all, by how much, and the same of spreads."""
    for name, tensor in watched.items():
        whole = Moments.of(np.concatenate([of_set[name] for of_set in by_set.values()]))
        apart = {set_name: distance(Moments.of(of_set[name]), whole) for set_name, of_set in by_set.items()}
        shifts = {set_name: shift for set_name, (shift, _) in apart.items()}
        spreads = {set_name: spread for set_name, (_, spread) in apart.items()}
        far, wide = max(shifts, key=shifts.__getitem__), max(spreads, key=spreads.__getitem__)
        yield tensor.task, far, shifts[far], wide, spreads[wide]


def distance(own: Moments, reference: Moments) -> tuple[float, float]:
    """How far means lie apart at most, in the reference's standard deviations; and spreads, in times."""
    least = np.maximum(reference.deviation, LEAST_DEVIATION)
    ratio = np.maximum(own.deviation, LEAST_DEVIATION) / least
    return float(np.max(np.abs(own.mean - reference.mean) / least)), float(
        np.max(np.maximum(ratio, 1 / ratio))
    )


def spoilt_distances(
    predict: Predict, graph: Graph, faces: FaceSet, by_set: dict[str, dict[str, NDArray[np.float32]]]
) -> Iterator[tuple[str, str, float, str, float]]:
    """By what was done: the task whose means are farthest off, by how much; the same of spreads."""
    indices = np.arange(min(_SPOILT_FACES, len(faces)))
    watched = watched_tensors(graph.contract.to_text())
    whole = {name: Moments.of(np.concatenate([each[name] for each in by_set.values()])) for name in watched}
    for what, spoil in SPOILT.items():
        first = faces.served_crops(indices[:1], size=graph.contract.input_size)

        def spoilt(crops: NDArray[np.uint8], spoil: Any = spoil, first: Any = first) -> Any:
            return predict(np.ascontiguousarray(spoil(np.concatenate([first, crops]))[1:]))

        answers = answers_of(spoilt, graph, faces, indices)
        apart = {watched[name].task: distance(Moments.of(answers[name]), whole[name]) for name in watched}
        far = max(apart, key=lambda task: apart[task][0])
        wide = max(apart, key=lambda task: apart[task][1])
        yield what, far, apart[far][0], wide, apart[wide][1]


def _batches(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _crop_to_photo(faces: FaceSet, index: int) -> NDArray[np.float64]:
    """The map [2, 3] from the crop's pixels to its photo's; where it is unknown, the crop is the photo."""
    forward = faces.crop_transform(index)
    if forward is None:
        return np.eye(2, 3)
    return np.linalg.inv(np.vstack([forward, [0.0, 0.0, 1.0]]))[:2]


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.monitoring.answer_reference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", type=Path, help="an exported network (.onnx)")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument("--threads", type=int, help="cores (default: all)")
    parser.add_argument("--output", type=Path, help=f"default: beside the network, *{SUFFIX}")
    options = parser.parse_args(arguments)
    output = options.output or options.network.with_suffix(SUFFIX)
    try:
        graph = read_graph(options.network)
        sets = prepared_sets(options.data, names=options.sets)
        predict = onnx_predictor(options.network, threads=options.threads).predict
        if CHECKPOINT not in graph.metadata:
            raise ValueError(
                f"{options.network} does not name the checkpoint that it came from: export it again"
            )
    except (BuildError, ValueError) as error:
        print(f"answer_reference: {error}", file=sys.stderr)
        return 2
    by_set = {faces.name: answers_of(predict, graph, faces) for faces in sets}
    content = json.dumps(reference_of(graph, by_set), indent=1) + "\n"
    replace_file(output, content.encode())
    print("| task | farthest set | its means apart, standard deviations | set | its spreads, times |")
    print("|---|---|---:|---|---:|")
    for task, far, shift, wide, spread in distances(watched_tensors(graph.contract.to_text()), by_set):
        print(f"| {task} | {far} | {shift:.2f} | {wide} | {spread:.2f} |")
    print("\n| pictures of the first set | task | its means apart | task | its spreads, times |")
    print("|---|---|---:|---|---:|")
    for what, far, shift, wide, spread in spoilt_distances(predict, graph, sets[0], by_set):
        print(f"| {what} | {far} | {shift:.2f} | {wide} | {spread:.2f} |")
    print(f"\n{output}: {sum(len(faces) for faces in sets)} faces")
    return 0


if __name__ == "__main__":
    sys.exit(main())
