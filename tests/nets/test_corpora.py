"""What timm's tags say of the images of a pretraining."""

import pytest

from derm_core.nets.corpora import corpora_in, pretraining_of


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a1_in1k", ["ImageNet-1k"]),
        ("ImageNet-1k (ILSVRC 2012)", ["ImageNet-1k"]),
        ("ImageNet (in12k_ft_in1k)", ["ImageNet-1k", "ImageNet-12k"]),
        ("augreg_in21k", ["ImageNet-21k"]),
        ("mim_in22k_ft_in22k_in1k", ["ImageNet-1k", "ImageNet-21k"]),
        ("lvd142m", ["LVD-142M"]),
        ("openai_ft_in12k", ["ImageNet-12k", "400 million image-text pairs of OpenAI"]),
        ("fb_swsl_ig1b_ft_in1k", ["ImageNet-1k", "public images of Instagram"]),
        ("mae", ["ImageNet-1k"]),
        ("clip_ft_in1k", ["ImageNet-1k", "image-text pairs of a CLIP"]),
        ("siglip", []),
        ("c_radio", []),
        ("", []),
    ],
)
def test_collections_are_found_in_tags_and_descriptions(text, names):
    assert [corpus.name for corpus in corpora_in(text)] == names


def test_the_tags_of_beit3_name_a_part_of_its_images_alone():
    stated = pretraining_of("in22k_ft_in1k", "beit3_base_patch16_224")
    assert stated == "ImageNet-1k and ImageNet-21k and image-text pairs of BEiT-3 (in22k_ft_in1k)"


def test_a_tag_that_names_no_images_is_not_stated():
    assert pretraining_of("ra2_in1k") == "ImageNet-1k (ra2_in1k)"
    assert (
        pretraining_of("c_radio") == "not stated (c_radio)" and pretraining_of("") == "not stated"
    )
