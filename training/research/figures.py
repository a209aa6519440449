"""Pictures of what a network looks at, how a run went, and what it takes for what.

  python -m training.research.figures attention CHECKPOINT PHOTO --labels Smiling,Eyeglasses --output out.png
  python -m training.research.figures stages CHECKPOINT PHOTO... --output out.png
  python -m training.research.figures curves RUN... --output out.png
  python -m training.research.figures confusion NETWORK --data DIR --output out.png
  python -m training.research.figures reconstruction RUN PHOTO... --output out.png

`attention` is figure 4 of Q-Face: the cross-attention of the decoder's first block, for each label over the
face, a column for each stage of the encoder. `stages` is figure 5: which share of each task's attention
goes to which stage. `curves` draws RUN/progress.jsonl of one or more runs; `confusion` a matrix for every
task with one answer of several, of a checkpoint, an ONNX file or a running server (grpc://host:port).
`reconstruction` shows what a run of training.train.pretrain, finished or not, paints in where a face is hidden.
The output's suffix says its format: png, svg or pdf.
"""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.research.query_attention import attention_of, queries_of, stage_maps, stage_shares
from training.tasks import CATALOGUE, Kind, Task

if TYPE_CHECKING:
    from training.models import QFace

_FORMATS = (".png", ".svg", ".pdf")


def draw_attention(
    model: "QFace", crop: NDArray[np.uint8], *, names: Sequence[str], block: int = 0
) -> Figure:
    """Figure 4: a row a label, the face and then a heat map over it a stage.

    Each map has its own scale, from no attention to the most: it shows where a query looks, and the
    number above it how much of the attention the stage gets.
    """
    queries = {name: queries_of(model, name) for name in names}
    attention = attention_of(model, crop[None], block=block)
    columns = 1 + len(model.fusion.layout)
    figure = Figure(figsize=(1.7 * columns + 0.5, 1.85 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), columns, squeeze=False)
    for row, (name, own) in zip(axes, queries.items(), strict=True):
        row[0].imshow(crop)
        row[0].set_ylabel(name, fontsize=8)
        for axis, found in zip(row[1:], stage_maps(model, attention[own].mean(axis=0)), strict=True):
            side = crop.shape[0]
            heat = cv2.resize(found.grid, (side, side), interpolation=cv2.INTER_CUBIC)
            axis.imshow(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cmap="gray", vmin=0, vmax=255)
            axis.imshow(heat, cmap="jet", alpha=0.5, vmin=0, vmax=float(found.grid.max()))
            axis.set_title(f"S{found.stage + 1}: {found.share:.0%}", fontsize=8)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    return figure


def draw_stages(model: "QFace", crops: NDArray[np.uint8], *, block: int = 0) -> Figure:
    """Figure 5: a bar a task, cut into the stages' shares of its attention.

    Thin lines stand where the cuts would be if every token got the same: stages may have different
    numbers of tokens.
    """
    shares = stage_shares(model, attention_of(model, crops, block=block))
    layout = model.fusion.layout
    figure = Figure(figsize=(6.4, 0.9 + 0.36 * len(shares)), layout="constrained")
    axis = figure.subplots()
    left = np.zeros(len(shares))
    colours = ("#3b6fb6", "#7fb069", "#e6aa68", "#b05a7a", "#6d6a75", "#4a9d9c")
    for i, tokens in enumerate(layout):
        widths = np.array([share[i] for share in shares.values()])
        colour = colours[i % len(colours)]
        bars = axis.barh(list(shares), widths, left=left, color=colour, label=f"S{tokens.stage + 1}")
        said = [f"{width:.0%}" if width >= 0.05 else "" for width in widths]  # else too narrow
        axis.bar_label(bars, labels=said, label_type="center", fontsize=7, color="w")
        left += widths
    counts = np.cumsum([tokens.count for tokens in layout])
    for cut in counts[:-1] / counts[-1]:
        axis.axvline(cut, color="black", linewidth=0.8, linestyle=":")
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel(f"share of the attention ({len(crops)} face{'s' * (len(crops) > 1)})", fontsize=8)
    axis.tick_params(labelsize=8)
    figure.legend(loc="outside upper center", ncols=len(layout), fontsize=8)
    return figure


