"""Data: what is imported is told truly, its splits are proven, and it can be deleted again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from derm_core.data import fetch
from derm_core.data.downloads import public_set
from derm_core.data.import_options import ImportSource
from derm_core.data.manifest import load_dataset, save_dataset
from pages.ui import cached
from pages.ui.import_form import for_page
from tests.builders import CLASSES, noise, write_dataset, write_image
from tests.data.public_place import offered_ham10000

pytestmark = pytest.mark.slow


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


def look(app, path, name="mine"):
    app.text_input(key="import-path").set_value(str(path))
    app.text_input(key="import-name").set_value(name)
    return press(app, "Preview")


def import_through_form(app, path, name):
    return press(look(app, path, name), "Import")


def choose(app, field, value):
    """Set a control of the import's form; the page as it stands then."""
    controls = [*app.selectbox, *app.multiselect, *app.text_input]
    next(control for control in controls if control.label == field).set_value(value)
    app.run()
    assert not app.exception, app.exception
    return app


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


def test_a_preview_writes_nothing(open_page, workspace, folders):
    for label in ("naevus", "wart"):
        write_image(folders / label / f"{label}0_mask.png", noise(24))
    app = look(open_page("data"), folders)
    assert metrics(app) == {
        "Images": "41",
        "Classes": "2",
        "Without a label": "0",
        "Groups": "Unknown",
    }
    assert "2 masks were left out" in text(app)
    assert any("Groups unknown" in box.value for box in app.warning)
    assert len(app.image) >= 6  # samples of the two classes
    assert workspace.dataset_names() == [] and not workspace.dataset("mine").root.exists()


@pytest.fixture
def two_tables(tmp_path):
    """24 photos of 12 patients, and two tables that label them differently."""
    root = tmp_path / "clinic"
    names = [f"p{i}.png" for i in range(24)]
    for i, name in enumerate(names):
        write_image(root / "photos" / name, noise(24, seed=i))
    first = [f"{name},{('nevus', 'mel')[i % 2]}" for i, name in enumerate(names)]
    second = [f"{name},{('nevus', 'mel')[i % 3 == 0]},P{i // 2}" for i, name in enumerate(names)]
    (root / "first.csv").write_text("\n".join(["image,diagnosis", *first, ""]))
    (root / "second.csv").write_text("\n".join(["image,diagnosis,who", *second, ""]))
    return root


def test_a_refused_import_is_told_which_table_and_group(open_page, workspace, two_tables):
    app = look(open_page("data"), two_tables)
    assert "“Tables”" in app.error[0].value and "--table" not in app.error[0].value
    app = choose(app, "Tables", ["second.csv"])
    assert not app.error and metrics(app)["Groups"] == "Unknown"
    app = choose(app, "Group columns", ["who"])
    assert metrics(app)["Groups"] == "12" and workspace.dataset_names() == []
    app = press(app, "Import")
    dataset = load_dataset(workspace, "mine")
    assert dataset.info.imported.table == "second.csv"
    assert dataset.info.imported.group_column == "who" and dataset.frame["group"].nunique() == 12


def test_a_choice_that_is_taken_back_is_automatic_again(open_page, folders):
    app = choose(look(open_page("data"), folders), "Classes", "none")
    assert metrics(app)["Classes"] == "0" and metrics(app)["Without a label"] == "41"
    assert metrics(choose(app, "Classes", None))["Classes"] == "2"


def test_many_classes_are_all_counted(open_page, tmp_path):
    for number in range(14):
        for i in range(3):
            write_image(tmp_path / "many" / f"kind {number}" / f"{i}.png", noise(24, seed=number))
    app = choose(look(open_page("data"), tmp_path / "many"), "Classes", "folder")
    table = next(frame.value for frame in app.dataframe if "class" in frame.value)
    assert len(table) == 14 and table["images"].sum() == 42 and len(app.image) < 42


@pytest.mark.parametrize(
    ("sentence", "control"),
    [
        ("say --classes folder.", "“Classes: The folders”"),
        ("add --label-column dx", "“Label columns” dx"),
        ("or --other folder", "--other folder"),
    ],
)
def test_sentences_name_the_control_in_place_of_the_option(sentence, control):
    assert control in for_page(sentence)


