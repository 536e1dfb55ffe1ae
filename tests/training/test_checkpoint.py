import errno
import os
from pathlib import Path

import pytest
import torch

from derm_core.errors import RunError, StorageError
from derm_core.training import checkpoint
from derm_core.training.checkpoint import (
    CheckpointWriter,
    clear_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)


def trained(value: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A linear layer full of `value`, one step of AdamW taken."""
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0)
    torch.nn.init.constant_(model.weight, value)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return model, optimiser


def test_what_is_saved_is_loaded(tmp_path):
    model, optimiser = trained(2.0)
    save_checkpoint(tmp_path, model, optimiser, {"step": 7, "note": "x"})
    other, other_optimiser = trained(5.0)
    other_optimiser.state[other.weight]["exp_avg"].zero_()
    assert load_checkpoint(tmp_path, other, other_optimiser) == {"step": 7, "note": "x"}
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(
        other_optimiser.state[other.weight]["exp_avg"], optimiser.state[model.weight]["exp_avg"]
    )


def test_nothing_saved_is_nothing_loaded(tmp_path):
    assert load_checkpoint(tmp_path / "none", *trained(1.0)) is None


def test_only_the_newest_is_kept_and_the_same_step_may_be_saved_again(tmp_path):
    for step, value in ((1, 1.0), (2, 2.0), (2, 3.0)):
        save_checkpoint(tmp_path, *trained(value), {"step": step})
    assert len(list(tmp_path.glob("*step-*"))) == 1
    model, optimiser = trained(0.0)
    load_checkpoint(tmp_path, model, optimiser)
    assert model.weight[0, 0] == 3.0


@pytest.mark.parametrize("at", ["model.safetensors", "optimiser.pt", "state.json", "latest"])
def test_a_kill_at_any_file_leaves_the_previous_checkpoint(tmp_path, monkeypatch, at):
    save_checkpoint(tmp_path, *trained(1.0), {"step": 1})
    replace = os.replace

    def dies(source, target):
        if Path(target).name == at:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, *trained(2.0), {"step": 2})
    model, optimiser = trained(0.0)
    assert load_checkpoint(tmp_path, model, optimiser) == {"step": 1}
    assert model.weight[0, 0] == 1.0


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.pt", "state.json"])
def test_damage_is_said_with_what_to_do(tmp_path, name):
    folder = save_checkpoint(tmp_path, *trained(1.0), {"step": 1})
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(RunError, match="delete the run's checkpoints folder"):
        load_checkpoint(tmp_path, *trained(0.0))


def test_clearing_removes_checkpoints_and_nothing_else(tmp_path):
    save_checkpoint(tmp_path, *trained(1.0), {"step": 1})
    (tmp_path / "precision.json").write_text("{}")
    clear_checkpoints(tmp_path)
    assert newest_checkpoint(tmp_path) is None and [p.name for p in tmp_path.iterdir()] == [
        "precision.json"
    ]


def test_a_writer_saves_what_was_held_when_it_was_asked(tmp_path):
    writer, (model, optimiser) = CheckpointWriter(tmp_path), trained(2.0)
    moment = optimiser.state[model.weight]["exp_avg"].clone()
    state = {"step": 7, "curve": [1.0]}
    writer.save(model, optimiser, state)
    torch.nn.init.constant_(model.weight, 9.0)
    optimiser.state[model.weight]["exp_avg"].zero_()
    state["curve"].append(2.0)
    writer.close()
    other, other_optimiser = trained(5.0)
    assert load_checkpoint(tmp_path, other, other_optimiser) == {"step": 7, "curve": [1.0]}
    assert other.weight[0, 0] == 2.0 and torch.equal(
        other_optimiser.state[other.weight]["exp_avg"], moment
    )


def test_moments_keep_the_layout_of_their_weights(tmp_path):
    model = torch.nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 4, 5, 5)).sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path, model, optimiser, {"step": 1})
    load_checkpoint(tmp_path, model, optimiser)
    assert optimiser.state[model.weight]["exp_avg"].stride() == model.weight.stride()


def test_a_writer_says_at_the_next_occasion_what_went_wrong(tmp_path, monkeypatch):
    writer = CheckpointWriter(tmp_path)

    def full(path, data):
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    writer.save(*trained(1.0), {"step": 1})
    with pytest.raises(OSError, match="no space left"):
        writer.wait()
    writer.close()
    assert newest_checkpoint(tmp_path) is None


def test_a_full_disk_is_said_whichever_file_meets_it(tmp_path, monkeypatch):
    def full(content, handle):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(StorageError, match="disk is full"):
        save_checkpoint(tmp_path, *trained(1.0), {"step": 1})
    assert newest_checkpoint(tmp_path) is None