def read_progress(run: Path) -> list[dict[str, Any]]:
    """The lines of RUN/progress.jsonl in order of their steps.

    A run that was killed goes back to its last checkpoint: of a step that was done twice the later line
    counts. ValueError where there is nothing to read.
    """
    path = run / "progress.jsonl" if run.is_dir() else run
    by_step: dict[int, dict[str, Any]] = {}
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ValueError(
            f"{path} can't be read ({error.strerror}): name the --run folder of a training run"
        ) from None
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            step, _ = int(line["step"]), dict(line["losses"])
        except (ValueError, KeyError, TypeError):
            if number == len(lines):  # cut short by a kill
                continue
            raise ValueError(
                f"line {number} of {path} is no line of progress: name the --run folder of a training run"
            ) from None
        by_step = {before: known for before, known in by_step.items() if before < step} | {step: line}
    if not by_step:
        raise ValueError(f"{path} has no line of progress yet: wait for the run's first one")
    return list(by_step.values())


def draw_curves(runs: Sequence[Path]) -> Figure:
    """A small picture for each loss and for the learning rate, over the steps; a line a run."""
    read = {run: read_progress(run) for run in runs}
    losses = list(dict.fromkeys(name for lines in read.values() for line in lines for name in line["losses"]))
    rate = any("learning_rate" in line for lines in read.values() for line in lines)
    names = [*losses, *(["learning_rate"] if rate else [])]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3 * columns, 2.2 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        for lines in read.values():
            values = [line["losses"].get(name, line.get(name, np.nan)) for line in lines]
            axis.plot(
                [line["step"] for line in lines], values, linewidth=1, marker="." if len(lines) < 3 else ""
            )
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    if len(runs) > 1:
        figure.legend(axes[0].get_lines(), [str(run) for run in runs], loc="outside upper center", fontsize=8)
    return figure