def test_an_array_offers_no_choice(open_page, tmp_path):
    images = np.stack([noise(28, seed=i) for i in range(4)])
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=np.array([[0], [1], [1], [1]]))
    app = look(open_page("data"), tmp_path / "a.npz")
    assert metrics(app)["Images"] == "4" and not app.multiselect
    table = next(frame.value for frame in app.dataframe if "class" in frame.value)
    assert table["images"].tolist() == [3, 1]


def test_a_pattern_that_leaves_out_nothing_is_refused_and_can_be_changed(open_page, folders):
    app = choose(look(open_page("data"), folders), "Leave out", "nothing/*")
    assert len(app.error) == 1 and not app.metric
    assert metrics(choose(app, "Leave out", "wart/*"))["Images"] == "20"


def test_choices_begin_anew_with_another_path(open_page, folders, two_tables):
    app = choose(look(open_page("data"), folders), "Classes", "none")
    app = look(app, two_tables)
    assert "“Tables”" in app.error[0].value
    assert next(box for box in app.selectbox if box.label == "Classes").value is None


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
def test_a_wrong_path_or_name_is_explained(open_page, tmp_path, monkeypatch, path, name, reason):
    monkeypatch.setenv("DERM_IMPORT_ROOTS", "/")
    app = look(open_page("data"), path.format(here=tmp_path), name)
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


def test_an_import_s_source_terms_and_cautions_stand_with_its_facts(open_page, workspace):
    dataset = write_dataset(workspace)
    info = replace(
        dataset.info,
        imported=ImportSource(layout="csv", table="labels.csv", label_column="dx"),
        notes=("Caution: Something limits this.", "Something was assumed."),
        license="CC0",
    )
    save_dataset(workspace, "tiny", dataset.frame, info)
    app = open_page("data")
    for part in ("labels.csv", "label column: dx", "CC0", "Something was assumed."):
        assert part in text(app)
    assert [box.value for box in app.warning] == ["Something limits this."]


@pytest.mark.slow
def test_the_gallery_shows_the_chosen_classes(open_page, workspace):
    write_dataset(workspace)
    app = open_page("data", dataset="tiny")
    assert len(app.image) == 24
    pills = next(group for group in app.pills if group.label == "Classes")
    pills.set_value([CLASSES[1]])
    app.run()
    captions = [caption.value.split(" · ") for caption in app.caption]
    assert {words[1] for words in captions if words[0].startswith("i0")} == {CLASSES[1]}


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


@pytest.fixture
def place(monkeypatch):
    """HAM10000 in small, offered by a stand-in."""
    with offered_ham10000(monkeypatch) as place:
        yield place


def agree(app, folder):
    app.text_input(key="public-folder-ham10000").set_value(str(folder))
    app.checkbox(key="public-agreed-ham10000").check()
    app.run()
    return press(app, "Download and import")


def test_a_download_states_its_terms_and_waits_for_agreement(open_page, place):
    app = open_page("data")
    real = public_set("ham10000")
    for part in (real.terms.license, real.page, "Rosendahl"):
        assert part in text(app)
    assert app.button(key="public-download").disabled and place.requests == []


@pytest.mark.slow
def test_a_public_set_is_downloaded_and_imported(open_page, workspace, place, tmp_path):
    app = agree(open_page("data"), tmp_path / "ham")
    assert not app.error and metrics(app)["Images"] == "12" and metrics(app)["Groups"] == "6"
    assert load_dataset(workspace, "ham10000").info.source == str(tmp_path / "ham")


@pytest.mark.slow
def test_without_a_connection_the_page_names_the_addresses(
    open_page, workspace, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(fetch, "LONGEST_PAUSE_SECONDS", 0.1)
    place.statuses += [503] * 20
    app = agree(open_page("data"), tmp_path / "ham")
    assert len(app.error) == 1 and "127.0.0.1" in app.error[0].value.replace("\\", "")
    assert workspace.dataset_names() == []


@pytest.mark.parametrize("folder", ["{home}/data", "/outside"])
def test_a_folder_that_must_not_be_used_is_refused(open_page, workspace, place, folder):
    app = agree(open_page("data"), folder.format(home=workspace.root))
    assert len(app.error) == 1 and place.requests == []
