"""Fixed sine-cosine position embeddings in two dimensions (Q-Face, sections 3.1 and 3.2)."""

import torch
from torch import Tensor


def sincos_positions(*, grid: tuple[int, int], width: int, prefix_tokens: int = 0) -> Tensor:
    """Embeddings [prefix_tokens + h * w, width], row by row; those of prefix tokens ([CLS]) are zero.

    A quarter of the channels each holds sine and cosine of the column and of the row. Positions are
    cell centres scaled to a 14 x 14 grid (the paper's), so that stages of different resolution agree
    about the same place. Raises ValueError if `width` is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"a position embedding needs a width that is a multiple of 4, not {width}")
    rows, columns = grid
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) * 14 / rows
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) * 14 / columns
    by_row = (y[:, None] * frequencies)[:, None, :].expand(rows, columns, -1)
    by_column = (x[:, None] * frequencies)[None, :, :].expand(rows, columns, -1)
    embedding = torch.cat([by_column.sin(), by_column.cos(), by_row.sin(), by_row.cos()], dim=-1)
    patches = embedding.reshape(rows * columns, width).float()
    return torch.cat([torch.zeros(prefix_tokens, width), patches])
