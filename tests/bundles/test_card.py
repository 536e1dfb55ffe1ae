"""What a card says of itself when it is read."""

from __future__ import annotations

import pytest

from derm_core.bundles.card import pretrained_label, read_card
from derm_core.bundles.model_library import find_bundle, verify_bundle
from derm_core.errors import BundleError
from tests.bundles.cards import FIELDS, make_card


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"consistency": 1.0}, "VAE + SimCLR"),
        ({"augment": {"mask_ratio": 0.5}}, "VAE (masked input)"),
        ({}, "VAE (plain)"),
    ],
)
def test_a_vae_is_named_after_its_recipe_whatever_its_card_calls_it(settings, name):
    weights = {"kind": "vae", "config": {"recipe": {"epochs": 4, **settings}}}
    assert FIELDS["label"] != name and make_card(initial_weights=weights).label == name


def test_a_card_without_a_recipe_keeps_its_name():
    assert make_card(initial_weights={"kind": "vae", "config": "lost"}).label == FIELDS["label"]


@pytest.mark.parametrize("recipe", [{"epochs": -1}, "views"])
def test_a_recipe_that_cannot_be_is_refused(recipe):
    broken = {"kind": "vae", "config": {"recipe": recipe}}
    with pytest.raises(BundleError, match=r"Recipe|epochs"):
        read_card(FIELDS | {"initial_weights": broken})


def test_an_extractor_is_named_after_what_it_was_pretrained_on(workspace):
    shipped = verify_bundle(find_bundle(workspace, "skin-vae-resnet18-64"))
    assert pretrained_label(shipped) == "VAE pretrained on HAM10000 earlier"
    for dataset, name in (("moles", "VAE pretrained on moles earlier"), ("[x](y)", "tiny-vae")):
        card = make_card(name="tiny-vae", training_data={"dataset": dataset})
        assert pretrained_label(card) == name
