"""Every page stands up by itself, on a large screen and on a phone."""

from __future__ import annotations

import pytest

from tests.app.maps import put_map
from tests.browser.support import PAGES, calm, no_exception, sideways, visit

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", PAGES)
def test_a_link_may_be_a_server_s_very_first_request(page, app, path):
    visit(page, f"{app}/{path}", PAGES[path])
    menu = page.get_by_test_id("stSidebarNav")
    assert menu.get_by_role("link").count() == len(PAGES), "the menu is there"


def test_no_page_scrolls_sideways_on_a_phone(phone, furnished, furnished_app):
    queries = {
        "latent": f"latent?run={put_map(furnished, 'little')}",
        "classify": "classify?from=samples&sample=1",
        "data": "data?dataset=little",
    }
    for path, heading in PAGES.items():
        visit(phone, f"{furnished_app}/{queries.get(path, path)}", heading)
        assert not sideways(phone), path


def test_a_wide_picture_does_not_widen_the_phone_s_page(phone, furnished_app, tmp_path):
    from PIL import Image

    wide = tmp_path / ("a-very-long-name-" * 6 + ".png")
    Image.new("RGB", (900, 120), (200, 30, 30)).save(wide)
    visit(phone, f"{furnished_app}/classify", "Classify")
    phone.locator("input[type=file]").set_input_files(wide)
    phone.get_by_text("The models", exact=False).first.wait_for()
    calm(phone)
    no_exception(phone)
    assert not sideways(phone)
