"""Two stages side by side: the same numbers as two backbones, one to each stage, give."""

import pytest
import torch

from derm_core.config import BackboneConfig
from derm_core.errors import ConfigError
from derm_core.nets.backbone import build_backbone, load_timm_state
from derm_core.nets.multi_stage import MultiStage


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet18", "convnext_atto", "mobilenetv2_050"])
def test_both_stages_are_those_of_backbones_to_each(architecture):
    last = build_backbone(BackboneConfig(architecture=architecture, stage=2), 0).eval()
    earlier = build_backbone(BackboneConfig(architecture=architecture, stage=1), 1).eval()
    load_timm_state(earlier, last.body.state_dict())
    two, x_bchw = MultiStage(last).eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = torch.cat([earlier.pooled(x_bchw), last.pooled(x_bchw)], 1)
        torch.testing.assert_close(two.pooled(x_bchw), expected)
    assert two.width == expected.shape[1] == earlier.width + last.width


def test_stage_0_has_none_below_it():
    with pytest.raises(ConfigError, match="stage is 0"):
        MultiStage(build_backbone(BackboneConfig(architecture="resnet18", stage=0), 0))
