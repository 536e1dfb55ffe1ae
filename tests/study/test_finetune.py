"""Fine-tuning: one schedule for every arm, last weights kept, finished and unfinished models resumed."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from derm_core.config import BackboneConfig, FinetuneSchedule, StudyConfig
from derm_core.nets.backbone import build_backbone
from derm_core.nets.batchnorm import measure_statistics
from derm_core.nets.head import Classifier, make_head
from derm_core.stats.metrics import log_prior
from derm_core.study import finetune as module
from derm_core.study.arms import resolve_arms
from derm_core.study.finetune import finetune
from derm_core.study.study_data import prepare
from derm_core.study.trained_arm import TrainedStudy
from tests.steps import finish

SMALL = BackboneConfig(architecture="resnet18", stage=1)


@pytest.fixture
def config(tiny):
    return StudyConfig(
        dataset="tiny",
        arms=("random",),
        backbone=SMALL,
        input_size=32,
        regime="finetune",
        seeds=(0, 1),
        hidden=16,
        finetune=FinetuneSchedule(epochs=2, batch_size=16, learning_rate=1e-3),
        device="cpu",
    )


def start(config, workspace, run_id):
    """The generator of a fine-tuning, and what it works on."""
    data = finish(prepare(config, workspace))[1]
    arms, _ = resolve_arms(config, workspace)
    run = workspace.run(run_id).create()
    prior = log_prior(data.labels_of("train"), len(data.classes))
    study = TrainedStudy(config, workspace, run, data, "cpu", {}, prior)
    return finetune(study, arms), data, run


@pytest.mark.slow
def test_curves_models_and_probabilities_belong_together(workspace, config):
    steps, data, run = start(config, workspace, "study-1")
    events, trained = finish(steps)
    trained_arm = trained["random"]
    assert trained_arm.curves["epoch"][0] == 0 and trained_arm.curves["epoch"][-1] == 2
    assert trained_arm.curves["val_loss"].shape == (len(trained_arm.curves["epoch"]), 2)
    val = data.members("val")
    hits = trained_arm.probabilities["val"].argmax(-1) == data.labels[val]
    np.testing.assert_allclose(trained_arm.curves["val_accuracy"][-1], hits.mean(-1))
    state = load_file(run.artefacts / "models" / "random-seed1.safetensors")
    classifier = Classifier(build_backbone(SMALL, 0), make_head(64, 16, 3, 0))
    classifier.load_state_dict(state)
    images = torch.from_numpy(data.store.images[data.rows[val]]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = torch.softmax(classifier.eval()((images - 0.5) / 0.5), -1).numpy()
    np.testing.assert_allclose(trained_arm.probabilities["val"][1], expected, atol=1e-4)
    last = [event for event in events if event.series == "random/val/loss"][-1]
    np.testing.assert_allclose(last.value, trained_arm.curves["val_loss"][-1])


@pytest.mark.slow
def test_a_finished_model_is_not_trained_again(workspace, config, monkeypatch):
    _, first = finish(start(config, workspace, "study-1")[0])
    monkeypatch.setattr(module, "fit", None)
    _, second = finish(start(config, workspace, "study-1")[0])
    assert np.array_equal(
        first["random"].probabilities["test"], second["random"].probabilities["test"]
    )
    assert all(
        np.array_equal(first["random"].curves[name], second["random"].curves[name])
        for name in first["random"].curves
    )


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_models(workspace, config):
    _, whole = finish(start(config, workspace, "study-1")[0])
    steps, _, run = start(config, workspace, "study-2")
    for event in steps:
        if event.kind == "metric" and event.epoch == 1 and event.value[1] is not None:
            break  # in the second seed, after its first epoch
    steps.close()
    assert (run.artefacts / "models" / "random-seed0.safetensors").exists()
    assert not (run.artefacts / "models" / "random-seed1.safetensors").exists()
    events, resumed = finish(start(config, workspace, "study-2")[0])
    assert any(event.kind == "log" and "continues" in event.value for event in events)
    np.testing.assert_array_equal(
        resumed["random"].probabilities["test"], whole["random"].probabilities["test"]
    )
    np.testing.assert_array_equal(
        resumed["random"].curves["val_loss"], whole["random"].curves["val_loss"]
    )


def test_measured_batch_norm_computes_in_eval_mode_what_it_does_in_training(tiny):
    network = build_backbone(SMALL, 0)
    x_bchw = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 + 1
    measure_statistics(network, x_bchw)
    with torch.no_grad():
        torch.testing.assert_close(
            network.eval()(x_bchw), network.train()(x_bchw), rtol=0.02, atol=0.02
        )
