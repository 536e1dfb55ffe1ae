import pytest

from derm_core.cli import main
from derm_core.config.recipes import RECIPES, describe, recipe, with_equal_views
from derm_core.errors import ConfigError


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_carries_its_name_and_says_what_it_does(name):
    assert recipe(name).name == name and len(describe(name)) > 40


def test_overrides_change_only_what_they_name():
    changed = recipe("masked", epochs=3, augment={"mask_ratio": 0.25})
    assert changed.epochs == 3 and changed.augment.mask_ratio == 0.25
    assert changed.augment.brightness == recipe("masked").augment.brightness
    assert recipe("masked").epochs == 16


def test_only_the_masked_recipe_hides_patches():
    assert recipe("paper").augment.mask_ratio == 0 < recipe("masked").augment.mask_ratio


def test_views_has_two_views_and_the_recipes_of_shipped_results_have_one():
    assert recipe("views").consistency > 0
    assert all(
        recipe(name).consistency == 0 and recipe(name).elbo_weight == 1
        for name in ("paper", "masked")
    )


@pytest.mark.parametrize("command", ["pretrain", "compare"])
def test_the_command_line_lists_every_recipe(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(name in printed.partition("--recipe NAME ")[2][:120] for name in RECIPES)


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (lambda: recipe("magic"), "paper, masked"),
        (lambda: describe("magic"), "paper, masked"),
        (lambda: recipe("paper", epoch=3), "recipe.epoch"),
        (lambda: recipe("paper", augment={"blur": 1}), "recipe.augment.blur"),
        (lambda: recipe("paper", epochs=0), "1 or more"),
    ],
)
def test_what_is_unknown_or_not_allowed_is_named(call, printed):
    with pytest.raises(ConfigError, match=printed):
        call()


@pytest.mark.parametrize(
    ("main", "epochs", "other", "expected"),
    [
        ("views", 16, "paper", 32),
        ("views", 16, "masked", 32),
        ("paper", 16, "views", 8),
        ("masked", 5, "paper", 5),
    ],
)
def test_another_recipe_sees_as_many_views_of_images(main, epochs, other, expected):
    made = with_equal_views(recipe(main, epochs=epochs), other)
    assert made == recipe(other, epochs=expected)
