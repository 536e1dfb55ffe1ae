"""Marks of images: one an image, kept beside the manifest, given by many at once, exported and imported again."""

import threading
from dataclasses import replace

import pytest

from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.data.marks import (
    Mark,
    marks_table,
    read_marks,
    remove_marks,
    set_marks,
    summarise,
    undo,
)
from derm_core.data.marks_file import import_marks
from derm_core.errors import DataError
from tests.builders import write_dataset


@pytest.fixture
def dataset(workspace):
    """Images i000 … i011: two amber, two brown, two violet, and again."""
    return write_dataset(workspace, images=12, size=8)


def mark(name, kind="exclude", **fields):
    return Mark(image_id=name, mark=kind, by="ada", when="2026-01-02T03:04:05Z", **fields)


WRONG = mark("i000", "wrong_label", new_label="violet", note='vessels, not "pigment"\nsee twin')


def test_marks_are_read_as_they_were_given_and_manifest_and_labels_stay(workspace, dataset):
    manifest = dataset.paths.manifest.read_bytes()
    given = [WRONG, mark("i003", "duplicate"), mark("i005", "note", note="=1+1, ünclear")]
    set_marks(dataset, given)
    assert list(read_marks(dataset.paths).values()) == given
    assert dataset.paths.manifest.read_bytes() == manifest
    assert load_dataset(workspace, "tiny").fingerprint == dataset.fingerprint


def test_an_image_has_one_mark_the_last(dataset):
    set_marks(dataset, [WRONG])
    change = set_marks(dataset, [mark("i000")])
    assert read_marks(dataset.paths) == {"i000": mark("i000")} and change.before == {"i000": WRONG}


def test_undo_brings_back_what_was_there(dataset):
    set_marks(dataset, [WRONG])
    change = set_marks(dataset, [mark("i000"), mark("i001")])
    assert undo(dataset.paths, change) == 2
    assert read_marks(dataset.paths) == {"i000": WRONG}
    removed = remove_marks(dataset.paths, ["i000"])
    assert read_marks(dataset.paths) == {} and undo(dataset.paths, removed) == 1
    assert read_marks(dataset.paths) == {"i000": WRONG}


def test_undo_does_not_touch_what_another_person_marked_since(dataset):
    change = set_marks(dataset, [mark("i000"), mark("i001")])
    newer = replace(mark("i001", "duplicate"), by="grace")
    set_marks(dataset, [newer])
    assert undo(dataset.paths, change) == 1 and read_marks(dataset.paths) == {"i001": newer}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (mark("i000", "wrong_label"), "without a new label"),
        (mark("i000", "wrong_label", new_label="green"), "classes are amber, brown, violet"),
        (mark("i000", "wrong_label", new_label="amber"), "has the label amber already"),
        (mark("i000", "exclude", new_label="violet"), "but not the mark wrong_label"),
        (mark("i000", "delete"), "allowed: wrong_label, duplicate, exclude and note"),
        (mark("i000", "note"), "is empty"),
        (mark("i000", note="x" * 2001), "longer than 2,000"),
        (mark("nobody"), "has no image nobody"),
    ],
)
def test_what_is_not_allowed_is_refused_and_nothing_is_marked(dataset, wrong, message):
    with pytest.raises(DataError, match=message):
        set_marks(dataset, [mark("i001"), wrong])
    assert read_marks(dataset.paths) == {}


def test_sessions_that_mark_at_once_lose_nothing(dataset):
    names = dataset.frame["image_id"].tolist()
    threads = [threading.Thread(target=set_marks, args=(dataset, [mark(one)])) for one in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_marks(dataset.paths)) == names


@pytest.mark.parametrize("text", ["gone", "image_id,mark,new_label,note,by,when\ni000,gone,,,,\n"])
def test_a_damaged_table_is_refused_with_what_to_do_and_stays(dataset, text):
    dataset.paths.marks.write_text(text)
    with pytest.raises(DataError, match=r"damaged .*mend the file"):
        set_marks(dataset, [mark("i001")])
    assert "gone" in dataset.paths.marks.read_text()


def test_an_export_imported_again_changes_nothing(dataset, tmp_path):
    set_marks(dataset, [WRONG, mark("i001"), mark("i002", "note", note="- a list")])
    before = read_marks(dataset.paths)
    file = tmp_path / "marks.csv"
    file.write_text(marks_table([*before.values()]), newline="")
    done = import_marks(dataset, file, by="somebody else")
    assert (done.added, done.changed, done.unchanged, done.absent) == (0, 0, 3, 0)
    assert list(read_marks(dataset.paths).values()) == list(before.values())


def test_an_import_takes_the_place_of_marks_of_the_same_images_alone(dataset, tmp_path):
    set_marks(dataset, [WRONG, mark("i001")])
    file = tmp_path / "edited.csv"
    file.write_text("image_id;mark;new_label\ni000;Wrong label;brown\ni002;exclude;\n")
    done = import_marks(dataset, file, by="grace")
    assert (done.added, done.changed, done.unchanged) == (1, 1, 0)
    marks = read_marks(dataset.paths)
    assert marks["i000"].new_label == "brown" and marks["i000"].by == "grace"
    assert marks["i001"] == mark("i001") and marks["i002"].when


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,mark\ni000,exclude\ni001,gone\n", "record 3: The mark of i001 is 'gone'"),
        ("image_id,mark\ni000,exclude\ni000,note\n", "record 3: i000 stands in it twice"),
        ("image_id,new_label\ni000,violet\n", "has no column mark"),
        ("image_id,mark\n,exclude\n", "names no image"),
    ],
)
def test_a_file_with_an_error_imports_nothing_and_names_the_line(dataset, tmp_path, text, message):
    file = tmp_path / "marks.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        import_marks(dataset, file, by="ada")
    assert read_marks(dataset.paths) == {}


def test_marks_of_images_that_an_import_took_away_are_kept_and_said(workspace, dataset, tmp_path):
    set_marks(dataset, [WRONG, mark("i011"), mark("i003")])
    fewer = save_dataset(workspace, "tiny", dataset.frame.iloc[:10], dataset.info)
    set_marks(fewer, [mark("i004")])
    marks = read_marks(fewer.paths)
    summary = summarise(fewer, marks)
    assert "i011" in marks and summary.absent == ("i011",)
    assert summary.counts == {"wrong_label": 1, "exclude": 2}
    assert "1 more mark of images that the dataset does not have (i011): kept" in str(summary)
    file = tmp_path / "marks.csv"
    file.write_text(marks_table([*marks.values()]))
    assert import_marks(fewer, file, by="ada").absent == 1


def test_a_new_label_that_became_the_label_is_said(workspace, dataset):
    set_marks(dataset, [WRONG])
    frame = dataset.frame.assign(label=["violet", *dataset.frame["label"][1:]])
    corrected = save_dataset(workspace, "tiny", frame, dataset.info)
    summary = summarise(corrected, read_marks(corrected.paths))
    assert summary.stale == ("i000",) and "1 new label of no effect" in str(summary)
