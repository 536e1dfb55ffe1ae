"""Has an extractor seen the images that are tested? From what it was pretrained on, and on which split."""

from types import SimpleNamespace

import pytest

from derm_core.bundles.model_library import list_cards
from derm_core.config import PretrainConfig, to_dict
from derm_core.data.known_datasets import TABLE_SETS
from derm_core.nets.timm_models import timm_models
from derm_core.study.arms import Arm
from derm_core.study.network_list import _of_card
from derm_core.study.pretraining_data import seen_in
from derm_core.study.seen import pretraining_of_part, seen_by
from tests.app.bundles import put_bundle


def dataset(name="ham10000", layout="table", known_as=None):
    imported = SimpleNamespace(known_as=known_as)
    info = SimpleNamespace(layout=layout, imported=imported)
    return SimpleNamespace(name=name, info=info, fingerprint="content-1")


def part(name="timm:x", **info):
    return SimpleNamespace(name=name, info=info)


def seen(one, data, workspace=None, split="split-1"):
    arm = Arm(one.name, [[one]])
    return seen_by(arm, SimpleNamespace(dataset=data, fingerprint=split), workspace)


@pytest.mark.parametrize(
    ("about", "name", "answer"),
    [
        ("ImageNet-1k (a1_in1k)", "ham10000", "no"),
        ("ImageNet-1k (ILSVRC 2012)", "my-clinic", "no"),
        ("LAION and ImageNet-1k (laion2b_ft_in1k)", "ham10000", "unknown"),
        ("LVD-142M (lvd142m)", "pad-ufes-20", "unknown"),
        ("not stated", "ham10000", "unknown"),
        ("dermatoscopic images of HAM10000 and others", "ham10000", "yes"),
        ("ISIC 2019 and ImageNet-1k", "ham10000", "yes"),
        ("ISIC 2019 and ImageNet-1k", "pad-ufes-20", "no"),
        ("PAD-UFES-20", "pad-ufes-20", "yes"),
        ("ImageNet-1k and DDI", "ddi", "yes"),
        ("ImageNet-21k (augreg_in21k), then ImageNet-1k, supervised", "ham10000", "no"),
        ("satellite images (SAT-493M) (sat493m)", "ham10000", "no"),
        (
            "ImageNet-1k, then 2 million dermatoscopic images of eleven clinics",
            "ham10000",
            "unknown",
        ),
        ("ImageNet-21k and skin images of 11 institutions (PanDerm)", "ham10000", "unknown"),
        ("ImageNet-1k and Derm1M", "ham10000", "unknown"),
        ("ImageNet-1k (skin_in1k)", "ham10000", "unknown"),
        ("ImageNet-1k (a1_in1k) and what its owner may have added", "ham10000", "unknown"),
        ("ImageNet-1k (a1_in1k)", "image", "no"),
        ("ImageNet-21k and skin images", "skin", "unknown"),
        ("ImageNet-1k, then our moles", "moles", "yes"),
    ],
)
def test_what_a_description_names_decides(about, name, answer):
    assert seen_in(about, dataset(name)) == answer


@pytest.mark.parametrize(
    ("arm", "file", "name", "answer"),
    [
        ("file:panderm-from-in1k.safetensors+vit_base_patch16_224", "", "ham10000", "unknown"),
        ("hf-hub:owner/dermnet-vit-imagenet1k-ft", "", "ham10000", "unknown"),
        ("hf-hub:owner/isic-vit", "", "ham10000", "yes"),
        ("hf-hub:owner/vit-moles", "", "moles", "yes"),
        ("file:moles.safetensors+resnet18", "", "moles", "yes"),
        ("timm:resnet18", "resnet18.moles_in1k.safetensors", "moles", "yes"),
        ("timm:vit_tiny_patch16_224@64", "", "tiny", "unknown"),
        ("timm:resnet18", "resnet18.a1_in1k.safetensors", "resnet", "unknown"),
        ("timm:resnet18", "resnet18.a1_in1k.safetensors", "resnet18", "unknown"),
    ],
)
def test_names_of_files_and_repositories_say_yes_and_never_no(arm, file, name, answer):
    assert seen(part(arm, pretrained_on="not stated", file=file), dataset(name)) == answer


def test_tags_that_hide_other_images_are_not_taken_for_imagenet(workspace):
    models = timm_models()
    for name in (
        "eva_giant_patch14_224.clip_ft_in1k",
        "eva_giant_patch14_336.clip_ft_in1k",
        "beit3_base_patch16_224.in22k_ft_in1k",
    ):
        assert seen_in(models[name].pretrained_on, dataset()) == "unknown"
    answers = {tag: seen_in(models[tag].pretrained_on, dataset()) for tag in models}
    assert sum(answer == "no" for answer in answers.values()) > 1000


def test_a_renamed_import_is_known_by_what_it_is():
    assert seen_in("ISIC 2020", dataset("moles", known_as="HAM10000")) == "yes"
    assert seen_in("ISIC 2020", dataset("moles")) == "unknown"


