"""Two processes on the CPU (gloo) train what one process trains, with the same draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from derm_core.config import AugmentConfig, BackboneConfig
from derm_core.data.augment import augment
from derm_core.errors import RunError
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import build_vae
from derm_core.seeds import Share
from derm_core.training.distributed import Team, gather_with_gradient
from derm_core.training.engine import fit
from derm_core.training.launch import team
from derm_core.training.recipes import recipe
from derm_core.training.tasks import ClassifyTask, VAETask

from .contrastive import ContrastiveTask

SETTINGS = {
    "epochs": 2,
    "batch_size": 19,
    "lr": 1e-3,
    "wd": 0.05,
    "seed": 3,
    "log_every": 1,
    "augment": AugmentConfig(mask_ratio=0.3, brightness=0.2),
}
CONVNEXT = BackboneConfig(architecture="convnext_atto", stage=0)


@pytest.fixture(scope="module")
def two():
    """This process and one helper, for all tests of the module that ask for it."""
    torch.set_num_threads(1)
    with team(2, "cpu") as formed:
        yield formed


def vae() -> VAETask:
    return VAETask(build_vae(CONVNEXT, 16, 4, 16, seed=0), recipe("masked", epochs=2))


def views() -> VAETask:
    return VAETask(
        build_vae(CONVNEXT, 16, 4, 16, seed=0),
        recipe("views", epochs=2, free_bits=0.1, projection_dim=8),
    )


def classifier() -> ClassifyTask:
    backbone = build_backbone(CONVNEXT, 0)
    width = backbone.width
    return ClassifyTask(
        Classifier(backbone, make_head(width, 8, 3, 0), torch.zeros(width), torch.ones(width))
    )


TASKS = {"vae": vae, "views": views, "classify": classifier, "contrastive": ContrastiveTask}


def curves(events) -> dict[str, list[float]]:
    """Every series of the training's metrics, step by step."""
    found: dict[str, list[float]] = {}
    for event in events:
        if event.kind == "metric":
            found.setdefault(event.series, []).append(event.value)
    return found


def alone(task, *arguments, **settings) -> dict[str, list[float]]:
    """The curves of a training in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("derm_core.training.distributed._active", None)
        return curves(fit(task, *arguments, **settings))


def take_steps(events, steps: int) -> None:
    list(itertools.islice((e for e in events if e.kind == "tick"), steps))
    events.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", TASKS)
def test_two_processes_give_one_process_curve(kind, two, images, labels):
    given = labels if kind == "classify" else None
    more = {
        "classify": {"layer_decay": 0.7, "ema_decay": 0.9},
        "views": {"views": 2, "ema_decay": 0.9},
    }.get(kind, {})
    one = alone(TASKS[kind](), images, range(60), given, **SETTINGS, **more)
    both = curves(fit(TASKS[kind](), images, range(60), given, **SETTINGS, **more))
    assert (
        set(one) == set(both) and len(one["train/loss"]) == 6 and len(set(one["train/loss"])) == 6
    )
    for series in one:  # the gradient's norm too: its scale, not its direction alone
        np.testing.assert_allclose(both[series], one[series], rtol=1e-4, atol=1e-6, err_msg=series)


@pytest.mark.slow
@pytest.mark.parametrize("after", ["two", "one"])
def test_a_shared_training_resumes_with_two_or_one(after, two, images, tmp_path):
    straight = alone(vae(), images, range(60), **SETTINGS)
    take_steps(fit(vae(), images, range(60), checkpoint_dir=tmp_path, **SETTINGS), 4)
    if after == "two":
        rest = curves(fit(vae(), images, range(60), checkpoint_dir=tmp_path, **SETTINGS))
    else:
        rest = alone(vae(), images, range(60), checkpoint_dir=tmp_path, **SETTINGS)
    np.testing.assert_allclose(rest["train/loss"], straight["train/loss"][4:], rtol=1e-4)


def test_memory_mapped_images_are_opened_by_the_helper(two, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert curves(fit(vae(), mapped, range(60), **SETTINGS)) == curves(
        fit(vae(), images, range(60), **SETTINGS)
    )


def test_a_batch_smaller_than_the_team_is_refused(two, images):
    with pytest.raises(RunError, match="1 images cannot be shared by 2"):
        list(fit(vae(), images, range(60), **{**SETTINGS, "batch_size": 1}))


def test_shares_cut_a_batch_into_pieces_that_differ_by_one_at_most():
    for total, size in ((19, 2), (64, 8), (7, 7), (130, 64)):
        shares = [Team(rank, size).share(total) for rank in range(size)]
        assert [s.begin for s in shares] == [0, *(s.end for s in shares[:-1])] and shares[
            -1
        ].end == total
        assert {len(s) for s in shares} <= {total // size, total // size + 1}
        assert sum(s.weight for s in shares) == pytest.approx(1)


def test_a_share_of_a_batch_is_augmented_as_in_the_whole(images):
    config = AugmentConfig(mask_ratio=0.3, brightness=0.2, cast=0.1)
    batch = torch.from_numpy(images[:20]).permute(0, 3, 1, 2) / 255
    whole = augment(batch, config, torch.Generator().manual_seed(1))
    part = augment(batch[7:12], config, torch.Generator().manual_seed(1), Share(7, 12, 20))
    for a, b in zip(whole, part):
        torch.testing.assert_close(a[7:12], b)


@pytest.mark.slow
def test_rows_of_another_number_than_the_share_are_not_gathered(two):
    two.batch = 19
    with pytest.raises(ValueError, match="gather each view by itself"):
        gather_with_gradient(torch.ones(19, 2))


@pytest.mark.slow
def test_batch_norm_on_cpus_is_said_to_be_each_process_own(make_classifier):
    assert "statistics of each process's share" in Team(size=2).describe(make_classifier())
    assert "Batch norm" not in Team(size=2).describe(classifier())
