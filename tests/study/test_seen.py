"""Has an extractor seen the images that are tested? From what it was pretrained on, and on which split."""

from types import SimpleNamespace

import pytest

from derm_core.study.arms import Arm
from derm_core.study.pretraining_data import seen_in
from derm_core.study.seen import seen_by


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
    ],
)
def test_what_a_description_names_decides(about, name, answer):
    assert seen_in(about, dataset(name)) == answer


def test_a_renamed_import_is_known_by_what_it_is():
    assert seen_in("ISIC 2020", dataset("moles", known_as="HAM10000")) == "yes"
    assert seen_in("ISIC 2020", dataset("moles")) == "unknown"


def test_networks_without_training_and_made_up_images_are_unseen():
    assert seen(part("random"), dataset()) == "no"
    assert seen(part(pretrained_on="not stated"), dataset(layout="synthetic")) == "no"
    assert seen(part(pretrained_on="not stated"), dataset()) == "unknown"


def bundle(dataset="ham10000", split="split-1", **more):
    return part(
        "bundle:net",
        bundle="net",
        training_data={"dataset": dataset},
        split={"fingerprint": split},
        **more,
    )


def test_a_published_model_has_seen_its_dataset_unless_the_split_is_the_same():
    assert seen(bundle(), dataset()) == "no"
    assert seen(bundle(transductive=True), dataset()) == "yes"
    assert seen(bundle(split="split-2"), dataset()) == "yes"
    assert seen(bundle("isic2019", "split-2"), dataset()) == "yes"  # the same archive
    assert seen(bundle("PAD-UFES-20", "split-2"), dataset(known_as="HAM10000")) == "no"
    assert seen(bundle("clinic", "split-2"), dataset()) == "unknown"
    assert seen(bundle("synth", "split-2"), dataset()) == "no"


def test_one_part_that_has_seen_them_is_enough():
    arm = Arm("both", [[part("random"), bundle(split="split-2")]])
    data = SimpleNamespace(dataset=dataset(), fingerprint="split-1")
    assert seen_by(arm, data, None) == "yes"
