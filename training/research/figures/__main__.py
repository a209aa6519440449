"""Draws what a network attends to, how its training went, and what it confuses.

  python -m training.research.figures attention CHECKPOINT PHOTO --labels Smiling,Eyeglasses --output out.png
  python -m training.research.figures stages CHECKPOINT PHOTO... --output out.png
  python -m training.research.figures curves RUN... --output out.png
  python -m training.research.figures confusion NETWORK --data DIR --output out.png
  python -m training.research.figures reconstruction RUN PHOTO... --output out.png

`attention` is figure 4 of Q-Face: the cross-attention of the decoder's first block, for each label over the
face, a column for each stage of the encoder. `stages` is figure 5: the share of each task's attention that
goes to each stage. `curves` draws RUN/progress.jsonl of one or more runs. `confusion` draws a matrix for
every task of classes, of a checkpoint, an ONNX file or a running server (grpc://host:port).
`reconstruction` shows how a run of training.train.pretrain, finished or not, fills in hidden parts of a face.
The output's suffix gives its format: png, svg or pdf.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from training.research.figures.attention import add_attention, add_stages
from training.research.figures.confusion import add_confusion
from training.research.figures.curves import add_curves
from training.research.figures.reconstruction import add_reconstruction

_FORMATS = (".png", ".svg", ".pdf")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    args = _parser().parse_args(arguments)
    try:
        if args.output.suffix.lower() not in _FORMATS:
            raise ValueError(f"{args.output} must end in one of {', '.join(_FORMATS)}")
        save(args.draw(args), args.output)
    except ValueError as error:
        print(f"training.research.figures: {error}", file=sys.stderr)
        return 2
    print(args.output)
    return 0


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.research.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="figure", required=True)
    for name, add_options, summary in (
        ("attention", add_attention, "where each label's query attends (figure 4)"),
        ("stages", add_stages, "the stages that each task relies on (figure 5)"),
        ("reconstruction", add_reconstruction, "how a pretraining run fills in hidden parts of faces"),
        ("curves", add_curves, "losses over the steps of one or more runs"),
        ("confusion", add_confusion, "which label is predicted for which"),
    ):
        subparser = kinds.add_parser(name, help=summary)
        add_options(subparser)
        subparser.add_argument(
            "--output", type=Path, required=True, help="a file that ends in .png, .svg or .pdf"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
