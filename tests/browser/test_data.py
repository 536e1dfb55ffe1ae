"""Import in a real browser: look, decide, import; nothing is written before."""

from __future__ import annotations

import pytest

from tests.app.test_data import folders, two_tables  # noqa: F401  (fixtures)
from tests.browser.support import PAGES, becomes, calm, no_exception, serve, sideways, visit
from tests.builders import noise, write_image

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def importing(tmp_path):
    """The address of the app on an empty workspace, which may import from the test's folder."""
    with serve(tmp_path / "home", DERM_IMPORT_ROOTS=str(tmp_path)) as address:
        yield f"{address}/data"


def look(tab, address: str, path) -> None:
    visit(tab, address, PAGES["data"])
    tab.get_by_role("textbox", name="Path").fill(str(path))
    tab.get_by_role("textbox", name="Name").fill("mine")
    tab.get_by_role("button", name="Preview").click()


def choose(tab, field: str, option: str) -> None:
    """Choose an option of a control."""
    control = tab.get_by_role("combobox", name=field)
    control.evaluate("part => part.scrollIntoView({block: 'center'})")
    tab.wait_for_timeout(300)  # scrolling closes an open list
    control.click()
    tab.get_by_role("option", name=option).click()
    tab.keyboard.press("Escape")
    calm(tab)


def imported(tab) -> str:
    tab.get_by_role("button", name="Import", exact=True).click()
    tab.get_by_text("Splits", exact=True).wait_for()
    calm(tab)
    no_exception(tab)
    return tab.locator("main, [data-testid=stMain]").first.inner_text()


def test_class_folders_with_masks_are_seen_before_they_are_imported(
    phone,
    importing,
    folders,
    tmp_path,
):
    for label in ("naevus", "wart"):
        write_image(folders / label / f"{label}0_mask.png", noise(24))
    look(phone, importing, folders)
    phone.get_by_text("2 masks were left out").wait_for()
    assert becomes(lambda: phone.locator("img[alt=naevus]").count() == 4)
    assert not sideways(phone) and not (tmp_path / "home" / "datasets" / "mine").exists()
    assert "label column: folder" in imported(phone)


def test_what_is_asked_is_answered_on_the_page(page, importing, two_tables):
    look(page, importing, two_tables)
    page.get_by_test_id("stAlert").filter(has_text="several tables").wait_for()
    choose(page, "Tables", "second.csv")
    page.get_by_text("Groups unknown").wait_for()
    calm(page)
    choose(page, "Group columns", "who")
    assert becomes(lambda: page.get_by_text("24 images by patient").count() == 1)
    assert "group column: who" in imported(page)
