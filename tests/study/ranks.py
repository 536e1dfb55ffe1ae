"""What the ranks of a test do.

python -m torch.distributed.run … -m tests.study.ranks
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from derm_core.config import BackboneConfig, StudyConfig
from derm_core.workspace import REPOSITORY, Workspace

RUN = "study-1"


def launch(workspace: Workspace) -> list[dict]:
    """What each of two ranks did of a study: {"shards": [[begin, end]], "kinds": of its events}."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *command, "-m", "tests.study.ranks"],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((workspace.root / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def study_of_ranks() -> StudyConfig:
    """A study of one network, whose heads train for one epoch."""
    return StudyConfig(
        dataset="tiny",
        arms=("random",),
        backbone=BackboneConfig(architecture="resnet18", stage=1),
        input_size=32,
        seeds=(0,),
        epochs=1,
        learning_rates=(1e-2,),
        weight_decays=(1e-2,),
        bootstrap=50,
        device="cpu",
    )


def main() -> None:
    from derm_core.study import feature_parts, feature_shards, features
    from derm_core.study.protocol import study
    from derm_core.training import process_group

    shards: list[list[int]] = []

    class Recorded(feature_shards.ShardProcesses):
        def __init__(self, compute, own):
            shards.extend([shard.begin, shard.end] for shard in own)
            super().__init__(compute, own)

    feature_parts.PART_SECONDS, feature_shards.SHARD_IMAGES = 0.0, 14
    features.batch_size = lambda device, size: 7
    feature_shards.ShardProcesses = Recorded
    workspace = Workspace.open()
    with process_group.join(0, "cpu") as world:
        kinds = [event.kind for event in study(study_of_ranks(), workspace, workspace.run(RUN))]
    result = json.dumps({"shards": shards, "kinds": kinds})
    (workspace.root / f"rank-{world.rank}.json").write_text(result)


if __name__ == "__main__":
    main()
