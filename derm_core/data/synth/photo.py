"""How a synthetic scene is photographed: a window of it with its own focus, light and nuisances.

Lengths are shares of the image's side. Each nuisance draws from a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .render import EXTENT, Factors, Scene, clouds, sigmoid, window

FINE = 3  # lines are drawn this much larger, then reduced


def take_view(
    scene: Scene, factors: Factors, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One photograph of a scene: image (size, size, 3) uint8 and lesion mask (size, size) bool."""
    side = len(scene.mask)
    to_pixels = side / (2 * EXTENT)
    turn, scale = np.deg2rad(factors["rotation"]), 1 / factors["zoom"]
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    pixel = matrix * to_pixels * 2 / size
    shift = np.array([factors["shift_x"], factors["shift_y"]])
    origin = (EXTENT + shift - matrix @ [1, 1]) * to_pixels
    affine = (*pixel[0], origin[0], *pixel[1], origin[1])
    part = ((size, size), Image.Transform.AFFINE, affine)
    rgb = Image.fromarray((scene.rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    image = np.asarray(rgb.transform(*part, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    mask = Image.fromarray(scene.mask.astype(np.uint8) * 255)
    mask = mask.transform(*part, Image.Resampling.BILINEAR)
    on_skin, camera = rng.spawn(2)
    image = _photograph(add_nuisances(image, factors, on_skin), factors, camera)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8), np.asarray(mask) > 127


def add_nuisances(image: np.ndarray, factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """What lies on the skin: ink, a ruler, hair, and bubbles in the contact gel."""
    ink, ruler, hair, bubbles = rng.spawn(4)
    if factors["ink"]:
        image = draw_ink(image, ink)
    if factors["ruler"]:
        image = image * (1 - 0.85 * draw_ruler(len(image), ruler)[..., None])
    if factors["hair"]:
        image = draw_hair(image, factors["hair"], hair)
    for _ in range(factors["bubbles"]):
        draw_bubble(image, bubbles)
    return image


def _draw(size: int, draw_lines: Callable[[ImageDraw.ImageDraw, int], None]) -> np.ndarray:
    """(size, size) cover in [0, 1] of lines, drawn on a finer canvas whose side is the second argument."""
    canvas = Image.new("L", (FINE * size, FINE * size))
    draw_lines(ImageDraw.Draw(canvas), FINE * size)
    return np.asarray(canvas.reduce(FINE), dtype=np.float32) / 255


def draw_hair(image: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` bent hairs of one colour over an image (S, S, 3) in [0, 1].

    The first ones are those of a smaller count.
    """
    light = rng.random() < 0.2
    colour = np.array([0.80, 0.66, 0.52] if light else [0.13, 0.09, 0.08], np.float32)
    sweep, t = rng.uniform(0, np.pi), np.linspace(0, 1, 20)[:, None]

    def draw_lines(draw: ImageDraw.ImageDraw, side: int) -> None:
        for _ in range(count):
            middle, angle = rng.uniform(0, 1, 2), sweep + rng.normal(0, 0.7)
            reach = rng.uniform(0.25, 0.75) * np.array([np.cos(angle), np.sin(angle)])
            control = middle + rng.normal(0, 0.16, 2)
            points = (1 - t) ** 2 * (middle - reach) + 2 * t * (1 - t) * control
            points = points + t**2 * (middle + reach)
            width = max(1, round(side * rng.uniform(0.005, 0.012)))
            places = [tuple(point) for point in points * side]
            draw.line(places, fill=int(rng.uniform(130, 250)), width=width, joint="curve")

    cover = _draw(len(image), draw_lines)[..., None]
    return image * (1 - cover) + colour * cover


def draw_ruler(size: int, rng: np.random.Generator, border: int | None = None) -> np.ndarray:
    """(size, size) cover in [0, 1] of the tick marks of a ruler along one border (0 to 3; None: any)."""
    gap, offset, tilt = rng.uniform(0.035, 0.06), rng.uniform(0.0, 0.06), rng.normal(0, 0.03)

    def draw_lines(draw: ImageDraw.ImageDraw, side: int) -> None:
        for i in range(int(1.1 / gap)):
            x, y = i * gap, offset + tilt * i * gap
            length = 0.085 if i % 10 == 0 else 0.06 if i % 5 == 0 else 0.035
            end = (x - tilt * length) * side, (y + length) * side
            draw.line([(x * side, y * side), end], fill=255, width=max(1, round(0.007 * side)))

    return np.rot90(_draw(size, draw_lines), int(rng.integers(4)) if border is None else border)


def draw_ink(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One worn stroke of a violet or blue skin marker, bent around the middle of an image (S, S, 3) in [0, 1]."""
    size = len(image)
    angle, bend, start = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.9), rng.uniform(0.42, 0.56)
    width = rng.uniform(0.035, 0.08)

    def draw_lines(draw: ImageDraw.ImageDraw, side: int) -> None:
        turns = angle + np.linspace(-bend, bend, 16)
        circle = np.stack([np.cos(turns), np.sin(turns)], 1)
        places = (0.5 + start * circle * rng.uniform(0.97, 1.03, (16, 1))) * side
        draw.line(list(map(tuple, places)), fill=255, width=round(width * side), joint="curve")

    drawn = Image.fromarray((255 * _draw(size, draw_lines)).astype(np.uint8))
    stroke = drawn.filter(ImageFilter.GaussianBlur(size / 110))
    worn = sigmoid(2.5 * clouds(rng, size, 9) + 1.2) * rng.uniform(0.55, 0.95)
    cover = np.asarray(stroke, dtype=np.float32) / 255 * worn
    colour = np.array([[0.36, 0.20, 0.62], [0.22, 0.26, 0.60]][rng.integers(2)], np.float32)
    return image * (1 - cover[..., None] * (1 - colour))


def draw_bubble(image: np.ndarray, rng: np.random.Generator) -> None:
    """One bubble with its rim and highlight, drawn into an image (S, S, 3) in [0, 1]."""
    axis = (np.arange(len(image), dtype=np.float32) + 0.5) / len(image) * 2 - 1
    (x, y), r = rng.uniform(-1, 1, 2), rng.uniform(0.03, 0.11)
    rows, columns = window(axis, y, 1.4 * r), window(axis, x, 1.4 * r)
    dx, dy = (axis[columns] - x) / r, ((axis[rows] - y) / r)[:, None]
    distance = np.hypot(dx, dy)
    rim = np.exp(-(((distance - 0.92) / 0.12) ** 2))
    shine = np.exp(-((dx + 0.4) ** 2 + (dy + 0.4) ** 2) / 0.05) + 0.45 * rim * (dx + dy > 0)
    patch = image[rows, columns] * (1 - 0.22 * rim + 0.05 * (distance < 0.9))[..., None]
    image[rows, columns] = patch + (1 - patch) * (0.65 * shine.clip(0, 1))[..., None]


def _photograph(image: np.ndarray, factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """Focus, light and its colour, the dark rim of the dermatoscope, and the sensor's noise."""
    size = len(image)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = axis, axis[:, None]
    if factors["blur"] > 0:
        sharp = Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8))
        blurred = sharp.filter(ImageFilter.GaussianBlur(factors["blur"] * size / 128))
        image = np.asarray(blurred, dtype=np.float32) / 255
    slope = rng.normal(0, 0.045, 2).tolist()
    light = factors["light"] * (1 + slope[0] * x + slope[1] * y)
    radius = np.hypot(x - rng.normal(0, 0.04), y - rng.normal(0, 0.04))
    light = light * (1 - 0.6 * factors["vignette"] * ((radius - 0.55).clip(0, 1)) ** 1.5)
    if factors["tube"]:
        light = light * sigmoid((rng.uniform(1.02, 1.18) - radius) / 0.012)
    image = image + factors["noise"] * rng.standard_normal(image.shape, dtype=np.float32)
    for c, gain in enumerate((1 + 0.05 * factors["warmth"], 1.0, 1 - 0.10 * factors["warmth"])):
        image[..., c] *= gain * light
    return image
