"""Foreign text in a figure is text; the program's own emphasis, and numbers, stay."""

import numpy as np
import pytest

from derm_core.report.figure_text import plain_texts, with_plain_texts
from pages.ui import charts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "<a href='https://planted.example'>in</a>",
            "&lt;a href='https://planted.example'>in&lt;/a>",
        ),
        ("<A HREF=x>", "&lt;A HREF=x>"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
        ("a < b", "a &lt; b"),
        ("<b onclick=x>", "&lt;b onclick=x>"),
        ("<b>own</b><br>%{x:.1%}<extra></extra>", "<b>own</b><br>%{x:.1%}<extra></extra>"),
    ],
)
def test_only_tags_of_emphasis_are_left(text, shown):
    assert plain_texts({"name": [text]}) == {"name": [shown]}


def test_labels_follow_their_bars_and_numbers_are_unchanged():
    name = "<a href=x>in</a>"
    plain = charts.probability_bars({"one": 0.4, name: 0.6}, colour="#0072B2", order=("one", name))
    safe = with_plain_texts(plain)
    rows = list(safe.data[1].y)
    assert rows == ["one", "&lt;a href=x>in&lt;/a>"] and {
        note.y for note in safe.layout.annotations
    } <= {*rows, *range(2)}
    assert np.allclose(safe.data[1].x, [0.4, 0.6]) and "<a" not in safe.to_json().replace(
        "\\u003c", "<"
    )
