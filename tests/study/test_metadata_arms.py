"""Arms with age, sex and site: where the patient decides they win, where nothing is planted they do not."""

import dataclasses

import numpy as np
import pytest

from derm_core.arms import arm_kind, arm_label, arm_parts, arm_style, in_order, is_one_network
from derm_core.config import StudyConfig, to_dict
from derm_core.data.manifest import save_dataset
from derm_core.errors import BundleError, ConfigError, DataError
from derm_core.files import write_json
from derm_core.jobs.preflight import check
from derm_core.publish.study_arm import open_study_arm
from derm_core.study.arms import build_extractors
from derm_core.study.conclusions import conclusions
from derm_core.study.fitting_arms import fitting_arms
from derm_core.study.metadata_words import picture_or_patient
from derm_core.study.protocol import study
from derm_core.study.roles import choose_pair, headline_pairs
from derm_core.study.study_result import read_study
from derm_core.study.verdict import verdict
from tests.builders import write_dataset
from tests.steps import finish
from tests.study import made_results
from tests.study.made_results import made_result
from tests.study.trained import CONFIG

BESIDE = "metadata+random"
ARMS = ("metadata", BESIDE, "random")


@pytest.fixture
def patients(workspace):
    """The dataset `tiny`, whose class is that of the patient's sex and age, with pictures of noise alone."""
    tiny = write_dataset(workspace, images=180, colours=np.full((3, 3), 120))
    rng = np.random.default_rng(0)
    label = tiny.labels
    sex = np.where(label == 0, "female", "male").astype(object)
    sex[rng.random(len(tiny)) < 0.1] = None
    age = np.where(label == 2, 70.0, 30.0) + rng.normal(0, 4, len(tiny))
    return save_dataset(workspace, "tiny", tiny.frame.assign(age=age, sex=sex), tiny.info)


def test_names_parts_and_order():
    arms = ["random", "metadata+timm:resnet18", "metadata", "metadata+vae", "vae"]
    assert in_order(arms) == ["vae", "metadata+timm:resnet18", "metadata+vae", "metadata", "random"]
    assert arm_label("metadata") == "Metadata (age, sex, site)"
    assert arm_label("metadata+vae") == "VAE + metadata"
    assert arm_label(BESIDE) == "Random initialisation + metadata"
    assert arm_label("metadata+both") == "VAE + ImageNet + metadata"
    assert arm_parts("metadata+file:a.safetensors+resnet18") == (
        "file:a.safetensors+resnet18",
        "metadata",
    )
    assert arm_kind("metadata+vae") == "joined" and not is_one_network("metadata")
    assert arm_style("metadata+vae").about == "the picture beside age, sex and site"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"arms": ("metadata+metadata",)}, "arms"),
        ({"arms": ("metadata+scratch",)}, "arms"),
        ({"arms": ("metadata+nonsense",)}, "arms"),
        ({"arms": ("metadata+bundle:mole-net",), "folds": 3}, "no bundle:NAME"),
        ({"arms": ARMS[:2], "corruptions": ("jpeg",)}, "corruptions"),
        ({"arms": ("metadata",), "external": ("other",)}, "external"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changes, match):
    with pytest.raises(ConfigError, match=match):
        StudyConfig(dataset="tiny", **changes)


def test_the_pairs_that_ask_about_picture_and_patient_stand_in_the_headline():
    arms = ["vae", "imagenet", "metadata+vae", "metadata", "random"]
    pairs = headline_pairs(arms)
    wanted = {("vae", "metadata"), ("imagenet", "metadata"), ("metadata+vae", "metadata")}
    assert wanted | {("metadata+vae", "vae")} <= set(pairs)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    without = headline_pairs(["vae", "imagenet", "random"])
    assert all("metadata" not in pair for pair in without)
    assert choose_pair(arms) == ("vae", "imagenet")
    assert choose_pair(["vae", "metadata"]) == ("vae", "metadata")


