"""Predictors give for images what the study found for its test images, in both regimes."""

from contextlib import closing

import numpy as np
import pytest

from derm_core.config.shared import ImageForm
from derm_core.errors import RunError
from derm_core.nets.backbone import build_backbone, make_extractor
from derm_core.stats.metrics import decide
from derm_core.study import robustness
from derm_core.study.arms import Arm
from derm_core.study.predictors import FLOAT32, Predictors
from derm_core.study.trained_arm import load_arrays
from derm_core.workspace import Workspace
from tests.study.test_own_networks import CNN, VIT, weights  # noqa: F401
from tests.study.trained import SMALL, finish, trained_study


def images_of_test(study):
    chosen = study.data.members("test")
    return study.data.store.images[study.data.rows[chosen]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace.open(tmp_path_factory.mktemp("predictors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("regime", "arms"), [("frozen", ("colour", "random")), ("finetune", ("random",))]
)
def test_the_tests_images_give_the_tests_probabilities(workspace, regime, arms):
    study = trained_study(workspace, regime, regime=regime, arms=arms)
    images = images_of_test(study)
    with closing(Predictors(study)) as predictors:
        predictors.batch = 5  # several batches, the last one smaller
        events, results = finish(predictors.over(images, np.arange(len(images)), what="Testing"))
    assert {event.kind for event in events} == {"progress", "tick"} and set(results) == set(arms)
    for arm, probabilities in results.items():
        assert probabilities.shape == (2, len(images), 3)
        assert np.abs(probabilities - study.trained[arm].probabilities["test"]).max() < 1e-4


@pytest.mark.slow
def test_an_extractor_of_several_arms_is_computed_once(workspace):
    a, b = (
        make_extractor(f"e{seed}", build_backbone(SMALL, seed), (0.5,) * 3, (0.5,) * 3)
        for seed in (0, 1)
    )
    study = trained_study(workspace, "shared", built=[Arm("vae", [[a]]), Arm("both", [[a, b]])])
    with closing(Predictors(study)) as predictors:
        assert len(predictors._extractors) == 2
        results = predictors(images_of_test(study))
    assert np.abs(results["both"] - study.trained["both"].probabilities["test"]).max() < 1e-4


@pytest.mark.slow
def test_a_missing_model_is_named(workspace):
    study = trained_study(workspace, "broken", regime="finetune", arms=("random",), seeds=(0,))
    next((study.run.artefacts / "models").glob("*.safetensors")).unlink()
    with pytest.raises(RunError, match="seed 0, cannot be read"):
        Predictors(study)


@pytest.mark.slow
def test_an_arm_that_reads_another_size_gets_its_own_images(workspace, monkeypatch):
    network, info = build_backbone(SMALL, 3), {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr("derm_core.study.arms.load_imagenet", lambda config: (network, info))
    study = trained_study(workspace, "sizes", arms=("imagenet", "imagenet@48"))
    rows = study.data.rows[study.data.members("test")]
    stores = {form: store.images for form, store in study.data.other_stores.items()}
    with closing(Predictors(study)) as predictors:
        assert predictors.other_forms == [ImageForm(48)]
        over = predictors.over(study.data.store.images, rows, what="Testing", others=stores)
        _, results = finish(over)
    for arm, probabilities in results.items():
        assert np.abs(probabilities - study.trained[arm].probabilities["test"]).max() < 1e-4


@pytest.mark.slow
def test_a_fine_tuned_network_of_its_own_gets_its_own_images(workspace, weights, monkeypatch):
    """Robustness of clean images is the study's own test, to the decision."""
    arms = (f"timm:{CNN}", f"timm:{VIT}@48@mean", "random")
    study = trained_study(workspace, "own", regime="finetune", arms=arms, corruptions=("jpeg",))
    with closing(Predictors(study)) as predictors:
        assert predictors.other_forms == [ImageForm(32, "bilinear"), ImageForm(48)]
    monkeypatch.setattr(robustness, "default_precision", lambda *_: FLOAT32)
    _, answer = finish(robustness.robustness(study))
    clean = load_arrays(study.run.checkpoints / "robustness" / "clean.npz")
    for arm, trained in study.trained.items():
        decisions = decide(trained.probabilities["test"], study.log_prior)
        np.testing.assert_array_equal(clean[arm][0], decisions)
        own = study.scorer.balanced_accuracy(decisions).interval()
        assert answer.clean[arm].mean == pytest.approx(own.mean)
