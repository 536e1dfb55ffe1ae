"""Small trained studies for tests of what a study can ask beyond its main table."""

from __future__ import annotations

import dataclasses

from derm_core.config import BackboneConfig, FinetuneSchedule, StudyConfig
from derm_core.stats.metrics import log_prior
from derm_core.study.arms import resolve_arms
from derm_core.study.finetune import finetune
from derm_core.study.frozen import study_features, train_frozen
from derm_core.study.study_data import prepare, with_stores
from derm_core.study.trained_arm import TrainedStudy
from tests.builders import write_dataset
from tests.steps import finish

SMALL = BackboneConfig(architecture="resnet18", stage=1)
CONFIG = StudyConfig(
    dataset="tiny",
    arms=("colour", "random"),
    backbone=SMALL,
    input_size=32,
    seeds=(0, 1),
    hidden=16,
    epochs=20,
    batch_size=16,
    learning_rates=(1e-2,),
    weight_decays=(1e-2,),
    bootstrap=200,
    device="cpu",
    finetune=FinetuneSchedule(epochs=1, batch_size=16, learning_rate=1e-3),
)


def trained_study(workspace, run_id="study-1", built=None, **changes) -> TrainedStudy:
    """CONFIG with `changes`, trained on the dataset `tiny`, which is written first where it is missing.

    built: arms already built, in place of those the config names.
    """
    if "tiny" not in workspace.dataset_names():
        write_dataset(workspace)
    config, run = dataclasses.replace(CONFIG, **changes), workspace.run(run_id).create()
    _, data = finish(prepare(config, workspace))
    built = built or resolve_arms(config, workspace)[0]
    forms = [part.form for arm in built for part in arm.parts]
    _, data = finish(with_stores(data, workspace, forms))
    prior = log_prior(data.labels[data.members("train")], len(data.classes))
    study = TrainedStudy(config, workspace, run, data, "cpu", {}, prior)
    if config.regime == "finetune":
        _, trained = finish(finetune(study, built))
        return dataclasses.replace(study, trained=trained)
    _, features = finish(study_features(study, built))
    _, (trained_study, _) = finish(train_frozen(study, built, features))
    return trained_study
