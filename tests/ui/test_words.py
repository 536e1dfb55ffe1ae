"""Foreign text on a page."""

from __future__ import annotations

import pytest

from pages.ui import words

J = words.JOINER


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "![x](https://a/b.png) [y](z) <img>",
            f"\\!\\[x\\](https:{J}//a/b.png) \\[y\\](z) \\<img\\>",
        ),
        ("<img src=x onerror=alert(1)>", "\\<img src=x onerror=alert(1)\\>"),
        (":red[x]", f":{J}red\\[x\\]"),
        ("$x$", "\\$x\\$"),
        (":material/delete: :+1:", f":{J}material/delete: :{J}+1:"),
        ("# big", "\\# big"),
        ("- one", "\\- one"),
        ("1. one", f"1{J}. one"),
        ("www.a.org b@c.org", f"www{J}.a.org b@{J}c.org"),
        ("&lt; ~~a~~ a|b", "\\&lt; \\~\\~a\\~\\~ a\\|b"),
        ("Naevus, 12 % at 10:30", "Naevus, 12 % at 10:30"),
        (3, "3"),
    ],
)
def test_foreign_text_is_shown_letter_by_letter(text, shown):
    assert words.plain(text) == shown


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "<0.1"),
        (0.0004, "<0.1"),
        (0.0005, "0.1"),
        (0.3456, "34.6"),
        (0.9994, "99.9"),
        (0.9996, ">99.9"),
        (1.0, ">99.9"),
    ],
)
def test_a_probability_is_never_called_certain(probability, shown):
    assert words.chance(probability) == f"{shown}{words.THIN}%"


@pytest.mark.slow
def test_a_cell_of_a_table_keeps_its_thin_spaces_and_stays_in_its_line():
    cell = f"37{words.THIN}%  \n| of\r\nall"
    assert (
        words.table(["", "A"], [["b", words.plain(cell)]])
        == f"|  | A |\n| --- | --- |\n| b | 37{words.THIN}% \\| of all |\n"
    )
