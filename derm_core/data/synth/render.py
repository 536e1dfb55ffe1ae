"""How a synthetic lesion is rendered: pigment and blood as optical densities, then light on skin.

A lesion is rendered once, as a scene larger than any view (synth.photo takes the views). Colour
follows from Beer-Lambert absorption by melanin and haemoglobin, so that light skin, dark skin, tan,
brown, black and red come from two densities. Lengths are in half image sides: an image spans -1
to 1. Shapes: e = side of the scene in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

EXTENT = 1.8  # half side of a scene: holds every rotated, shifted and zoomed view
WHITE = np.array([0.99, 0.90, 0.88], np.float32)
MELANIN = np.array([0.40, 0.64, 0.92], np.float32)  # absorption of red, green and blue light
BLOOD = np.array([0.06, 0.50, 0.42], np.float32)
VEIL = np.array([0.36, 0.40, 0.50], np.float32)  # melanin seen through deep tissue looks blue-grey
SCAR = np.array([0.90, 0.80, 0.80], np.float32)
Factors = dict[str, Any]  # names and values, see synth.generator


@dataclass(frozen=True)
class Scene:
    """rgb: (e, e, 3) float32 colours of skin and lesion; mask: (e, e) bool, True on the lesion."""

    rgb: np.ndarray
    mask: np.ndarray


def noise(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """(side, side) smooth noise of about unit variance with `cells` features a side, at any resolution."""
    weights = _spline(side, cells)
    return weights @ rng.standard_normal((cells + 3, cells + 3), dtype=np.float32) @ weights.T


@lru_cache(maxsize=64)
def _spline(side: int, cells: int) -> np.ndarray:
    """(side, cells + 3) weights of cubic convolution (Keys 1981), scaled so that noise keeps unit variance."""
    place = (np.arange(side) + 0.5) / side * cells
    t = np.abs(place[:, None] + 1 - np.arange(cells + 3)).clip(0, 2)
    weights = np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2)
    return (weights / np.sqrt((weights**2).sum(1, keepdims=True))).astype(np.float32)


def clouds(rng: np.random.Generator, side: int, cells: int, octaves: int = 3) -> np.ndarray:
    """(side, side) noise of about unit variance over several scales (fractal)."""
    layers = [0.55**k * noise(rng, side, cells * 2**k) for k in range(octaves)]
    return np.divide(sum(layers), 1.2)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def render_scene(factors: Factors, size: int, rng: np.random.Generator) -> Scene:
    """Skin and lesion of one group; its factors say what there is, `rng` decides where it lies.

    Every layer draws from a stream of its own: one factor changed leaves the rest of the picture as
    it was. Planes stay float32 (a float64 scalar would widen them); colours are made plane by
    plane.
    """
    shape, skin, patches, net, clods, lines = rng.spawn(6)
    side = round(EXTENT * size)
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 * EXTENT - EXTENT
    v, u = np.meshgrid(axis, axis, indexing="ij")
    alpha, radius = _outline(factors, u, v, shape)
    grain = noise(skin, side, 40) + 0.7 * noise(skin, side, 75)
    melanin = (0.06 + factors["skin_melanin"]) * (1 + 0.12 * clouds(skin, side, 5) + 0.05 * grain)
    blood = factors["skin_redness"] * (
        1 + 0.16 * clouds(skin, side, 6) + 0.05 * grain
    ) + 0.015 * noise(skin, side, 60)
    pigment, redness, veil, scar = _colours(factors, alpha, u, v, radius, patches)
    pigment += _network(factors, alpha, u, v, net)
    pigment += _globules(factors, alpha, radius, axis, clods)
    pigment += _streaks(factors, radius, alpha, axis, lines)
    melanin = melanin + np.maximum(pigment, 0)
    blood = np.maximum(blood + redness, 0)
    rgb = np.empty((side, side, 3), np.float32)
    for c in range(3):
        plane = WHITE[c] * np.exp(-MELANIN[c] * melanin - BLOOD[c] * blood)
        rgb[..., c] = (
            plane + veil * (VEIL[c] - plane) + scar * (SCAR[c] * (0.6 + 0.4 * plane) - plane)
        )
    return Scene(rgb, alpha > 0.5)


def _outline(
    factors: Factors, u: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(e, e) cover of the lesion in [0, 1] and its mean radius: an ellipse whose edge noise displaces."""
    side, radius = len(u), factors["size"]
    turn, stretch = rng.uniform(0, math.pi), math.sqrt(factors["elongation"])
    x = (u * math.cos(turn) + v * math.sin(turn)) / stretch
    y = (v * math.cos(turn) - u * math.sin(turn)) * stretch
    wobble = 0.34 * noise(rng, side, 5) + 0.20 * noise(rng, side, 10) + 0.10 * noise(rng, side, 22)
    distance = np.hypot(x, y) / radius - 1 + 0.05 * noise(rng, side, 5)
    distance = distance + factors["irregularity"] * wobble
    softness = (0.025 + 0.13 * factors["softness"]) * np.exp(0.4 * noise(rng, side, 4))
    return sigmoid(-distance / softness), radius


