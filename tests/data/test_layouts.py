"""Which columns of a table name images and classes is decided by their names and by what they hold."""

from __future__ import annotations

import pytest

from derm_core.data import columns, image_files
from derm_core.data.group_columns import group_columns
from derm_core.data.image_files import scan
from derm_core.data.image_names import ImageNames
from derm_core.data.import_options import ImportOptions
from derm_core.data.label_tables import ImageColumns, read_label_table
from derm_core.data.tables import read_table


@pytest.fixture
def names(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").touch()
    return ImageNames(scan(tmp_path))


def read(tmp_path, names, text, **options):
    (tmp_path / "table.csv").write_text(text)
    return read_label_table(read_table(tmp_path / "table.csv"), names, ImportOptions(**options))


@pytest.mark.parametrize(
    ("text", "image", "label", "one_hot"),
    [
        ("image_id,lesion_id,dx\na,l,nv", "image_id", "dx", ()),
        ("isic_id,diagnosis\na,nv", "isic_id", "diagnosis", ()),
        ("image,mel,nv\na,1.0,0.0", "image", None, ("mel", "nv")),
        ("img_id,diagnostic,dx\na,nev,nv", "img_id", "dx", ()),
        ("file,target\na.png,nv", "file", "target", ()),
        ("image,mel,nv\na,0.9,0.1\nb,0.2,0.8", "image", None, ("mel", "nv")),
        ("image_id,age\na,40", "image_id", None, ()),
        ("number,photograph,label\n1,a.png,nv\n2,b.png,mel", "photograph", "label", ()),
        ("image_id,filename,label\n1,a.png,nv\n2,b.png,mel", "filename", "label", ()),
        ("file,label,class_name\na,0,nv\nb,1,mel\nc,0,nv", "file", "class_name", ()),
        ("image,diagnosis,target\na,unknown,0\nb,unknown,1\nc,nv,0", "image", "target", ()),
        ("image,diagnosis_1,diagnosis_2\na,benign,nv\nb,malign,mel", "image", "diagnosis_2", ()),
        ("image,diagnosis_1,diagnosis_2\na,benign,\nb,malign,mel", "image", "diagnosis_1", ()),
    ],
)
def test_the_columns_of_images_and_classes(tmp_path, names, text, image, label, one_hot):
    columns = read(tmp_path, names, text).columns
    assert (columns.image, columns.label, columns.one_hot) == (image, label, one_hot)


def test_a_table_without_a_column_of_images_is_no_label_table(tmp_path, names):
    assert read(tmp_path, names, "label,age\nnv,40") is None


def test_given_columns_count(tmp_path, names):
    text = "file,label,grade,p1,p2\na,nv,1,1,0\nb,mel,2,0,1"
    assert read(tmp_path, names, text, label_columns=("Grade",)).columns.label == "grade"
    assert read(tmp_path, names, text, label_columns=("p1", "p2")).columns.one_hot == ("p1", "p2")


def test_an_image_of_no_class_or_of_several_has_no_label(tmp_path):
    (tmp_path / "t.csv").write_text("image,mel,nv\na,1,0\nb,0,0\nc,1,1\n")
    table = read_table(tmp_path / "t.csv")
    classes, notes = ImageColumns("image", None, ("mel", "nv")).classes(table)
    assert classes == ["mel", None, None] and len(notes) == 2


@pytest.mark.parametrize(
    ("header", "patient", "lesion"),
    [
        ("PatientID", "patientid", None),
        ("Patient ID,lesion no.", "patient id", "lesion no."),
        ("id_patient,LESION_ID", "id_patient", "lesion_id"),
        ("subject,case_id", "subject", None),
        ("Participant-Nr", "participant-nr", None),
        ("person_uid", "person_uid", None),
        ("CaseNumber", "casenumber", None),
        ("anonymized_patient_id", "anonymized_patient_id", None),
        ("patient_age,lesion_type", None, None),
    ],
)
def test_columns_of_patients_and_lesions(tmp_path, header, patient, lesion):
    rows = [",".join(f"v{i}" for _ in header.split(",")) for i in range(6)]
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]))
    groups = group_columns(read_table(tmp_path / "t.csv"), ImportOptions(), ())
    assert (groups.patient, groups.lesion) == (patient, lesion)


def test_a_bare_word_with_few_values_is_no_id(tmp_path):
    (tmp_path / "t.csv").write_text("lesion\n" + "nevus\nmelanoma\n" * 30)
    assert group_columns(read_table(tmp_path / "t.csv"), ImportOptions(), ()).lesion is None


def test_every_attribute_has_column_names():
    assert set(columns.ATTRIBUTES) < set(columns.COLUMNS)
    names = [name for names in columns.COLUMNS.values() for name in names]
    assert len(set(names)) == len(names) and all(name == columns.plain(name) for name in names)


@pytest.mark.parametrize(
    "name",
    [
        *(f"photo_{word}" for word in image_files.MASKS.split("|")),
        *(f"PHOTO {word.upper()}" for word in image_files.BESIDE.replace("s?", "").split("|")),
        *("photo_attribute_globules", "photo_thumb", "photo_thumbnail", "photo.small"),
        *("photo-preview", "photo_64x64", "photomask", "photo_mask (2)"),
        *("tn_photo", "thumb_photo", "synophoto photo", "seg_photo"),
    ],
)
def test_a_mask_or_thumbnail_beside_its_photo_is_left_out(tmp_path, name):
    for file in ("photo", name.replace(" ?", " "), "other"):
        (tmp_path / f"{file}.png").touch()
    assert scan(tmp_path).images == ["other.png", "photo.png"]
