"""Data as users have it: each kind of table and folder is read right, or refused with what to do."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from derm_core.data.import_options import ImportOptions
from derm_core.data.import_preview import preview_import
from derm_core.data.importers import import_dataset
from derm_core.errors import ConfigError, DataError
from tests.builders import noise, write_image


def photos(root: Path, *names: str) -> Path:
    """Different small images under relative names."""
    for i, name in enumerate(names):
        write_image(root / name, noise(4, 4, i))
    return root


def numbered(root: Path, pattern: str, count: int) -> Path:
    return photos(root, *(pattern.format(i) for i in range(count)))


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def preview(path: Path, **options):
    return preview_import(path, ImportOptions(**options))


def says(result, *words: str) -> bool:
    text = " ".join([*result.notes, *(one.reason for one in result.skipped)]).lower()
    return all(word.lower() in text for word in words)


# Groups


@pytest.mark.parametrize(
    "column",
    ["PatientID", "Patient ID", "id_patient", "subject", "PARTICIPANT_NO", "person-id", "case id"],
)
def test_patients_are_known_by_the_names_that_people_use(tmp_path, column):
    numbered(tmp_path, "{}.png", 12)
    rows = [f"{i}.png,{'ab'[i % 2]},p{i // 3}" for i in range(12)]
    write(tmp_path / "t.csv", f"file,label,{column}", *rows)
    result = preview(tmp_path)
    assert result.groups == 4 and result.source.group_column == column


@pytest.mark.parametrize("key", ["{:03d}", "img_{:03d}", "img_{:03d}.png", "photos/img_{:03d}.png"])
def test_patients_in_a_table_beside_join_by_id_name_stem_or_path(tmp_path, key):
    numbered(tmp_path, "photos/img_{:03d}.png", 12)
    write(tmp_path / "labels.csv", "path,dx", *(f"photos/img_{i:03d}.png,nv" for i in range(12)))
    ids = [key.format(i) for i in range(12)]
    write(tmp_path / "people.csv", "image,patient", *(f"{a},p{i // 4}" for i, a in enumerate(ids)))
    result = preview(tmp_path)
    expected = 12 if key == "{:03d}" else 3  # a bare number is no name of these files
    assert result.groups == expected


def test_lesions_lead_to_patients_in_a_table_beside(tmp_path):
    numbered(tmp_path, "{}.png", 12)
    write(tmp_path / "labels.csv", "image,dx,lesion_id", *(f"{i},nv,l{i // 2}" for i in range(12)))
    write(tmp_path / "lesions.csv", "lesion_id,patient_id", *(f"l{i},p{i // 3}" for i in range(6)))
    result = preview(tmp_path)
    assert result.groups == 2 and result.group_kinds == {"patient": 12}


@pytest.mark.parametrize("unknown", ["unknown", "", "N/A", "-1", "0", "999", "anonymous"])
def test_a_word_for_unknown_is_no_patient(tmp_path, unknown):
    numbered(tmp_path, "{}.png", 16)
    patients = [unknown] * 8 + [f"{100 + i // 2}" for i in range(8)]
    write(
        tmp_path / "t.csv", "image,dx,patient_id", *(f"{i},nv,{p}" for i, p in enumerate(patients))
    )
    assert preview(tmp_path).groups == 8 + 4


@pytest.mark.parametrize("first", ["P0", "P000", "0", "000", "IP_0000000"])
def test_a_first_patient_with_many_images_stays_a_group(tmp_path, first):
    numbered(tmp_path, "{}.png", 20)
    width, prefix = len(first.lstrip("PI_")), first.rstrip("0")
    patients = [first] * 10 + [f"{prefix}{i:0{width}d}" for i in range(1, 6) for _ in range(2)]
    write(
        tmp_path / "t.csv", "image,dx,patient_id", *(f"{i},nv,{p}" for i, p in enumerate(patients))
    )
    result = preview(tmp_path)
    assert result.groups == 6 and says(result, f"the patient {first}")


def test_pairs_of_a_table_of_duplicates_join_groups(tmp_path):
    numbered(tmp_path, "ISIC_{}.png", 6)
    write(
        tmp_path / "truth.csv",
        "image_name,target,patient_id",
        *(f"ISIC_{i},0,p{i}" for i in range(6)),
    )
    write(
        tmp_path / "Train_Duplicates.csv", "a,b", "ISIC_0,ISIC_1", "ISIC_4,ISIC_5", "ISIC_8,ISIC_9"
    )
    assert preview(tmp_path).groups == 4


def test_folders_of_patients_are_groups_and_other_ids_are_offered(tmp_path):
    numbered(tmp_path / "a", "subject-{0}/1.png", 6)
    numbered(tmp_path / "a", "subject-{0}/2.png", 6)
    write(
        tmp_path / "a" / "t.csv",
        "path,dx",
        *(f"subject-{i}/{k}.png,nv" for i in range(6) for k in (1, 2)),
    )
    result = preview(tmp_path / "a")
    assert result.groups == 6 and result.source.group_column == "folder"
    numbered(tmp_path / "b", "QX{0}7/1.png", 6)
    numbered(tmp_path / "b", "QX{0}7/2.png", 6)
    result = preview(tmp_path / "b")
    assert (
        result.class_counts == {} and result.groups == 12 and says(result, "--group-column folder")
    )
    assert preview(tmp_path / "b", group_columns=("folder",)).groups == 6


def test_columns_can_be_given(tmp_path):
    numbered(tmp_path, "{}.png", 12)
    rows = [
        f"{i}.png,nv,{i % 3},h{i // 6},v{i // 2},{'train' if i < 9 else 'test'}" for i in range(12)
    ]
    write(tmp_path / "t.csv", "file,dx,grade,household,visit,cohort", *rows)
    result = preview(
        tmp_path,
        label_columns=("Grade",),
        group_columns=("Household", "visit"),
        split_column="cohort",
    )
    assert result.class_counts == {"0": 4, "1": 4, "2": 4} and result.groups == 2
    assert result.splits == {"train": 9, "test": 3}
    with pytest.raises(DataError, match="nowhere"):
        preview(tmp_path, group_columns=("nowhere",))
    with pytest.raises(DataError, match="--label-column"):
        preview(tmp_path, label_columns=("nowhere",))
    with pytest.raises(DataError, match="--image-column"):
        preview(tmp_path, image_column="nowhere")


# Folders


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("train/a/{}", "train/b/{}", "test/a/x{}", "test/b/x{}"), {"a": 6, "b": 6}),
        (("set/Train_Set/a/{}", "set/Train_Set/b/{}", "set/Val_Set/a/x{}"), {"a": 6, "b": 3}),
        (("dataset/images/a/{}", "dataset/images/b/{}"), {"a": 3, "b": 3}),
        (
            ("hospital1/a/{}", "hospital1/b/{}", "hospital2/a/x{}", "hospital2/b/x{}"),
            {"a": 6, "b": 6},
        ),
        (("mel/patient_1/{}", "mel/patient_2/{}", "nv/patient_3/{}"), {"mel": 6, "nv": 3}),
        (("0/{}", "1/{}", "2/{}"), {"0": 3, "1": 3, "2": 3}),
        (("class_1/{}", "class_2/{}"), {"class_1": 3, "class_2": 3}),
        (("Melanoma/{}", "melanoma /x{}", "nevus/{}"), {"Melanoma": 6, "nevus": 3}),
        (
            ("segmental vitiligo/{}", "thumb eczema/{}"),
            {"segmental vitiligo": 3, "thumb eczema": 3},
        ),
    ],
)
def test_the_level_of_folders_that_names_classes(tmp_path, names, counts):
    photos(tmp_path, *(f"{name.format(i)}.png" for name in names for i in range(3)))
    assert preview(tmp_path).class_counts == counts


@pytest.mark.parametrize(
    "names",
    [
        ("train/{}", "test/x{}"),
        ("images_part_1/{}", "images_part_2/x{}"),
        ("data/raw/{}", "data/original/x{}"),
        ("fold_1/{}", "fold_2/x{}", "fold_3/y{}"),
        ("IL_0000{0}/0", "IL_0000{0}/1"),
    ],
)
def test_folders_that_are_no_classes_make_an_unlabelled_set(tmp_path, names):
    photos(tmp_path, *(f"{name.format(i)}.png" for name in names for i in range(6)))
    result = preview(tmp_path)
    assert result.class_counts == {} and result.unlabelled == result.images == 6 * len(names)


def test_folders_that_may_be_ids_are_asked_about(tmp_path):
    photos(tmp_path, *(f"A{k}l/{k}-{i}.png" for k in range(4) for i in range(6)))
    with pytest.raises(DataError, match="--classes folder"):
        preview(tmp_path)
    assert len(preview(tmp_path, classes="folder").class_counts) == 4
    assert preview(tmp_path, classes="none").unlabelled == 24


def test_of_two_levels_the_one_taken_is_said(tmp_path):
    names = ("Benign/nevus/{}", "Benign/wart/{}", "Malignant/melanoma/{}")
    photos(tmp_path, *(f"{name.format(i)}.png" for name in names for i in range(3)))
    result = preview(tmp_path)
    assert result.class_counts == {"melanoma": 3, "nevus": 3, "wart": 3} and says(
        result, "Malignant"
    )
    outer = preview(tmp_path, classes="{class}/*/*")
    assert outer.class_counts == {"Benign": 6, "Malignant": 3}


def test_a_pattern_reads_classes_patients_and_splits_from_paths(tmp_path):
    photos(
        tmp_path,
        *(f"{s}/p{i}_{'mel' if i % 2 else 'nv'}_{s}.png" for s in ("tr", "te") for i in range(4)),
    )
    result = preview(tmp_path, classes="{split}/{patient}_{class}_*")
    assert result.class_counts == {"mel": 4, "nv": 4} and result.groups == 4
    assert result.splits == {"train": 4, "test": 4}
    with pytest.raises(ConfigError):
        ImportOptions(classes="folders")
    with pytest.raises(DataError):
        preview(tmp_path, classes="{class}/nothing/*")


# No photos


def test_masks_and_thumbnails_are_left_out_and_counted(tmp_path):
    for name in ("mel", "nv"):
        photos(tmp_path / name, *(f"{name}{i}.jpg" for i in range(4)))
        photos(tmp_path / name, *(f"{name}{i}_Segmentation.png" for i in range(4)))
        photos(tmp_path / name, *(f"thumb_{name}{i}.jpg" for i in range(4)))
        photos(tmp_path / name, *(f"{name}{i}-150x150.jpg" for i in range(4)))
    photos(
        tmp_path / "Lesion Masks", *(f"{name}{i}.png" for name in ("mel", "nv") for i in range(4))
    )
    photos(tmp_path / "mel" / "@eaDir" / "mel0.jpg", "SYNOPHOTO_THUMB_XL.jpg")
    result = preview(tmp_path)
    assert result.class_counts == {"mel": 4, "nv": 4}
    assert says(result, "16 masks", "16 thumbnails")


def test_excluded_files_are_counted_and_a_pattern_without_file_is_refused(tmp_path):
    photos(tmp_path, *(f"{name}/{i}.png" for name in ("a", "b", "c") for i in range(3)))
    result = preview(tmp_path, exclude=("c/*",))
    assert result.class_counts == {"a": 3, "b": 3} and says(result, "3 images that fit c/*")
    with pytest.raises(DataError, match="fits no file"):
        preview(tmp_path, exclude=("d/*",))


# One-hot tables


@pytest.mark.parametrize(
    ("header", "line", "classes"),
    [
        ("image,MEL,NV,score_weight,validation_weight", "{0},{a},{b},{c},{d}", {"mel": 6, "nv": 6}),
        ("image,MEL,NV,is_train,is_test", "{0},{a},{b},{c},{d}", {"mel": 6, "nv": 6}),
        ("image,age,MEL,NV,sex", "{0},40,{a},{b},male", {"mel": 6, "nv": 6}),
        ("image,MEL,NV,BKL,ulcerated", "{0},{a},{b},0,{c}", {"mel": 6, "nv": 6}),
        ("file, acne, eczema", "{0}.png, {a}, {b}", {"acne": 6, "eczema": 6}),
        ("image,MEL,NV,lesion_id", "{0},{a}.00,{b}.00,l{0}", {"mel": 6, "nv": 6}),
    ],
)
def test_classes_are_the_columns_that_together_are_one_hot(tmp_path, header, line, classes):
    numbered(tmp_path, "{}.png", 12)
    rows = [line.format(i, a=i % 2, b=1 - i % 2, c=int(i < 6), d=int(i >= 6)) for i in range(12)]
    write(tmp_path / "truth.csv", header, *rows)
    assert preview(tmp_path).class_counts == classes


@pytest.mark.parametrize(
    ("one", "zero"), [("TRUE", "FALSE"), ("yes", "no"), ("1,0", "0,0"), ("x", "")]
)
def test_ones_and_zeros_in_other_words(tmp_path, one, zero):
    numbered(tmp_path, "{}.png", 8)
    rows = [f"{i};{one if i % 2 else zero};{zero if i % 2 else one}" for i in range(8)]
    write(tmp_path / "truth.csv", "image;MEL;NV", *rows)
    assert preview(tmp_path).class_counts == {"mel": 4, "nv": 4}


def test_rows_of_zeros_contradictions_and_shares_are_said(tmp_path):
    numbered(tmp_path, "{}.png", 20)
    rows = ["0,0,0", "1,1,1", "2,0.7,0.3", *(f"{i},{i % 2},{1 - i % 2}" for i in range(3, 20))]
    write(tmp_path / "truth.csv", "image,MEL,NV", *rows)
    result = preview(tmp_path)
    assert result.unlabelled == 2 and result.class_counts["mel"] == 10
    assert says(result, "1 row of", "contradict", "share")


def test_a_cell_of_a_given_class_column_that_is_no_share_is_named(tmp_path):
    numbered(tmp_path, "{}.png", 3)
    write(tmp_path / "t.csv", "image,a,b", "0,1,0", "1,0,1", "2,maybe,1")
    with pytest.raises(DataError, match="'maybe'"):
        preview(tmp_path, label_columns=("a", "b"))


# The wrong file


@pytest.mark.parametrize(
    "stray",
    [
        ("results.csv", "image,label", "m0.png,nv", "m1.png,nv"),
        ("log.csv", "epoch,loss", "1,0.5", "2,0.4"),
        ("notes.csv", "a,b", "1,2,3,4", "x"),
        ("classes.csv", "id,name", "0,melanoma", "1,nevus"),
        ("old.csv", "image,label", "other1.png,a", "other2.png,b"),
    ],
)
def test_class_folders_with_a_stray_table(tmp_path, stray):
    photos(tmp_path, *(f"mel/m{i}.png" for i in range(4)), *(f"nv/n{i}.png" for i in range(4)))
    write(tmp_path / stray[0], *stray[1:])
    assert preview(tmp_path).class_counts == {"mel": 4, "nv": 4}


def test_folders_and_a_table_that_disagree_are_asked_about(tmp_path):
    photos(tmp_path, *(f"{site}/{site}{i}.png" for site in ("Wien", "Bern") for i in range(4)))
    rows = [
        f"{site}{i}.png,{'mel' if i % 2 else 'nv'}" for site in ("Wien", "Bern") for i in range(4)
    ]
    write(tmp_path / "labels.csv", "file,dx", *rows)
    with pytest.raises(DataError, match=r"--table labels\.csv or --classes folder"):
        preview(tmp_path)
    assert preview(tmp_path, tables=("labels.csv",)).class_counts == {"mel": 4, "nv": 4}
    assert preview(tmp_path, classes="folder").class_counts == {"Bern": 4, "Wien": 4}


@pytest.mark.parametrize(
    "tables",
    [("train.csv", "test.csv"), ("train/labels.csv", "valid/labels.csv"), ("a.csv", "b.csv")],
)
def test_one_table_a_split_is_one_set(tmp_path, tables):
    numbered(tmp_path, "img/{}.png", 8)
    for k, name in enumerate(tables):
        write(
            tmp_path / name, "image,label", *(f"{i},{'uv'[i % 2]}" for i in range(4 * k, 4 * k + 4))
        )
    result = preview(tmp_path)
    assert result.class_counts == {"u": 4, "v": 4}
    if tables[0] != "a.csv":
        assert sum(result.splits.values()) == 8 and result.splits["train"] == 4


def test_one_table_in_each_folder_of_a_split_whose_images_have_equal_names(workspace, tmp_path):
    root = tmp_path / "set"
    for k, split in enumerate(("train", "test")):
        for i in range(4):
            write_image(root / split / f"{i:04d}.png", noise(4, 4, 10 * k + i))
        rows = (f"{i:04d}.png,{'uv'[(i + k) % 2]}" for i in range(4))
        write(root / split / "metadata.csv", "file_name,label", *rows)
    result = import_dataset(workspace, root, "set", sizes=(8,), processes=1)
    assert (result.images, result.class_counts) == (8, {"u": 4, "v": 4}) and not result.skipped


def test_tables_that_label_alike_count_once_and_others_are_asked_about(tmp_path):
    numbered(tmp_path, "{}.png", 8)
    write(tmp_path / "v1.csv", "image,dx", *(f"{i},{'uv'[i % 2]}" for i in range(8)))
    write(tmp_path / "v2.csv", "image,dx", *(f"{i},{'uv'[i % 2]}" for i in range(6)))
    assert preview(tmp_path).images == 8
    write(tmp_path / "v2.csv", "image,dx", *(f"{i},{'uv'[i // 4]}" for i in range(8)))
    with pytest.raises(DataError, match="--table"):
        preview(tmp_path)
    assert preview(tmp_path, tables=("v2.csv",)).class_counts == {"u": 4, "v": 4}


def test_equal_names_in_two_folders_are_asked_about_unless_content_is_equal(tmp_path):
    write(tmp_path / "t.csv", "image,dx", *(f"{i},nv" for i in range(4)))
    numbered(tmp_path, "original/{}.png", 4)
    numbered(tmp_path, "copy/{}.png", 4)
    assert preview(tmp_path).images == 4
    for i in range(4):
        write_image(tmp_path / "copy" / f"{i}.png", noise(4, 4, 99 + i))
    with pytest.raises(DataError, match="original"):
        preview(tmp_path)
    assert preview(tmp_path, exclude=("copy/*",)).images == 4


# Values


def test_spellings_of_one_class_are_joined_and_words_for_none_are_unlabelled(tmp_path):
    labels = [
        "Nævus",
        "nævus ",
        "NÆVUS",
        unicodedata.normalize("NFD", "Épi"),
        "épi",
        "n/a",
        "",
        "TBD",
    ]
    numbered(tmp_path, "{}.png", len(labels))
    write(tmp_path / "t.csv", "image,label", *(f"{i},{label}" for i, label in enumerate(labels)))
    result = preview(tmp_path)
    assert sorted(result.class_counts.values()) == [2, 3] and result.unlabelled == 3
    assert says(result, "joined", "no label")


def test_numbers_are_whole_classes_in_numeric_order(tmp_path):
    numbered(tmp_path, "{}.png", 12)
    write(tmp_path / "t.csv", "image,label", *(f"{i},{i}.0" for i in range(12)))
    assert list(preview(tmp_path).class_counts) == [str(i) for i in range(12)]
    write(tmp_path / "t.csv", "image,label", *(f"{i},{i / 8}" for i in range(12)))
    with pytest.raises(DataError, match="--label-column"):
        preview(tmp_path)


def test_names_beside_numbers_are_taken(tmp_path):
    numbered(tmp_path, "{}.png", 6)
    rows = [f"{i},{i % 3},{('nevus', 'wart', 'acne')[i % 3]},x{i}" for i in range(6)]
    write(tmp_path / "t.csv", "image,label,disease,note", *rows)
    assert preview(tmp_path).class_counts == {"acne": 2, "nevus": 2, "wart": 2}


def test_an_image_with_two_labels_is_named(tmp_path):
    numbered(tmp_path, "{}.png", 6)
    write(tmp_path / "t.csv", "image,dx", *(f"{i},nv" for i in range(6)), "0,mel")
    result = preview(tmp_path)
    assert result.unlabelled == 1 and says(result, "contradict")


# Names on disk


@pytest.mark.parametrize(
    ("disk", "cell"),
    [
        ("Läsion_{}.png", unicodedata.normalize("NFD", "Läsion_{}.png")),
        ("IMG_{}.PNG", "img_{}.jpg"),
        ("{:05d}.png", "{}"),
        ("ISIC_{:07d}.png", "ISIC_{}"),
        ("{:03d}.png", "{}.0"),
        ("a/{}.png", r"D:\data\derm\a\{}.png"),
        ("a/{}.png", "/mnt/other/a/{}.png"),
        ("deep/down/a/{}.png", "a/{}.png"),
        ("{}.jfif", "{}.jpg"),
    ],
)
def test_names_that_differ_are_matched_one_to_one(tmp_path, disk, cell):
    for i in range(6):
        target = write_image(tmp_path / "x" / "image.png", noise(4, 4, i))
        (tmp_path / "set" / disk.format(i)).parent.mkdir(parents=True, exist_ok=True)
        target.rename(tmp_path / "set" / disk.format(i))
    write(tmp_path / "set" / "t.csv", "image,dx", *(f"{cell.format(i)},nv" for i in range(6)))
    result = preview(tmp_path / "set")
    assert result.images == 6 and not result.skipped


def test_a_name_that_fits_two_files_is_not_guessed(tmp_path):
    photos(tmp_path, "01.png", "001.png", "2.png")
    write(tmp_path / "t.csv", "image,dx", "1,nv", "2,mel")
    result = preview(tmp_path)
    assert result.images == 1 and result.skipped[0].path == "1"


def test_two_rows_never_share_one_file_of_another_folder(tmp_path):
    photos(tmp_path, "site_a/1.png", "site_a/2.png")
    rows = ("site_a/1.png,nv", "site_b/1.png,mel", "site_a/2.png,nv")
    write(tmp_path / "t.csv", "path,dx", *rows)
    result = preview(tmp_path)
    assert result.class_counts == {"nv": 2} and len(result.skipped) == 1


def test_the_nearest_file_is_named(tmp_path):
    numbered(tmp_path, "ISIC_000{}.png", 3)
    write(tmp_path / "t.csv", "image,dx", "ISIC_0000,nv", "ISIC_0001,nv", "ISIK_0O02,mel")
    assert says(preview(tmp_path), "ISIC_0002.png")


# Formats


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("sep=;\nimage;dx\n0;nv\n1;mel\n", "utf-8"),
        ('"sep=|"\r\nimage|dx\r\n0|nv\r\n1|mel\r\n', "utf-8-sig"),
        ("image|dx\n0|nv\n1|mel\n", "utf-8"),
        ("image\tdx\n0\tnv\n1\tmel\n", "utf-16"),
        ("\n\nimage,dx,,\n0,nv,,\n1,mel,,\n,,,\n", "utf-8"),
        (",image,dx\n0,0,nv\n1,1,mel\n", "utf-8"),
        ("0.png,nv\n1.png,mel\n", "utf-8"),
        ("image,dx\n0,nv,,\n1,mel\n", "utf-8"),
    ],
)
def test_what_spreadsheets_and_scripts_write(tmp_path, text, encoding):
    numbered(tmp_path, "{}.png", 2)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert preview(tmp_path).class_counts == {"mel": 1, "nv": 1}


def test_json_lines_beside_the_images(tmp_path):
    numbered(tmp_path, "train/{}.png", 2)
    lines = ('{"file_name": "0.png", "label": 0, "box": [1]}', '{"file_name": "1.png", "label": 1}')
    write(tmp_path / "train" / "metadata.jsonl", *lines)
    assert preview(tmp_path).class_counts == {"0": 1, "1": 1}


@pytest.mark.parametrize("name", ["labels.xlsx", "images.zip", "images.hdf5", "train.parquet"])
def test_files_that_are_not_read_are_named_with_a_remedy(tmp_path, name):
    write(tmp_path / "t.csv", "image,dx", "0,nv", "1,mel")
    (tmp_path / name).write_bytes(b"x")
    if name == "labels.xlsx":
        (tmp_path / "t.csv").unlink()
        numbered(tmp_path, "{}.png", 2)
    with pytest.raises(DataError, match=name):
        preview(tmp_path)


def test_ids_that_a_spreadsheet_made_numbers_still_join(tmp_path):
    numbered(tmp_path, "{}.png", 6)
    write(tmp_path / "labels.csv", "image,dx,lesion_id", *(f"{i},nv,{i // 2}.0" for i in range(6)))
    write(tmp_path / "lesions.csv", "lesion_id,patient_id", "0,1.0", "1,1.0", "2,2.0")
    assert preview(tmp_path).groups == 2


def test_a_given_split_column_without_splits_is_refused(tmp_path):
    numbered(tmp_path, "{}.png", 6)
    write(tmp_path / "t.csv", "image,dx,cohort", *(f"{i},nv,site {i}" for i in range(6)))
    with pytest.raises(DataError, match="cohort holds site 0"):
        preview(tmp_path, split_column="cohort")


# More of the same kinds


@pytest.mark.parametrize(
    ("header", "row", "classes"),
    [
        ("image,melanoma,bcc,nevus", "{i},{a},0,{b}", {"melanoma": 6, "nevus": 6}),
        ("image,normal,disease,other", "{i},{a},{b},0", {"normal": 6, "disease": 6}),
        ("image,MEL,NV,patient_id,BCC", "{i},{a},0,p{i},{b}", {"mel": 6, "bcc": 6}),
        ("image,arm,leg,mel,nv", "{i},{c},{d},{a},{b}", {"mel": 6, "nv": 6}),
        ("image,predicted_label,true_label", "{i},x,{a}", {"0": 6, "1": 6}),
        ("image,image_label", "{i},labels/{i}.png", {}),
    ],
)
def test_the_right_columns_of_several(tmp_path, header, row, classes):
    numbered(tmp_path, "{}.png", 12)
    rows = [row.format(i=i, a=i % 2, b=1 - i % 2, c=int(i < 6), d=int(i >= 6)) for i in range(12)]
    write(tmp_path / "t.csv", header, *rows)
    if classes:
        assert preview(tmp_path).class_counts == classes
    else:
        with pytest.raises(DataError, match="--label-column"):
            preview(tmp_path)


def test_one_hot_columns_that_nothing_tells_apart_are_asked_about(tmp_path):
    numbered(tmp_path, "{}.png", 12)
    rows = [f"{i},{i % 2},{1 - i % 2},x,{int(i < 6)},{int(i >= 6)}" for i in range(12)]
    write(tmp_path / "t.csv", "image,aa,bb,note,cc,dd", *rows)
    with pytest.raises(DataError, match="--label-column"):
        preview(tmp_path)
    assert preview(tmp_path, label_columns=("cc", "dd")).class_counts == {"cc": 6, "dd": 6}


def test_parts_whose_tables_differ_in_form_are_one_set(tmp_path):
    numbered(tmp_path, "img/{}.png", 12)
    write(
        tmp_path / "train.csv",
        "image,label,patient_id",
        *(f"{i},{'mn'[i % 2]},p{i // 2}" for i in range(6)),
    )
    write(
        tmp_path / "test.csv",
        "image,m,n,PatientID",
        *(f"{i},{1 - i % 2},{i % 2},p{i // 2}" for i in range(6, 12)),
    )
    result = preview(tmp_path)
    assert result.class_counts == {"m": 6, "n": 6} and result.splits == {"train": 6, "test": 6}
    assert result.groups == 6
    assert preview(tmp_path, tables=("train.csv", "test.csv")).images == 12


def test_predictions_alone_are_not_taken_for_labels(tmp_path):
    numbered(tmp_path, "{}.png", 6)
    write(tmp_path / "predictions.csv", "image,label,score", *(f"{i},nv,0.9" for i in range(6)))
    with pytest.raises(DataError, match=r"--table predictions\.csv"):
        preview(tmp_path)
    assert preview(tmp_path, tables=("predictions.csv",)).class_counts == {"nv": 6}
    (tmp_path / "predictions.csv").rename(tmp_path / "biopsy_results.csv")
    write(tmp_path / "biopsy_results.csv", "image,label", *(f"{i},{'mn'[i % 2]}" for i in range(6)))
    assert preview(tmp_path).class_counts == {"m": 3, "n": 3}


def test_an_image_listed_again_without_a_label_keeps_its_own(tmp_path):
    numbered(tmp_path, "{}.png", 4)
    write(tmp_path / "t.csv", "image,dx", "0,", *(f"{i},nv" for i in range(4)), "1,")
    assert preview(tmp_path).class_counts == {"nv": 4}


def test_companions_join_by_folder_and_name_and_what_joins_nothing_is_said(tmp_path):
    photos(tmp_path, *(f"{name}/{i}.png" for name in ("mel", "nv") for i in range(4)))
    rows = (f"{name}/{i}.png,{name}{i // 2}" for name in ("mel", "nv") for i in range(4))
    write(tmp_path / "people.csv", "path,patient_id", *rows)
    write(tmp_path / "visits.csv", "visit,kunde_x", "v1,a", "v2,b")
    result = preview(tmp_path)
    assert result.groups == 4 and says(result, "visits.csv was not used")
    with pytest.raises(DataError, match="kunde_x"):
        preview(tmp_path, group_columns=("kunde_x",))


def test_a_patient_is_known_through_the_lesion_unless_lesions_are_numbered_within_patients(
    tmp_path,
):
    numbered(tmp_path, "{}.png", 8)
    rows = [f"{i},nv,{'' if i % 2 else f'p{i // 4}'},l{i // 2}" for i in range(8)]
    write(tmp_path / "t.csv", "image,dx,patient_id,lesion_id", *rows)
    assert preview(tmp_path).groups == 2
    rows = [f"{i},nv,{f'p{i // 2}' if i < 6 else ''},{i % 2}" for i in range(8)]
    write(tmp_path / "t.csv", "image,dx,patient_id,lesion_no", *rows)
    assert preview(tmp_path).groups == 3 + 2


@pytest.mark.parametrize(
    ("column", "values", "groups"),
    [
        ("patient", "a a a b b b", 2),
        ("lesion", "nevus wart nevus wart nevus wart", 6),
        ("patient_id", "7 7 7 7 7 7", 6),
        ("Patientennummer", "1 1 2 2 3 3", 3),
        ("MRN", "1 1 2 2 3 3", 3),
        ("patient_id", "unbekannt anon P1 P1 k.A. P2", 5),
    ],
)
def test_which_values_are_groups(tmp_path, column, values, groups):
    numbered(tmp_path, "{}.png", 6)
    rows = [f"{i},{'mn'[i % 2]},{value}" for i, value in enumerate(values.split())]
    write(tmp_path / "t.csv", f"image,dx,{column}", *rows)
    assert preview(tmp_path).groups == groups


def test_ids_that_differ_by_case_are_one_and_that_is_said(tmp_path):
    numbered(tmp_path, "{}.png", 6)
    rows = (f"{i},nv,{'Pp'[i % 2]}0{i // 2 + 1}" for i in range(6))
    write(tmp_path / "t.csv", "image,dx,patient_id", *rows)
    result = preview(tmp_path)
    assert result.groups == 3 and says(result, "differ by case")


def test_patients_above_their_classes_are_groups(tmp_path):
    photos(
        tmp_path,
        *(f"P{p:03d}/{c}/{p}{c}{i}.png" for p in range(4) for c in ("mel", "nv") for i in range(3)),
    )
    result = preview(tmp_path)
    assert result.class_counts == {"mel": 12, "nv": 12} and result.groups == 4


@pytest.mark.parametrize(
    "name", ["mask_{}", "{}_segmented", "{}_heatmap", "{}mask", "seg_{}", "{}_maske"]
)
def test_what_stands_beside_its_photo_is_no_photo(tmp_path, name):
    for c in ("mel", "nv"):
        photos(tmp_path / c, *(f"{c}{i}.jpg" for i in range(4)))
        photos(tmp_path / c, *(f"{name.format(f'{c}{i}')}.png" for i in range(4)))
    assert preview(tmp_path).class_counts == {"mel": 4, "nv": 4}


def test_photos_that_are_only_called_masks_stay_and_folders_of_masks_go(tmp_path):
    photos(
        tmp_path,
        *(f"melasma/pregnancy_mask_{i}.jpg" for i in range(4)),
        *(f"acne/{i}.jpg" for i in range(4)),
    )
    photos(tmp_path, *(f"masks/m{i}.png" for i in range(4)))
    assert preview(tmp_path).class_counts == {"acne": 4, "melasma": 4}


def test_classes_with_their_split_in_one_name(tmp_path):
    names = ("benign_train", "benign_test", "malignant_train", "malignant_test")
    photos(tmp_path, *(f"{name}/{name}{i}.png" for name in names for i in range(3)))
    result = preview(tmp_path)
    assert result.class_counts == {"benign": 6, "malignant": 6}
    assert result.splits == {"train": 6, "test": 6}


def test_lists_of_names_are_the_official_split(tmp_path):
    photos(tmp_path, *(f"{c}/{c}{i}.png" for c in ("mel", "nv") for i in range(4)))
    write(tmp_path / "train.txt", *(f"{c}{i}.png" for c in ("mel", "nv") for i in range(3)))
    write(tmp_path / "test.txt", *(f"{c}3.png" for c in ("mel", "nv")))
    assert preview(tmp_path).splits == {"train": 6, "test": 2}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.json", '{"0.png": "nv", "1.png": "mel"}'),
        ("labels.json", '[{"file": "0.png", "dx": "nv"}, {"file": "1.png", "dx": "mel"}]'),
        ("labels.txt", "0.png nv\n1.png mel\n"),
        ("t.csv", 'Export of 2021\n\nimage,dx\n"0", "nv"\n"1", "mel"\n'),
        ("t.csv", "Export of 2021,,\nimage,dx,age\n0,nv,\n1,mel,\n"),
        ("a/b/c/d/t.csv", "image,dx\n0,nv\n1,mel\n"),
        ("t.csv", "Bild;Befund\n0;nv\n1;mel\n"),
        ("t.csv", "image,dx\n0,nv\u200b\n1,mel\n"),
    ],
)
def test_labels_in_other_forms(tmp_path, name, text):
    numbered(tmp_path, "{}.png", 2)
    write(tmp_path / name, text)
    assert preview(tmp_path).class_counts == {"mel": 1, "nv": 1}


@pytest.mark.parametrize("name", ["labels.yaml", "notes.docx", "labels.sav", "more.zip"])
def test_files_that_may_hold_labels_are_named(tmp_path, name):
    numbered(tmp_path, "{}.png", 3)
    (tmp_path / name).write_bytes(b"x")
    try:
        assert says(preview(tmp_path), name)
    except DataError as error:
        assert name in str(error) and preview(tmp_path, classes="none").unlabelled == 3


# The whole way


def test_a_preview_writes_nothing_and_an_import_holds_what_it_said(workspace, tmp_path):
    root = numbered(tmp_path / "set", "{}.png", 12)
    write(
        root / "t.csv",
        "image,label,Subject ID",
        *(f"{i},{'uv'[i % 2]},s{i // 4}" for i in range(12)),
    )
    before = preview(root)
    assert not (workspace.root / "datasets" / "set").exists()
    result = import_dataset(workspace, root, "set", sizes=(8,), processes=1)
    assert result.class_counts == before.class_counts == {"u": 6, "v": 6}
    assert result.source == before.source and result.groups == before.groups == 3
    again = import_dataset(workspace, root, "set", sizes=(8,), processes=1)
    assert again.source == result.source and again.notes == result.notes


def test_a_list_of_images_can_be_named_as_the_table(tmp_path):
    photos(tmp_path, *(f"{site}/{site}{i}.png" for site in ("Wien", "Bern") for i in range(4)))
    rows = (f"{s}{i}.png {'mel' if i % 2 else 'nv'}" for s in ("Wien", "Bern") for i in range(4))
    write(tmp_path / "labels.txt", *rows)
    with pytest.raises(DataError, match=r"--table labels\.txt"):
        preview(tmp_path)
    assert preview(tmp_path, tables=("labels.txt",)).class_counts == {"mel": 4, "nv": 4}
    assert preview(tmp_path / "labels.txt").class_counts == {"mel": 4, "nv": 4}
