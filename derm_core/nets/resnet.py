"""ResNet-18 and ResNet-34 (He et al. 2016, arXiv 1512.03385) up to a stage: what ships opens without timm.

Importing timm imports torchvision and PyTorch's compiler, which takes longer than importing PyTorch. These two are the
backbones of the models that ship and the default of studies. Tensors have timm's names; the same seed gives the same
weights as timm's, and the same weights the same maps, to the last bit (tests/nets/test_resnet.py).
"""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}  # of each stage
WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut, which is a 1 × 1 convolution where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int):
        super().__init__()
        downsample = None
        if stride != 1 or width_in != width:  # made first, as timm does: it draws its weights first
            downsample = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x_bchw: Tensor) -> Tensor:
        shortcut = x_bchw if self.downsample is None else self.downsample(x_bchw)
        x_bchw = self.act1(self.bn1(self.conv1(x_bchw)))
        x_bchw = self.bn2(self.conv2(x_bchw))
        x_bchw += shortcut
        return self.act2(x_bchw)


class ResNet(nn.Module):
    """Images (B, 3, H, W) -> [map (B, width, H / reduction, W / reduction)] of the last stage that is kept.

    Args:
        architecture: one of BLOCKS.
        stage: the last one, 1 to 4.
    """

    def __init__(self, architecture: str, stage: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        width_in = WIDTHS[0]
        for number, (width, count) in enumerate(zip(WIDTHS, BLOCKS[architecture]), 1):
            strides = [1 if number == 1 else 2, *[1] * (count - 1)]
            blocks = [
                BasicBlock(width_in if i == 0 else width, width, s) for i, s in enumerate(strides)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            width_in = width
        nn.Linear(width_in, 1000)  # timm's classifier, which draws random numbers, too
        self._initialise()
        for number in range(stage + 1, len(WIDTHS) + 1):  # they have drawn their random numbers
            delattr(self, f"layer{number}")
        stages = [
            {"num_chs": width, "reduction": 4 << place, "module": f"layer{place + 1}"}
            for place, width in enumerate(WIDTHS[:stage])
        ]
        # As timm describes the stages of a network; its stage 0 is the stem.
        self.feature_info = [{"num_chs": WIDTHS[0], "reduction": 2, "module": "act1"}, *stages]

    def _initialise(self) -> None:
        """Kaiming's normal for kernels; each block starts as its shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x_bchw: Tensor) -> list[Tensor]:
        for module in self.children():
            x_bchw = module(x_bchw)
        return [x_bchw]
