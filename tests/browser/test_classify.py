"""Uploads in a real browser: every kind of file a reader may bring is answered or refused with its reason."""

from __future__ import annotations

import itertools
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from derm_core.bundles.model_library import list_cards
from derm_core.bundles.predict import predict_images
from derm_core.bundles.sample_images import sample_images
from derm_core.cli import main
from derm_core.data.synth.generator import generate
from pages.ui import words
from tests.app.bundles import put_bundle
from tests.browser.support import becomes, calm, no_exception, sideways, until, visit
from tests.builders import encode

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lesion() -> Image.Image:
    """A synthetic photograph, wider than high."""
    return Image.fromarray(next(generate(1, 192, seed=7))[0]).crop((0, 16, 192, 176))


def png_claiming(side: int) -> bytes:
    """A PNG of a few bytes that promises `side` × `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def readable(lesion: Image.Image) -> dict[str, bytes]:
    turned = Image.Exif()
    turned[0x0112] = 6
    grey16 = np.asarray(lesion.convert("L")).astype(np.uint16) * 257
    clear = lesion.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(lesion.size))
    files = {
        "turned.jpg": encode(lesion.rotate(90, expand=True), "JPEG", exif=turned),
        "cmyk.jpg": encode(lesion.convert("CMYK"), "JPEG"),
        "sixteen-bit.png": encode(Image.fromarray(grey16), "PNG"),
        "transparent.png": encode(clear, "PNG"),
        "animated.webp": encode(
            lesion, "WEBP", save_all=True, append_images=[lesion.rotate(180)], duration=100
        ),
    }
    return files | {
        f"plain-{number}.png": encode(lesion.rotate(10 * number), "PNG") for number in range(5)
    }


def refused(lesion: Image.Image) -> dict[str, tuple[bytes, str]]:
    whole = encode(lesion, "JPEG")
    return {
        "truncated.jpg": (whole[: len(whole) // 2], "incomplete"),
        "bomb.png": (png_claiming(20_000), "million pixels"),
        "letter.jpg": (b"Dear colleague,\n" * 40, "not a JPEG"),
    }


def upload(tab, files: dict[str, bytes]) -> None:
    tab.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files.items()]
    )


def answered(tab):
    """Wait for both models' answers and reasons, also where they stand behind a warning; returns the answers."""
    scale, fold = (
        tab.get_by_text("All maps have this one scale"),
        tab.get_by_text("Show the predictions nevertheless"),
    )
    scale.or_(fold).first.wait_for()
    calm(tab)
    if fold.count() and not scale.count():
        fold.click()
    scale.wait_for()
    calm(tab)
    no_exception(tab)
    metrics = tab.get_by_test_id("stMetric")
    metrics.nth(1).wait_for()
    return metrics


def downloaded(tab) -> dict:
    """What the page's JSON download holds."""
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download JSON").click()
    return json.loads(download.value.path().read_text())


def test_one_image_gets_two_opinions_side_by_side(page, furnished, furnished_app, lesion):
    data = encode(lesion, "PNG")
    visit(page, f"{furnished_app}/classify", "Classify")
    upload(page, {"lesion.png": data})
    metrics = answered(page)
    for part, what in (
        ("Reconstruction", "no decoder, so no reconstruction"),
        ("Occlusion", "about two hundred positions"),
    ):
        page.get_by_role("tab", name=part).click()
        page.get_by_text(what).wait_for()
    calm(page)
    page.get_by_role("button", name="Compute occlusion").click()
    page.get_by_text("Occlusion (Zeiler").wait_for()
    calm(page)
    no_exception(page)
    assert metrics.count() == 2
    left, right = (metrics.nth(place).bounding_box() for place in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"], "side by side"
    arms = predict_images(furnished, None, [("lesion.png", data)]).images[0].arms.values()
    said = "".join(metrics.all_text_contents())
    assert all(words.chance(arm.probabilities[arm.top]) in said for arm in arms)
    assert page.get_by_text("Not for diagnosis").is_visible()


def leaves(value, place: tuple = ()) -> list[tuple]:
    """(place, value) of every number and text of a JSON document."""
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else None
    )
    return (
        [(place, value)]
        if parts is None
        else [leaf for key, part in parts for leaf in leaves(part, (*place, key))]
    )


