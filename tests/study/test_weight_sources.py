"""Weights are held against the split of the images that they were made of, whatever the dataset is called here."""

from __future__ import annotations

import pytest

from derm_core.config import StudyConfig
from derm_core.errors import RunError
from derm_core.study.arms import resolve_arms
from derm_core.study.study_data import prepare
from derm_core.study.weight_sources import check_sources
from tests.builders import import_ham10000, write_dataset
from tests.steps import finish

pytestmark = pytest.mark.slow


def notes(workspace, dataset: str, arm: str) -> list[str]:
    config = StudyConfig(dataset=dataset, arms=(f"bundle:{arm}",))
    _, data = finish(prepare(config, workspace))
    arms, _ = resolve_arms(config, workspace)
    return check_sources(config, workspace, data, arms)


def test_images_that_shipped_weights_may_have_seen_are_known_under_any_name(workspace, tmp_path):
    import_ham10000(workspace, tmp_path / "files", "mine", images=80)
    with pytest.raises(RunError, match="pretrained on another split"):
        notes(workspace, "mine", "skin-vae-resnet18-64")
    [note] = notes(workspace, "mine", "vae-resnet18-64")
    assert "trained with labels on another split of mine" in note
    write_dataset(workspace, "others", images=60)
    [note] = notes(workspace, "others", "skin-vae-resnet18-64")
    assert "was pretrained on ham10000, not on others" in note
