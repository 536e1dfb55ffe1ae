"""Pictures that show no skin lesion, drawn by this program: what an outlier score must call out.

    nonlesion_images(n, seed, size=192) -> [(kind, uint8 (size, size, 3))]      n of each of KINDS

Kinds that people really upload by mistake (documents, screenshots, charts, x-rays, blank scans) and
kinds that any score should tell apart (noise, gradients, checkerboards, fractals). The same seed
gives the same pictures. Photographs are added by whoever measures: none is shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ..seeds import stream_seed

WORDS = (
    "the patient of and with left right history report date signed page total number receipt invoice "
    "table value mean sample figure result method office street order item price"
).split()


def nonlesion_images(n: int, seed: int, size: int = 192) -> list[tuple[str, np.ndarray]]:
    """n pictures of each kind in KINDS as (kind, uint8 (size, size, 3)); the same for the same seed."""
    return [
        (kind, draw(np.random.default_rng(stream_seed(seed, "non-lesion", kind, number)), size))
        for kind, draw in KINDS.items()
        for number in range(n)
    ]


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Independent pixels or small blocks, in colour or grey, some of it salt and pepper."""
    block = int(rng.choice([1, 1, 2, 4, 8]))
    side, channels = -(-size // block), int(rng.choice([1, 3]))
    if rng.random() < 0.25:
        values = rng.choice([0, 255], (side, side, channels))
    else:
        values = rng.normal(rng.uniform(60, 200), rng.uniform(25, 90), (side, side, channels))
    values = np.broadcast_to(values, (side, side, 3)).repeat(block, 0).repeat(block, 1)
    return _pixels(values[:size, :size])


def blank(rng: np.random.Generator, size: int) -> np.ndarray:
    """One colour (white, black, grey or any), with the faint grain of a scanner."""
    colour = rng.choice(["white", "black", "grey", "any"])
    colours: dict[str, int | np.ndarray] = {
        "white": 250,
        "black": 4,
        "grey": int(rng.integers(40, 215)),
        "any": rng.integers(0, 256, 3),
    }
    base = colours[str(colour)]
    return _pixels(
        np.broadcast_to(base, (size, size, 3)) + rng.normal(0, rng.uniform(0, 2), (size, size, 1))
    )


def gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """A straight or round passage between two colours."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (
        (x * np.cos(angle) + y * np.sin(angle)) / 2.8 + 0.5
        if rng.random() < 0.7
        else np.hypot(x, y) / 1.42
    )
    a, b = rng.integers(0, 256, (2, 3))
    return _pixels(a + (b - a) * ramp[..., None].clip(0, 1))


def document(rng: np.random.Generator, size: int) -> np.ndarray:
    """Lines of printed text on paper, upright or a little turned."""
    paper, ink = int(rng.integers(215, 256)), int(rng.integers(0, 70))
    image = Image.new("RGB", (size * 2, size * 2), (paper, paper, paper - int(rng.integers(0, 14))))
    draw, step = ImageDraw.Draw(image), int(rng.integers(14, 34))
    font = ImageFont.load_default(step * 0.75)
    for row, top in enumerate(range(step, size * 2 - step, step)):
        words: Sequence[str] = (
            rng.choice(WORDS, 16).tolist() if row % int(rng.integers(4, 9)) else []
        )
        draw.text((step, top), " ".join(words), fill=(ink, ink, ink), font=font)
    turned = image.rotate(
        float(rng.normal(0, 3)), Image.Resampling.BICUBIC, fillcolor=(paper, paper, paper)
    )
    return _cut(turned, size)


def xray(rng: np.random.Generator, size: int) -> np.ndarray:
    """A grey chest-like picture: bright trunk, two dark lungs, ribs, a heart's shadow."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    wide, tall = rng.uniform(0.22, 0.36), rng.uniform(0.5, 0.75)
    picture = rng.uniform(0.6, 0.85) * np.exp(-((x / rng.uniform(0.8, 1.1)) ** 4))
    for side in (-1, 1):
        inside = 1 / (1 + np.exp((np.hypot((x - side * 0.42) / wide, (y + 0.05) / tall) - 1) * 9))
        picture -= rng.uniform(0.35, 0.55) * inside
        ribs = 0.5 + 0.5 * np.sin((y + 0.35 * np.abs(x)) * rng.uniform(18, 28))
        picture += 0.14 * inside * ribs
    picture += 0.35 * np.exp(-(((x - 0.12) / 0.16) ** 2) - ((y - 0.25) / 0.3) ** 2) + 0.25 * np.exp(
        -((x / 0.07) ** 2)
    )
    return _pixels(
        255 * picture[..., None] + rng.normal(0, rng.uniform(1, 8), (size, size, 1)) + np.zeros(3)
    )


def checkerboard(rng: np.random.Generator, size: int) -> np.ndarray:
    """Squares or stripes of two colours."""
    step, shift = int(rng.integers(4, size // 4)), rng.integers(0, size, 2)
    y, x = np.mgrid[:size, :size]
    odd = ((x + shift[0]) // step + (rng.random() < 0.7) * ((y + shift[1]) // step)) % 2
    a, b = rng.integers(0, 256, (2, 3)) if rng.random() < 0.6 else np.array([[0] * 3, [255] * 3])
    return _pixels(np.where(odd[..., None], a, b))


def chart(rng: np.random.Generator, size: int) -> np.ndarray:
    """A plot on white: axes, grid, and bars, lines or dots."""
    image = Image.new("RGB", (size * 2, size * 2), "white")
    draw, end = ImageDraw.Draw(image), size * 2
    for at in range(end // 8, end, end // 8):
        draw.line((end // 8, at, end - 10, at), fill=(215, 215, 215))
    draw.line(
        (end // 8, 10, end // 8, end - end // 8, end - 10, end - end // 8), fill="black", width=2
    )
    kind, count = rng.choice(["bars", "lines", "dots"]), int(rng.integers(5, 14))
    xs = np.linspace(end * 0.18, end * 0.92, count)
    for _ in range(1 if kind == "bars" else int(rng.integers(1, 4))):
        colour, ys = (
            tuple(int(v) for v in rng.integers(0, 220, 3)),
            rng.uniform(end * 0.1, end * 0.85, count),
        )
        if kind == "lines":
            draw.line(list(zip(xs, ys)), fill=colour, width=4)
        for px, py in zip(xs, ys):
            if kind == "bars":
                draw.rectangle(
                    (px - end / count / 4, py, px + end / count / 4, end * 7 / 8), fill=colour
                )
            elif kind == "dots":
                draw.ellipse((px - 6, py - 6, px + 6, py + 6), fill=colour)
    draw.text(
        (end // 4, 8), " ".join(rng.choice(WORDS, 4)), fill="black", font=ImageFont.load_default(18)
    )
    return _cut(image, size)


def screenshot(rng: np.random.Generator, size: int) -> np.ndarray:
    """A program's window: bars, panels, buttons and lines of text, light or dark."""
    dark = rng.random() < 0.5
    ground, text = ((28, 30, 36), (210, 210, 215)) if dark else ((246, 246, 248), (40, 40, 45))
    image = Image.new("RGB", (size * 2, size * 2), ground)
    draw, end, font = ImageDraw.Draw(image), size * 2, ImageFont.load_default(14)
    accent = tuple(int(v) for v in rng.integers(30, 230, 3))
    draw.rectangle((0, 0, end, 34), fill=accent)
    draw.rectangle(
        (0, 34, int(rng.integers(60, 130)), end), fill=tuple(int(v * 0.9) for v in ground)
    )
    for _ in range(int(rng.integers(3, 8))):
        left, top = rng.integers(60, end - 60, 2)
        draw.rectangle(
            (left, top, left + int(rng.integers(30, 160)), top + int(rng.integers(16, 70))),
            fill=tuple(int(v) for v in rng.integers(0, 256, 3)),
        )
    for top in range(46, end, int(rng.integers(18, 28))):
        draw.text(
            (140, top), " ".join(rng.choice(WORDS, int(rng.integers(2, 9)))), fill=text, font=font
        )
    return _cut(image, size)


def fractal(rng: np.random.Generator, size: int) -> np.ndarray:
    """Clouds with a 1/f spectrum, alike in statistics to landscapes, or a Julia set."""
    if rng.random() < 0.5:
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
        frequency[0, 0] = np.inf
        layers = [
            np.fft.ifft2(
                np.fft.fft2(rng.normal(size=(size, size))) / frequency ** rng.uniform(0.8, 1.6)
            ).real
            for _ in range(3)
        ]
        mixed = np.stack(layers, -1) @ rng.normal(size=(3, 3))
        return _pixels(128 + rng.uniform(35, 70) * (mixed - mixed.mean((0, 1))) / mixed.std())
    y, x = np.mgrid[-1.4 : 1.4 : size * 1j, -1.4 : 1.4 : size * 1j]
    z, c, steps = (
        x + 1j * y,
        complex(rng.uniform(-0.85, 0.3), rng.uniform(0.1, 0.8)),
        np.zeros((size, size)),
    )
    for _ in range(40):
        inside = np.abs(z) < 2
        z[inside] = z[inside] ** 2 + c
        steps += inside
    return _pixels(
        127 + 127 * np.sin(steps[..., None] * rng.uniform(0.1, 0.5, 3) + rng.uniform(0, 6, 3))
    )


def shapes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Drawn objects on a coloured ground, as of a logo or a child's picture."""
    image = Image.new("RGB", (size * 2, size * 2), tuple(int(v) for v in rng.integers(0, 256, 3)))
    draw, end = ImageDraw.Draw(image), size * 2
    for _ in range(int(rng.integers(4, 12))):
        (left, right), (top, bottom) = (
            np.sort(rng.integers(0, end, 2)),
            np.sort(rng.integers(0, end, 2)),
        )
        form, colour = (
            rng.choice(["ellipse", "box", "triangle"]),
            tuple(int(v) for v in rng.integers(0, 256, 3)),
        )
        if form == "triangle":
            draw.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=colour)
        else:
            (draw.ellipse if form == "ellipse" else draw.rectangle)(
                (left, top, right, bottom), fill=colour
            )
    return _cut(image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2)))), size)


KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "noise": noise,
    "blank": blank,
    "gradient": gradient,
    "document": document,
    "x-ray": xray,
    "checkerboard": checkerboard,
    "chart": chart,
    "screenshot": screenshot,
    "fractal": fractal,
    "shapes": shapes,
}


def _cut(image: Image.Image, size: int) -> np.ndarray:
    """The middle square of a picture drawn at twice the size, halved."""
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS).convert("RGB"))


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.broadcast_to(values, (*values.shape[:2], 3)).round().clip(0, 255).astype(np.uint8)
