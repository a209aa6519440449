"""Faces as a masked autoencoder reconstructs them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.research.figures.face_crop import face_crop


def add_reconstruction(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `reconstruction`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the --run folder of training.train.pretrain")
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument("--aligned", action="store_true", help="the photo is an aligned crop already")
    parser.set_defaults(draw=_reconstruction)


def _reconstruction(args: argparse.Namespace) -> Figure:
    from training.research.reconstruction import load_pretraining, reconstructed

    objective = load_pretraining(args.run)
    crops = [face_crop(path, size=objective.input_size, aligned=args.aligned) for path in args.photos]
    return draw_reconstruction((np.stack(crops), *reconstructed(objective, np.stack(crops))))


def draw_reconstruction(columns: Sequence[NDArray[np.uint8]]) -> Figure:
    """A row a face, a column for each of `columns` [N, S, S, 3]: faces, what was shown, what was painted."""
    rows = len(columns[0])
    figure = Figure(figsize=(1.7 * len(columns), 1.75 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (name, faces) in enumerate(zip(("face", "shown", "painted in"), columns, strict=True)):
        axes[0, column].set_title(name, fontsize=9)
        for row, face in enumerate(faces):
            axes[row, column].imshow(face)
            axes[row, column].set_axis_off()
    return figure
