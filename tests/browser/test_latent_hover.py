"""The image of the dot under the pointer, by mouse, keyboard and tap, and images in place of dots."""

from __future__ import annotations

import pytest

from derm_core.data.manifest import load_dataset
from pages.ui import images
from pages.ui.latent.map_hover import SIDE
from tests.app.maps import put_map
from tests.browser.conftest import new_tab
from tests.browser.support import becomes, calm, draw_until_chosen, no_exception, until, visit

pytestmark = pytest.mark.browser
DOTS = """() => {
    const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
    const {xaxis, yaxis} = chart._fullLayout;
    const inside = (place, axis) => place > 0 && place < axis._length;
    return chart._fullData.filter(trace => trace.customdata).flatMap(trace => [...trace.customdata].map((row, i) =>
            [row, xaxis.l2p(trace.x[i]), yaxis.l2p(trace.y[i])]))
        .filter(([row, x, y]) => inside(x, xaxis) && inside(y, yaxis))
        .map(([row, x, y]) => [row, box.left + xaxis._offset + x, box.top + yaxis._offset + y]);
}"""
SELECTED = """() => document.querySelector('.js-plotly-plot')._fullData.flatMap(
    trace => trace.customdata ? (trace.selectedpoints || []).map(i => trace.customdata[i]) : []).sort()"""
PAINTED = """() => { const layer = document.querySelector('canvas.map-images');
    const pixels = layer.getContext('2d').getImageData(0, 0, layer.width, layer.height).data;
    return pixels.filter((value, place) => place % 4 === 3 && value > 0).length; }"""


@pytest.fixture
def mapped(furnished) -> str:
    return put_map(furnished, "little")


@pytest.fixture
def touched(chromium):
    """A new tab, 400 px wide, of a screen that is touched."""
    yield from new_tab(chromium, 400, has_touch=True, is_mobile=True)


def places(tab) -> dict[int, tuple[float, float]]:
    """Where each dot in view of the first chart lies in the window; the chart is brought into view first."""
    tab.wait_for_function(
        "() => document.querySelector('.js-plotly-plot canvas.map-images')?.width > 0"
    )
    tab.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    return {row: (x, y) for row, x, y in tab.evaluate(DOTS)}


def lonely(dots: dict[int, tuple[float, float]]) -> int:
    """The row whose dot is farthest from all others: a pointer there can mean no other."""
    return max(
        dots, key=lambda row: min(away(dots[row], dots[other]) for other in dots if other != row)
    )


def away(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2


def point_at(tab, row: int) -> None:
    """Move the pointer to a dot as a person would: again, where the chart was still being laid out."""

    def shown() -> bool:
        tab.mouse.move(*places(tab)[row])
        return becomes(lambda: tab.locator(f'.card[data-row="{row}"]').count() > 0, 5)

    until(shown, "the image of a dot under the pointer", 90)


def card_shows(tab, workspace, row: int) -> None:
    """Assert that the card shows the image of this row, pixel for pixel, and its name."""
    tab.locator(f'.card[data-row="{row}"]').wait_for()
    dataset = load_dataset(workspace, "little")
    [picture] = images.pictures(dataset, [row], SIDE)
    image = tab.locator(".card img")
    assert image.get_attribute("src") == images.data_url(picture.webp)
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == SIDE
    assert tab.locator(".card strong").inner_text() == dataset.frame["image_id"].iloc[row]


def test_the_image_under_the_pointer_is_shown_and_the_selection_stays(
    page, furnished, furnished_app, mapped
):
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    places(page)
    page.locator('[data-attr="dragmode"][data-val="select"]').first.click()
    draw_until_chosen(page)
    calm(page)
    chosen = page.get_by_text(" images chosen").inner_text()
    selected = page.evaluate(SELECTED)
    dots = places(page)
    for row in (lonely(dots), lonely({row: dots[row] for row in dots if row != lonely(dots)})):
        point_at(page, row)
        card_shows(page, furnished, row)
    calm(page)
    assert page.evaluate(SELECTED) == selected != []
    assert page.get_by_text(" images chosen").inner_text() == chosen
    no_exception(page)


def test_asking_for_images_runs_no_part_of_the_page(page, furnished, furnished_app, mapped):
    sent: list[int] = []
    page.on(
        "websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(len(frame)))
    )
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    dots = places(page)
    before = len(sent)
    for row in list(dots)[:3]:
        point_at(page, row)
        card_shows(page, furnished, row)
    until(lambda: page.evaluate(PAINTED) > 0, "images in place of dots")
    calm(page)
    assert len(sent) == before > 0


def test_arrow_keys_go_to_the_nearest_dot_in_their_direction_and_enter_chooses_it(
    page, furnished, furnished_app, mapped
):
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    dots = places(page)
    start = lonely(dots)
    point_at(page, start)
    card_shows(page, furnished, start)
    label = load_dataset(furnished, "little").frame["label"].iloc[start]
    page.locator(".hoverlayer").get_by_text(label, exact=True).wait_for()
    page.locator(".panel").focus()
    at = start
    for key, right, down in (("ArrowLeft", -1, 0), ("ArrowUp", 0, -1), ("ArrowRight", 1, 0)):
        at = next_dot(dots, at, right, down)
        page.keyboard.press(key)
        card_shows(page, furnished, at)
    page.keyboard.press("Enter")
    name = load_dataset(furnished, "little").frame["image_id"].iloc[at]
    page.get_by_role("img", name=f"Image {name}").wait_for()
    page.wait_for_url(f"**image={name}*")
    calm(page)
    no_exception(page)


def next_dot(dots: dict[int, tuple[float, float]], at: int, right: int, down: int) -> int:
    """The nearest dot within 45 degrees of a direction, sought one by one; `at` where there is none."""
    best, least = at, float("inf")
    for row, (x, y) in dots.items():
        dx, dy = x - dots[at][0], y - dots[at][1]
        along, across = (dx * right, abs(dy)) if right else (dy * down, abs(dx))
        if along >= 2 and across <= along and dx * dx + dy * dy < least:
            best, least = row, dx * dx + dy * dy
    return best


def test_a_tap_shows_the_image_over_the_map_on_a_phone(touched, furnished, furnished_app, mapped):
    visit(touched, f"{furnished_app}/latent?run={mapped}", "Latent space")
    dots = places(touched)
    row = lonely(dots)
    until(lambda: tapped(touched, row), "an answer to a tap")
    card_shows(touched, furnished, row)
    card, area = (
        touched.locator(part).first.bounding_box()
        for part in (".card", ".js-plotly-plot .nsewdrag")
    )
    assert area["x"] <= card["x"] and card["x"] + card["width"] <= area["x"] + area["width"]
    calm(touched)
    no_exception(touched)


def tapped(tab, row: int) -> bool:
    """Tap a dot; whether the card speaks of it. Again, where the chart was still being laid out."""
    tab.touchscreen.tap(*places(tab)[row])
    tab.wait_for_timeout(1000)
    return tab.locator(f'.card[data-row="{row}"]').count() > 0


def test_images_take_the_place_of_few_dots_and_can_be_switched_off(
    page, furnished, furnished_app, mapped
):
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    dots = places(page)
    half_of_them = len(dots) / 2 * 20**2  # pixels, had each a width of 20
    until(lambda: page.evaluate(PAINTED) > half_of_them, "images in place of dots", 90)
    page.get_by_label("Images in place of dots").uncheck()
    until(lambda: page.evaluate(PAINTED) == 0, "dots again")
    no_exception(page)
