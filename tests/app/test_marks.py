"""Marks of images: given where images are shown, taken back, used by a study, said with its result."""

from __future__ import annotations

import shutil

import pytest

from derm_core.config import EmbedConfig, from_dict, to_dict
from derm_core.data.manifest import load_dataset
from derm_core.data.marks import Mark, read_marks, set_marks
from derm_core.files import read_json, write_json
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.app.maps import put_map
from tests.builders import write_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_library_only(monkeypatch):
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])


@pytest.fixture
def mapped(workspace) -> str:
    """A finished map of 60 images i000 … i059."""
    write_dataset(workspace, images=60)
    return put_map(workspace)


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    return "\n".join(
        element.value for kind in (app.markdown, app.caption, app.error) for element in kind
    )


def marks_of(workspace, name="tiny"):
    return read_marks(workspace.dataset(name))


def opened(app, key):
    """The page after the popover or expander of this key was opened."""
    app.session_state[key] = True
    return app.run()


def control(app, kind, key):
    return next(widget for widget in getattr(app, kind) if widget.key == key)


def test_a_selected_image_is_marked_and_the_mark_taken_back(open_page, workspace, mapped):
    app = opened(open_page("latent", run=mapped, image="i005"), "marking")
    control(app, "segmented_control", "mark-kind-selection").set_value("wrong_label")
    app.run()
    labels = control(app, "selectbox", "mark-label-selection")
    assert [option.split(" ")[0] for option in labels.options] == ["amber", "brown"], "not its own"
    labels.set_value("brown")
    control(app, "text_input", "mark-note-selection").set_value("no *network*")
    press(app.run(), "Mark 1 image")
    mark = marks_of(workspace)["i005"]
    assert (mark.mark, mark.new_label, mark.note) == ("wrong_label", "brown", "no *network*")
    assert mark.by and mark.when
    assert "1 image marked wrong label: brown." in text(app)
    assert "Marked wrong label: brown" in text(app) and r"no \*network\*" in text(app)
    press(app, "Undo")
    assert marks_of(workspace) == {} and "Undone for 1 image." in text(app)


def test_a_likely_label_error_is_marked_with_the_class_that_is_suggested(
    open_page, workspace, mapped
):
    app = open_page("latent", run=mapped, view="issues", kind="label_error")
    assert "Hide marked" not in str([toggle.label for toggle in app.toggle])
    app = opened(app, "mark-card-label_error-i005")
    press(app, "Mark 1 image")
    assert str(marks_of(workspace)["i005"]) == "wrong label: brown"
    hide = next(toggle for toggle in app.toggle if toggle.label == "Hide marked (1)")
    hide.set_value(True)
    app.run()
    assert "the features say brown" not in text(app)
    hide.set_value(False)
    press(app.run(), "Undo")
    assert marks_of(workspace) == {} and "the features say brown" in text(app)


def test_of_a_pair_the_second_image_is_marked_duplicate_unless_the_first_is_chosen(
    open_page, workspace, mapped
):
    app = open_page("latent", run=mapped, view="issues", kind="near_duplicate")
    press(opened(app, "mark-card-near_duplicate-i000-i003"), "Mark 1 image")
    assert {name: str(mark) for name, mark in marks_of(workspace).items()} == {"i003": "duplicate"}
    control(app, "segmented_control", "mark-image-near_duplicate-i000-i003").set_value("i000")
    press(app.run(), "Mark 1 image")
    assert set(marks_of(workspace)) == {"i000", "i003"}


def test_what_another_session_marked_meanwhile_is_kept_and_shown(open_page, workspace, mapped):
    app = opened(open_page("latent", run=mapped, image="i005"), "marking")
    set_marks(load_dataset(workspace, "tiny"), [Mark(image_id="i009", mark="exclude")])
    press(app, "Mark 1 image")  # of the form as it was before
    assert set(marks_of(workspace)) == {"i005", "i009"}


def test_a_map_says_that_it_was_made_with_marks(open_page, workspace, mapped):
    path = workspace.run(mapped).map_info
    write_json(path, read_json(path) | {"marks": ["mole-vae with 12 exclusions"]})
    shown = text(open_page("latent", run=mapped))
    assert "Trained with marks of images: mole-vae with 12 exclusions." in shown


