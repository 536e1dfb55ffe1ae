"""Parts of a map by place: what lies inside a box or lasso, how dense the map is where, points of a region.

Places are (n, 2): x and y on the map.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

OPACITY = (0.12, 0.75)  # of the density's picture: where one image lies, and where most do


@dataclass(frozen=True)
class Region:
    """A rectangle of a map, both ends of an axis within."""

    west: float
    east: float
    south: float
    north: float

    def holds(self, places_n2: np.ndarray) -> np.ndarray:
        """bool (n,)."""
        x, y = places_n2.T
        inside: np.ndarray = (
            (x >= self.west) & (x <= self.east) & (y >= self.south) & (y <= self.north)
        )
        return inside


def inside_outline(places_n2: np.ndarray, outline_k2: np.ndarray) -> np.ndarray:
    """bool (n,): the places inside a closed outline, by the count of its edges to the right (even-odd rule).

    An outline of fewer than three corners holds nothing.
    """
    outline = np.asarray(outline_k2, float).reshape(-1, 2)
    if len(outline) < 3:
        return np.zeros(len(places_n2), bool)
    (west, south), (east, north) = outline.min(0), outline.max(0)
    near = np.flatnonzero(Region(west, east, south, north).holds(places_n2))
    x, y = places_n2[near].astype(float).T
    odd = np.zeros(len(near), bool)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            crossed = (y1 > y) != (y2 > y)
            odd ^= crossed & (x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)))
    inside = np.zeros(len(places_n2), bool)
    inside[near[odd]] = True
    return inside


def inside_any(
    places_n2: np.ndarray, boxes: Sequence[Region], outlines: Sequence[np.ndarray]
) -> np.ndarray:
    """bool (n,): the places inside one of the boxes or outlines (each (k, 2))."""
    inside = np.zeros(len(places_n2), bool)
    for box in boxes:
        inside |= box.holds(places_n2)
    for outline in outlines:
        inside |= inside_outline(places_n2, outline)
    return inside


def density_picture(
    places_n2: np.ndarray, colour: tuple[int, int, int], side: int = 512
) -> tuple[bytes, Region]:
    """A PNG of `side` pixels, less transparent where more images lie (by the logarithm), and the region it shows.

    The region holds all places, at least one, that are known (not NaN).
    """
    known = places_n2[np.isfinite(places_n2).all(1)].astype(float)
    (west, south), (east, north) = known.min(0), known.max(0)
    room = 0.5 / side * max(east - west, north - south, 1e-6)
    region = Region(west - room, east + room, south - room, north + room)
    counts, _, _ = np.histogram2d(
        -known[:, 1],
        known[:, 0],
        bins=side,
        range=((-region.north, -region.south), (region.west, region.east)),
    )
    least, most = OPACITY
    share = np.log1p(counts) / np.log1p(counts.max())
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.where(counts > 0, 255 * (least + (most - least) * share), 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue(), region


def spread(rank_n: np.ndarray, chosen: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the positions `chosen`, those of the lowest rank: a part keeps them in a smaller region.

    Args:
        rank_n: a random order of all positions, always the same.
        chosen: positions.
        most: how many.
    """
    if len(chosen) <= most:
        return chosen
    lowest = np.argpartition(rank_n[chosen], most)[:most]
    return np.sort(chosen[lowest])
