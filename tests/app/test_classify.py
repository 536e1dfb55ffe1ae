"""Classify: every model speaks on every readable image; what cannot be read or compared is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from derm_core.arms import arm_style
from derm_core.bundles import neighbours
from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.card import Card
from derm_core.bundles.model_library import list_cards
from derm_core.bundles.predict import predict_images
from derm_core.bundles.prediction import Predictions
from derm_core.bundles.predictor import Predictor
from derm_core.bundles.reference_file import Reference
from derm_core.data.decode import MAX_BYTES, crop_square, decode, read_image
from derm_core.data.manifest import load_dataset
from derm_core.data.mask_files import masks_at
from derm_core.data.masks import add_masks
from derm_core.formatting import DECISIONS
from derm_core.glossary import TERMS
from derm_core.publish.statistics import fit_space
from derm_core.workspace import Workspace
from pages.ui import cached_models, scheduling
from pages.ui.classify import models
from pages.ui.classify.answers import predictions_of
from pages.ui.classify.results_table import flat_rows
from tests.app.bundles import CLASSES, METRIC, put_bundle
from tests.builders import encode, noise, save_files, write_image
from tests.bundles.cards import complete_bundle


@pytest.fixture
def shelf(workspace, monkeypatch):
    """Two models that can be compared, and nothing that ships in the repository."""
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    put_bundle(workspace, "a-vae", "vae")
    put_bundle(workspace, "b-imagenet", "imagenet")
    return workspace


def publish_evidence(workspace, name: str, other: str, *, limit: float, **fields) -> None:
    """Give bundle `name` what publishing adds.

    Sets, an operating point, agreement with `other`, and a reference of noise.

    limit: the outlier threshold. The reference holds the features of 24 noise images, the first
    that of picture(0).
    """
    folder = Path(workspace.models / name)
    predictor = Predictor(load_bundle(folder))
    images = np.stack([read_image(picture(seed), predictor.size) for seed in range(24)])
    features, _ = predictor.features_and_logits(images)
    space = fit_space(features)
    points = neighbours.fit_points(
        space, features, np.arange(24) % 3, [f"mole-{i}" for i in range(24)], 0
    )
    parts = {
        part: {
            "images": count,
            "accuracy": {"vae": 0.9 - 0.5 * (part == "disagree"), "imagenet": 0.9},
        }
        for part, count in (("agree", 80), ("disagree", 20))
    }
    complete_bundle(
        folder,
        {
            "run": "study-x",
            "agreement": {other: parts},
            "conformal": {
                "method": "split",
                "coverages": {"0.80": 0.2, "0.90": 0.5, "0.95": 0.999},
            },
            "outlier": {
                "distance": {"kind": "Mahalanobis", "threshold": limit},
                "reconstruction": None,
            },
            "operating_point": {
                "class": "mel",
                "specificity": 0.9,
                "threshold": 0.3,
                "sensitivity": METRIC,
            },
            "priority": {"map": {"bkl": "low", "mel": "high", "nv": "low"}},
            "reference": {"public": True, "duplicate": {"threshold": 0.05}},
            **fields,
        },
        Reference(space, points, None),
    )


@pytest.fixture
def evidence(shelf):
    """evidence(limit=…): both models carry everything a card can."""

    def give(limit: float = 1e6):
        publish_evidence(shelf, "a-vae", "imagenet", limit=limit)
        publish_evidence(shelf, "b-imagenet", "vae", limit=limit)
        return shelf

    return give


def picture(seed: int, size=(80, 60)) -> bytes:
    return encode(noise(size[1], size[0], seed))


def upload(app, *files: tuple[str, bytes]):
    app.file_uploader[0].set_value([(name, data, "image/png") for name, data in files])
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    texts = [
        element.value
        for kind in (app.markdown, app.caption, app.subheader, app.title)
        for element in kind
    ]
    return "\n".join(
        texts + [image.caption for element in app.image for image in element.proto.imgs]
    )


@pytest.mark.slow
def test_both_models_answer_as_the_predictor_does(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    row = predict_images(shelf, ["a-vae", "b-imagenet"], [("one.png", picture(0))]).images[0]
    tops = [arm.probabilities[arm.top] for arm in row.arms.values()]
    assert len(app.metric) == 2
    for metric, top in zip(app.metric, tops):
        assert metric.value.startswith(f"{100 * top:.1f}")
    assert ("models agree" in text(app)) == row.agree


@pytest.mark.slow
def test_the_notice_stands_on_the_page_once(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert text(app).count("Not for diagnosis") == 1


@pytest.mark.slow
def test_refused_files_are_named_and_do_not_stop_the_others(open_page, shelf):
    good = picture(1)
    app = upload(
        open_page("classify"),
        ("good.png", good),
        ("half.png", good[: len(good) // 2]),
        ("words.jpg", b"hello"),
    )
    assert len(app.error) == 1 and len(app.metric) == 2
    assert "half.png" in app.error[0].value and "words.jpg" in app.error[0].value


@pytest.mark.slow
def test_several_images_stand_in_one_table(open_page, shelf):
    app = upload(open_page("classify"), *((f"{i}.png", picture(i)) for i in range(3)))
    table = app.dataframe[0].value
    assert table["File"].tolist() == ["0.png", "1.png", "2.png"]
    names = {arm_style(card.arm, card.label).name for card in list_cards(shelf)}
    assert {*names, "Agree"} <= set(table)


@pytest.mark.slow
def test_an_image_that_is_taken_away_is_forgotten(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)), ("two.png", picture(1)))
    assert len(app.session_state["predictions"]) == 2
    upload(app, ("two.png", picture(1)))
    assert [key[0] for key in app.session_state["predictions"]] == ["two.png"]


@pytest.mark.slow
def test_pictures_of_an_upload_are_in_the_page_and_no_files_that_the_server_keeps(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    shown = [
        image.proto.imgs[0].url
        for image in app.image
        if "Colour scale" not in image.proto.imgs[0].alt
    ]
    assert len(shown) >= 3 and all(
        url.startswith("data:image/") for url in shown
    )  # the square, and a map a model


@pytest.mark.slow
def test_a_model_published_anew_while_the_page_stands_is_noticed(shelf):
    def outdated(cards: list[Card]) -> bool:
        return models.outdated(
            {card.name: cached_models.predictor(shelf, card.name) for card in cards}, cards
        )

    cards = list_cards(shelf)
    assert not outdated(cards)
    shutil.rmtree(shelf.models / "b-imagenet")
    put_bundle(shelf, "b-imagenet", "imagenet", label="Another one")
    assert outdated(cards) and not outdated(list_cards(shelf))


@pytest.mark.slow
def test_models_that_cannot_be_compared_are_called_so(open_page, shelf):
    put_bundle(shelf, "c-other", "bundle:c", classes=("a", "b"), input_size=48, label="Other")
    app = upload(open_page("classify", models="a-vae,c-other"), ("one.png", picture(0)))
    assert app.multiselect[0].value == ["a-vae", "c-other"]
    assert "classes" in app.warning[0].value and "input size" in app.warning[0].value
    assert "models agree" not in text(app) and "disagree" not in text(app)


@pytest.mark.slow
def test_one_model_of_each_arm_is_asked_first(open_page, shelf):
    put_bundle(shelf, "a-second-vae", "vae")
    assert open_page("classify").multiselect[0].value == ["a-second-vae", "b-imagenet"]


@pytest.mark.slow
def test_three_models_stand_side_by_side(open_page, shelf):
    put_bundle(shelf, "c-third", "bundle:c", label="Third")
    app = upload(open_page("classify", models="a-vae,b-imagenet,c-third"), ("one.png", picture(0)))
    row = next(iter(app.session_state["predictions"].values())).prediction
    assert list(row.arms) == ["a-vae", "b-imagenet", "c-third"] and len(app.metric) == 3


@pytest.mark.slow
def test_a_tampered_model_that_was_chosen_is_refused_with_its_reason(open_page, shelf):
    put_bundle(shelf, "c-third", "bundle:c", label="Third")
    app = upload(open_page("classify", models="a-vae,b-imagenet,c-third"), ("one.png", picture(0)))
    path = shelf.models / "c-third" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    app.run()
    assert not app.exception, app.exception
    assert "c-third" in app.error[0].value and "SHA-256" in app.error[0].value
    assert list(next(iter(app.session_state["predictions"].values())).prediction.arms) == [
        "a-vae",
        "b-imagenet",
    ]


@pytest.mark.slow
def test_a_model_that_is_not_there_is_said_to_be_missing(open_page, shelf):
    app = open_page("classify", models="a-vae,nowhere")
    assert "nowhere" in app.error[0].value


def test_an_upload_is_not_spooled_to_the_disk():
    from starlette.formparsers import MultiPartParser

    import pages.ui.classify.input  # noqa: F401  (sets the limit)

    assert MultiPartParser.spool_max_size > MAX_BYTES


@pytest.mark.slow
def test_a_sample_is_classified_by_its_link(open_page, shelf):
    app = open_page("classify", **{"from": "samples", "sample": "2"})
    assert len(app.metric) == 2 and "generated" in text(app)


def test_an_empty_shelf_says_what_to_do(open_page, workspace, monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    app = open_page("classify")
    assert "No model" in text(app) and not app.file_uploader
    assert len(app.button) == 1


@pytest.mark.slow
def test_the_download_is_what_the_command_line_prints(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert {"Download CSV", "Download JSON"} <= {button.label for button in app.download_button}
    expected = predict_images(shelf, ["a-vae", "b-imagenet"], [("one.png", picture(0))])
    assert predictions_of(list(app.session_state["predictions"].values())) == expected


@pytest.mark.slow
def test_a_card_that_lacks_something_says_what(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert text(app).count("does not have") == 2 and "prediction set**" not in text(app)


@pytest.mark.slow
def test_sets_priority_operating_point_and_what_agreement_meant(open_page, evidence):
    evidence()
    app = upload(open_page("classify"), ("one.png", picture(1)))
    row = next(iter(app.session_state["predictions"].values())).prediction
    texts = text(app)
    assert (
        texts.count("**90% prediction set**] |") == 1
        and texts.count("**Priority:**") == 2
        and texts.count("**Mel:**") == 2
    )
    for answer in row.arms.values():
        assert ("Mel:** above" in texts) or not answer.operating_point.called
    agreed = row.agree
    assert "100 test images" in texts and f"on {80 if agreed else 20};" in texts
    assert "does not have" not in texts


@pytest.mark.slow
def test_another_coverage_gives_larger_sets(open_page, evidence):
    evidence()
    app = upload(open_page("classify", coverage="0.95"), ("one.png", picture(1)))
    assert "**95% prediction set**] | :small[any class" in text(app)


@pytest.mark.slow
def test_an_image_unlike_the_training_images_gets_its_warning_before_the_answer(
    open_page, evidence
):
    evidence(limit=1e-3)
    app = upload(open_page("classify"), ("one.png", picture(30)))
    assert "Not like" in app.warning[0].value
    assert [
        part.label for part in app.expander if part.label.startswith("Show the predictions")
    ] and not app.metric
    assert "this one scale" not in text(app), "reasons name the answer too"
    app.session_state["unlike"] = True
    app.run()
    assert not app.exception and len(app.metric) == 2 and "this one scale" in text(app)
    upload(app, ("two.png", picture(31)))
    assert "Not like" in app.warning[0].value and not app.metric, (
        "another image: its warning comes first again"
    )


@pytest.mark.slow
def test_a_training_image_is_called_one(open_page, evidence):
    evidence()
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert any("mole-0" in info.value for info in app.info)
    assert not any("mole" in info.value for info in upload(app, ("two.png", picture(31))).info)


@pytest.mark.slow
def test_problems_of_the_picture_stand_before_the_answer(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0, (20, 20))))
    assert "small" in app.warning[0].value and len(app.metric) == 2


@pytest.mark.slow
def test_an_answer_is_brief_while_other_sessions_wait_and_whole_once_asked_for(
    open_page, shelf, monkeypatch
):
    def whole(app) -> bool:
        return bool(app.get("plotly_chart")) and "this one scale" in text(app)

    waiting = []
    monkeypatch.setattr(scheduling, "others_wait", lambda: bool(waiting))
    app = open_page("classify")
    waiting.append(1)
    upload(app, ("a.png", picture(0)))
    (answer,) = app.session_state["predictions"].values()
    for arm in answer.prediction.arms.values():
        assert f"{100 * arm.probabilities[arm.top]:.1f}" in text(app), "the answer itself stands"
    assert not whole(app) and not answer.explanations
    next(one for one in app.button if one.label == "Show charts and explanations").click().run()
    assert whole(app) and whole(app.run()), "and it stays"
    upload(app, ("b.png", picture(1)))
    assert not whole(app)
    waiting.clear()
    assert whole(app.run())
    waiting.append(1)
    assert whole(app.run()), "what was whole stays so"


@pytest.mark.slow
def test_every_model_shows_where_it_looks_on_one_scale(open_page, shelf):
    app = upload(open_page("classify"), ("one.png", picture(0)))
    assert "this one scale" in text(app)
    answer = next(iter(app.session_state["predictions"].values()))
    assert {key[:2] for key in answer.explanations} == {("cam", "a-vae"), ("cam", "b-imagenet")}


@pytest.mark.slow
def test_the_share_of_evidence_in_the_lesion_stands_beside_the_share_of_the_area(
    open_page, shelf, tmp_path
):
    data, other = noise(60, 80, 0), encode(noise(60, 80, 1))
    mask = np.zeros((60, 80), np.uint8)
    mask[:, :40] = 255  # the left half of the centre square
    save_files(shelf, "moles", [write_image(tmp_path / "one.png", data)], ["nv"])
    write_image(tmp_path / "masks" / "one_mask.png", mask)
    add_masks(load_dataset(shelf, "moles"), masks_at(tmp_path / "masks"))
    app = upload(open_page("classify"), ("renamed.png", (tmp_path / "one.png").read_bytes()))
    assert "mask of this image in the dataset moles" in text(app)
    shares = re.findall(r"([\d.]+).% of the evidence .* has ([\d.]+).% of the area", text(app))
    assert len(shares) == 2 and all(area == "50.0" for _, area in shares)
    answer = next(iter(app.session_state["predictions"].values()))
    for (share, _), (key, cam) in zip(shares, answer.explanations.items(), strict=True):
        left = cam.density_nss[0][:, : cam.density_nss.shape[2] // 2].sum()
        assert float(share) == pytest.approx(100 * left / cam.density_nss[0].sum(), abs=0.06), key
    pictures = [one.value for one in app.image]
    app.toggle(key="cam-outline").set_value(False)
    app.run()
    assert [one.value for one in app.image] != pictures and "of the area" in text(app)
    app = upload(app, ("other.png", other))
    assert "of the area" not in text(app) and not app.toggle


@pytest.mark.slow
def test_a_square_of_ones_choice_is_what_the_models_are_asked_about(open_page, shelf):
    data = picture(0)
    app = upload(open_page("classify"), ("one.png", data))
    answer = next(iter(app.session_state["predictions"].values()))
    app.session_state["crops"] = {answer.key: (0.2, 0.5, 0.5)}
    app.run()
    assert not app.exception, app.exception
    answer = next(iter(app.session_state["predictions"].values()))
    square = crop_square(decode(data), 0.2, 0.5, 0.5)
    expected = predict_images(shelf, ["a-vae", "b-imagenet"], [("one.png", square)]).images[0]
    assert answer.prediction.arms == expected.arms and answer.prediction.crop["side"] == 0.5
    assert "you chose" in text(app)


@pytest.mark.slow
def test_leaving_the_samples_forgets_the_image(open_page, shelf):
    app = open_page("classify", **{"from": "samples", "sample": "2"})
    assert app.session_state["predictions"]
    del app.query_params["sample"]
    app.run()
    assert "predictions" not in app.session_state


@pytest.mark.slow
def test_leaving_the_page_gives_the_image_up(open_page, shelf):
    """Its answer holds the uploaded file, which Streamlit's uploader has let go of by then."""
    app = open_page("classify", **{"from": "samples", "sample": "2"})
    assert app.session_state["predictions"]
    app.switch_page("pages/models.py")
    app.run()
    assert not app.exception and "predictions" not in app.session_state


