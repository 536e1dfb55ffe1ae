"""How many processes and devices a run takes."""

import pytest

from derm_core.config import EmbedConfig, PretrainConfig, StudyConfig
from derm_core.jobs.worker import _devices, _processes

PRETRAIN = PretrainConfig(dataset="d", devices=3)


@pytest.mark.parametrize(
    ("config", "alone", "torchrun"),
    [
        (PRETRAIN, 3, 8),
        (StudyConfig(dataset="d", regime="finetune", devices=2), 2, 8),
        (StudyConfig(dataset="d", regime="frozen", devices=2), 1, 1),
        (EmbedConfig(dataset="d"), 1, 1),
    ],
)
def test_trainings_are_shared_as_the_config_says_or_torchrun(config, alone, torchrun, monkeypatch):
    assert _processes(config) == alone
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert _processes(config) == torchrun


def test_a_shared_run_holds_all_its_gpus_on_this_machine(monkeypatch):
    assert _devices("cpu", PRETRAIN) == ["cpu"]
    assert _devices("cuda-1", PRETRAIN) == ["cuda-1", "cuda-2", "cuda-3"]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert _devices("cuda-0", PRETRAIN) == ["cuda-0", "cuda-1", "cuda-2", "cuda-3"]