def draw_confusion(counts: dict[str, NDArray[np.int64]]) -> Figure:
    """A matrix a task from counts [K labelled, K answered]; cells are shares of their row."""
    sides = [len(matrix) for matrix in counts.values()]
    figure = Figure(
        figsize=(sum(1.4 + 0.55 * side for side in sides), 1.6 + 0.5 * max(sides)), layout="constrained"
    )
    axes = figure.subplots(1, len(counts), squeeze=False, width_ratios=[2 + side for side in sides])[0]
    for axis, (name, matrix) in zip(axes, counts.items(), strict=True):
        totals = matrix.sum(axis=1, keepdims=True)
        shares = matrix / np.maximum(totals, 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            axis.text(
                j, i, f"{share:.0%}", ha="center", va="center", fontsize=7, color="w" if share > 0.5 else "k"
            )
        labels = CATALOGUE[name].labels
        axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
        named = [f"{label} ({total})" for label, total in zip(labels, totals[:, 0], strict=True)]
        axis.set_yticks(range(len(labels)), named, fontsize=7)
        axis.set_title(f"{name}: {np.trace(matrix) / max(matrix.sum(), 1):.1%} right", fontsize=9)
        axis.set_xlabel("answered", fontsize=8)
        axis.set_ylabel("labelled", fontsize=8)
    return figure


def confusion(labelled: NDArray[np.float32], answered: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts [K, K], labelled by answered, from probabilities [N, K] of both; NaN labels count nowhere."""
    known = ~np.isnan(labelled).any(axis=1)
    counts = np.zeros((labelled.shape[1],) * 2, np.int64)
    np.add.at(counts, (labelled[known].argmax(axis=1), answered[known].argmax(axis=1)), 1)
    return counts


def draw_reconstruction(pictures: Sequence[NDArray[np.uint8]]) -> Figure:
    """A row a face, a column for each of `pictures` [N, S, S, 3]: faces, what was shown, what was painted."""
    rows = len(pictures[0])
    figure = Figure(figsize=(1.7 * len(pictures), 1.75 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, len(pictures), squeeze=False)
    for column, (name, faces) in enumerate(zip(("face", "shown", "painted in"), pictures, strict=True)):
        axes[0, column].set_title(name, fontsize=9)
        for row, face in enumerate(faces):
            axes[row, column].imshow(face)
            axes[row, column].set_axis_off()
    return figure


def count_confusion(
    network: str, *, data: Path, sets: Sequence[str] | None, split: str, limit: int | None, device: str
) -> dict[str, NDArray[np.int64]]:
    """For every task of one label out of several, the counts over all prepared faces that have it.

    `limit` takes so many faces of each set, evenly spread. ValueError where no set has such a label.
    """
    from training.data.prepared.face_set import prepared_sets
    from training.evaluation.predictors import BATCH, load_predictor

    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: take 1 or more")
    faces_of = prepared_sets(data, split=split, names=sets)
    predictor = load_predictor(network, device=device)
    tasks = [entry["name"] for entry in predictor.tasks if _one_of_several(entry)]
    counts: dict[str, NDArray[np.int64]] = {}
    for faces in faces_of:
        present = [name for name in tasks if name in faces.columns]
        chosen = np.unique(np.linspace(0, len(faces) - 1, min(limit or len(faces), len(faces))).astype(int))
        for start in range(0, len(chosen) if present else 0, BATCH):
            indices = chosen[start : start + BATCH]
            answers = predictor.predict(faces.plain(indices, size=predictor.input_size))
            for name in present:
                found = confusion(faces.columns[name][indices], answers[name])
                counts[name] = counts[name] + found if name in counts else found
    if not counts:
        raise ValueError(
            f"no prepared set of {data} has labels of {', '.join(tasks) or 'any task'} in its {split} part: "
            "prepare one that has"
        )
    return counts


def _one_of_several(entry: Any) -> bool:
    """Whether a contract's entry is a task of classes with the catalogue's own labels."""
    task: Task | None = CATALOGUE.get(entry["name"])
    return task is not None and task.kind is Kind.CLASSES and list(task.labels) == list(entry["labels"])


def crop_of(path: Path, *, size: int, aligned: bool) -> NDArray[np.uint8]:
    """The crop [size, size, 3] of the largest face in a photo; of a picture that is `aligned`, all of it.

    ValueError for a file that is no picture, and for a photo without a face.
    """
    from runtime.detect.blazeface import find_faces
    from runtime.detect.weights import find_detector
    from runtime.engines.openvino import OpenVinoEngine
    from runtime.errors import InvalidInput
    from runtime.image.align import align_face
    from runtime.image.decode import decode_image

    try:
        photo = decode_image(path.read_bytes())
        if aligned:
            return align_face(photo, size=size)[0]
        engine = OpenVinoEngine.for_detector(find_detector(), precision="fp32")
        found = find_faces(photo, lambda tiles: engine.infer({"tiles": tiles}))
        if not len(found.boxes):
            raise ValueError(f"there is no face in {path}: give a photo of one, or --aligned for a crop")
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        largest = int(sides.prod(axis=1).argmax())
        return align_face(photo, box=found.boxes[largest], landmarks=found.landmarks[largest], size=size)[0]
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror or error}): name a photo") from None
    except InvalidInput as error:
        raise ValueError(f"{path}: {error}") from None


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, whole or not at all."""
    content = io.BytesIO()
    # Without a date and random names inside, so that the same figure gives the same file.
    dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())
    with matplotlib.rc_context({"svg.hashsalt": "q-face"}):
        figure.savefig(
            content, format=path.suffix[1:].lower(), dpi=150, metadata={dated: None} if dated else None
        )
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content.getvalue())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ValueError(
            f"{path} can't be written ({error.strerror or error}): name another --output"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    args = _parser().parse_args(arguments)
    try:
        if args.output.suffix.lower() not in _FORMATS:
            raise ValueError(f"{args.output} must end in one of {', '.join(_FORMATS)}")
        save(_drawn(args), args.output)
    except ValueError as error:
        print(f"training.research.figures: {error}", file=sys.stderr)
        return 2
    print(args.output)
    return 0


def _drawn(args: argparse.Namespace) -> Figure:
    if args.what == "curves":
        return draw_curves(args.runs)
    if args.what == "confusion":
        sets = [name.strip() for name in args.sets.split(",")] if args.sets else None
        counts = count_confusion(
            args.network, data=args.data, sets=sets, split=args.split, limit=args.limit, device=args.device
        )
        return draw_confusion(counts)
    if args.what == "reconstruction":
        from training.research.reconstruction import load_pretraining, reconstructed

        objective = load_pretraining(args.run)
        found = [crop_of(path, size=objective.input_size, aligned=args.aligned) for path in args.photos]
        return draw_reconstruction((np.stack(found), *reconstructed(objective, np.stack(found))))
    model = _network_with_queries(args.checkpoint)
    photos = [args.photo] if args.what == "attention" else args.photos
    crops = [crop_of(path, size=model.config.input_size, aligned=args.aligned) for path in photos]
    if args.what == "attention":
        names = [name.strip() for name in args.labels.split(",")]
        return draw_attention(model, crops[0], names=names, block=_block(model, args.block))
    return draw_stages(model, np.stack(crops), block=_block(model, args.block))


def _network_with_queries(path: Path) -> "QFace":
    from training.models import QFace, load_checkpoint

    model = load_checkpoint(path).model
    if not isinstance(model, QFace):
        raise ValueError(f"{path} holds a network without queries, which has no attention to draw")
    return model


def _block(model: "QFace", number: int) -> int:
    """The decoder's block from 0, of one counted from 1."""
    blocks = len(model.decoder.blocks)
    if not 1 <= number <= blocks:
        raise ValueError(f"--block {number}: the decoder has blocks 1 to {blocks}")
    return number - 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.research.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="what", required=True)
    attention = kinds.add_parser("attention", help="where each label's query looks (figure 4)")
    stages = kinds.add_parser("stages", help="which stages each task relies on (figure 5)")
    for one in (attention, stages):
        one.add_argument("checkpoint", type=Path)
    attention.add_argument("photo", type=Path)
    stages.add_argument("photos", type=Path, nargs="+")
    attention.add_argument("--labels", required=True, help="labels or tasks, separated by commas")
    painted = kinds.add_parser(
        "reconstruction", help="what a pretraining run paints in where faces are hidden"
    )
    painted.add_argument("run", type=Path, metavar="RUN", help="the --run folder of training.train.pretrain")
    painted.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    for one in (attention, stages, painted):
        one.add_argument("--aligned", action="store_true", help="the photo is an aligned crop already")
    for one in (attention, stages):
        one.add_argument("--block", type=int, default=1, help="which of the decoder's blocks, from 1")
    curves = kinds.add_parser("curves", help="losses over the steps of one or more runs")
    curves.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    matrices = kinds.add_parser("confusion", help="what is answered for which label")
    matrices.add_argument("network", help="a checkpoint, a .onnx file, or grpc://host:port")
    matrices.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    matrices.add_argument("--sets", help="only these, separated by commas")
    matrices.add_argument("--split", default="test", choices=("train", "validation", "test"))
    matrices.add_argument("--limit", type=int, help="so many faces of each set, evenly spread")
    matrices.add_argument("--device", default="cpu", help="where torch runs a checkpoint: cpu or cuda")
    for one in (attention, stages, curves, matrices, painted):
        one.add_argument("--output", type=Path, required=True, help="a file that ends in .png, .svg or .pdf")
    return parser


if __name__ == "__main__":
    sys.exit(main())