def test_the_verdict_answers_in_one_sentence(monkeypatch):
    arms = ("vae", "imagenet", "metadata+vae", "metadata")
    labels = {"metadata": "Metadata (age, sex)", "metadata+vae": "VAE + SimCLR + metadata"}
    accuracy = {"metadata": 0.3, "metadata+vae": 0.6}
    monkeypatch.setattr(made_results, "LABELS", made_results.LABELS | labels)
    monkeypatch.setattr(made_results, "ACCURACY", made_results.ACCURACY | accuracy)
    tuned = {
        ("vae", "imagenet"): (-0.05, -0.01),
        ("vae", "metadata"): (0.2, 0.3),
        ("imagenet", "metadata"): (0.2, 0.3),
        ("metadata+vae", "metadata"): (0.25, 0.35),
        ("metadata+vae", "vae"): (-0.04, 0.06),
    }
    made = made_result(arms, tuned)
    text = picture_or_patient(made, conclusions(made))
    assert text.startswith("the patient’s metadata alone (age, sex), without a picture, have a")
    assert "30.0" in text
    assert "VAE + SimCLR, ImageNet and VAE + SimCLR + metadata are more accurate than that" in text
    assert "VAE + SimCLR + metadata is not shown to differ from VAE + SimCLR alone" in text
    assert any("metadata alone" in sentence for sentence in verdict(made).sentences)
    assert picture_or_patient(made_result(("vae", "imagenet"), {}), []) == ""


def test_every_fold_encodes_with_its_own_training_images(workspace, patients):
    config = dataclasses.replace(CONFIG, arms=ARMS, folds=3)
    built = [
        build_extractors("metadata", dataclasses.replace(config, fold=fold), workspace)[0]
        for fold in (1, 2)
    ]
    assert built[0].identity != built[1].identity
    assert built[0].info["label"] == "Metadata (age, sex)"


def test_what_cannot_have_metadata_is_said_before_a_run_is_queued(workspace):
    write_dataset(workspace)
    with pytest.raises(DataError, match="tiny has no age, sex or site"):
        check(workspace, dataclasses.replace(CONFIG, arms=("random", BESIDE)))
    with pytest.raises(DataError, match="drawn without age"):
        check(workspace, dataclasses.replace(CONFIG, dataset="synth", arms=ARMS))


def test_fine_tuning_leaves_them_out_and_says_so():
    config, notes = fitting_arms(dataclasses.replace(CONFIG, arms=ARMS, regime="finetune"))
    assert config.arms == ("random",)
    assert all(any(arm_label(arm) in note for note in notes) for arm in ARMS[:2])


@pytest.mark.slow
def test_where_the_patient_decides_metadata_win_and_questions_of_pictures_leave_them_out(
    workspace, patients
):
    config = dataclasses.replace(
        CONFIG, arms=ARMS, corruptions=("jpeg",), shortcut=(1.0,), linear_head=True
    )
    run = workspace.run("study-1")
    finish(study(config, workspace, run))
    result = read_study(run.study)
    accuracy = {arm: one.test["balanced_accuracy"].mean for arm, one in result.arms.items()}
    assert accuracy["metadata"] > 0.8 > 0.6 > accuracy["random"]
    assert accuracy[BESIDE] > accuracy["random"] + 0.2
    alone = result.arms["metadata"]
    assert alone.label == "Metadata (age, sex)" and alone.seen == "no"
    assert (alone.input_size, alone.parameters, alone.images_per_second) == (None, 0, None)
    assert result.cost.arms["metadata"].feature_seconds == 0
    assert result.arms[BESIDE].features == alone.features + result.arms["random"].features
    assert any("missing values a category of their own" in note for note in result.notes)
    for answer in (result.robustness, result.shortcut):
        assert {row.arm for row in answer.rows} == {"random"}
        assert "Not asked of" in answer.note and "Metadata (age, sex)" in answer.note
    assert "the patient’s metadata alone" in " ".join(result.verdict.sentences).replace(
        "The", "the"
    )
    write_json(run.config, to_dict(config))
    for arm in ARMS[:2]:
        with pytest.raises(BundleError, match="needs more than an image"):
            open_study_arm(run, arm, 0)