@pytest.mark.slow
def test_the_table_of_answers_has_a_line_an_image_and_model(open_page, evidence):
    evidence()
    app = upload(open_page("classify"), ("one.png", picture(1)), ("two.png", picture(2)))
    rows = flat_rows(predictions_of(list(app.session_state["predictions"].values())))
    assert [(row["path"], row["model"]) for row in rows] == [
        (name, model) for name in ("one.png", "two.png") for model in ("a-vae", "b-imagenet")
    ]
    assert all(
        row["prediction_set"] and row["coverage"] == 0.9 and row["unlike_training"] is False
        for row in rows
    )


@pytest.mark.slow
def test_answers_step_back_in_the_table_too(open_page, evidence):
    evidence(limit=1e-3)
    app = upload(open_page("classify"), ("one.png", picture(1)), ("two.png", picture(2)))
    table = app.dataframe[0].value
    assert (table[arm_style("vae", "VAE").name] == "–").all() and table["Caution"].str.contains(
        "unlike training"
    ).all()


@pytest.mark.slow
def test_the_adjusted_class_is_named_where_it_differs(open_page, shelf):
    (row,) = predict_images(shelf, None, [("one.png", picture(0))]).images
    top = row.arms["a-vae"].top
    rare = next(name for name in CLASSES if name != top)
    shares = {name: 0.5 - 1e-12 if name != rare else 2e-12 for name in CLASSES}
    complete_bundle(shelf.models / "a-vae", {"class_shares": shares})
    complete_bundle(shelf.models / "b-imagenet", {"class_shares": shares})
    app = upload(open_page("classify"), ("one.png", picture(0)))
    (answer,) = app.session_state["predictions"].values()
    arms = answer.prediction.arms
    assert {arm.top_adjusted for arm in arms.values()} == {rare} and arms["a-vae"].top == top
    differing = sum(arm.top != rare for arm in arms.values())
    name = DECISIONS["adjusted"]
    (row,) = re.findall(rf"\*\*{name}\*\*\] \|(.*)\|", text(app))
    assert row.count("the same") == 2 - differing < 2
    assert TERMS["two-decisions"].text in text(app)
    assert "not measured" in text(app), "these cards have one score of each decision"
    (first, *_) = flat_rows(Predictions((answer.prediction,), ()))
    assert (first["top"], first["top_adjusted"]) == (top, rare)
