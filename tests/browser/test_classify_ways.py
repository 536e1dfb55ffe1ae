"""Classify without a mouse and a file dialogue: camera, clipboard, finger, keyboard.

A large phone photo, a HEIC photo.
"""

from __future__ import annotations

import base64
import json

import pytest
from PIL import Image

from derm_core.data.decode import heic_ready
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.support import becomes, calm, no_exception, until, visit
from tests.browser.test_classify import answered, lesion, upload  # noqa: F401  (lesion: a fixture)
from tests.builders import encode

pytestmark = pytest.mark.browser
PASTE = """async (box, files) => {
    const data = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = await (await fetch("data:image/png;base64," + text)).blob();
        data.items.add(new File([bytes], name, {type: "image/png"}));
    }
    box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""

FILMING = """() => {
    const film = document.querySelector('video');
    return film && film.readyState >= 2 && film.videoWidth > 0;
}"""


@pytest.fixture
def finger(chromium):
    """A tab of a phone: 400 px wide, touched instead of clicked."""
    context = chromium.new_context(
        viewport={"width": 400, "height": 900}, has_touch=True, is_mobile=True
    )
    tab = context.new_page()
    tab.set_default_timeout(45_000)
    yield tab
    context.close()


def test_a_photograph_of_the_camera_is_answered(chromium, furnished_app):
    films = chromium.browser_type.launch(
        executable_path=CHROMIUM,
        args=[*FLAGS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
    )
    try:
        tab = films.new_page()
        tab.set_default_timeout(45_000)
        visit(tab, f"{furnished_app}/classify?from=camera", "Classify")
        tab.wait_for_function(FILMING)  # before the first frame the button does nothing
        tab.get_by_role("button", name="Take Photo").click()
        tab.get_by_role("button", name="Clear photo").wait_for()
        assert answered(tab).count() == 2
        assert tab.get_by_text("which the models see").is_visible()
    finally:
        films.close()


def test_several_files_of_the_clipboard_are_answered_and_can_be_taken_away(
    page, furnished_app, lesion
):
    visit(page, f"{furnished_app}/classify?from=paste", "Classify")
    box = page.get_by_test_id("stChatInputTextArea")
    pictures = {
        "upright.png": encode(lesion, "PNG"),
        "turned.png": encode(lesion.rotate(90), "PNG"),
    }
    box.evaluate(
        PASTE, [(name, base64.b64encode(data).decode()) for name, data in pictures.items()]
    )
    for name in pictures:
        page.get_by_text(name, exact=True).wait_for()
    page.get_by_test_id(
        "stChatInputSubmitButton"
    ).click()  # waits until the uploads are done and it is enabled
    page.get_by_role("heading", name="2 images").wait_for()
    calm(page)
    no_exception(page)
    page.get_by_role("button", name="Remove all 2 images").click()
    page.get_by_text("No image yet").wait_for()


def test_a_finger_draws_the_square(finger, furnished_app, lesion):
    visit(finger, f"{furnished_app}/classify", "Classify")
    upload(finger, {"lesion.png": encode(lesion, "PNG")})
    answered(finger)
    finger.get_by_text("Choose the square").tap()
    plot = finger.locator('[class*="st-key-crop-box"] .nsewdrag >> visible=true').first
    use = finger.get_by_role("button", name="Use this square")
    plot.wait_for()
    calm(finger)
    plot.scroll_into_view_if_needed()
    send = finger.context.new_cdp_session(finger).send

    def drawn() -> bool:
        """Whether the square has moved some seconds after a box was drawn."""
        area = plot.bounding_box()
        way = [
            {"x": area["x"] + share * area["width"], "y": area["y"] + share * area["height"]}
            for share in (0.3, 0.4, 0.5, 0.6)
        ]
        for kind, point in (("touchStart", way[0]), *(("touchMove", point) for point in way[1:])):
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        return becomes(use.is_enabled)

    until(drawn, "a square from the drawn box")
    use.tap()
    finger.get_by_text("the square you chose").wait_for()


def test_the_keyboard_leads_from_the_upload_to_the_reasons(page, furnished_app, lesion):
    visit(page, f"{furnished_app}/classify", "Classify")

    def tab_to(wanted) -> None:
        wanted.wait_for()
        for _ in range(60):
            if wanted.evaluate("part => part === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} was not reached by the Tab key")

    dialogues: list = []
    page.on("filechooser", lambda dialogue: dialogues.append(dialogue))  # noqa: PLW0108 (playwright marks it)
    button = page.get_by_test_id("stFileUploader").locator(
        "button", has_text="Upload"
    )  # the page has a choice "Upload", too

    def opened() -> bool:
        tab_to(button)
        page.keyboard.press("Enter")
        return becomes(lambda: page.wait_for_timeout(100) or dialogues)

    until(opened, "a file dialogue")
    dialogues[-1].set_files(
        [{"name": "lesion.png", "mimeType": "image/png", "buffer": encode(lesion, "PNG")}]
    )
    answered(page)
    tab_to(page.get_by_role("tab", name="Saliency"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Compute occlusion").wait_for()
    calm(page)
    without = page.evaluate(
        "() => [...document.querySelectorAll('[data-testid=stMain] img')].filter(one => !one.alt).length"
    )
    assert without == 0, "every picture has an alternative text"


def test_a_phone_photo_of_48_megapixels_is_answered(page, furnished_app, lesion):
    turned = Image.Exif()
    turned[0x0112] = 6
    photo = lesion.resize((8064, 6048)).rotate(90, expand=True)
    visit(page, f"{furnished_app}/classify", "Classify")
    upload(page, {"phone.jpg": encode(photo, "JPEG", exif=turned)})
    assert answered(page).count() == 2
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    quality = json.loads(download.value.path().read_text())["images"][0]["quality"]
    assert (quality["width"], quality["height"]) == (4032, 3024), (
        "upright, decoded at half its size"
    )


@pytest.mark.skipif(heic_ready(), reason="HEIC photos can be read here")
def test_a_heic_photo_is_refused_beside_what_to_do_about_it(page, furnished_app):
    visit(page, f"{furnished_app}/classify", "Classify")
    upload(page, {"photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"})
    page.get_by_text("not allowed").wait_for()
    assert page.get_by_text("HEIC photos need the extra pillow-heif").is_visible()
