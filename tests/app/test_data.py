"""Data: what is imported is told truly, its splits are proven, and it can be deleted again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from derm_core.data.manifest import load_dataset, save_dataset
from pages.ui import cached
from tests.builders import CLASSES, noise, write_dataset, write_image


@pytest.fixture
def folders(tmp_path):
    """One folder per class: 40 small pictures, and one file that is none."""
    root = tmp_path / "pictures"
    for number, label in enumerate(("naevus", "wart")):
        for i in range(20):
            write_image(root / label / f"{label}{i}.png", noise(24, seed=20 * number + i))
    (root / "wart" / "broken.jpg").write_bytes(b"no picture")
    return root


def press(app, label):
    next(button for button in [*app.button] if button.label == label).click()
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    return "\n".join(
        element.value
        for kind in (app.markdown, app.caption, app.subheader, app.success)
        for element in kind
    )


def metrics(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def import_through_form(app, path, name):
    app.text_input[0].set_value(str(path))
    app.text_input[1].set_value(name)
    return press(app, "Import")


def test_without_data_the_synthetic_images_are_offered(open_page):
    app = open_page("data")
    assert "No dataset yet" in text(app)
    assert any("synthetic" in button.label for button in app.button)


@pytest.mark.slow
def test_a_folder_is_imported_through_the_form(open_page, workspace, folders):
    app = import_through_form(open_page("data"), folders, "mine")
    assert app.query_params["dataset"] in ("mine", ["mine"])
    assert metrics(app)["Images"] == "40" and metrics(app)["Classes"] == "2"
    assert load_dataset(workspace, "mine").classes == ("naevus", "wart")


@pytest.mark.slow
def test_skipped_files_are_listed_with_their_reason(open_page, workspace, folders):
    app = import_through_form(open_page("data"), folders, "mine")
    assert "1 file skipped" in "".join(box.label for box in app.expander)
    table = next(frame.value for frame in app.dataframe if "reason" in frame.value)
    assert table["path"].str.contains("broken.jpg").all() and table["reason"].str.len().gt(0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "name", "reason"),
    [
        ("{here}/no/such/folder", "mine", "/no/such/folder"),
        ("", "mine", "path"),
        ("/tmp", "Not an id!", "lower-case"),
    ],
)
def test_a_wrong_path_or_name_is_explained(open_page, tmp_path, path, name, reason):
    app = import_through_form(open_page("data"), path.format(here=tmp_path), name)
    assert len(app.error) == 1 and reason in app.error[0].value


@pytest.mark.slow
def test_the_audit_counts_what_crosses(open_page, workspace, monkeypatch):
    write_dataset(workspace)
    assert len(open_page("data").success) == 1
    leaky = replace(cached.audit(workspace, "tiny"), groups_across_splits=3)
    monkeypatch.setattr(cached, "audit", lambda *_: leaky)
    app = open_page("data")
    assert "3 groups" in app.error[0].value and not app.success


@pytest.mark.slow
def test_unknown_groups_are_a_warning_and_never_certified(open_page, workspace):
    dataset = write_dataset(workspace)
    info = replace(dataset.info, group_kinds={"image": len(dataset)})
    save_dataset(workspace, "tiny", dataset.frame, info)
    app = open_page("data")
    assert not app.success and len(app.warning) == 1 and metrics(app)["Groups"] == "Unknown"
    for part in ("Groups unknown: leakage cannot be excluded", "No equal image"):
        assert part in app.warning[0].value


@pytest.mark.slow
def test_the_gallery_shows_the_chosen_classes(open_page, workspace):
    write_dataset(workspace)
    app = open_page("data", dataset="tiny")
    assert len(app.image) == 24
    pills = next(group for group in app.pills if group.label == "Classes")
    pills.set_value([CLASSES[1]])
    app.run()
    assert {caption.value for caption in app.caption} & set(CLASSES) == {CLASSES[1]}


def test_a_dataset_without_labels_is_shown(open_page, workspace):
    dataset = write_dataset(workspace)
    from derm_core.data.manifest import save_dataset

    save_dataset(
        workspace, "bare", dataset.frame.assign(label=None), replace(dataset.info, classes=())
    )
    app = open_page("data", dataset="bare")
    assert metrics(app)["Classes"] == "0" and "no labels" in text(app)


def test_an_image_whose_file_is_gone_is_said(open_page, workspace):
    dataset = write_dataset(workspace, images=12)
    gone = dataset.frame["path"].iloc[0]
    assert hashlib.sha256(Path(gone).read_bytes()).hexdigest() == dataset.frame["sha256"].iloc[0]
    (workspace.dataset("tiny").images / f"{dataset.frame['image_id'].iloc[0]}.png").unlink()
    app = open_page("data")
    assert f"{dataset.frame['image_id'].iloc[0]}: its file" in text(app)


@pytest.mark.slow
def test_deleting_removes_the_dataset(open_page, workspace):
    write_dataset(workspace)
    app = press(open_page("data", dataset="tiny"), "Delete")
    assert workspace.dataset_names() == [] and "No dataset yet" in text(app)


@pytest.mark.slow
def test_priorities_are_chosen_and_kept(open_page, workspace):
    write_dataset(workspace)
    app = open_page("data", dataset="tiny")
    controls = {group.label: group for group in app.segmented_control if group.label in CLASSES}
    for name, level in zip(CLASSES, ("high", "low", "low"), strict=True):
        controls[name].set_value(level)
    app = press(app, "Save priorities")
    assert load_dataset(workspace, "tiny").info.priority == dict(
        zip(CLASSES, ("high", "low", "low"))
    )
    assert "was chosen for" in text(app)


@pytest.mark.slow
def test_a_class_without_a_priority_is_named(open_page, workspace):
    write_dataset(workspace)
    app = press(open_page("data", dataset="tiny"), "Save priorities")
    assert (
        ", ".join(CLASSES) in app.error[0].value
        and load_dataset(workspace, "tiny").info.priority is None
    )
