"""Public data sets as they are offered: images, classes, groups, licence and name come out right."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from derm_core.data.import_options import ImportOptions
from derm_core.data.importers import ImportResult, import_dataset
from derm_core.data.known_datasets import ARRAY_SETS, TABLE_SETS
from derm_core.data.manifest import Dataset, load_dataset
from tests.builders import noise, write_image

BY_NC, BY = "CC BY-NC 4.0", "CC BY 4.0"


@dataclass
class Imported:
    """An import, and the dataset that it wrote."""

    result: ImportResult
    dataset: Dataset

    @property
    def known_as(self):
        return self.result.source.known_as

    @property
    def license(self):
        return self.dataset.info.license

    @property
    def kinds(self):
        return self.dataset.info.group_kinds

    @property
    def counts(self):
        """Images, groups, images without a label."""
        return self.result.images, self.result.groups, self.result.unlabelled

    def values(self, attribute: str) -> dict:
        """How often each value of an attribute occurs, "" where it is missing."""
        return dict(self.dataset.frame[attribute].fillna("").value_counts())

    def says(self, words: str) -> bool:
        return any(words in note for note in self.result.notes)


@pytest.fixture
def read(workspace):
    def run(path: Path, **options) -> Imported:
        decided = ImportOptions(**options)
        result = import_dataset(workspace, path, "set", options=decided, sizes=(8,), processes=1)
        return Imported(result, load_dataset(workspace, "set"))

    return run


def table(path: Path, header: str, rows: Iterable[Mapping[str, object] | Sequence[object]]) -> Path:
    """A CSV file; rows by column leave the others blank."""
    columns = header.split(",")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            cells = [row.get(name, "") for name in columns] if isinstance(row, Mapping) else row
            writer.writerow(cells)
    return path


def pictures(folder: Path, names: Iterable[str], suffix: str = ".jpg") -> None:
    """A small image of its own for each name."""
    for name in names:
        seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        write_image(folder / f"{name}{suffix}", noise(12, 16, seed))


def isic(count: int, first: int = 24306) -> list[str]:
    return [f"ISIC_{first + i:07d}" for i in range(count)]


def one_hot(names: Sequence[str], classes: str, labels: Sequence[str]) -> list[list[object]]:
    """Rows of a ground truth of ISIC: 1.0 in the column of the image's class."""
    return [
        [name, *(float(one == label) for one in classes.split(","))]
        for name, label in zip(names, labels, strict=True)
    ]


# ---- HAM10000 and the ISIC challenges


