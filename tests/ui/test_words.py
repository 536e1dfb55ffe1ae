"""Foreign text on a page."""

from __future__ import annotations

from pages.ui import words


def test_foreign_text_cannot_fetch_an_image_or_make_a_link():
    assert words.plain("![x](https://a/b.png) [y](z) <img>") == "\\!\\[x\\](https://a/b.png) \\[y\\](z) \\<img\\>"
