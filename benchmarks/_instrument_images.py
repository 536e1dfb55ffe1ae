"""Known answers that need images: a leak that the audit must name, ink that heads must come to rely on.

    leak_named(seed) -> bool                        a group and a copied image moved from train to test
    shortcut_reliance(worlds, seed) -> dict         the shortcut stress test on synthetic images

Both run the product's own code on its own synthetic dataset, in a workspace that is deleted
afterwards.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from derm_core.config import BackboneConfig, StudyConfig
from derm_core.data.audit import Crossing, audit
from derm_core.data.manifest import Dataset
from derm_core.data.splits import SPLITS, split_dataset
from derm_core.data.synth.dataset import make_synth
from derm_core.seeds import stream_seed
from derm_core.study.protocol import study
from derm_core.workspace import Workspace

STRENGTHS = (0.0, 0.25, 0.5, 1.0)
ARMS = ("random", "colour")
THREE_SIGMA = 0.99865  # the normal distribution below three standard errors


def leak_named(seed: int = 0) -> bool:
    """Whether the audit says nothing of a sound split and then names the leaked group and the two equal images."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_synth(Workspace.open(folder), images=60, size=32, seed=seed, processes=1)
    split = split_dataset(dataset.labels, dataset.groups, seed)
    train, test = (SPLITS.index(name) for name in ("train", "test"))
    sizes = dataset.frame["group"].value_counts()
    several = dataset.frame["group"].isin(sizes.index[sizes > 1]).to_numpy()
    leaked = np.flatnonzero((split == train) & several)[0]
    group = dataset.frame["group"].iloc[leaked]
    elsewhere = dataset.frame["group"].to_numpy() != group
    copied = [np.flatnonzero((split == part) & elsewhere)[0] for part in (train, test)]
    sound = audit(dataset, split).crossing
    split[leaked] = test
    frame = dataset.frame.copy()
    frame.loc[frame.index[copied[1]], "sha256"] = frame["sha256"].iloc[copied[0]]
    report = audit(
        Dataset(dataset.name, frame, dataset.classes, dataset.info, dataset.paths), split
    ).crossing
    return (
        sound == Crossing((), ())
        and report.groups == (str(group),)
        and set(report.image_ids) == set(frame["image_id"].iloc[copied])
    )


def shortcut_reliance(
    worlds: int = 1,
    seed: int = 0,
    *,
    arms: Sequence[str] = ARMS,
    strengths: Sequence[float] = STRENGTHS,
    images: int = 240,
    size: int = 48,
) -> dict:
    """{"reliance": {arm: {strength: mean}}, "zero_within": {arm: limit}, "worlds", "holds"}.

    Each world has fresh images.

    Holds where every arm's mean reliance grows from each strength to the next and is zero at
    strength zero: within Student's limits of about three standard errors over the worlds. One
    study's own interval will not do for that: heads of a few hundred images may rely on untied ink
    a little, one way or the other, by the chance of their training images, which all its seeds
    share. With one world zero is therefore "below a quarter of what full strength brings".
    """
    seeds = [stream_seed(seed, "shortcut", world) % 2**31 for world in range(worlds)]
    measured = [_one_world(one, arms, strengths, images, size) for one in seeds]
    means = {
        arm: np.array([[row["reliance"]["mean"] for row in world[arm]] for world in measured])
        for arm in arms
    }
    reach = {arm: _reach(values) for arm, values in means.items()}
    holds = all(
        abs(values[:, 0].mean()) <= reach[arm] and (np.diff(values.mean(0)) > 0).all()
        for arm, values in means.items()
    )
    return {
        "reliance": {
            arm: {
                f"{rho:g}": float(mean) for rho, mean in zip(strengths, values.mean(0), strict=True)
            }
            for arm, values in means.items()
        },
        "zero_within": reach,
        "worlds": worlds,
        "holds": bool(holds),
    }


def _reach(values: np.ndarray) -> float:
    """How far from 0 the mean at strength zero may lie; values (worlds, strengths)."""
    if len(values) == 1:
        return float(abs(values[0, -1]) / 4)
    return float(
        student.ppf(THREE_SIGMA, len(values) - 1) * values[:, 0].std(ddof=1) / np.sqrt(len(values))
    )


def _one_world(
    seed: int, arms: Sequence[str], strengths: Sequence[float], images: int, size: int
) -> dict[str, list[dict]]:
    """Rows of the stress test of each arm in the order of strengths; no arm here is pretrained, none needs to be."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        make_synth(workspace, images=images, size=size, seed=seed, processes=1)
        run = workspace.run("study-instrument").create()
        config = StudyConfig(
            dataset="synth",
            arms=tuple(arms),
            backbone=BackboneConfig(architecture="resnet18", stage=1),
            input_size=size,
            split_seed=seed,
            seeds=(0, 1, 2),
            hidden=32,
            epochs=20,
            batch_size=32,
            learning_rates=(1e-2,),
            weight_decays=(1e-2,),
            bootstrap=500,
            shortcut=tuple(strengths),
            device="cpu",
        )
        for _ in study(config, workspace, run):
            pass
        rows = json.loads((run.study).read_text(encoding="utf-8"))["shortcut"]["rows"]
    return {
        arm: sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["strength"])
        for arm in arms
    }