def same(found: tuple, expected: tuple) -> bool:
    (place, value), (_, wanted) = found, expected
    numbers = isinstance(value, float) and isinstance(wanted, float)
    return place == expected[0] and (abs(value - wanted) <= 1e-5 if numbers else value == wanted)


def command_line(
    furnished, folder, names: list[str], files: dict[str, bytes], monkeypatch, capsys
) -> list[dict]:
    """The images of what `predict --json` prints for these files, their paths shortened to the names."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    monkeypatch.setenv("DERM_HOME", str(furnished.root))
    capsys.readouterr()
    assert (
        main(
            [
                "predict",
                "--json",
                "--models",
                ",".join(names),
                *(str(folder / name) for name in files),
            ]
        )
        == 0
    )
    return [
        row | {"path": Path(row["path"]).name}
        for row in json.loads(capsys.readouterr().out)["images"]
    ]


def test_ten_images_of_every_kind_are_answered_and_three_refused_with_their_reasons(
    page, furnished, furnished_app, lesion, tmp_path, monkeypatch, capsys
):
    good, bad = readable(lesion), refused(lesion)
    assert len(good) == 10
    visit(page, f"{furnished_app}/classify", "Classify")
    upload(page, good | {name: data for name, (data, _) in bad.items()})
    page.get_by_role("heading", name="10 images").wait_for()
    calm(page)
    no_exception(page)
    box = page.get_by_test_id("stAlert").filter(has_text="3 files were refused").inner_text()
    for name, (_, why) in bad.items():
        assert any(name in line and why in line for line in box.splitlines()), name
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").first.click()
    table = pd.read_csv(download.value.path()).set_index(["path", "model"])
    found = downloaded(page)
    assert [row["path"] for row in found["errors"]] == list(bad)
    names = list(found["images"][0]["arms"])
    expected = command_line(furnished, tmp_path, names, good, monkeypatch, capsys)
    assert len(leaves(found["images"])) == len(leaves(expected))
    assert [
        pair
        for pair in zip(leaves(found["images"]), leaves(expected), strict=True)
        if not same(*pair)
    ] == []
    assert list(table.index) == [(name, model) for name in good for model in names]
    for row in expected:
        for model, arm in row["arms"].items():
            line = table.loc[row["path"], model]
            assert line["top"] == arm["top"]
            assert {name: line[name] for name in arm["probabilities"]} == pytest.approx(
                arm["probabilities"], abs=1e-5
            )
    turned = found["images"][0]
    assert (
        turned["path"] == "turned.jpg"
        and (turned["quality"]["width"], turned["quality"]["height"]) == lesion.size
    )


def test_a_batch_shows_how_far_it_is(page, furnished_app, lesion):
    """What the server sends after the first word of progress waits until the browser shows it.

    No race with the answers.
    """
    waiting, go_on = [], []

    def between(socket) -> None:
        server = socket.connect_to_server()

        def pass_on(message) -> None:
            if waiting and not go_on:
                waiting.append(message)
                return
            socket.send(message)
            if not go_on and isinstance(message, bytes) and b"Classifying: " in message:
                waiting.append(None)

        server.on_message(pass_on)
        go_on_now.append(lambda: [socket.send(message) for message in waiting[1:]])

    go_on_now: list = []
    page.route_web_socket("**/_stcore/stream", between)
    visit(page, f"{furnished_app}/classify", "Classify")
    upload(
        page, {f"lesion-{number}.png": encode(lesion.rotate(number), "PNG") for number in range(10)}
    )
    bar = page.get_by_test_id("stProgress").filter(has_text=re.compile(r"Classifying: \d+ of 10"))
    bar.wait_for()
    done = int(re.search(r"(\d+) of 10", bar.inner_text())[1])
    assert 1 <= done <= 10
    go_on.append(True)
    for release in go_on_now:
        release()
    page.get_by_role("heading", name="10 images").wait_for()
    bar.wait_for(state="hidden")


@pytest.fixture
def third(furnished):
    """A third model of the same classes in the library, for one test."""
    cards = list_cards(furnished)
    put_bundle(furnished, "third", "bundle:third", cards[0].classes, label="Third")
    yield [*[card.name for card in cards][:2], "third"]
    furnished.remove(furnished.models / "third")


def test_three_models_stand_side_by_side(page, furnished, furnished_app, third):
    visit(
        page, f"{furnished_app}/classify?from=samples&sample=1&models={','.join(third)}", "Classify"
    )
    name, data, _ = sample_images(furnished, 8, 0)[0]
    metrics = answered(page)
    metrics.nth(2).wait_for()
    boxes = [metrics.nth(place).bounding_box() for place in range(3)]
    assert metrics.count() == 3 and not sideways(page)
    assert len({box["y"] for box in boxes}) == 1, "in one row"
    assert all(
        left["x"] + left["width"] <= right["x"] for left, right in itertools.pairwise(boxes)
    ), "next to each other"
    arms = predict_images(furnished, third, [(name, data)]).images[0].arms
    assert (
        list(arms) == third and page.get_by_text("Show the predictions nevertheless").count() == 0
    )
    for place, arm in enumerate(arms.values()):
        assert words.chance(arm.probabilities[arm.top]) in metrics.nth(place).inner_text()
    assert page.get_by_text("All maps have this one scale").count() == 1


def test_a_box_drawn_on_the_picture_becomes_the_square(phone, furnished_app, lesion):
    visit(phone, f"{furnished_app}/classify", "Classify")
    upload(phone, {"lesion.png": encode(lesion, "PNG")})
    answered(phone)
    phone.get_by_text("Choose the square").click()
    plot = phone.locator('[class*="st-key-crop-box"] .nsewdrag >> visible=true').first
    plot.wait_for()
    calm(phone)
    plot.scroll_into_view_if_needed()
    use = phone.get_by_role("button", name="Use this square")

    def drawn() -> bool:
        """Whether the square has moved some seconds after a box was drawn."""
        area = plot.bounding_box()
        phone.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.3 * area["height"])
        phone.mouse.down()
        phone.mouse.move(area["x"] + 0.6 * area["width"], area["y"] + 0.6 * area["height"], steps=5)
        phone.mouse.up()
        return becomes(use.is_enabled)

    until(drawn, "a square from the drawn box")
    use.click()
    phone.get_by_text("the square you chose").wait_for()
    calm(phone)
    no_exception(phone)
    assert answered(phone).count() == 2 and not sideways(phone)


@pytest.mark.parametrize("way", ["upload", "sample"])
def test_the_first_answer_stands_on_a_phone_s_first_screen(phone, furnished, furnished_app, way):
    """400 × 900: whether the models agree, and the decision and prediction set of both, without any scrolling."""
    phone.set_viewport_size({"width": 400, "height": 900})
    query = "?from=samples&sample=1" if way == "sample" else ""
    visit(phone, f"{furnished_app}/classify{query}", "Classify")
    if way == "upload":
        _, data, _ = sample_images(furnished, 8, 0)[0]
        upload(phone, {"lesion.png": data})
    answered(phone)
    table = phone.get_by_role("table").filter(has_text="Most probable class").first
    parts = {
        "agreement": phone.get_by_text(re.compile("The models (dis)?agree")).first,
        "both models": table.get_by_role("columnheader").last,
        "prediction set": table.get_by_role("row").filter(has_text="prediction set"),
    }
    assert table.get_by_role("columnheader").count() == 3, "a column for each model"
    for name, part in parts.items():
        box = part.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, name
        assert box["x"] + box["width"] <= 400, name
    picture = phone.get_by_role("img", name=re.compile("the square that the models see"))
    assert picture.bounding_box()["y"] > parts["prediction set"].bounding_box()["y"]
