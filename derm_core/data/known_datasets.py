"""Public data sets that an import calls by name: their licence, source, and what their files do not say.

A set is recognised only where the columns of one of its tables, the file name where the columns are
not its own, and the ids of all images fit. To add one, add a record to TABLE_SETS or ARRAY_SETS, a
row to docs/data.md and a test to tests/data/test_known_datasets.py.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .image_files import stem
from .tables import Table

ISIC_ID = r"ISIC_\d+"
CHALLENGES = "https://challenge.isic-archive.com/data/"
OVERLAP = (
    "The ISIC challenges, HAM10000 and BCN20000 share images (Cassidy et al. 2022, "
    "doi:10.1016/j.media.2021.102305): test a model on none of them that was trained on another."
)
HAM10000_CITATION = (
    "Tschandl, Rosendahl, Kittler: The HAM10000 dataset (2018), doi:10.7910/DVN/DBW86T"
)
BENIGN_MALIGNANT = {"0": "benign", "1": "malignant", "False": "benign", "True": "malignant"}


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A public data set.

    Attributes:
        name: as its authors call it.
        license: empty where its source states none that is known here.
        citation: how to cite it.
        page: where it is offered.
        columns: blank-separated, in lower case, all in one of its tables.
        file: pattern that the name of that table matches, without regard to case.
        ids, lesions: patterns that all image ids and all known lesion ids match.
        label: the label column that its papers use, where several could be it.
        class_names: class in its files → name.
        remainder: class of the rows that have 0 in every class column.
        case_is_lesion: whether its case ids identify lesions or contributions, not patients.
        has_folders: whether its table names images with their folders, which are no classes.
        license_column: names each image's licence.
        skin_types: skin type in its files → what it means, where that is no Fitzpatrick type.
        notes: what its files do not say.
    """

    name: str
    license: str = ""
    citation: str
    page: str
    columns: str = ""
    file: str = ""
    ids: str = ISIC_ID
    lesions: str = ""
    label: str = ""
    class_names: Mapping[str, str] = field(default_factory=dict)
    remainder: str | None = None
    case_is_lesion: bool = False
    has_folders: bool = False
    license_column: str = ""
    skin_types: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def has_table(self, table: Table) -> bool:
        """Whether a table is one of this set, by its columns and file name."""
        fits = set(self.columns.split()) <= set(table.columns)
        return fits and bool(re.search(self.file, table.name, re.IGNORECASE))

    def has_images(self, images: Iterable[str]) -> bool:
        """Whether all of these ids or file names are of the form that this set uses."""
        match = re.compile(self.ids).fullmatch
        return all(match(stem(posixpath.basename(image.replace("\\", "/")))) for image in images)