def _colours(
    factors: Factors,
    alpha: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    radius: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Densities of pigment and blood, and the cover of blue-grey veil and scar: the lesion's patches."""
    side = len(u)
    x, y = rng.normal(0, 0.45 * radius * factors["asymmetry"], 2).tolist()
    depth = np.exp(-((u - x) ** 2 + (v - y) ** 2) / (1.1 * radius) ** 2)
    mottle = 1 + 0.30 * clouds(rng, side, 9) + 0.13 * noise(rng, side, 48)
    pigment = factors["pigment"] * alpha * (0.50 + 0.55 * depth) * np.maximum(mottle, 0.15)
    redness = factors["redness"] * alpha * (0.7 + 0.25 * clouds(rng, side, 6))
    veil, scar = np.zeros_like(alpha), np.zeros_like(alpha)
    for kind in rng.permutation(["dark", "tan", "blue", "red", "white"])[: factors["colours"] - 1]:
        angle, away = rng.uniform(0, 2 * math.pi), radius * rng.uniform(0.15, 0.65)
        distance = np.hypot(u - away * math.cos(angle), v - away * math.sin(angle))
        distance = distance / (radius * rng.uniform(0.35, 0.6))
        patch = alpha * sigmoid((1 - distance + 0.45 * clouds(rng, side, 9)) / 0.14)
        strength = rng.uniform(0.6, 1.0)
        if kind == "dark":
            pigment += strength * 1.1 * patch
        elif kind == "tan":
            pigment *= 1 - 0.55 * strength * patch
        elif kind == "blue":
            pigment += 0.3 * patch
            cover = (0.55 + 0.14 * clouds(rng, side, 12)).clip(0, 0.8)
            veil = np.maximum(veil, strength * patch * cover)
        elif kind == "red":
            pigment *= 1 - 0.5 * strength * patch
            redness += 0.9 * strength * patch
        else:
            pigment *= 1 - 0.7 * strength * patch
            scar = np.maximum(scar, 0.45 * strength * patch)
    return pigment, redness, veil, scar


def _network(
    factors: Factors, alpha: np.ndarray, u: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(e, e) pigment of a net: the valleys of three plane waves form a honeycomb, which noise bends."""
    side, spacing = len(u), factors["network_spacing"]
    bend = 0.30 * spacing
    x = u + bend * noise(rng, side, 12) + 0.5 * bend * noise(rng, side, 26)
    y = v + bend * noise(rng, side, 12) + 0.5 * bend * noise(rng, side, 26)
    wave, turn = 4 * math.pi / (math.sqrt(3) * spacing), rng.uniform(0, math.pi)
    angles = (turn, turn + math.pi / 3, turn + 2 * math.pi / 3)
    height = sum(np.cos(wave * math.cos(a) * x + wave * math.sin(a) * y) for a in angles)
    lines = sigmoid((-0.62 - height) / 0.24) * (1 + 0.25 * noise(rng, side, 30))
    present = alpha**1.5 * sigmoid(2.2 * clouds(rng, side, 5) + 1.4)
    return factors["network"] * present * (1.05 * lines - 0.26)


def _globules(
    factors: Factors, alpha: np.ndarray, radius: float, axis: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(e, e) pigment of round clods scattered over the lesion."""
    field = np.zeros_like(alpha)
    side, globules = len(axis), factors["globules"]
    count = round((8 + 150 * radius**2 * globules) * (globules > 0.12))
    places = rng.uniform(-1.2 * radius, 1.2 * radius, (count, 2))
    radii, strengths = rng.uniform(0.026, 0.056, count), rng.uniform(0.7, 1.3, count)
    for (x, y), r, dark in zip(places.tolist(), radii.tolist(), strengths.tolist()):
        column, row = (int((c + EXTENT) / (2 * EXTENT) * side) for c in (x, y))
        if alpha[row, column] < 0.55:
            continue
        rows, columns = window(axis, y, 1.6 * r), window(axis, x, 1.6 * r)
        distance = np.hypot(axis[columns] - x, (axis[rows] - y)[:, None]) / r
        part = field[rows, columns]
        np.maximum(part, dark * sigmoid((1 - distance) / 0.13), out=part)
    return (0.2 + 1.15 * globules) * field


def _streaks(
    factors: Factors, radius: float, alpha: np.ndarray, axis: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(e, e) pigment of radial lines that cross the border, some with a bulb at their end."""
    field = np.zeros_like(alpha)
    count = round(38 * factors["streaks"] * (factors["streaks"] > 0.15))
    sector, opening = rng.uniform(0, 2 * np.pi), 2 * np.pi * rng.uniform(0.55, 1.0)
    for angle in sector + opening * rng.uniform(0, 1, count):
        direction = np.array([np.cos(angle), np.sin(angle)])
        edge = _edge(alpha, direction, radius)
        lean = direction + rng.normal(0, 0.16) * np.array([-direction[1], direction[0]])
        start, length = direction * edge * rng.uniform(0.66, 0.84), radius * rng.uniform(0.28, 0.46)
        end = start + lean * length
        low, high = np.minimum(start, end) - 0.08, np.maximum(start, end) + 0.08
        columns, rows = (slice(*np.searchsorted(axis, [low[i], high[i]])) for i in (0, 1))
        x, y = axis[columns] - start[0], (axis[rows] - start[1])[:, None]
        along = np.clip((x * lean[0] + y * lean[1]) / (length * lean @ lean), 0, 1)
        width = rng.uniform(0.016, 0.026) * (1.2 - 0.7 * along)
        width = width + (rng.random() < 0.25) * 0.014 * (along > 0.9)
        bow = rng.normal(0, 0.25) * length * along * (1 - along)
        from_line = along * length
        distance = np.hypot(
            x - from_line * lean[0] + bow * lean[1], y - from_line * lean[1] - bow * lean[0]
        )
        line = sigmoid((width - distance) / 0.010) * np.minimum(1, 0.3 + 2.2 * along)
        line = line * (1 - 0.35 * along) * rng.uniform(0.6, 1.2)
        np.maximum(field[rows, columns], line, out=field[rows, columns])
    return (0.15 + 1.4 * factors["streaks"]) * field


def window(axis: np.ndarray, centre: float, reach: float) -> slice:
    """Where an ascending `axis` lies within `reach` of `centre`."""
    return slice(*np.searchsorted(axis, [centre - reach, centre + reach]))


def _edge(alpha: np.ndarray, direction: np.ndarray, radius: float) -> float:
    """Distance from the middle at which the lesion ends in a direction."""
    steps = np.linspace(0.3, 1.9, 48) * radius
    pixels = (steps[:, None] * direction + EXTENT) / (2 * EXTENT) * len(alpha)
    places = pixels.astype(int).clip(0, len(alpha) - 1)
    inside = np.flatnonzero(alpha[places[:, 1], places[:, 0]] > 0.5)
    return float(steps[inside[-1]] if len(inside) else radius)
