"""Figures 4 and 5 of Q-Face: where the queries of a network attend."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.research.figures.face_crop import face_crop
from training.research.query_attention import attention_of, queries_of, stage_maps, stage_shares

if TYPE_CHECKING:
    from training.models import QFace


def add_attention(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attention`, figure 4."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--labels", required=True, help="labels or tasks, separated by commas")
    _add_shared(parser, draw=_attention)


def add_stages(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `stages`, figure 5."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    _add_shared(parser, draw=_stages)


def _add_shared(parser: argparse.ArgumentParser, *, draw: Callable[[argparse.Namespace], Figure]) -> None:
    parser.add_argument("--aligned", action="store_true", help="the photo is an aligned crop already")
    parser.add_argument("--block", type=int, default=1, help="which of the decoder's blocks, from 1")
    parser.set_defaults(draw=draw)


def _attention(args: argparse.Namespace) -> Figure:
    model = _network_with_queries(args.checkpoint)
    crop = face_crop(args.photo, size=model.config.input_size, aligned=args.aligned)
    names = [name.strip() for name in args.labels.split(",")]
    return draw_attention(model, crop, names=names, block=_block(model, args.block))


def _stages(args: argparse.Namespace) -> Figure:
    model = _network_with_queries(args.checkpoint)
    crops = [face_crop(path, size=model.config.input_size, aligned=args.aligned) for path in args.photos]
    return draw_stages(model, np.stack(crops), block=_block(model, args.block))


def draw_attention(
    model: "QFace", crop: NDArray[np.uint8], *, names: Sequence[str], block: int = 0
) -> Figure:
    """Figure 4: a row a label, the face and then a heat map over it a stage.

    Each map has its own scale, from no attention to its maximum. The number above it is the stage's share
    of the attention.
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
    """Figure 5: a bar a task, divided into the stages' shares of its attention.

    Dotted lines mark the shares under uniform attention: stages may have different numbers of tokens.
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
        texts = [f"{width:.0%}" if width >= 0.05 else "" for width in widths]  # else too narrow
        axis.bar_label(bars, labels=texts, label_type="center", fontsize=7, color="w")
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