HAM10000 = KnownDataset(
    name="HAM10000",
    license="CC BY-NC 4.0",
    citation=HAM10000_CITATION,
    page="https://doi.org/10.7910/DVN/DBW86T",
    columns="lesion_id image_id dx",
    lesions=r"HAM_\d+",
    notes=("Groups are lesions; HAM10000 names no patients.", OVERLAP),
)
ISIC_2016 = KnownDataset(
    name="ISIC 2016",
    license="CC0 1.0",
    citation="Gutman et al.: Skin Lesion Analysis toward Melanoma Detection (2016), arXiv:1605.01397",
    page=CHALLENGES + "#2016",
    file=r"ISBI2016_ISIC_Part3B?_.*GroundTruth",
    class_names=BENIGN_MALIGNANT,
    notes=(OVERLAP,),
)
ISIC_2017 = KnownDataset(
    name="ISIC 2017",
    license="CC0 1.0",
    citation="Codella et al.: Skin Lesion Analysis Toward Melanoma Detection (2017), arXiv:1710.05006",
    page=CHALLENGES + "#2017",
    columns="image_id melanoma seborrheic_keratosis",
    file=r"ISIC.?2017_.*Part3_GroundTruth",
    remainder="nevus",
    notes=(OVERLAP,),
)
ISIC_2018 = KnownDataset(
    name="ISIC 2018",
    license="CC BY-NC 4.0",
    citation="Codella et al.: ISIC 2018 (2019), arXiv:1902.03368; Tschandl et al. (2018), "
    "doi:10.7910/DVN/DBW86T",
    page=CHALLENGES + "#2018",
    columns="image mel nv",
    file=r"ISIC.?2018_Task3",
    notes=(
        "The training images of ISIC 2018 are those of HAM10000; lesions are named for them only "
        "(ISIC2018_Task3_Training_LesionGroupings.csv).",
        OVERLAP,
    ),
)
ISIC_2019 = KnownDataset(
    name="ISIC 2019",
    license="CC BY-NC 4.0",
    citation="BCN_20000: Hernández-Pérez et al. (2024), doi:10.1038/s41597-024-03387-w; HAM10000: "
    "Tschandl et al. (2018), doi:10.1038/sdata.2018.161; MSK: Codella et al. (2017), arXiv:1710.05006",
    page=CHALLENGES + "#2019",
    columns="image mel nv bcc ak bkl df vasc scc unk",
    file=r"ISIC.?2019_",
    ids=ISIC_ID + "(?:_downsampled)?",
    notes=(
        "ISIC 2019 contains HAM10000 and BCN20000. Lesions are named for training images only "
        "(ISIC_2019_Training_Metadata.csv); UNK occurs in the test part only.",
        OVERLAP,
    ),
)
ISIC_2020 = KnownDataset(
    name="ISIC 2020",
    license="CC BY-NC 4.0",
    citation="International Skin Imaging Collaboration: SIIM-ISIC 2020 Challenge Dataset (2020), "
    "doi:10.34970/2020-ds01; Rotemberg et al. (2021), doi:10.1038/s41597-021-00815-z",
    page=CHALLENGES + "#2020",
    columns="image_name patient_id benign_malignant target anatom_site_general_challenge",
    class_names=BENIGN_MALIGNANT,
    notes=(
        "ISIC 2020 comes from hospitals that also gave the images of ISIC 2019 (Barcelona, Vienna, "
        "New York): the same patients can be in both, under ids that do not agree.",
        OVERLAP,
    ),
)
SLICE_3D = KnownDataset(
    name="ISIC 2024 (SLICE-3D)",
    license="CC BY-NC 4.0",
    citation="International Skin Imaging Collaboration: SLICE-3D 2024 Challenge Dataset (2024), "
    "doi:10.34970/2024-slice-3d; Kurtansky et al. (2024), doi:10.1038/s41597-024-03743-w",
    page=CHALLENGES + "#2024",
    columns="isic_id patient_id tbp_tile_type tbp_lv_a",
    class_names=BENIGN_MALIGNANT,
    notes=(
        "The images are crops of 15 mm × 15 mm from total body photographs, not dermoscopic images; "
        "393 of all 401,059 are malignant.",
    ),
)
SLICE_3D_PERMISSIVE = KnownDataset(
    name="ISIC 2024 (SLICE-3D permissive)",
    license="CC BY 4.0",
    citation="International Skin Imaging Collaboration: SLICE-3D 2024 Permissive Challenge Dataset "
    "(2024), doi:10.34970/2024-slice-3d-permissive",
    page=CHALLENGES + "#2024",
    columns="isic_id malignant",
    file="ISIC.?2024_Permissive",
    class_names=BENIGN_MALIGNANT,
    notes=SLICE_3D.notes[:1],
)
MILK10K = KnownDataset(
    name="MILK10k",
    license="CC BY-NC 4.0",
    citation="MILK study team: MILK10k, ISIC Archive (2025), doi:10.34970/648456; Tschandl et al. "
    "(2026), doi:10.1016/j.jid.2025.06.1594",
    page="https://doi.org/10.34970/648456",
    columns="lesion_id image_type isic_id skin_tone_class monet_hair",
    lesions=r"IL_\d+",
    skin_types={str(tone): f"MILK10k tone {tone}" for tone in range(6)},
    notes=(
        "Each lesion of MILK10k has a clinical close-up and a dermoscopic image: both were taken, and "
        "the lesion is their group. No patients are named. Its skin tones run from 0 (very dark) to 5 "
        "(very light), against the order of Fitzpatrick types.",
    ),
)
ISIC_ARCHIVE = KnownDataset(
    name="ISIC Archive",
    citation="The ISIC Archive, https://www.isic-archive.com; each image's source stands in the "
    "column attribution",
    page="https://www.isic-archive.com",
    columns="isic_id attribution copyright_license",
    license_column="copyright_license",
    notes=(
        "diagnosis_1 to diagnosis_5 are levels from coarse to fine; --label-column chooses one.",
        "The ISIC Archive contains the images of the ISIC challenges, HAM10000, BCN20000 and MILK10k: "
        "test a model on none of them that was trained on another.",
    ),
)
BCN20000 = KnownDataset(
    name="BCN20000",
    citation="Hernández-Pérez et al.: BCN20000 (2024), doi:10.1038/s41597-024-03387-w",
    page="https://doi.org/10.6084/m9.figshare.24140028.v1",
    columns="bcn_filename diagnosis lesion_id",
    ids=r"BCN_\d+",
    notes=("Groups are lesions; BCN20000 names no patients.", OVERLAP),
)
FITZPATRICK17K = KnownDataset(
    name="Fitzpatrick17k",
    license="CC BY-NC-SA 3.0",
    citation="Groh et al.: Evaluating Deep Neural Networks Trained on Clinical Images in Dermatology "
    "with the Fitzpatrick 17k Dataset (2021), arXiv:2104.09957",
    page="https://github.com/mattgroh/fitzpatrick17k",
    columns="md5hash fitzpatrick_scale label three_partition_label",
    ids=r"[0-9a-f]{32}|https?\w+",
    notes=(
        "Fitzpatrick17k names links, not files: images that were not fetched, or are gone, are left "
        "out. The images belong to two atlases and are clinical photographs.",
        "Caution: labels of Fitzpatrick17k are the captions of atlases; a review finds 22 to 32 % of "
        "them wrong and 21 % of the images nearly equal to others (Gröger et al. 2025, "
        "arXiv:2505.11034).",
    ),
)
DDI = KnownDataset(
    name="DDI",
    citation="Daneshjou et al.: Disparities in dermatology AI performance on a diverse, curated "
    "clinical image set (2022), doi:10.1126/sciadv.abq6147",
    page="https://ddi-dataset.github.io",
    columns="ddi_file skin_tone malignant disease",
    ids=r"\d{6}",
    label="malignant",
    skin_types={"12": "1-2", "34": "3-4", "56": "5-6"},
    class_names=BENIGN_MALIGNANT,
    notes=(
        "DDI's papers classify benign and malignant; --label-column disease takes the diagnoses. "
        "skin_tone 12, 34 and 56 are Fitzpatrick types I–II, III–IV and V–VI. The images are clinical "
        "photographs; no patients are named.",
    ),
)
DERM7PT = KnownDataset(
    name="derm7pt",
    citation="Kawahara et al.: Seven-Point Checklist and Skin Lesion Classification (2019), "
    "doi:10.1109/JBHI.2018.2824327",
    page="https://derm.cs.sfu.ca",
    columns="case_num diagnosis seven_point_score clinic derm",
    ids=r"[A-Za-z]\w{3,7}",
    case_is_lesion=True,
    has_folders=True,
    notes=(
        "Each case of derm7pt has a dermoscopic image (derm) and a clinical one (clinic): one was "
        "taken, --image-column takes the other. A case is a lesion; patients are not named. Its paper "
        "joins the diagnoses into five classes.",
    ),
)
SCIN = KnownDataset(
    name="SCIN",
    license="SCIN Data Use License",
    citation="Ward et al.: Crowdsourcing Dermatology Images with Google Search Ads (2024), "
    "arXiv:2402.18545",
    page="https://github.com/google-research-datasets/scin",
    columns="case_id weighted_skin_condition_label",
    ids=r"-?\d+",
    case_is_lesion=True,
    notes=(
        "SCIN's labels are dermatologists' differential diagnoses with weights: the largest weight is "
        "the class, images whose largest weights are equal have no label. A group is a case: up to three "
        "photographs that one person sent at once. Who sent several cases is not named.",
    ),
)
PAD_UFES_20 = KnownDataset(
    name="PAD-UFES-20",
    license="CC BY 4.0",
    citation="Pacheco et al.: PAD-UFES-20 (2020), doi:10.17632/zr7vgbcyr2.1",
    page="https://doi.org/10.17632/zr7vgbcyr2.1",
    columns="patient_id lesion_id img_id diagnostic",
    ids=r"PAT_\d+_\d+_\d+",
    notes=("The images of PAD-UFES-20 are clinical photographs by smartphones, not dermoscopic.",),
)
TABLE_SETS = (
    *(HAM10000, ISIC_2016, ISIC_2017, ISIC_2018, ISIC_2019, ISIC_2020, SLICE_3D_PERMISSIVE),
    *(SLICE_3D, MILK10K, ISIC_ARCHIVE, BCN20000, FITZPATRICK17K, DDI, DERM7PT, SCIN, PAD_UFES_20),
)

