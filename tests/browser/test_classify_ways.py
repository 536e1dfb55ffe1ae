"""Classify without a file dialogue: camera and clipboard."""

from __future__ import annotations

import base64

import pytest

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.support import calm, no_exception, visit
from tests.browser.test_classify import answered, lesion, saved  # noqa: F401  (lesion: a fixture)

pytestmark = pytest.mark.browser
PASTE = """async (box, files) => {
    const data = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = await (await fetch("data:image/png;base64," + text)).blob();
        data.items.add(new File([bytes], name, {type: "image/png"}));
    }
    box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""


def test_a_photograph_of_the_camera_is_answered(chromium, furnished_app):
    films = chromium.browser_type.launch(executable_path=CHROMIUM, args=[
        *FLAGS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
    try:
        tab = films.new_page()
        tab.set_default_timeout(45_000)
        visit(tab, f"{furnished_app}/classify?from=camera", "Classify")
        tab.get_by_role("button", name="Take Photo").click()
        assert answered(tab).count() == 2
        assert tab.get_by_text("all that the models see").is_visible()
    finally:
        films.close()


def test_several_files_of_the_clipboard_are_answered_and_can_be_taken_away(page, furnished_app, lesion):  # noqa: F811
    visit(page, f"{furnished_app}/classify?from=paste", "Classify")
    box = page.get_by_test_id("stChatInputTextArea")
    pictures = {"upright.png": saved(lesion, "PNG"), "turned.png": saved(lesion.rotate(90), "PNG")}
    box.evaluate(PASTE, [(name, base64.b64encode(data).decode()) for name, data in pictures.items()])
    for name in pictures:
        page.get_by_text(name, exact=True).wait_for()
    page.get_by_test_id("stChatInputSubmitButton").click()       # waits until the uploads are done and it is enabled
    page.get_by_role("heading", name="2 images").wait_for()
    calm(page)
    no_exception(page)
    page.get_by_role("button", name="Remove all 2 images").click()
    page.get_by_text("No image yet").wait_for()
