"""A task that compares images across the whole batch, for the ranks of a training."""

from __future__ import annotations

import os
import signal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from derm_core.seeds import Share
from derm_core.training.distributed import current, gather_with_gradient
from derm_core.training.tasks import Batch, Task


class ContrastiveTask(Task):
    """Normalised temperature-scaled cross-entropy of each image's view against all clean images of the batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 16 * 16, 12), nn.Tanh(), nn.Linear(12, 8)
        )
        self.unused = nn.Linear(2, 2)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        a_bd = F.normalize(self.network(batch.view_bchw), dim=1)
        b_bd = F.normalize(self.network(batch.target_bchw), dim=1)
        all_nd, share = gather_with_gradient(b_bd), batch.share or Share(0, len(a_bd), len(a_bd))
        assert torch.equal(all_nd[share.of_batch], b_bd)
        target_b = torch.arange(share.begin, share.end)
        return {"loss": F.cross_entropy(a_bd @ all_nd.T / 0.2, target_b), "output": a_bd}


class FailingTask(ContrastiveTask):
    """Fails in the ranks other than 0, in the second step: raises, or is killed."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.calls = how, 0

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        if self.calls == 2 and not current().is_main:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError("no memory left on the rank")
        return super().forward(batch)