def test_networks_without_training_and_made_up_images_are_unseen():
    assert seen(part("random"), dataset()) == "no"
    assert seen(part(pretrained_on="not stated"), dataset(layout="synthetic")) == "no"
    assert seen(part(pretrained_on="not stated"), dataset()) == "unknown"


def published(workspace, name="net", **fields):
    """The part of an arm that is a model of the library with this card."""
    put_bundle(workspace, name, "vae", **fields)
    return part(f"bundle:{name}", bundle=name)


def on(dataset_name="ham10000", split="split-1", attribution=None, **initial):
    """Fields of a card: what the model was trained on, and the weights from which it started."""
    data = {"dataset": dataset_name, "attribution": attribution}
    return {
        "training_data": data,
        "split": {"fingerprint": split, "seed": 0},
        "initial_weights": initial or {"kind": "random"},
    }


@pytest.mark.parametrize(
    ("card", "on_dataset", "answer"),
    [
        (on(), dataset(), "no"),
        (on(split="split-2"), dataset(), "yes"),
        (on("isic2019", "split-2"), dataset(), "yes"),  # the same archive
        (on("PAD-UFES-20", "split-2"), dataset(known_as="HAM10000"), "no"),
        (on("PAD-UFES-20", "split-2"), dataset("moles", known_as="PAD-UFES-20"), "yes"),
        (on("clinic", "split-2"), dataset(), "unknown"),
        (on("clinic", "split-2", TABLE_SETS[0].citation), dataset(), "yes"),
        (on("synth", "split-2"), dataset(), "no"),
    ],
)
def test_a_published_model_has_seen_its_dataset_unless_the_split_is_the_same(
    workspace, card, on_dataset, answer
):
    assert seen(published(workspace, **card), on_dataset, workspace) == answer


PAD = {"dataset_name": "PAD-UFES-20", "split": "split-2"}
ISIC = {"kind": "pretrained", "pretrained_on": "ISIC 2019", "file": "a.safetensors"}
PHOTOGRAPHS = {"kind": "imagenet", "pretrained_on": "ImageNet-1k (ILSVRC 2012)"}


def vae(dataset_name="ham10000", **config):
    pretrain = to_dict(PretrainConfig(dataset=dataset_name, **config))
    return {"kind": "vae", "data": {"dataset": dataset_name}, "config": pretrain}


@pytest.mark.parametrize(
    ("card", "answer", "pretrained_on"),
    [
        (on(**ISIC), "yes", "ISIC 2019, then ham10000, with labels"),
        (on(**PAD, **ISIC), "yes", "ISIC 2019, then PAD-UFES-20, with labels"),
        (on("synth-300", **ISIC), "yes", "ISIC 2019, then synth-300, with labels"),
        (
            on(**PAD, **PHOTOGRAPHS),
            "no",
            "ImageNet-1k (ILSVRC 2012), then PAD-UFES-20, with labels",
        ),
        (on(**PAD, kind="pretrained"), "unknown", "not stated, then PAD-UFES-20, with labels"),
        (on(**PAD, **vae()), "yes", "ham10000, without labels, then PAD-UFES-20, with labels"),
        (on(**vae()), "no", "ham10000, without labels, then ham10000, with labels"),
        (on(**vae(images="all")), "yes", "ham10000, without labels, then ham10000, with labels"),
        (on(**vae(split_seed=1)), "yes", "ham10000, without labels, then ham10000, with labels"),
        (on(kind="vae", data={"dataset": "ham10000"}, config={"kind": "x"}), "yes", None),
        (on(kind="bundle", bundle="gone"), "unknown", "not stated, then ham10000, with labels"),
    ],
)
def test_what_a_published_model_started_from_has_been_seen_too(
    workspace, card, answer, pretrained_on
):
    one = published(workspace, **card)
    assert seen(one, dataset(), workspace) == answer
    assert pretrained_on in (None, pretraining_of_part(one, workspace))
    [entry] = [each for each in list_cards(workspace) if each.name == "net"]
    listed = _of_card(entry, workspace)
    assert listed.seen(dataset(), "split-1") == answer
    assert pretrained_on in (None, listed.pretrained_on)


def test_a_chain_of_published_models_is_followed_to_its_beginning(workspace):
    first = put_bundle(workspace, "first", "vae", **on(**PAD, **ISIC))
    start = {"kind": "bundle", "bundle": "first", "data": {"dataset": "PAD-UFES-20"}}
    second = published(workspace, "second", **on(**start, sha256=first.sha256))
    assert seen(second, dataset(), workspace) == "yes"
    chain = "ISIC 2019, then PAD-UFES-20, with labels, then ham10000, with labels"
    assert pretraining_of_part(second, workspace) == chain
    other = published(workspace, "other", **on(**start, sha256="0" * 64))
    assert seen(other, dataset(), workspace) == "unknown"  # another model has that name now


def test_one_part_that_has_seen_them_is_enough(workspace):
    one = published(workspace, **on(split="split-2"))
    arm = Arm("both", [[part("random"), one]])
    data = SimpleNamespace(dataset=dataset(), fingerprint="split-1")
    assert seen_by(arm, data, workspace) == "yes"
