"""Options of commands that come from the fields of a config."""

import argparse

import pytest

from derm_core.commands.start import add_fields, given
from derm_core.config import EmbedConfig


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    add_fields(parser, EmbedConfig, "space", "neighbours", "min_dist", "vae_run")
    return parser


def test_options_have_the_types_of_their_fields_and_are_none_unless_given(parser):
    args = parser.parse_args(["--neighbours", "20", "--min-dist", "0.5", "--vae-run", "7"])
    options = given(args, "space", "neighbours", "min_dist", "vae_run")
    assert options == {"neighbours": 20, "min_dist": 0.5, "vae_run": "7"}


def test_help_gives_the_bounds_of_a_field(parser):
    assert "(2 to 200)" in parser.format_help()


@pytest.mark.parametrize("argv", [["--space", "other"], ["--neighbours", "many"]])
def test_other_values_are_refused(parser, argv):
    with pytest.raises(SystemExit):
        parser.parse_args(argv)
