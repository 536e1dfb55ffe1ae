"""Options for what a study can ask beyond its main table."""

import argparse
from dataclasses import replace

import numpy as np
import pytest

from derm_core.commands.study_questions import add_questions, questions, with_saliency
from derm_core.config import CORRUPTIONS, StudyConfig
from derm_core.data.mask_files import masks_at
from derm_core.data.masks import add_masks
from derm_core.errors import ConfigError
from derm_core.study.presets import LABEL_FRACTIONS, SALIENCY_IMAGES, SHORTCUT
from tests.builders import write_dataset, write_image


def given(*argv):
    parser = argparse.ArgumentParser()
    add_questions(parser)
    return questions(parser.parse_args(argv))


def test_nothing_is_asked_that_was_not_asked_for():
    assert given() == {}


def test_an_option_alone_asks_with_its_defaults():
    assert given("--label-fractions", "--robustness", "--shortcut") == {
        "label_fractions": LABEL_FRACTIONS,
        "corruptions": CORRUPTIONS,
        "shortcut": SHORTCUT,
    }


def test_masks_alone_ask_of_the_default_number_of_images():
    assert given("--masks") == {"saliency_images": SALIENCY_IMAGES}
    assert given("--masks", "50") == {"saliency_images": 50}


def test_a_full_study_measures_saliency_where_its_dataset_has_masks(workspace, tmp_path):
    dataset = write_dataset(workspace, images=6, size=16)
    config = StudyConfig(dataset="tiny", arms=("random",))
    assert with_saliency(config, workspace) == config
    for i in range(6):
        write_image(tmp_path / "masks" / f"i00{i}.png", np.eye(16, dtype=np.uint8) * 255)
    add_masks(dataset, masks_at(tmp_path / "masks"))
    assert with_saliency(config, workspace).saliency_images == SALIENCY_IMAGES
    assert with_saliency(replace(config, arms=("metadata",)), workspace).saliency_images == 0
    assert with_saliency(replace(config, saliency_images=9), workspace).saliency_images == 9


def test_values_take_the_place_of_the_defaults():
    assert given(
        "--label-fractions",
        "1,0.1",
        "--robustness",
        "noise, jpeg",
        "--shortcut",
        "0,1",
        "--external",
        "pad,isic2018",
    ) == {
        "label_fractions": (0.1, 1.0),
        "corruptions": ("noise", "jpeg"),
        "shortcut": (0.0, 1.0),
        "external": ("pad", "isic2018"),
    }


def test_what_is_not_a_number_is_refused_by_name():
    with pytest.raises(ConfigError, match="--shortcut is 'strong'"):
        given("--shortcut", "strong")
