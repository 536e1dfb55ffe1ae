"""Class maps by name, by synonym and by hand; overlap by content and by archive number only."""

import pandas as pd
import pytest

from derm_core.data.classmaps import class_map
from derm_core.data.overlap import describe_overlap, overlap
from derm_core.errors import ConfigError

HAM = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
PAD = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")


def test_pad_ufes_20_maps_to_ham10000_as_the_protocol_says():
    mapped = class_map(PAD, HAM)
    assert mapped.map == {"ACK": "akiec", "BCC": "bcc", "MEL": "mel", "NEV": "nv", "SEK": "bkl"}
    assert mapped.left_out == ("SCC",) and mapped.absent == ("df", "vasc")


def test_a_class_can_be_given_or_left_out_by_hand():
    mapped = class_map(PAD, HAM, ("SCC=akiec", "MEL="))
    assert mapped.map["SCC"] == "akiec" and mapped.left_out == ("MEL",)


def test_priorities_are_reached_through_the_classes_they_stand_for():
    through = {"mel": "high", "akiec": "medium", "nv": "low", "bkl": "low"}
    mapped = class_map(("MEL", "NEV", "SEK", "BCC"), ("high", "medium", "low"), through=through)
    assert mapped.map == {"MEL": "high", "NEV": "low", "SEK": "low"}
    assert mapped.left_out == ("BCC",) and mapped.absent == ("medium",)


@pytest.mark.parametrize("given", ["SCC", "XYZ=mel", "SCC=xyz"])
def test_a_map_with_unknown_names_is_refused(given):
    with pytest.raises(ConfigError, match="class_map is"):
        class_map(PAD, HAM, (given,))


def test_sets_without_a_common_class_are_refused_by_name():
    with pytest.raises(ConfigError, match="No class of cats"):
        class_map(("tabby",), HAM, name="cats")


def frame(*rows):
    return pd.DataFrame(rows, columns=["image_id", "group", "sha256"])


def test_overlap_is_content_or_an_archives_number_never_a_common_name():
    known = frame(("ISIC_0000001", "HAM_0000001", "aa"), ("1", "g1", "bb"), ("2", "PAT_7", "cc"))
    other = frame(
        ("9", "g9", "aa"),
        ("ISIC_0000001", "x", "dd"),
        ("8", "HAM_0000001", "ee"),
        ("1", "g1", "ff"),
        ("7", "PAT_7", "cc"),
    )
    rows = overlap(other, known)
    assert rows["content"].tolist() == [True, False, False, False, True]
    assert rows["image"].tolist() == [False, True, False, False, False]
    assert rows["group"].tolist() == [False, False, True, False, False]


def test_other_images_of_a_recognised_images_group_overlap():
    known = frame(("1", "g1", "aa"))
    other = frame(("2", "lesion-5", "aa"), ("3", "lesion-5", "bb"), ("4", "lesion-6", "cc"))
    rows = overlap(other, known)
    assert rows["content"].tolist() == [True, False, False]
    assert rows["group"].tolist() == [False, True, False]


def test_a_leak_is_said_in_one_sentence():
    assert describe_overlap({"content": 0, "image": 0}, "training images") == ""
    assert describe_overlap({"content": 1}, "training images").startswith(
        "Leak: 1 image was left out because it shows training"
    )
