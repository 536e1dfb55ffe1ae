"""Published results on the pages: listed and marked, drawn without the images, and with them where they are."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from derm_core.cli import main
from derm_core.data.decode import read_image
from derm_core.data.manifest import load_dataset
from derm_core.insight.packed_map import read_latents
from derm_core.insight.traversal_sources import open_traversal
from derm_core.jobs.store import RunStore
from derm_core.published import read_published
from derm_core.study.study_result import read_study
from derm_core.workspace import Workspace
from pages.ui import images
from pages.ui.latent import loaded_map, map_hover
from tests.app.maps import put_map
from tests.builders import write_dataset
from tests.published import put_source
from tools.studies import publish

NOT_HERE = "reconstruction by the VAE; the image is not on this machine"


@pytest.fixture(autouse=True)
def own_shelf_only(monkeypatch, tmp_path):
    """The models of the publishing workspace are those that ship."""
    monkeypatch.setattr(Workspace, "shelves", lambda self: [tmp_path / "source" / "models"])


def text(app) -> str:
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.info)
    return "\n".join(element.value for kind in kinds for element in kind)


def pictures(app) -> list[tuple[str, str]]:
    """(address, alternative text) of each image."""
    return [(image.proto.imgs[0].url, image.proto.imgs[0].alt) for image in app.image]


def test_both_aligned_maps_open_side_by_side_with_their_terms(open_page, published):
    app = open_page("latent")
    assert len(app.get("plotly_chart")) == 2
    chosen = [box.value for box in app.selectbox if box.label in ("Map", "Second map")]
    assert set(chosen) == {"moles-skin", "moles-judge"}
    options = next(box.options for box in app.selectbox if box.label == "Map")
    assert len(options) == 2 and all("published result" in option for option in options)
    assert "MOLES: Somebody (2018) · CC BY-NC 4.0" in text(app)
    assert not any(button.label == "Align the second map" for button in app.button)


def test_own_maps_come_first_and_do_not_stand_beside_published_ones(
    open_page, workspace, published
):
    write_dataset(workspace, "moles", 60)
    own = put_map(workspace, "moles", arm="random")
    app = open_page("latent")
    first, second = (
        next(box for box in app.selectbox if box.label == label) for label in ("Map", "Second map")
    )
    assert first.value == own and len(first.options) == 3
    assert list(second.options) == ["No other map of these images yet"]


def test_an_image_that_is_not_here_is_drawn_by_the_vae_and_called_a_reconstruction(
    open_page, workspace, published
):
    app = open_page("latent", run="moles-skin", image="i007")
    shown = pictures(app)
    assert len(shown) > 8 and all(alt.endswith(NOT_HERE) for _, alt in shown)
    latents = read_latents(read_published(published))
    drawn = open_traversal(workspace, "skin").decode(latents[[7]])[0]
    assert shown[0][0] == images.data_url(images.webp(images.resized(drawn, 256)))
    assert f"R{NOT_HERE[1:]}" in text(app)
    assert "Reconstructions by the VAE; the images are not on this machine." in text(app)


def test_where_the_dataset_is_imported_under_another_name_its_images_are_shown(
    open_page, workspace, published
):
    put_source(workspace, "ham")
    app = open_page("latent", run="moles-skin", image="i007")
    shown = pictures(app)
    assert shown and not any("reconstruction" in alt for _, alt in shown)
    assert "reconstruction by the VAE" not in text(app)


def test_without_the_vae_a_dot_says_that_its_image_is_missing(
    open_page, workspace, published, monkeypatch
):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    app = open_page("latent", run="moles-skin", image="i007")
    assert not app.image and images.ABSENT in text(app)


def test_a_dot_under_the_pointer_shows_the_reconstruction_and_calls_it_that(workspace, published):
    first = loaded_map.load_map(workspace, "moles-skin")
    assert first is not None
    answers = map_hover.hover_images(first, [7, 8])
    [drawn] = images.pictures(first.dataset, [7], map_hover.SIDE, first.reconstruct)
    assert drawn is not None and answers[0].src == images.data_url(drawn.webp)
    assert all(image.is_reconstruction for image in answers)
    assert {image.lines[-1] for image in answers} == {NOT_HERE}


def test_a_model_s_predictions_are_called_what_its_card_calls_its_arm(workspace, published):
    first = loaded_map.load_map(workspace, "moles-skin")
    assert first is not None
    model = first.models[0]
    [named, *_] = replace(first, labels={model.name: "VAE + SimCLR"}).models
    assert named.style.name == named.short_name == "VAE + SimCLR" != model.style.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tab", "count"),
    [
        (":material/tune: Dimensions", 1),
        (":material/compare_arrows: Between two images", 9),
        (":material/blur_on: Mean images", 3),
    ],
)
def test_the_latent_space_is_traversed_without_an_image(open_page, published, tab, count):
    app = open_page("latent", run="moles-skin", image="i007", view="travel")
    app.session_state["traversal"] = tab
    app.run()
    assert not app.exception and not app.error and len(app.image) == count


@pytest.mark.slow
def test_data_issues_are_those_of_the_map(open_page, published):
    app = open_page("latent", run="moles-skin", view="trouble")
    assert not app.exception and len(app.image) == 4
    assert f"{images.RECONSTRUCTIONS}." in text(app)
    assert all(alt.endswith(NOT_HERE) for _, alt in pictures(app))


def test_the_latent_of_an_image_is_the_stored_one(workspace, source):
    loaded = loaded_map.load_map(workspace, "moles-skin")
    assert loaded is not None and loaded.stored is not None
    frame = load_dataset(source, "moles").frame
    traversal = open_traversal(workspace, "skin")
    own = traversal.encode(read_image(frame["path"][3], 32)[None])[0]
    stored = loaded.stored.latents_of(traversal)
    assert stored is not None and abs(stored[3] - own).max() < 0.1


# ---- a study -----------------------------------------------------------------------------------


@pytest.fixture
def study(finished_home, tmp_path, studies) -> str:
    """studies/tiny with the tiny study of another workspace; its headline."""
    other = Workspace(tmp_path / "finished")
    shutil.copytree(finished_home, other.root)
    put_source(other, "tiny", 120)
    run = RunStore(other).list("study")[0].id
    publish(other, "tiny", study=run)
    return read_study(other.run(run).study).verdict.headline


def test_the_published_study_stands_on_home_and_compare_until_there_is_one_s_own(
    open_page, workspace, study
):
    home = open_page("home")
    assert study in text(home) and "Somebody (2018) · CC BY-NC 4.0" in text(home)
    app = open_page("compare")
    assert app.header[0].value == study
    assert "published result" in app.selectbox[0].options[0] and "Somebody (2018)" in text(app)
    buttons = {button.label for button in app.button}
    assert "Name and note" not in buttons and "Run the demo" in buttons


@pytest.mark.slow
def test_own_studies_come_first(open_page, finished, study):
    app = open_page("compare")
    box = next(box for box in app.selectbox if box.label == "Study")
    assert box.value == RunStore(finished).list("study")[0].id
    assert "published result" in box.options[-1] and len(box.options) == 2


@pytest.mark.slow
@pytest.mark.parametrize("section", ["overview", "differences", "classes", "method"])
def test_every_section_of_a_published_study_is_shown(open_page, study, section):
    app = open_page("compare", section=section)
    assert not app.exception and not app.error
    if section == "overview":
        assert any("urve" in chart.proto.id for chart in app.get("plotly_chart"))
    if section == "method":
        assert not any(link.label == "The run and its log" for link in app.page_link)


@pytest.mark.slow
def test_the_command_line_reports_a_published_study(workspace, study, tmp_path, capsys):
    def derm(*words: str) -> str:
        status = main(["compare", "report", "tiny", *words, "--workspace", str(workspace.root)])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return captured.out

    text_report = " ".join(derm().split())
    assert study in text_report and "CC BY-NC 4.0" in text_report
    value = json.loads(derm("--json"))
    assert (value["run_id"], value["state"]) == ("tiny", "done")
    assert value["verdict"]["headline"] == study
    assert value["published"]["dataset"]["attribution"] == "Somebody (2018)"
    derm("--out", str(tmp_path / "report.html"), "--csv", str(tmp_path / "csv"))
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Somebody (2018)" in report and "CC BY-NC 4.0" in report
    assert "Somebody (2018)" in (tmp_path / "csv" / "terms.txt").read_text()
    curves = pd.read_csv(tmp_path / "csv" / "curves-vae.csv")
    assert {"epoch", "seed", "val_loss"} <= set(curves)
