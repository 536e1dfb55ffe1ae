"""The report of an import: one file that loads nothing, with the counts, cautions and terms of a dataset."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from derm_core import cli
from derm_core.data.import_options import ImportSource
from derm_core.data.manifest import Skipped, save_dataset
from derm_core.report.dataset_html import dataset_html
from tests.builders import CLASSES, write_dataset
from tests.report.conftest import HOSTILE
from tests.report.test_html import Page

FETCHING = ("src", "href", "srcset", "data", "action")


@pytest.fixture
def clinic(workspace):
    """60 images of three classes with a site, terms, cautions and a file that was left out."""
    dataset = write_dataset(workspace, images=60)
    frame = dataset.frame.assign(site=["arm"] * 50 + [None] * 10, width=150, height=100)
    info = replace(
        dataset.info,
        source="/home/somebody/clinic",
        imported=ImportSource(layout="csv", table="labels.csv", label_column="dx"),
        group_kinds={"lesion": 60},
        notes=("Caution: Something limits this.", "Something was assumed."),
        skipped=(Skipped("a.png", "it is empty"),),
        license="CC0",
        citation="Somebody (2020)",
    )
    return save_dataset(workspace, "clinic", frame, info)


def test_it_loads_and_runs_nothing(clinic):
    page = Page(dataset_html(clinic))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    addresses = [
        value for _, given in page.tags for name, value in given.items() if name in FETCHING
    ]
    assert addresses and all(address.startswith("data:image/jpeg") for address in addresses)


def test_it_holds_counts_source_cautions_and_terms(clinic):
    text = Page(dataset_html(clinic, images=0)).text
    parts = (
        "60 images, 3 classes",
        "labels.csv",
        "Something limits this.",
        "Something was assumed.",
    )
    for part in (
        *parts,
        "CC0",
        "Somebody (2020)",
        "arm (50)",
        "not known (10)",
        "150 × 100",
        "a.png",
    ):
        assert part in text, part
    assert "/home/somebody" not in text


@pytest.mark.parametrize("images", [0, 2])
def test_images_are_those_asked_for_and_the_head_says_whether_there_are_any(clinic, images):
    page = Page(dataset_html(clinic, images=images))
    assert sum(tag == "img" for tag, _ in page.tags) == images * len(CLASSES)
    assert ("personal data" in page.text) == (images > 0)


def test_unknown_groups_are_no_zero(clinic):
    dataset = replace(clinic, info=replace(clinic.info, group_kinds={"image": 60}))
    known, unknown = (Page(dataset_html(one, images=0)).text for one in (clinic, dataset))
    assert "Groups in more than one split: 0" in known
    assert "Groups in more than one split" not in unknown and "Groups unknown" in unknown


def test_what_is_not_known_is_said(workspace):
    text = Page(dataset_html(write_dataset(workspace), images=0)).text
    for question in ("Licence", "Citation", "Reference standard", "Body site", "Skin type"):
        assert f"{question} not known" in text


def test_users_words_are_words(clinic):
    info = replace(clinic.info, notes=(HOSTILE,), license=HOSTILE, skipped=(Skipped(HOSTILE, "-"),))
    assert HOSTILE not in dataset_html(replace(clinic, info=info))


def test_lost_files_leave_no_image_and_no_error(clinic):
    for path in clinic.frame["path"]:
        (clinic.paths.root / path).unlink()
    page = Page(dataset_html(clinic))
    assert not any(tag == "img" for tag, _ in page.tags) and "60 images" in page.text


def test_a_dataset_without_labels_has_a_report(clinic, workspace):
    bare = save_dataset(
        workspace, "bare", clinic.frame.assign(label=None), replace(clinic.info, classes=())
    )
    assert "60 images without a label" in Page(dataset_html(bare)).text


def test_the_command_writes_the_file(clinic, tmp_path, capsys):
    target = tmp_path / "report.html"
    command = ["data", "show", "clinic", "--out", str(target), "--images", "0", "--json"]
    assert cli.main(command) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(target)]
    assert "Dataset clinic" in target.read_text()
    assert cli.main(["data", "show", "clinic", "--images", "2"]) == 1
    assert "--out" in capsys.readouterr().err
