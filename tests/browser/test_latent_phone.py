"""The page Latent space at 400 px, in light and dark: nothing scrolls it sideways."""

from __future__ import annotations

import pytest

from tests.app.maps import put_map
from tests.browser.support import becomes, calm, no_exception, sideways, until, visit
from tests.builders import noise, write_image

pytestmark = pytest.mark.browser
GROUND = "() => getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor"


def test_no_part_of_the_latent_page_scrolls_sideways_in_light_or_dark(
    phone, furnished, furnished_app, tmp_path
):
    first, second = (
        put_map(furnished, "little", seed=seed, input_size=size)
        for seed, size in ((0, 32), (1, 48))
    )
    alone, pair = (
        f"{furnished_app}/latent?run={first}",
        f"{furnished_app}/latent?run={first}&beside={second}",
    )
    looked_at = {
        f"{pair}&image=synth-00007-0": "are the same in both spaces",
        f"{alone}&view=traversal": "KL divergence",
        **{
            f"{alone}&view=issues&kind={kind}": told
            for kind, told in (
                ("near_duplicate", "Alike in two splits"),
                ("label_error", "the features say brown"),
                ("outlier", "Far from all others"),
            )
        },
    }
    for address, told in looked_at.items():
        visit(phone, address, "Latent space")
        phone.get_by_text(told).first.wait_for()
        fits(phone, address)
    visit(phone, pair, "Latent space")
    fits(phone, "map pair")
    file = tmp_path / ("a-very-long-name-" * 6 + ".png")
    write_image(file, noise(90, 300))
    phone.get_by_role("button", name="Your image").click()
    phone.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(file)
    phone.get_by_text("Nearest in feature space to your image").first.wait_for()
    fits(phone, "an upload, its popover open")
    phone.keyboard.press("Escape")
    fits(phone, "an upload")


def fits(tab, what: str) -> None:
    """Assert that the page stands within its width in both schemes, and that there are two."""
    grounds = []
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        until(lambda: tab.evaluate(GROUND) not in grounds, f"{scheme} of {what}")
        grounds.append(tab.evaluate(GROUND))
        calm(tab)
        no_exception(tab)
        assert not becomes(lambda: sideways(tab), 0.5), f"{what} in {scheme}"
    tab.emulate_media(color_scheme="light")
    until(lambda: tab.evaluate(GROUND) == grounds[0], "light again")
