"""Import: each layout is recognised by itself, groups are right, and bad input is named, not fatal."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derm_core.data.decode import read_image
from derm_core.data.importers import import_dataset
from derm_core.data.layouts import find_layout
from derm_core.data.manifest import load_dataset
from derm_core.data.store import open_store
from derm_core.errors import DataError
from tests.builders import noise, write_image


def picture(path: Path, seed: int, side: int = 16) -> Path:
    return write_image(path, noise(side, side + 4, seed, low=1))


def table(path: Path, header: str, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def run(workspace, path, name="set", **options):
    result = import_dataset(workspace, path, name, sizes=(8,), processes=1, **options)
    return result, load_dataset(workspace, name)


@pytest.fixture
def ham(tmp_path) -> Path:
    root = tmp_path / "ham"
    for i in range(6):
        picture(root / f"HAM10000_images_part_{1 + i % 2}" / f"ISIC_{i}.jpg", i)
    table(
        root / "HAM10000_metadata.csv",
        "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset",
        "HAM_1,ISIC_0,nv,histo,80.0,male,scalp,rosendahl",
        "HAM_1,ISIC_1,nv,histo,80.0,male,scalp,rosendahl",
        "HAM_2,ISIC_2,mel,histo,,unknown,unknown,rosendahl",
        "HAM_3,ISIC_3,nv,histo,40.0,female,back,rosendahl",
        "HAM_4,ISIC_4,bcc,histo,50.0,female,back,rosendahl",
        "HAM_5,ISIC_5,bcc,histo,55.0,female,ear,rosendahl",
    )
    return root


def groups_of(dataset) -> dict[str, str]:
    return dict(zip(dataset.frame["image_id"], dataset.frame["group"], strict=True))


def test_ham10000_layout(workspace, ham):
    assert find_layout(ham).name == find_layout(ham / "HAM10000_metadata.csv").name == "isic"
    result, dataset = run(workspace, ham)
    assert (result.images, result.classes, result.groups, result.skipped) == (6, 3, 5, ())
    assert dataset.classes == ("bcc", "mel", "nv") and dataset.info.lesions == 5
    assert dataset.info.license == "CC BY-NC 4.0"
    row = dataset.frame.set_index("image_id").loc["ISIC_2"]
    assert (
        row["label"] == "mel"
        and np.isnan(row["age"])
        and row["sex"] != row["sex"]
        and row["group"] == "HAM_2"
    )
    first = dataset.frame.iloc[0]
    assert first[["age", "sex", "site", "width", "height"]].tolist() == [
        80.0,
        "male",
        "scalp",
        20,
        16,
    ]
    store = open_store(workspace, dataset, 8)
    for i in range(6):
        assert np.array_equal(store.images[i], read_image(Path(dataset.frame["path"][i]), 8))


def test_known_duplicates_and_equal_content_join_groups(workspace, ham):
    table(
        ham / "known_duplicates.csv",
        "similarity,from_img,to_img",
        "0.98,ISIC_2.jpg,ISIC_3.jpg",
        "0.97,ISIC_3.jpg,ISIC_0.jpg",
        "0.99,ISIC_0.jpg,ISIC_99.jpg",
    )
    (ham / "HAM10000_images_part_2" / "ISIC_5.jpg").write_bytes(
        (ham / "HAM10000_images_part_1" / "ISIC_4.jpg").read_bytes()
    )
    result, dataset = run(workspace, ham)
    groups = groups_of(dataset)
    assert result.groups == 2
    assert {groups[f"ISIC_{i}"] for i in (0, 1, 2, 3)} == {"HAM_1"} and groups["ISIC_4"] == groups[
        "ISIC_5"
    ] == "HAM_4"
    assert any("exact copies" in note for note in result.notes)


def test_unreadable_and_missing_images_are_skipped_with_reasons(workspace, ham):
    (ham / "HAM10000_images_part_1" / "ISIC_0.jpg").write_text("text in disguise")
    whole = (ham / "HAM10000_images_part_2" / "ISIC_1.jpg").read_bytes()
    (ham / "HAM10000_images_part_2" / "ISIC_1.jpg").write_bytes(whole[: len(whole) // 2])
    (ham / "HAM10000_images_part_1" / "ISIC_2.jpg").unlink()
    result, dataset = run(workspace, ham)
    reasons = {Path(item.path).stem: item.reason for item in result.skipped}
    assert set(reasons) == {"ISIC_0", "ISIC_1", "ISIC_2"}
    assert (
        "not a JPEG" in reasons["ISIC_0"]
        and "damaged" in reasons["ISIC_1"]
        and "not found" in reasons["ISIC_2"]
    )
    assert dataset.frame["image_id"].tolist() == [
        "ISIC_3",
        "ISIC_4",
        "ISIC_5",
    ] and dataset.classes == ("bcc", "nv")
    store = open_store(workspace, dataset, 8)
    assert np.array_equal(store.images[0], read_image(Path(dataset.frame["path"][0]), 8))


def test_one_hot_ground_truth_with_its_lesion_table_beside(workspace, tmp_path):
    root = tmp_path / "isic"
    for i in range(4):
        picture(root / "ISIC2018_Task3_Training_Input" / f"ISIC_{i}.jpg", i)
    table(
        root / "ISIC2018_Task3_Training_GroundTruth" / "ISIC2018_Task3_Training_GroundTruth.csv",
        "image,MEL,NV,BCC",
        "ISIC_0,1.0,0.0,0.0",
        "ISIC_1,0.0,1.0,0.0",
        "ISIC_2,0.0,1.0,0.0",
        "ISIC_3,0.0,0.0,0.0",
    )
    table(
        root / "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,diagnosis confirm_type",
        "ISIC_1,L1,histo",
        "ISIC_2,L1,histo",
    )
    assert find_layout(root).name == "isic-one-hot"
    result, dataset = run(workspace, root)
    assert dataset.classes == ("mel", "nv") and dataset.labels.tolist() == [0, 1, 1, -1]
    assert groups_of(dataset) == {
        "ISIC_0": "ISIC_0",
        "ISIC_1": "L1",
        "ISIC_2": "L1",
        "ISIC_3": "ISIC_3",
    }
    assert result.unlabelled == 1 and any(note.startswith("1 row of") for note in result.notes)


def test_pad_ufes_20_groups_by_patient(workspace, tmp_path):
    root = tmp_path / "pad"
    names = ["PAT_1_10_1.png", "PAT_1_11_2.png", "PAT_2_12_3.png"]
    for i, name in enumerate(names):
        picture(root / f"imgs_part_{i + 1}" / name, i)
    table(
        root / "metadata.csv",
        "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,img_id",
        f"PAT_1,10,50,FEMALE,2.0,NOSE,BCC,{names[0]}",
        f"PAT_1,11,50,FEMALE,2.0,ARM,ACK,{names[1]}",
        f"PAT_2,12,9,,,CHEST,NEV,{names[2]}",
    )
    assert find_layout(root).name == "pad-ufes-20"
    result, dataset = run(workspace, root)
    assert result.groups == 2 and dataset.classes == ("ACK", "BCC", "NEV")
    row = dataset.frame.iloc[0]
    assert (row["image_id"], row["group"], row["skin_type"], row["sex"], row["site"]) == (
        "PAT_1_10_1",
        "PAT_1",
        "2",
        "female",
        "nose",
    )


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("dermamnist.npz", ("akiec", "df", "nv")),
        ("othermnist_64.npz", ("class-0", "class-3", "class-5")),
    ],
)
def test_medmnist_arrays_become_images_and_keep_their_split(workspace, tmp_path, name, classes):
    generator = np.random.default_rng(0)
    arrays = {
        f"{split}_images": generator.integers(1, 256, (count, 12, 12, 3), dtype=np.uint8)
        for split, count in (("train", 4), ("val", 3), ("test", 2))
    }
    labels = {
        f"{key.removesuffix('_images')}_labels": np.array([0, 3, 5, 0])[: len(value), None].astype(
            np.uint8
        )
        for key, value in arrays.items()
    }
    np.savez_compressed(tmp_path / name, **arrays, **labels)
    result, dataset = run(workspace, tmp_path / name)
    assert result.layout == "medmnist" and dataset.classes == classes and result.groups == 9
    assert dataset.frame["official_split"].tolist() == ["train"] * 4 + ["val"] * 3 + ["test"] * 2
    with Image.open(dataset.frame["path"][4]) as image:
        assert np.array_equal(np.asarray(image), arrays["val_images"][0])
    assert Path(dataset.frame["path"][0]).is_relative_to(dataset.paths.root)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        (
            {
                "train_images": np.array([{}], dtype=object),
                "train_labels": np.zeros((1, 1), np.uint8),
            },
            "cannot be read",
        ),
        (
            {
                "train_images": np.zeros((2, 4, 4, 3), np.float32),
                "train_labels": np.zeros((2, 1), np.uint8),
            },
            "uint8",
        ),
        (
            {
                "train_images": np.zeros((2, 4, 4, 3), np.uint8),
                "train_labels": np.zeros((2, 14), np.uint8),
            },
            "one class",
        ),
        ({"something": np.zeros(3)}, "not a MedMNIST"),
    ],
)
def test_other_arrays_are_refused(workspace, tmp_path, arrays, why):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=why):
        run(workspace, tmp_path / "bad.npz")


def test_one_folder_per_class(workspace, tmp_path):
    root = tmp_path / "folders"
    for i, name in enumerate(["benign/a.png", "benign/b.png", "malignant/deep/c.png", "stray.png"]):
        picture(root / name, i)
    (root / "benign" / "notes.txt").write_text("not an image")
    assert find_layout(root).name == "folders"
    result, dataset = run(workspace, root)
    assert dict(zip(dataset.frame["image_id"], dataset.frame["label"], strict=True)) == {
        "a": "benign",
        "b": "benign",
        "c": "malignant",
    }
    assert sorted(Path(item.path).name for item in result.skipped) == ["notes.txt", "stray.png"]


def test_class_folders_below_official_splits(workspace, tmp_path):
    for i, name in enumerate(["train/x/1.png", "train/y/1.png", "test/x/1.png"]):
        picture(tmp_path / "set" / name, i)
    _, dataset = run(workspace, tmp_path / "set")
    assert dataset.frame[["image_id", "label", "official_split"]].values.tolist() == [
        ["test/x/1", "x", "test"],
        ["train/x/1", "x", "train"],
        ["train/y/1", "y", "train"],
    ]


def test_several_folders_of_one_set_are_not_classes(workspace, tmp_path):
    for part in (1, 2):
        picture(tmp_path / "set" / f"HAM10000_images_part_{part}" / f"{part}.png", part)
    result, _ = run(workspace, tmp_path / "set")
    assert (result.images, result.class_counts, result.unlabelled) == (2, {}, 2)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_path_and_label(workspace, tmp_path, separator):
    root = tmp_path / "any"
    for i, name in enumerate(["one/1.png", "two/1.png", "3.png"]):
        picture(root / name, i)
    file = table(
        root / "list.csv",
        separator.join(["Path", "Label", "patient_id"]),
        separator.join(["one/1.png", "spot", "p"]),
        separator.join([r"two\1.png", "spot", "p"]),
        separator.join([str(root / "3.png"), "mole", "q"]),
    )
    assert find_layout(root).name == "csv"
    result, dataset = run(workspace, file)
    assert result.skipped == () and dataset.classes == ("mole", "spot") and result.groups == 2
    paths = [Path(path).relative_to(root).as_posix() for path in dataset.frame["path"]]
    assert paths == ["one/1.png", "two/1.png", "3.png"]


def test_no_path_leads_outside_the_imported_folder(workspace, tmp_path):
    secret = picture(tmp_path / "outside" / "secret.png", 9)
    root = tmp_path / "inside"
    for i in (1, 2):
        picture(root / f"{i}.png", i)
    (root / "link.png").symlink_to(secret)
    (root / "linked").symlink_to(secret.parent)
    (root / "own.png").symlink_to(root / "2.png")
    table(
        root / "list.csv",
        "path,label",
        "1.png,a",
        "../outside/secret.png,a",
        f"{secret},b",
        "link.png,b",
        "linked/secret.png,b",
        "sub/../../outside/secret.png,b",
        "own.png,b",
    )
    result, dataset = run(workspace, root)
    assert sorted(dataset.frame["image_id"]) == ["1", "own"]
    assert len(result.skipped) == 5
    assert sum("outside" in item.reason for item in result.skipped) == 4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("path,label\n1.png\n", "record 2: 1 values for 2 columns"),
        ("path,label,path\n1.png,a,b\n", "same name"),
        ("name of it,thing\n1.png,a\n", "no column that names classes .*--label-column"),
        ("dx,thing\nnv,a\n", "no column that names images .*--image-column"),
        ('path,label\n"1.png,a\n', "not a valid CSV"),
        ("", "empty"),
        ("path,label\n1.png,\0\n", "not text"),
        ("path,label\nnone.png,a\n", "No image of .* was found"),
    ],
)
def test_tables_that_cannot_be_used_say_why(workspace, tmp_path, text, why):
    picture(tmp_path / "1.png", 1)
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=why):
        run(workspace, tmp_path / "list.csv")


def test_a_table_in_windows_encoding_is_read_and_said(workspace, tmp_path):
    picture(tmp_path / "ä.png", 1)
    (tmp_path / "list.csv").write_bytes("path,label\nä.png,Nävus\n".encode("cp1252"))
    result, _ = run(workspace, tmp_path)
    assert result.class_counts == {"Nävus": 1} and any("1252" in note for note in result.notes)


def test_a_label_column_of_free_text_is_refused(workspace, tmp_path):
    lines = [f"{picture(tmp_path / f'{i}.png', i, side=2).name},words {i}" for i in range(1001)]
    table(tmp_path / "list.csv", "path,label", *lines)
    with pytest.raises(DataError, match="1001 different labels"):
        run(workspace, tmp_path)


def test_pixels_as_a_table_beside_the_metadata_do_no_harm(ham):
    header = ",".join([*(f"pixel{i}" for i in range(2352)), "label"])
    table(ham / "hmnist_28_28_RGB.csv", header, ",".join(["0"] * 2353))
    assert find_layout(ham).name == "isic"


@pytest.mark.parametrize("name", ["nowhere", "archive.zip", "empty"])
def test_what_is_no_data_set_says_what_is_expected(tmp_path, name):
    (tmp_path / "archive.zip").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"give the folder|Expected is"):
        find_layout(tmp_path / name)


def test_a_repeated_import_only_reports(workspace, ham):
    first, before = run(workspace, ham)
    stamp = before.paths.manifest.stat().st_mtime_ns
    again, after = run(workspace, ham)
    assert (again.images, again.groups, after.fingerprint) == (
        first.images,
        first.groups,
        before.fingerprint,
    )
    assert after.paths.manifest.stat().st_mtime_ns == stamp


def test_a_repeated_import_sees_what_changed(workspace, ham):
    run(workspace, ham)
    picture(ham / "HAM10000_images_part_1" / "ISIC_9.jpg", 9)
    with open(ham / "HAM10000_metadata.csv", "a", newline="") as handle:
        csv.writer(handle).writerow(
            ["HAM_9", "ISIC_9", "df", "histo", "30.0", "male", "foot", "rosendahl"]
        )
    result, dataset = run(workspace, ham)
    assert (
        result.images == 7
        and "df" in dataset.classes
        and len(open_store(workspace, dataset, 8)) == 7
    )


def test_a_name_stands_for_one_source(workspace, ham, tmp_path):
    run(workspace, ham)
    picture(tmp_path / "other" / "a" / "1.png", 1)
    picture(tmp_path / "other" / "b" / "2.png", 2)
    with pytest.raises(DataError, match="choose another name"):
        run(workspace, tmp_path / "other")
    assert len(load_dataset(workspace, "set")) == 6


def test_an_interrupted_import_is_no_dataset_and_can_be_repeated(workspace, ham):
    def stop(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(workspace, ham, progress=stop)
    assert workspace.dataset_names() == []
    result, dataset = run(workspace, ham)
    assert result.images == 6 and not (dataset.paths.root / "import-staging").exists()


def test_names_that_are_no_text_are_listed_not_fatal(workspace, tmp_path):
    for i, name in enumerate(["a/1.png", "b/2.png"]):
        picture(tmp_path / "set" / name, i)
    with open(os.fsencode(tmp_path / "set" / "a") + b"/\xff.png", "wb") as handle:
        handle.write((tmp_path / "set" / "a" / "1.png").read_bytes())
    result, _ = run(workspace, tmp_path / "set")
    assert result.images == 2 and "rename it" in result.skipped[0].reason


def test_a_set_without_any_readable_image_leaves_nothing_behind(workspace, tmp_path):
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).write_text("no image")
    with pytest.raises(DataError, match="None of the 2 images"):
        run(workspace, tmp_path / "set")
    assert not workspace.dataset("set").root.exists()


@pytest.mark.slow
@pytest.mark.shared
def test_ham10000_itself(workspace, shared):
    result = import_dataset(workspace, shared / "data" / "ham10000", "ham", sizes=(16,))
    dataset = load_dataset(workspace, "ham")
    assert (result.images, result.classes, result.skipped) == (10015, 7, ())
    assert dataset.info.lesions == 7470 and result.groups == 7470 - 18
    assert np.bincount(dataset.labels).tolist() == [327, 514, 1099, 115, 1113, 6705, 142]


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "images", "classes", "groups"),
    [("isic2018_test", 755, 7, 755), ("pad_ufes_20", 458, 6, 363)],
)
def test_the_other_shared_sets(workspace, shared, name, images, classes, groups):
    result = import_dataset(workspace, shared / "data" / name, "other", sizes=(16,))
    assert (result.images, result.classes, result.groups, result.skipped) == (
        images,
        classes,
        groups,
        (),
    )