def test_images_of_a_published_map_are_marked_where_their_dataset_is_here(
    open_page, workspace, source
):
    shown = text(open_page("latent", run="moles-skin", image="i007"))
    assert "on *Data* to mark its images" in shown
    own = source.dataset_names()[0]
    shutil.copytree(source.dataset(own).root, workspace.dataset("other-name").root)
    app = opened(open_page("latent", run="moles-skin", image="i007"), "marking")
    press(app, "Mark 1 image")
    assert set(marks_of(workspace, "other-name")) == {"i007"}


def test_images_of_the_gallery_are_marked_listed_and_unmarked(open_page, workspace):
    write_dataset(workspace, images=12)
    app = open_page("data")
    assert "Marks of images" in [box.label for box in app.expander]
    chooser = control(app, "multiselect", "gallery-chosen-tiny")
    chooser.set_value(["i003", "i007"])
    press(app.run(), "Mark 2 images")
    assert {str(mark) for mark in marks_of(workspace).values()} == {"exclude"}
    assert "Marks of images · 2" in [box.label for box in app.expander]
    assert "Marked images: exclude 2." in text(app)
    press(app, "Remove 2 marks")
    assert marks_of(workspace) == {} and "Marks of 2 images removed." in text(app)


def test_a_damaged_table_is_said_and_stays(open_page, workspace, mapped):
    app = opened(open_page("latent", run=mapped, image="i005"), "marking")
    workspace.dataset("tiny").marks.write_text("gone")
    press(app, "Mark 1 image")
    assert "The marks of tiny (marks.csv) are damaged" in text(app)
    assert workspace.dataset("tiny").marks.read_text() == "gone"


def marked(workspace, images=90):
    dataset = write_dataset(workspace, images=images)
    set_marks(
        dataset,
        [
            Mark(image_id="i001", mark="exclude"),
            Mark(image_id="i020", mark="wrong_label", new_label="violet"),
        ],
    )
    return dataset


def launched(workspace):
    study = RunStore(workspace).list("study")[0]
    return from_dict(read_json(workspace.run(study.id).config))


def test_a_study_uses_marks_only_where_that_is_chosen(open_page, workspace):
    marked(workspace)
    app = open_page("train", preset="laptop", data="tiny")
    choice = next(one for one in app.segmented_control if one.label == "Marks of images")
    assert choice.value == ""
    assert list(choice.options) == [
        "Not used",
        "Leave out 1 image",
        "Leave out 1 image, use 1 new label",
    ]
    press(app, "Launch")
    assert launched(workspace).marks is None
    app = open_page("train", preset="laptop", data="tiny")
    next(one for one in app.segmented_control if one.label == "Marks of images").set_value("labels")
    press(app.run(), "Launch")
    config = launched(workspace)
    assert str(config.marks) == "with 1 exclusion and 1 changed label"
    assert config.pretrain.marks.exclusions == 1


def test_marks_that_leave_no_image_of_a_class_cannot_be_launched(open_page, workspace):
    dataset = marked(workspace)
    names = dataset.frame["image_id"][dataset.frame["label"] == "violet"]
    set_marks(dataset, [Mark(image_id=name, mark="exclude") for name in names])
    app = open_page("train", preset="laptop", data="tiny")
    next(one for one in app.segmented_control if one.label == "Marks of images").set_value("out")
    app.run()
    assert "no image of class violet" in text(app)
    assert next(button for button in app.button if button.label == "Launch").disabled


def test_home_and_compare_say_with_which_marks_a_study_was_made(open_page, finished):
    study = RunStore(finished).list("study")[0]
    path = finished.run(study.id).study
    value = read_json(path)
    value["dataset"]["marks"] = {"sha256": "0" * 64, "exclusions": 12, "new_labels": 3}
    write_json(path, value)
    for page in ("home", "compare"):
        assert "with 12 exclusions and 3 changed labels" in text(open_page(page)), page


def test_the_config_of_a_map_has_no_marks():
    assert "marks" not in to_dict(EmbedConfig(dataset="tiny"))
