"""The tables of the ablation, from what the lines left: intervals, paired differences, gaps. See recipe.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from derm_core.heads.grid import CURVES
from derm_core.records import to_json
from derm_core.stats.gaps import GAPS, final_estimates, gap_interval
from derm_core.stats.paired import Estimate, Scorer
from derm_core.study.label_efficiency import METRICS, score
from derm_core.study.study_data import StudyData
from derm_core.workspace import Workspace
from experiments.recipe.line_results import FEW, arrays_of, measure, pretrained_run
from experiments.recipe.lines import Line, Setting

SHARES = {"all": 1.0, "few": FEW}
OF_PRETRAINING = ("seconds", "images_per_s", "epochs")


class Judged:
    """Finished lines of one stage, scored at one grid point for all.

    The lowest mean validation loss over lines and seeds.

    Lines of one name are pretraining seeds of one arm. Estimates are by pretraining seed where
    there are several (means over head seeds), else by head seed.
    """

    def __init__(
        self, lines: Sequence[Line], setting: Setting, workspace: Workspace, material: StudyData
    ):
        self.setting, self.material, self.split = (
            setting,
            material,
            "test" if setting.test else "val",
        )
        self.lines: dict[str, list[Line]] = {}
        for line in lines:
            self.lines.setdefault(line.name, []).append(line)
        self.runs = {
            name: [run.id for line in group if (run := pretrained_run(line, setting, workspace))]
            for name, group in self.lines.items()
        }
        self.found = {
            name: [measure(line, setting, workspace) for line in group]
            for name, group in self.lines.items()
        }
        arrays = {
            name: [arrays_of(line, setting, workspace) for line in group]
            for name, group in self.lines.items()
        }
        loss_g = np.mean(
            [
                np.nan_to_num(one["ends_all"][CURVES.index("val_loss")], nan=np.inf).mean(0)
                for group in arrays.values()
                for one in group
            ],
            0,
        )
        self.point = int(loss_g.argmin())
        self.arrays = {
            name: [self._at_point(one) for one in group] for name, group in arrays.items()
        }
        rows = material.members(self.split)
        self.scorer = Scorer(
            material.labels[rows],
            material.groups[rows],
            len(material.classes),
            resamples=setting.resamples,
            seed=setting.split_seed,
        )
        self.scores = {
            name: {share: self._score(name, share) for share in SHARES} for name in self.lines
        }
        self.gaps = self._gaps() if setting.test else {}

    def _at_point(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same at the one grid point alone."""
        return {
            key: value[self.point]
            if key.startswith("p_")
            else value[..., self.point]
            if key.startswith("ends_")
            else value
            for key, value in arrays.items()
        }

    def _score(self, name: str, share: str) -> dict[str, Estimate]:
        scores = [
            score(self.scorer, one[f"p_{share}_{self.split}"], one[f"prior_{share}"])
            for one in self.arrays[name]
        ]
        if len(scores) == 1:
            return scores[0]
        return {
            m: self.scorer.estimate(
                np.array([one[m].by_seed.mean() for one in scores]),
                np.stack([one[m].drawn.mean(1) for one in scores], 1),
            )
            for m in METRICS
        }

    def _gaps(self) -> dict[str, dict[str, dict[str, Estimate]]]:
        """Loss and accuracy by arm, {arm: {"train", "test": {"loss", "accuracy": Estimate}}}, under one draw."""
        keys = [(name, index) for name, group in self.arrays.items() for index in range(len(group))]
        gaps: dict[str, dict[str, dict[str, Estimate]]] = {name: {} for name in self.lines}
        for split in ("train", self.split):
            rows = self.material.members(split)
            drawn = final_estimates(
                self.material.labels[rows],
                self.material.groups[rows],
                {key: self.arrays[key[0]][key[1]][f"p_all_{split}"] for key in keys},
                "cross_entropy",
                split=split,
                resamples=self.setting.resamples,
                seed=self.setting.split_seed,
            )
            for name, group in self.arrays.items():
                gaps[name][split] = _by_pretraining(
                    [drawn[name, index] for index in range(len(group))]
                )
        return gaps

    def val_loss(self, name: str) -> float:
        """Validation loss of an arm's heads at the common grid point."""
        return float(
            np.mean([one["ends_all"][CURVES.index("val_loss")] for one in self.arrays[name]])
        )

    def row(self, name: str) -> dict[str, Any]:
        """One line of a table."""
        first, scores = self.lines[name][0], self.found[name]
        pretrained = [one["pretraining"] for one in scores if one["pretraining"]]
        return {
            "line": name,
            "says": first.says,
            "input_size": first.input_size,
            "pooling": first.pooling,
            "features": scores[0]["width"],
            "pretraining_seeds": len(pretrained) if first.recipe else 0,
            "labels": {f"{share:g}": self._at_share(name, key) for key, share in SHARES.items()},
            "knn": {
                metric: float(np.mean([one["knn"][self.split][metric] for one in scores]))
                for metric in ("accuracy", "balanced_accuracy")
            },
            "judging_seconds": float(np.mean([one["judging_seconds"] for one in scores])),
            **(
                {"pretraining": {**_pretraining(pretrained), "runs": self.runs[name]}}
                if pretrained
                else {}
            ),
        }

    def _at_share(self, name: str, share: str) -> dict[str, Any]:
        ends = np.mean([one[f"ends_{share}"].mean(1) for one in self.arrays[name]], 0)
        of = dict(zip(CURVES, ends, strict=True))
        gaps = (
            {
                f"{kind}_gap": to_json(interval)
                for kind, interval in gap_interval(*self.gaps[name].values()).items()
            }
            if self.gaps and share == "all"
            else {
                "loss_gap": {"mean": of["val_loss"] - of["train_loss"]},
                "accuracy_gap": {"mean": of["train_accuracy"] - of["val_accuracy"]},
            }
        )
        return {
            **{m: to_json(self.scores[name][share][m].interval(m)) for m in METRICS},
            **gaps,
            "val_loss": float(of["val_loss"]),
            "train_accuracy": float(of["train_accuracy"]),
        }

    def minus(self, a: str, b: str) -> dict[str, Any]:
        """Paired differences a − b: each metric, with all labels and with few, and where there is a test both gaps.

        By pretraining seed; an arm without one, or with one, enters with its mean each time.
        """
        count = max(len(self.lines[a]), len(self.lines[b]))

        def fitting(name: str, value):
            return (
                value
                if len(self.lines[a]) == len(self.lines[b]) or len(self.lines[name]) == count
                else _repeated(value, count)
            )

        def difference(share: str, metric: str) -> dict[str, Any]:
            one, other = (fitting(name, self.scores[name][share][metric]) for name in (a, b))
            return to_json((one - other).interval())

        differences: dict[str, Any] = {m: difference("all", m) for m in METRICS}
        if self.gaps:
            changes = [
                {
                    kind: fitting(a, self.gaps[a][split][kind])
                    - fitting(b, self.gaps[b][split][kind])
                    for kind in GAPS
                }
                for split in self.gaps[a]
            ]
            gaps = gap_interval(*changes)
            differences |= {f"{kind}_gap": to_json(interval) for kind, interval in gaps.items()}
        return {**differences, f"labels_{FEW:g}": {m: difference("few", m) for m in METRICS}}