def ham10000(root: Path) -> Path:
    names = isic(12)
    pictures(root / "HAM10000_images_part_1", names[:6])
    pictures(root / "HAM10000_images_part_2", names[6:])
    rows = [
        [
            f"HAM_{i // 2:07d}",
            name,
            ("nv", "mel", "bkl")[i // 2 % 3],
            "histo",
            80.0,
            "male",
            "scalp",
        ]
        for i, name in enumerate(names)
    ]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    return table(root / "HAM10000_metadata.csv", header, rows).parent


def test_ham10000(read, tmp_path):
    one = read(ham10000(tmp_path))
    assert (one.known_as, one.license) == ("HAM10000", BY_NC)
    assert one.counts == (12, 6, 0) and one.kinds == {"lesion": 12}
    assert one.result.class_counts == {"bkl": 4, "mel": 4, "nv": 4}


def test_isic_2016_names_the_classes_of_its_test_part_as_those_of_training(read, tmp_path):
    train, test = isic(20, 0), isic(12, 500)
    for part, names, labels in (
        ("Training", train, ("benign", "malignant")),
        ("Test", test, ("0.0", "1.0")),
    ):
        pictures(tmp_path / f"ISBI2016_ISIC_Part3_{part}_Data", names)
        lines = [f"{name},{labels[i % 4 == 0]}" for i, name in enumerate(names)]
        path = tmp_path / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv"
        path.write_text("\n".join([*lines, ""]))
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2016", "CC0 1.0")
    assert one.result.class_counts == {"benign": 24, "malignant": 8}
    assert one.counts == (32, 32, 0) and one.kinds == {"image": 32}
    assert one.values("official_split") == {"train": 20, "test": 12}


def test_isic_2017_has_a_third_class_that_no_column_names(read, tmp_path):
    names = isic(16, 0)
    labels = ["melanoma", "seborrheic_keratosis", "nevus", "nevus"] * 4
    data = tmp_path / "ISIC-2017_Training_Data"
    pictures(data, names)
    pictures(data, [f"{name}_superpixels" for name in names], ".png")
    classes = "melanoma,seborrheic_keratosis"
    table(
        tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv",
        f"image_id,{classes}",
        one_hot(names, classes, labels),
    )
    table(
        data / "ISIC-2017_Training_Data_metadata.csv",
        "image_id,age_approximate,sex",
        [[name, "unknown" if i % 2 else 45, "female"] for i, name in enumerate(names)],
    )
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2017", "CC0 1.0")
    assert one.result.class_counts == {"melanoma": 4, "nevus": 8, "seborrheic_keratosis": 4}
    assert one.counts == (16, 16, 0) and one.says("8 rows")
    assert one.values("age") == {45.0: 8, "": 8}


def test_the_three_parts_of_isic_2017_are_one_set(read, tmp_path):
    classes = "melanoma,seborrheic_keratosis"
    parts = {"Training": isic(8, 0), "Validation": isic(4, 100), "Test_v2": isic(4, 200)}
    for part, names in parts.items():
        pictures(tmp_path / f"ISIC-2017_{part}_Data", names)
        rows = one_hot(names, classes, ["melanoma", "nevus", "nevus", "nevus"] * (len(names) // 4))
        table(tmp_path / f"ISIC-2017_{part}_Part3_GroundTruth.csv", f"image_id,{classes}", rows)
    one = read(tmp_path)
    assert one.known_as == "ISIC 2017"
    assert one.values("official_split") == {"train": 8, "val": 4, "test": 4}
    assert one.result.class_counts == {"melanoma": 4, "nevus": 12}


def test_the_same_columns_under_another_file_name_are_not_isic_2017(read, tmp_path):
    names = isic(8, 0)
    pictures(tmp_path, names)
    rows = one_hot(names, "melanoma,seborrheic_keratosis", ["melanoma", "other"] * 4)
    table(tmp_path / "labels.csv", "image_id,melanoma,seborrheic_keratosis", rows)
    one = read(tmp_path)
    assert one.known_as is None and one.license is None
    assert one.result.class_counts == {"melanoma": 4} and one.result.unlabelled == 4


ISIC_2018 = "MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def test_isic_2018_keeps_its_parts_and_has_lesions_for_training(read, tmp_path):
    parts = {"Training": isic(14), "Validation": isic(7, 34321), "Test": isic(7, 34524)}
    for part, names in parts.items():
        pictures(tmp_path / f"ISIC2018_Task3_{part}_Input", names)
        stem = f"ISIC2018_Task3_{part}_GroundTruth"
        labels = (ISIC_2018.split(",") * 2)[: len(names)]
        rows = one_hot(names, ISIC_2018, labels)
        table(tmp_path / stem / f"{stem}.csv", f"image,{ISIC_2018}", rows)
    table(
        tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv",
        "image,lesion_id,diagnosis_confirm_type",
        [[name, f"HAM_{i % 7:07d}", "histopathology"] for i, name in enumerate(parts["Training"])],
    )
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2018", BY_NC)
    assert one.counts == (28, 21, 0) and one.kinds == {"lesion": 14, "image": 14}
    assert one.values("official_split") == {"train": 14, "val": 7, "test": 7}
    assert set(one.result.class_counts) == set(ISIC_2018.lower().split(","))


ISIC_2019 = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"


def test_isic_2019_with_downsampled_images_and_lesions_of_several_sources(read, tmp_path):
    names = [f"{name}_downsampled" if i % 3 == 0 else name for i, name in enumerate(isic(16, 0))]
    lesions = ["", "MSK4_0011169", *(f"BCN_{i // 2:07d}" for i in range(7)), *["HAM_0000001"] * 7]
    pictures(tmp_path / "ISIC_2019_Training_Input" / "ISIC_2019_Training_Input", names)
    rows = one_hot(names, ISIC_2019, (ISIC_2019.split(",")[:-1] * 2))
    table(tmp_path / "ISIC_2019_Training_GroundTruth.csv", f"image,{ISIC_2019}", rows)
    table(
        tmp_path / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        [
            [name, 55.0, "anterior torso", one, "female"]
            for name, one in zip(names, lesions, strict=True)
        ],
    )
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2019", BY_NC)
    assert one.counts == (16, 7, 0) and one.kinds == {"lesion": 15, "image": 1}
    assert set(one.result.class_counts.values()) == {2} and len(one.result.class_counts) == 8


def test_isic_2019_test_part_has_an_unknown_class_and_weights_that_are_no_classes(read, tmp_path):
    names = isic(18, 34321)
    pictures(tmp_path / "ISIC_2019_Test_Input", names)
    rows = [[*row, 1.0, 0.0] for row in one_hot(names, ISIC_2019, ISIC_2019.split(",") * 2)]
    header = f"image,{ISIC_2019},score_weight,validation_weight"
    table(tmp_path / "ISIC_2019_Test_GroundTruth.csv", header, rows)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2019", BY_NC)
    assert one.kinds == {"image": 18}
    assert sum(one.result.class_counts.values()) + one.result.unlabelled == 18
    assert not {"score_weight", "validation_weight"} & set(one.result.class_counts)


def test_both_parts_of_isic_2019_are_one_set(read, tmp_path):
    parts = {"Training": isic(16, 0), "Test": isic(9, 34321)}
    for part, names in parts.items():
        pictures(tmp_path / f"ISIC_2019_{part}_Input", names)
        labels = [*ISIC_2019.split(",")[:8], *ISIC_2019.split(",")[:8]]
        labels = labels if part == "Training" else ISIC_2019.split(",")
        rows, header = one_hot(names, ISIC_2019, labels), f"image,{ISIC_2019}"
        if part == "Test":
            rows, header = (
                [[*row, 1.0, 0.0] for row in rows],
                f"{header},score_weight,validation_weight",
            )
        table(tmp_path / f"ISIC_2019_{part}_GroundTruth.csv", header, rows)
        lesions = "lesion_id," if part == "Training" else ""
        facts = [{"image": name, "lesion_id": f"BCN_{i // 2:07d}"} for i, name in enumerate(names)]
        header = f"image,age_approx,anatom_site_general,{lesions}sex"
        table(tmp_path / f"ISIC_2019_{part}_Metadata.csv", header, facts)
    one = read(tmp_path)
    assert one.known_as == "ISIC 2019"
    assert one.values("official_split") == {"train": 16, "test": 9}
    assert one.counts == (25, 17, 0) and one.kinds == {"lesion": 16, "image": 9}
    assert one.result.class_counts["unk"] == 1


ISIC_2020 = (
    "image_name,patient_id,{}sex,age_approx,anatom_site_general_challenge,diagnosis,"
    "benign_malignant,target"
)


@pytest.mark.parametrize(
    "files", [["ISIC_2020_Training_GroundTruth_v2.csv"], ["train.csv"]], ids=["v2", "kaggle"]
)
def test_isic_2020_has_patients_and_pairs_of_one_lesion(read, tmp_path, files):
    names = isic(24, 2637011)
    pictures(tmp_path / "train", names)
    has_lesions = "v2" in files[0]
    rows = [
        {
            "image_name": name,
            "patient_id": f"IP_{i // 3:07d}",
            "lesion_id": f"IL_{i:07d}",
            "sex": "male",
            "age_approx": 45.0,
            "anatom_site_general_challenge": "torso",
            "diagnosis": "melanoma" if i % 6 == 0 else "nevus" if i % 6 == 1 else "unknown",
            "benign_malignant": "malignant" if i % 6 == 0 else "benign",
            "target": int(i % 6 == 0),
        }
        for i, name in enumerate(names)
    ]
    table(tmp_path / files[0], ISIC_2020.format("lesion_id," if has_lesions else ""), rows)
    pairs = [[names[0], names[3]], [names[9], names[12]]]
    table(tmp_path / "ISIC_2020_Training_Duplicates.csv", "image_name_1,image_name_2", pairs)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2020", BY_NC)
    assert one.result.source.label_column == "benign_malignant"
    assert one.result.class_counts == {"benign": 20, "malignant": 4}
    assert one.counts == (24, 6, 0) and one.kinds == {"patient": 24}
    assert one.says("ISIC 2019")


SLICE_3D = (
    "age_approx,sex,anatom_site_general,clin_size_long_diam_mm,image_type,tbp_tile_type,tbp_lv_A,"
    "tbp_lv_Aext,tbp_lv_location,attribution,copyright_license"
)
SUPPLEMENT = "lesion_id,iddx_full,iddx_1,iddx_2,iddx_3,mel_mitotic_index,mel_thick_mm"


def slice_3d(names: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            "isic_id": name,
            "patient_id": f"IP_{i % 5:07d}",
            "target": int(i % 8 == 0),
            "malignant": float(i % 8 == 0),
            "image_type": "TBP tile: close-up",
            "tbp_tile_type": "3D: white",
            "tbp_lv_A": 20.2 + i,
            "tbp_lv_Aext": 0.3,
            "copyright_license": "CC-BY-NC" if i % 2 else "CC-0",
            "iddx_full": "Malignant::Melanoma" if i % 8 == 0 else "Benign",
            "iddx_1": ("Malignant", "Indeterminate")[i % 8] if i % 8 < 2 else "Benign",
        }
        for i, name in enumerate(names)
    ]


def test_isic_2024_as_kaggle_packs_it(read, tmp_path):
    names = isic(24, 15670)
    pictures(tmp_path / "train-image" / "image", names)
    header = f"isic_id,target,patient_id,{SLICE_3D},{SUPPLEMENT}"
    table(tmp_path / "train-metadata.csv", header, slice_3d(names))
    one = read(tmp_path / "train-metadata.csv")
    assert (one.known_as, one.license) == ("ISIC 2024 (SLICE-3D)", BY_NC)
    assert one.result.class_counts == {"benign": 21, "malignant": 3}
    assert one.counts == (24, 5, 0) and one.kinds == {"patient": 24}


def test_isic_2024_as_the_challenge_packs_it(read, tmp_path):
    names = isic(24, 15670)
    data, rows = tmp_path / "ISIC_2024_Training_Input", slice_3d(names)
    pictures(data, names)
    table(data / "metadata.csv", f"isic_id,patient_id,{SLICE_3D}", rows)
    table(tmp_path / "ISIC_2024_Training_GroundTruth.csv", "isic_id,malignant", rows)
    table(tmp_path / "ISIC_2024_Training_Supplement.csv", f"isic_id,{SUPPLEMENT}", rows)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2024 (SLICE-3D)", BY_NC)
    assert one.result.source.label_column == "malignant"
    assert one.result.class_counts == {"benign": 21, "malignant": 3}
    assert one.counts == (24, 5, 0) and one.kinds == {"patient": 24}


def test_isic_2024_permissive_has_the_licence_of_its_own(read, tmp_path):
    names = isic(16, 15670)
    pictures(tmp_path / "ISIC_2024_Permissive_Training_Input", names)
    rows = slice_3d(names)
    table(tmp_path / "ISIC_2024_Permissive_Training_GroundTruth.csv", "isic_id,malignant", rows)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("ISIC 2024 (SLICE-3D permissive)", BY)
    assert one.result.class_counts == {"benign": 14, "malignant": 2}


# ---- sets of the ISIC Archive

ARCHIVE = (
    "isic_id,attribution,copyright_license,age_approx,anatom_site_1,anatom_site_2,"
    "anatom_site_general,concomitant_biopsy,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4,"
    "diagnosis_5,diagnosis_confirm_type,image_type,lesion_id,melanocytic,patient_id,sex"
)
LEVELS = (
    ("Benign", "Benign melanocytic proliferations", "Nevus", "Nevus, Spitz", "Nevus, Spitz, Reed"),
    ("Benign", "Benign melanocytic proliferations", "Nevus", "", ""),
    ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma, NOS", "", ""),
    ("Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma, NOS", "", ""),
)


def archive(root: Path) -> Path:
    names = isic(24, 53453)
    pictures(root / "images", names)
    rows = [
        {
            "isic_id": name,
            "attribution": "Hospital Clínic de Barcelona",
            "copyright_license": ("CC-BY-NC", "CC-0")[i % 2],
            "age_approx": 55,
            "anatom_site_general": "anterior torso",
            "image_type": "dermoscopic",
            "lesion_id": f"IL_{i // 2:07d}",
            "patient_id": f"IP_{i // 4:07d}" if i < 12 else "",
            "diagnosis_confirm_type": "histopathology",
            **{f"diagnosis_{level + 1}": text for level, text in enumerate(LEVELS[i % 4])},
        }
        for i, name in enumerate(names)
    ]
    return table(root / "metadata.csv", ARCHIVE, rows).parent


def test_the_isic_archive_of_today(read, tmp_path):
    one = read(archive(tmp_path))
    assert one.known_as == "ISIC Archive"
    assert one.license == "CC-0, CC-BY-NC (each image has its own)"
    assert one.result.source.label_column == "diagnosis_3"
    assert one.result.class_counts == {
        "Melanoma, NOS": 6,
        "Nevus": 12,
        "Squamous cell carcinoma, NOS": 6,
    }
    assert one.counts == (24, 9, 0) and one.kinds == {"patient": 12, "lesion": 12}


@pytest.mark.parametrize(
    ("level", "classes", "unlabelled"),
    [("diagnosis_1", 2, 0), ("diagnosis_2", 3, 0), ("diagnosis_4", 1, 18)],
)
def test_a_level_of_the_archive_can_be_chosen(read, tmp_path, level, classes, unlabelled):
    one = read(archive(tmp_path), label_columns=(level,))
    assert one.known_as == "ISIC Archive"
    assert (one.result.classes, one.result.unlabelled) == (classes, unlabelled)


MILK10K = "AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
MONET = (
    "MONET_ulceration_crust,MONET_hair,MONET_vasculature_vessels,MONET_erythema,MONET_pigmented,"
    "MONET_gel_water_drop_fluid_dermoscopy_liquid,MONET_skin_markings_pen_ink_purple_pen"
)


def test_milk10k_takes_both_images_of_a_lesion(read, tmp_path):
    lesions = [f"IL_{i:07d}" for i in range(652, 674)]
    names = isic(44, 4671410)
    rows = []
    for i, name in enumerate(names):
        pictures(tmp_path / "MILK10k_Training_Input" / lesions[i // 2], [name])
        shares = {column: ((i * 7 + j) % 11) / 10 for j, column in enumerate(MONET.split(","))}
        rows.append(
            {
                "lesion_id": lesions[i // 2],
                "image_type": ("clinical: close-up", "dermoscopic")[i % 2],
                "isic_id": name,
                "attribution": "MILK study team",
                "copyright_license": "CC-BY-NC",
                "image_manipulation": "instrument only",
                "age_approx": 55,
                "sex": "male",
                "skin_tone_class": 3,
                "site": "trunk",
                "diagnosis_full": "Benign, Benign melanocytic proliferations, Nevus",
                "diagnosis_confirm_type": "histopathology",
                **shares,
            }
        )
    header = (
        "lesion_id,image_type,isic_id,attribution,copyright_license,image_manipulation,age_approx,"
        f"sex,skin_tone_class,site,{MONET}"
    )
    table(tmp_path / "MILK10k_Training_Metadata.csv", header, rows)
    supplement = "isic_id,diagnosis_full,diagnosis_confirm_type"
    table(tmp_path / "MILK10k_Training_Supplement.csv", supplement, rows)
    truth = one_hot(lesions, MILK10K, MILK10K.split(",") * 2)
    table(tmp_path / "MILK10k_Training_GroundTruth.csv", f"lesion_id,{MILK10K}", truth)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("MILK10k", BY_NC)
    assert one.counts == (44, 22, 0) and one.kinds == {"lesion": 44}
    assert set(one.result.class_counts) == set(MILK10K.lower().split(","))
    assert set(one.result.class_counts.values()) == {4} and one.says("clinical close-up")
    assert one.values("skin_type") == {"MILK10k tone 3": 44}


def test_bcn20000_whose_test_part_has_no_labels(read, tmp_path):
    classes = ["MEL", "NV", "BCC", "BKL", "AK", "SCC", "DF", "VASC"]
    header = (
        "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split"
    )
    for part, count, first in (("train", 16, 1), ("test", 8, 900)):
        names = [f"BCN_{first + i:010d}" for i in range(count)]
        pictures(tmp_path / f"BCN_20k_{part}" / f"bcn_20k_{part}", names)
        rows = [
            {
                "bcn_filename": f"{name}.jpg",
                "age_approx": 55.0,
                "anatom_site_general": "anterior torso",
                "diagnosis": classes[i // 2 % 8] if part == "train" else "",
                "lesion_id": f"BCN_{first + i // 2:07d}",
                "capture_date": "2012-05-16",
                "sex": "male",
                "split": part,
            }
            for i, name in enumerate(names)
        ]
        table(tmp_path / f"bcn_20k_{part}.csv", header, rows)
    one = read(tmp_path)
    assert one.known_as == "BCN20000" and one.license is None
    assert one.counts == (16, 8, 0) and one.kinds == {"lesion": 16}
    assert set(one.result.class_counts) == set(classes)
    assert one.says("8 image files not named")


# ---- clinical photographs

FITZPATRICK17K = (
    "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,"
    "three_partition_label,qc,url,url_alphanum"
)


@pytest.mark.parametrize("column", ["md5hash", "url_alphanum"])
def test_fitzpatrick17k_with_images_that_are_gone(read, tmp_path, column):
    conditions = (
        ("drug induced pigmentary changes", "inflammatory", "non-neoplastic"),
        ("melanoma", "malignant melanoma", "malignant"),
        ("dermatofibroma", "benign dermal", "benign"),
    )
    rows = []
    for i in range(30):
        label, nine, three = conditions[i % 3]
        rows.append(
            {
                "md5hash": hashlib.md5(str(i).encode()).hexdigest(),
                "fitzpatrick_scale": (1, 2, 3, 4, -1)[i % 5],
                "fitzpatrick_centaur": 3,
                "label": label,
                "nine_partition_label": nine,
                "three_partition_label": three,
                "qc": "3 Wrongly labelled" if i == 4 else "",
                "url": f"https://www.dermaamin.com/site/images/clinical-pic/m/x{i}.jpg",
                "url_alphanum": f"httpwwwdermaamincomsiteimagesclinicalpicmx{i}jpg.jpg",
            }
        )
    pictures(tmp_path / "images", [str(row[column]).removesuffix(".jpg") for row in rows[:27]])
    table(tmp_path / "fitzpatrick17k.csv", FITZPATRICK17K, rows)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("Fitzpatrick17k", "CC BY-NC-SA 3.0")
    assert one.result.source.image_column == column and one.result.source.label_column == "label"
    assert one.counts == (27, 27, 0) and len(one.result.skipped) == 3
    assert set(one.result.class_counts.values()) == {9} and one.says("Caution: labels")
    assert "-1" not in one.values("skin_type") and one.values("skin_type")[""] == 5


def ddi(root: Path) -> Path:
    diseases = ["melanoma-in-situ", "mycosis-fungoides", "basal-cell-carcinoma"]
    benign = ["seborrheic-keratosis", "melanocytic-nevi", "wart", "dermatofibroma", "lipoma"]
    names = [f"{i + 1:06d}" for i in range(24)]
    pictures(root / "images", names, ".png")
    rows = [
        [
            i,
            i + 1,
            f"{name}.png",
            (12, 34, 56)[i % 3],
            i % 4 == 0,
            (diseases * 9 if i % 4 == 0 else benign * 9)[i],
        ]
        for i, name in enumerate(names)
    ]
    return table(
        root / "ddi_metadata.csv", ",DDI_ID,DDI_file,skin_tone,malignant,disease", rows
    ).parent


def test_ddi_asks_for_malignancy(read, tmp_path):
    one = read(ddi(tmp_path))
    assert one.known_as == "DDI" and one.license is None
    assert one.result.source.label_column == "malignant"
    assert "disease" in one.result.source.other_label_columns
    assert one.result.class_counts == {"benign": 18, "malignant": 6}
    assert one.counts == (24, 24, 0) and one.kinds == {"image": 24}
    assert one.values("skin_type") == {"1-2": 8, "3-4": 8, "5-6": 8}


def test_the_diseases_of_ddi_can_be_chosen(read, tmp_path):
    one = read(ddi(tmp_path), label_columns=("disease",))
    assert one.known_as == "DDI" and one.result.classes == 8


DERM7PT = (
    "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,"
    "regression_structures,dots_and_globules,blue_whitish_veil,vascular_structures,"
    "level_of_diagnostic_difficulty,elevation,location,sex,management,clinic,derm,case_id,notes"
)


def derm7pt(root: Path) -> Path:
    diagnoses = [
        "clark nevus",
        "melanoma (in situ)",
        "basal cell carcinoma",
        "seborrheic keratosis",
    ]
    rows = []
    for i in range(20):
        folder = ("NEL", "Aal", "Fal")[i % 3]
        clinic, derm = f"{folder}/{folder}{2 * i + 10:03d}", f"{folder}/{folder}{2 * i + 11:03d}"
        pictures(root / "images", [clinic, derm])
        rows.append(
            {
                "case_num": i + 1,
                "diagnosis": diagnoses[i % 4],
                "seven_point_score": i % 8,
                "pigment_network": "absent",
                "blue_whitish_veil": "present",
                "location": "back",
                "sex": "female",
                "clinic": f"{clinic}.jpg",
                "derm": f"{derm}.jpg",
            }
        )
    table(root / "meta" / "meta.csv", DERM7PT, rows)
    for name, numbers in (("train", range(10)), ("valid", range(10, 14)), ("test", range(14, 20))):
        table(
            root / "meta" / f"{name}_indexes.csv",
            ",indexes",
            [[i, n] for i, n in enumerate(numbers)],
        )
    return root


def test_derm7pt_takes_the_dermoscopic_image_and_calls_a_case_a_lesion(read, tmp_path):
    one = read(derm7pt(tmp_path / "release_v0"))
    assert one.known_as == "derm7pt" and one.license is None
    assert one.result.source.image_column == "derm" and one.says("clinic")
    assert set(one.result.class_counts.values()) == {5} and len(one.result.class_counts) == 4
    assert one.counts == (20, 20, 0) and one.kinds == {"lesion": 20}
    assert one.values("official_split") == {"train": 10, "val": 4, "test": 6}


def test_the_clinical_images_of_derm7pt_can_be_chosen(read, tmp_path):
    one = read(derm7pt(tmp_path / "release_v0"), image_column="clinic")
    assert one.known_as == "derm7pt" and one.counts == (20, 20, 0)


SCIN_CASES = (
    "case_id,source,release,year,age_group,sex_at_birth,fitzpatrick_skin_type,"
    "race_ethnicity_white,race_ethnicity_two_or_more_after_mitigation,textures_raised_or_bumpy,"
    "textures_flat,body_parts_arm,body_parts_leg,image_1_path,image_2_path,image_3_path,"
    "image_1_shot_type,image_2_shot_type,image_3_shot_type,combined_race"
)
SCIN_LABELS = (
    "case_id,dermatologist_gradable_for_skin_condition_1,"
    "dermatologist_skin_condition_on_label_name,dermatologist_skin_condition_confidence,"
    "weighted_skin_condition_label,dermatologist_fitzpatrick_skin_type_label_1,"
    "monk_skin_tone_label_us"
)


def test_scin_takes_the_largest_weight_and_groups_by_case(read, tmp_path):
    weights = (
        "{'Eczema': 0.67, 'Psoriasis': 0.33}",
        "{'Urticaria': 1.0}",
        "{'Eczema': 0.5, 'Tinea': 0.5}",
        "{}",
    )
    cases, labels = [], []
    for i in range(16):
        case = {
            "case_id": -9205937287862485493 + i,
            "source": "SCIN",
            "release": "1.0.0",
            "year": 2023,
            "sex_at_birth": "FEMALE",
            "fitzpatrick_skin_type": ("FST3", "NONE_SELECTED")[i % 2],
            "race_ethnicity_white": "YES",
            ("textures_flat", "textures_raised_or_bumpy")[i % 2]: "YES",
            ("body_parts_arm", "body_parts_leg")[i % 2]: "YES",
            "image_1_shot_type": "CLOSE_UP",
        }
        for number in range(1, 2 + i % 3):
            path = f"dataset/images/-{1001313806311630063 + 10 * i + number}"
            pictures(tmp_path, [path], ".png")
            case[f"image_{number}_path"] = f"{path}.png"
        cases.append(case)
        labels.append(
            {
                "case_id": case["case_id"],
                "dermatologist_gradable_for_skin_condition_1": "DEFAULT_YES_IMAGE_QUALITY_SUFFICIENT",
                "dermatologist_skin_condition_on_label_name": "['Eczema', 'Psoriasis']",
                "dermatologist_skin_condition_confidence": "[5, 3]",
                "weighted_skin_condition_label": weights[i % 4],
            }
        )
    table(tmp_path / "dataset" / "scin_cases.csv", SCIN_CASES, cases)
    table(tmp_path / "dataset" / "scin_labels.csv", SCIN_LABELS, labels)
    one = read(tmp_path)
    images = sum(1 + i % 3 for i in range(16))
    counts = {
        name: sum(1 + i % 3 for i in range(k, 16, 4))
        for k, name in ((0, "Eczema"), (1, "Urticaria"))
    }
    assert (one.known_as, one.license) == ("SCIN", "SCIN Data Use License")
    assert one.result.source.label_column == "weighted_skin_condition_label"
    assert one.result.class_counts == counts
    assert one.counts == (images, 16, images - sum(counts.values()))
    assert set(one.values("skin_type")) == {"FST3", ""} and one.kinds == {"lesion": images}


PAD_UFES_20 = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
    "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
    "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed"
)


def test_pad_ufes_20(read, tmp_path):
    classes = ["ACK", "BCC", "MEL", "NEV", "SCC", "SEK"]
    rows = [
        {
            "patient_id": f"PAT_{1500 + i // 3}",
            "lesion_id": 1800 + i // 2,
            "age": 53,
            "gender": "FEMALE",
            "fitspatrick": "2.0",
            "region": "FACE",
            "diagnostic": classes[i % 6],
            "itch": "True",
            "grew": "UNK",
            "img_id": f"PAT_{1500 + i // 3}_{1800 + i // 2}_{200 + i}.png",
            "biopsed": "False",
        }
        for i in range(18)
    ]
    for i, row in enumerate(rows):
        name = str(row["img_id"]).removesuffix(".png")
        pictures(tmp_path / "images" / f"imgs_part_{1 + i % 3}", [name], ".png")
    table(tmp_path / "metadata.csv", PAD_UFES_20, rows)
    one = read(tmp_path)
    assert (one.known_as, one.license) == ("PAD-UFES-20", BY)
    assert one.result.class_counts == dict.fromkeys(classes, 3)
    assert one.counts == (18, 6, 0) and one.kinds == {"patient": 18}
    assert one.values("skin_type") == {"2": 18} and one.says("smartphones")


# ---- MedMNIST


@pytest.mark.parametrize(
    ("file", "name", "note"),
    [
        ("dermamnist", "DermaMNIST", "886"),
        ("dermamnist_64", "DermaMNIST", "886"),
        ("dermamnist_128", "DermaMNIST", "886"),
        ("dermamnist_224", "DermaMNIST", "886"),
        ("dermamnist_corrected_28", "DermaMNIST-C", "corrected"),
        ("dermamnist_corrected_224", "DermaMNIST-C", "corrected"),
        ("DermaMNIST-C", "DermaMNIST-C", "corrected"),
        ("dermamnist_extended_28", "DermaMNIST-E", "ISIC 2018"),
        ("dermamnist_extended_224", "DermaMNIST-E", "ISIC 2018"),
    ],
)
def test_dermamnist_and_its_corrections(read, tmp_path, file, name, note):
    counts = {"train": 14, "val": 7, "test": 7}
    arrays = {}
    for i, (split, count) in enumerate(counts.items()):
        arrays[f"{split}_images"] = np.stack([noise(28, 28, 100 * i + n) for n in range(count)])
        arrays[f"{split}_labels"] = (np.arange(count) % 7).astype(np.uint8)[:, None]
    path = tmp_path / f"{file}.npz"
    np.savez(path, **arrays)
    one = read(path)
    assert (one.known_as, one.license) == (name, BY_NC)
    assert one.counts == (28, 28, 0) and one.values("official_split") == counts
    assert set(one.result.class_counts) == {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}
    assert one.says(note) and one.says("886") == (note == "886")


def test_other_arrays_under_that_name_are_not_dermamnist(read, tmp_path):
    labels = np.arange(12, dtype=np.uint8)[:, None]
    images = np.stack([noise(28, 28, n) for n in range(12)])
    path = tmp_path / "dermamnist.npz"
    np.savez(path, train_images=images, train_labels=labels)
    one = read(path)
    assert one.known_as is None and one.license is None


# ---- nothing is called by name that does not fit


def test_one_image_of_another_source_and_a_set_is_not_called_by_name(read, tmp_path):
    root = ham10000(tmp_path)
    pictures(root / "HAM10000_images_part_1", ["mine_1"])
    with open(root / "HAM10000_metadata.csv", "a") as file:
        file.write("HAM_0000900,mine_1,nv,histo,50,male,back\n")
    one = read(root)
    assert one.result.images == 13 and one.known_as is None and one.license is None


def test_lesions_of_another_source_are_not_ham10000(read, tmp_path):
    root = ham10000(tmp_path)
    path = root / "HAM10000_metadata.csv"
    path.write_text(path.read_text().replace("HAM_", "CLINIC_"))
    assert read(root).known_as is None


@pytest.mark.parametrize("known", [*TABLE_SETS, *ARRAY_SETS], ids=lambda known: known.name)
def test_each_known_set_is_cited_and_has_a_page_and_a_row_in_the_docs(known):
    docs = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    assert known.page.startswith("https://") and known.citation
    assert f"| {known.name} |" in docs
    assert known.license in docs
