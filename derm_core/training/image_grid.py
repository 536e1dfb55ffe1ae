"""Grids of images as PNG files: reconstructions and samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..files import writing

GAP = 2  # white pixels between images


def grid_image(rows: Sequence[Tensor], scale: int = 1) -> Image.Image:
    """Rows of float images (n,3,S,S) in [0, 1] as one picture; every pixel is shown `scale` times as large."""
    height = max(row.shape[2] for row in rows)
    cell, columns = height + GAP, max(len(row) for row in rows)
    canvas = np.full((cell * len(rows) - GAP, cell * columns - GAP, 3), 255, dtype=np.uint8)
    for top, row in enumerate(rows):
        pixels = (
            (row.detach().float().cpu().clamp(0, 1) * 255)
            .round()
            .byte()
            .permute(0, 2, 3, 1)
            .numpy()
        )
        for left, image in enumerate(pixels):
            canvas[top * cell : top * cell + height, left * cell : left * cell + height] = image
    picture = Image.fromarray(canvas)
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def save_grid(path: Path, rows: Sequence[Tensor]) -> None:
    """`grid_image` as a PNG file; small images are shown enlarged to at least 96 pixels."""
    grid = grid_image(rows, scale=max(1, -(-96 // rows[0].shape[2])))
    with writing(path) as file:
        grid.save(file, format="PNG", optimize=True)