_CORRECTED_CITATION = (
    "Abhishek, Jain, Hamarneh: Investigating the Quality of DermaMNIST and Fitzpatrick17k (2025), "
    "doi:10.1038/s41597-025-04382-5, doi:10.5281/zenodo.11101337; " + HAM10000_CITATION
)
DERMAMNIST = KnownDataset(
    name="DermaMNIST",
    license="CC BY-NC 4.0",
    citation="Yang et al.: MedMNIST v2 (2023), doi:10.1038/s41597-022-01721-8; "
    + HAM10000_CITATION,
    page="https://doi.org/10.5281/zenodo.10519652",
    file=r"^dermamnist",
    notes=(
        "Caution: DermaMNIST has no lesion ids. 886 of the 2,005 images of its official test split "
        "show a lesion of its training images (Abhishek et al. 2025): results on that split, and on "
        "any other split of this file, are too good. DermaMNIST-C is corrected; HAM10000 has the ids.",
    ),
)
DERMAMNIST_C = KnownDataset(
    name="DermaMNIST-C",
    license="CC BY-NC 4.0",
    citation=_CORRECTED_CITATION,
    page="https://doi.org/10.5281/zenodo.11101337",
    file=r"^dermamnist[-_]?c(?:orrected)?(?![a-z])",
    notes=(
        "A corrected DermaMNIST: its official split keeps the images of a lesion together "
        "(--splits official). It has no lesion ids, so any other split does not.",
    ),
)
DERMAMNIST_E = KnownDataset(
    name="DermaMNIST-E",
    license="CC BY-NC 4.0",
    citation=_CORRECTED_CITATION,
    page="https://doi.org/10.5281/zenodo.11101337",
    file=r"^dermamnist[-_]?e(?:xtended)?(?![a-z])",
    notes=(
        "An extended DermaMNIST: its training part is all of HAM10000, its validation and test parts "
        "are those of ISIC 2018 (--splits official). It has no lesion ids, so any other split has "
        "images of one lesion in several parts.",
    ),
)
ARRAY_SETS = (DERMAMNIST_C, DERMAMNIST_E, DERMAMNIST)