def _repeated(value: Estimate, count: int) -> Estimate:
    """The mean over seeds of an estimate, `count` times."""
    return Estimate(
        np.repeat(value.by_seed.mean(), count),
        np.repeat(value.drawn.mean(1, keepdims=True), count, 1),
        value.resamples,
    )


def _by_pretraining(drawn: Sequence[dict[str, Estimate]]) -> dict[str, Estimate]:
    """Of several pretrainings: one column each, the mean over its head seeds."""
    if len(drawn) == 1:
        return drawn[0]
    return {
        kind: Estimate(
            np.stack([one[kind].by_seed.mean() for one in drawn]),
            np.stack([one[kind].drawn.mean(-1) for one in drawn], -1),
            drawn[0][kind].resamples,
        )
        for kind in GAPS
    }


def _pretraining(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over pretraining seeds of time, rate, reconstruction error and active units."""
    means = {name: float(np.mean([one[name] for one in summaries])) for name in OF_PRETRAINING}
    for name in (
        "val/reconstruction",
        "val/pixel_mse",
        "val/active_units",
        "val/kl",
        "probe/balanced_accuracy",
    ):
        values = [one["metrics"][name] for one in summaries if name in one["metrics"]]
        if values:
            means[name.replace("/", "_")] = float(np.mean(values))
    return means
