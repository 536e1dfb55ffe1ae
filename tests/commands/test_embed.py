"""The options of `embed`."""

import argparse

from derm_core.commands.embed import add_arguments


def test_the_models_of_a_map_are_named_with_models_and_under_the_earlier_option():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for option in ("--models", "--opinions"):
        assert parser.parse_args(["--dataset", "d", option, "a,b"]).models == "a,b"
    assert "--models" in parser.format_help() and "--opinions" not in parser.format_help()
