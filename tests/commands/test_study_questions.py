"""Options for what a study can ask beyond its main table."""

import argparse

import pytest

from derm_core.commands.study_questions import add_questions, questions
from derm_core.config import CORRUPTIONS
from derm_core.errors import ConfigError
from derm_core.study.presets import LABEL_FRACTIONS, SHORTCUT


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
