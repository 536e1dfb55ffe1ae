"""The square the models see: the middle of the picture, or one drawn round the lesion.

It is drawn with the mouse or a finger on the picture, or set with three sliders, beside a preview.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image

from derm_core.data.decode import crop_square, prepare
from pages.ui import images, scheduling, words
from pages.ui.classify.answers import CENTRE, Answer, Crop, closed_at_first

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SLIDERS = (("Across", "x"), ("Down", "y"), ("Size", "side"))
PREVIEW = 192  # pixels of the preview
DRAWN = 330  # pixels of the picture's width: what a phone has, since a chart's height does not follow its width


def draw_crop_tool(answer: Answer, sizes: list[int]) -> None:
    """The tool, folded: most images are classified by their middle. sizes: input sizes of the models, in pixels."""
    tool = st.expander(
        "Choose the square that the models see"
        if answer.crop == CENTRE
        else "Square chosen by you",
        icon=":material/crop:",
        key=closed_at_first("crop", answer),
        on_change="rerun",
    )
    if tool.open:
        with tool:
            _draw_tool(answer, sizes)


@st.fragment
@scheduling.in_turn
def _draw_tool(answer: Answer, sizes: list[int]) -> None:
    """Picture, sliders and preview; only this part runs again while the square moves."""
    picture = Image.open(io.BytesIO(answer.whole))
    keys = {part: f"crop-{part}-{answer.key[:12]}" for _, part in SLIDERS}
    for (_, part), value in zip(SLIDERS, answer.crop, strict=True):
        st.session_state.setdefault(keys[part], round(100 * value))
    x, y, side = (st.session_state[keys[part]] / 100 for _, part in SLIDERS)
    crop, chart = (x, y, side), f"crop-box-{answer.key[:12]}"
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption(
            "Draw a box round the lesion, or move the sliders. The lesions of the training images lie in "
            "the middle and fill about a third of the square."
        )
        st.plotly_chart(
            crop_figure(answer.whole, picture.size, crop),
            key=chart,
            selection_mode="box",
            on_select=functools.partial(take_box, chart, keys, picture.size),
            config={"displayModeBar": False},
            alt="The picture with the square that the models see",
        )
    with right:
        for label, part in SLIDERS:
            st.slider(label, 10 if part == "side" else 0, 100, key=keys[part], format="%d %%")
        square = crop_square(picture, *crop)
        st.image(
            images.jpeg_url(_enlarged(prepare(square, min(sizes)))),
            width=PREVIEW,
            alt="What the models would see",
        )
        st.caption(f"What the models would see, at {' and '.join(map(str, sizes))}{words.THIN}px.")
        with st.container(horizontal=True):
            if st.button(
                "Use this square",
                type="primary",
                key=f"crop-use-{answer.key[:12]}",
                disabled=crop == answer.crop,
            ):
                st.session_state["crops"][answer.key] = crop
                st.rerun()
            if st.button(
                "Use the centre",
                key=f"crop-centre-{answer.key[:12]}",
                disabled=answer.crop == CENTRE == crop,
            ):
                for key in keys.values():
                    st.session_state.pop(key)
                st.session_state["crops"].pop(answer.key, None)
                st.rerun()


def take_box(chart: str, keys: dict[str, str], size: tuple[int, int]) -> None:
    """A drawn box sets the sliders: its middle, and the longer of its sides."""
    boxes = (st.session_state.get(chart) or {}).get("selection", {}).get("box", [])
    if not boxes:
        return
    (x0, x1), (y0, y1) = (sorted(float(value) for value in boxes[-1][axis]) for axis in "xy")
    side = max(x1 - x0, y1 - y0) / min(size)
    shares = {"x": (x0 + x1) / 2 / size[0], "y": (y0 + y1) / 2 / size[1], "side": max(side, 0.1)}
    for part, share in shares.items():
        st.session_state[keys[part]] = round(100 * min(max(share, 0.0), 1.0))


def crop_figure(picture: bytes, size: tuple[int, int], crop: Crop) -> Figure:
    """The picture in its own pixels, darker outside the square.

    Args:
        picture: WEBP.
        size: its width and height in pixels.
        crop: centre x, centre y and side of the square, as shares.
    """
    from plotly.graph_objects import Figure

    width, height = size
    axis = {"visible": False, "fixedrange": True, "constrain": "domain"}
    image = {
        "source": images.data_url(picture),
        "xref": "x",
        "yref": "y",
        "x": 0,
        "y": 0,
        "sizex": width,
        "sizey": height,
        "sizing": "stretch",
        "layer": "below",
    }
    layout = {
        "height": min(420, round(DRAWN * height / width)),
        "dragmode": "select",
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "xaxis": {**axis, "range": [0, width], "constraintoward": "left"},
        "yaxis": {**axis, "range": [height, 0], "scaleanchor": "x", "constraintoward": "top"},
        "images": [image],
        "shapes": _crop_shapes(size, crop),
    }
    corners = {  # invisible: a box can be drawn only on a plot with points
        "type": "scatter",
        "x": [0, width],
        "y": [0, height],
        "mode": "markers",
        "marker": {"opacity": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return Figure([corners], layout)


def _crop_shapes(size: tuple[int, int], crop: Crop) -> list[dict[str, Any]]:
    """Four shades around the square, and its outline."""
    (width, height), side = size, max(1, round(min(size) * crop[2]))
    left, top = (
        min(max(centre * length - side / 2, 0), length - side)
        for centre, length in zip(crop[:2], size, strict=True)
    )
    shade = {"type": "rect", "line": {"width": 0}, "fillcolor": "rgba(0,0,0,0.5)", "layer": "above"}
    outline = {"type": "rect", "line": {"color": "#FFFFFF", "width": 2}}
    rectangles = (
        (shade, 0, 0, width, top),
        (shade, 0, top + side, width, height),
        (shade, 0, top, left, top + side),
        (shade, left + side, top, width, top + side),
        (outline, left, top, left + side, top + side),
    )
    return [
        {**style, "x0": x0, "y0": y0, "x1": x1, "y1": y1} for style, x0, y0, x1, y1 in rectangles
    ]


def _enlarged(pixels: np.ndarray) -> Image.Image:
    """Pixels as squares: the picture in all the detail that a model gets."""
    return Image.fromarray(pixels).resize((PREVIEW, PREVIEW), Image.Resampling.NEAREST)