# Sets that were gathered by, or whose images lie in, the ISIC Archive.
_OF_ARCHIVE = (
    *(HAM10000, ISIC_2016, ISIC_2017, ISIC_2018, ISIC_2019, ISIC_2020, SLICE_3D_PERMISSIVE),
    *(SLICE_3D, MILK10K, ISIC_ARCHIVE, BCN20000, DERMAMNIST, DERMAMNIST_C, DERMAMNIST_E),
)


def share_an_archive(one: str, other: str) -> bool:
    """Whether two public data sets, by their names or what imports are called, both come from the ISIC Archive.

    >>> share_an_archive("isic2018", "HAM10000"), share_an_archive("PAD-UFES-20", "HAM10000")
    (True, False)
    """
    archive = {_letters(known.name) for known in _OF_ARCHIVE}
    return _letters(one) in archive and _letters(other) in archive


def cited_set(citation: str | None) -> str | None:
    """The name of the public data set that is cited like this; None for others.

    >>> cited_set("Pacheco et al.: PAD-UFES-20 (2020), doi:10.17632/zr7vgbcyr2.1")
    'PAD-UFES-20'
    """
    every = (*TABLE_SETS, *ARRAY_SETS)
    return next((known.name for known in every if known.citation == citation), None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def table_of(table: Table, image: str) -> KnownDataset | None:
    """The public data set that a table is of, by its columns, file name and column of images."""
    fitting = (one for one in TABLE_SETS if one.has_table(table))
    return next((one for one in fitting if one.has_images(table.cells(image))), None)


def array_of(file_name: str) -> KnownDataset | None:
    """The public data set that an .npz file is called after."""
    named = (one for one in ARRAY_SETS if re.search(one.file, file_name, re.IGNORECASE))
    return next(named, None)


def notes_on(known: KnownDataset) -> list[str]:
    """By what name a set is known, and what its files do not say."""
    stated = known.license or known.license_column
    where = known.page if stated else f"{known.page}, which states its terms of use"
    return [f"Recognised as {known.name} ({where}).", *known.notes]
