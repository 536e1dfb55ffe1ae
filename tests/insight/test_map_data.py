"""The images of a map: also those that marks left out of the training of its weights, which the map says."""

from __future__ import annotations

import pytest

from derm_core.config import BackboneConfig, EmbedConfig, PretrainConfig, to_dict
from derm_core.data.marks import Mark, set_marks
from derm_core.data.used_images import SplitRule, used_images
from derm_core.files import write_json
from derm_core.insight.map_data import map_data
from derm_core.nets.vae import build_vae, save_vae
from derm_core.study.features import finish
from derm_core.study.marks import pretraining_with_marks
from tests.builders import write_dataset

BACKBONE = BackboneConfig(architecture="resnet18", stage=1)


@pytest.mark.slow
def test_images_that_a_pretraining_left_out_are_on_its_map_which_says_so(workspace):
    dataset = write_dataset(workspace, images=30, size=16)
    set_marks(dataset, [Mark(image_id="i003", mark="exclude")])
    plain = PretrainConfig(dataset="tiny", backbone=BACKBONE, input_size=16)
    config = pretraining_with_marks(plain, dataset)
    run = workspace.run("pretrain-1").create()
    write_json(run.config, to_dict(config))
    record = {"config": to_dict(config), "dataset": "tiny"}
    save_vae(run.artefacts, build_vae(BACKBONE, 16, 4, 16, seed=0), record)
    embed = EmbedConfig(
        dataset="tiny", arm="run:pretrain-1", backbone=BACKBONE, input_size=16, device="cpu"
    )
    data = finish(map_data(embed, workspace))
    assert len(data.rows) == 30 and len(used_images(dataset, SplitRule.of(config)).rows) == 29
    [words] = data.marks
    assert words.endswith("with 1 exclusion")
