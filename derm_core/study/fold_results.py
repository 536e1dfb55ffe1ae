"""A comparison in folds from its studies to its results: what the worker runs where a study's config has folds and no fold.

study.json has the shape of a study's, over out-of-fold predictions of the whole dataset: test metrics, paired
differences, the primary test and the verdict run on all images at once. Gaps and curves exist per fold and are
combined over folds (intervals over folds, which share most of their training images: descriptive). "folds" holds a
row a fold. There are no heads to publish and no common setting: each fold chose its own on its validation images.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pandas as pd

from ..arms import arm_file
from ..config import StudyConfig, to_dict
from ..events import TICK, Event, jsonable, log
from ..files import write_atomic, writing
from ..records import to_json
from ..stats import gaps as gap_tools
from ..stats.evaluation import evaluate
from ..stats.gaps import fold_gap_differences, matched_pairs
from ..stats.intervals import seed_interval
from ..stats.metrics import LOSSES
from ..stats.multiple_tests import mcnemar
from ..stats.paired import Scorer, arm_pairs
from ..workspace import RunFiles, Workspace
from .breakdown import NOTES, detail
from .claims import claims
from .crossval import Fold, JoinedFolds, curves_table, join, shares_of_labels
from .label_efficiency import compared, score
from .paper import paper_table
from .questions import TrainedStudy
from .results import confusion_of, versions
from .study_data import count_test_look
from .verdict import choose_pair, verdict
from .weight_sources import transductive

NOTE = (
    "Out-of-fold predictions: {folds} folds of whole groups, pretraining repeated in each. Every image is tested once, "
    "by models that saw neither it nor another image of its group. AUROC, calibration and operating points pool the "
    "probabilities of {folds} models an arm and seed."
)
POOLED = " Fitted or chosen on the validation predictions of all folds together, whose images are tested in other folds."
MOMENTS = ("final", "best")


def combine(
    config: StudyConfig, workspace: Workspace, run: RunFiles
) -> Generator[Event, None, dict[str, Any]]:
    """study.json of a comparison in folds but for its seconds: `result = yield from combine(...)`.

    Raises RunError where a fold is not finished or does not fit the others.
    """
    joined = join(config, workspace)
    data, tested = joined.data, joined.data.members("test")
    yield log(f"Putting the predictions of {config.folds} folds together: {len(tested):,} images.")
    looked_before = count_test_look(data.dataset.paths, data.fingerprint, run.id)
    probabilities = {
        arm: trained_arm.probabilities["test"] for arm, trained_arm in joined.trained.items()
    }
    pair = choose_pair(list(joined.trained))
    yield TICK
    stats = to_json(
        evaluate(
            data.labels[tested],
            data.groups[tested],
            probabilities,
            joined.log_prior,
            data.classes,
            resamples=config.bootstrap,
            seed=config.split_seed,
            primary=pair or ("vae", "imagenet"),
            grouped=len(np.unique(data.groups)) < len(data.rows),
            folds=joined.fold,
        )
    )
    yield log("Looking closer at the test images.")
    result = _record(config, run, joined, stats, pair, looked_before)
    result["detail"] = yield from _closer(config, workspace, run, joined)
    if config.label_fractions:
        result["label_efficiency"] = yield from _fewer_labels(config, run, joined)
    return jsonable(result)


def _record(
    config: StudyConfig,
    run: RunFiles,
    joined: JoinedFolds,
    stats: dict,
    pair: tuple[str, str] | None,
    looked_before: int,
) -> dict[str, Any]:
    data, trained = joined.data, joined.trained
    tested, labels = data.members("test"), data.labels[data.members("test")]
    curves = {arm: trained_arm.curves for arm, trained_arm in trained.items()}
    test = {arm: _tested(config, joined, arm) for arm in trained}
    details = {arm: _gaps(curves[arm], *test[arm]) for arm in trained}
    gaps = {
        arm: {name: found[name]["final"]["mean"] for name in ("loss", "accuracy")}
        for arm, found in details.items()
    }
    pairs = arm_pairs(list(trained), pair)
    matched = matched_pairs(curves, pairs)
    gap_rows = to_json(fold_gap_differences(curves, test, matched))
    matched = to_json(matched)
    of_pair = {
        row["kind"]: row
        for row in gap_rows
        if (row["a"], row["b"]) == pair and row["at"] == "final"
    }
    names = {arm: trained_arm.arm.label for arm, trained_arm in trained.items()}
    concluded = verdict(
        stats, gaps, of_pair or None, next(iter(matched), None), names, config.folds
    )
    said = NOTE.format(folds=config.folds)
    concluded["sentences"] = [
        *concluded["sentences"],
        *transductive([trained_arm.arm for trained_arm in trained.values()]),
    ]
    _save(run, joined)
    arms = {
        arm: {
            "label": names[arm],
            "kind": trained_arm.arm.kind,
            "regime": joined.folds[0].result["arms"][arm]["regime"],
            "features": trained_arm.width,
            "test": stats["arms"][arm],
            "per_class": stats["per_class"][arm],
            "curves": f"artefacts/curves/{arm_file(arm)}.csv",
            "gaps": gaps[arm],
            "gaps_detail": details[arm],
            "setting": {},
            "best_setting": {},
        }
        for arm, trained_arm in trained.items()
    }
    notes = list(dict.fromkeys(note for fold in joined.folds for note in fold.result["notes"]))
    return {
        "run_id": run.id,
        "config": to_dict(config),
        "dataset": {
            "name": data.dataset.name,
            "images": len(data.rows),
            "classes": len(data.classes),
            "groups": len(np.unique(data.groups)),
            "fingerprint": data.dataset.fingerprint,
        },
        "split": {
            "folds": config.folds,
            "fingerprint": data.fingerprint,
            "looked_before": looked_before,
            **{key: _mean_counts(joined, key) for key in ("counts", "groups")},
        },
        "classes": list(data.classes),
        "labels": data.task,
        "arms": arms,
        "majority": stats["majority"],
        "differences": stats["differences"],
        "gap_differences": gap_rows,
        "matched": matched,
        "mcnemar": to_json(
            mcnemar(
                labels,
                data.groups[tested],
                {arm: trained_arm.probabilities["test"] for arm, trained_arm in trained.items()},
                pairs,
                seed=config.split_seed,
            )
        ),
        "claims": claims(curves, stats, gap_rows, matched, over="folds"),
        "paper_table": paper_table(curves) + _majority_rows(joined),
        "grid": _settings(config, joined.folds),
        "confusion": {
            arm: confusion_of(trained_arm.probabilities["test"], labels, joined.log_prior)
            for arm, trained_arm in trained.items()
        },
        "verdict": concluded,
        "folds": [_fold_row(fold) for fold in joined.folds],
        "cautions": stats["cautions"],
        "notes": [said, *notes],
        "versions": versions(),
    }


def _tested(config: StudyConfig, joined: JoinedFolds, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Test loss and accuracy of every fold (K,), means over seeds."""
    labels = joined.data.labels[joined.data.members("test")]
    p_snc = joined.trained[arm].probabilities["test"]
    losses, right = LOSSES[config.loss](labels, p_snc).mean(0), (p_snc.argmax(-1) == labels).mean(0)
    return tuple(
        np.array([values[joined.fold == fold.number].mean() for fold in joined.folds])
        for values in (losses, right)
    )


def _gaps(curves: dict, loss: np.ndarray, accuracy: np.ndarray) -> dict[str, dict]:
    """As conclude.gap_detail, with the spread over folds: columns of the curves are folds."""
    test = gap_tools.with_test(curves, loss, accuracy)
    return {
        kind: {**to_json(gap), "test": to_json(seed_interval(test[kind], "folds"))}
        for kind, gap in gap_tools.gaps(curves, "folds").items()
    }


def _mean_counts(joined: JoinedFolds, key: str) -> dict[str, int]:
    """Images or groups of training and validation, means over folds; of the test, all."""
    found = {
        name: round(float(np.mean([fold.result["split"][key][name] for fold in joined.folds])))
        for name in ("train", "val")
    }
    return found | {"test": sum(fold.result["split"][key]["test"] for fold in joined.folds)}


def _majority_rows(joined: JoinedFolds) -> list[dict[str, Any]]:
    """The majority class in the paper's table, means over folds."""
    rows = [
        row
        for fold in joined.folds
        for row in fold.result["paper_table"]
        if row["arm"] == "majority"
    ]
    shares = {
        name: float(np.mean([row["final"] for row in rows if row["quantity"] == name]))
        for name in dict.fromkeys(row["quantity"] for row in rows)
    }
    return [
        {
            "arm": "majority",
            "quantity": name,
            "start": share,
            "final": share,
            "relative_change": None,
            "paper": None,
        }
        for name, share in shares.items()
    ]


def _settings(config: StudyConfig, folds: list[Fold]) -> dict[str, Any]:
    if config.regime == "finetune":
        return dict(folds[0].result["grid"])
    return {
        "rule": "in every fold one setting for all arms: the lowest mean validation loss over arms and seeds",
        "folds": [
            {
                "fold": fold.number,
                **next(iter(fold.result["arms"].values()))["setting"],
                "edge": fold.result["grid"].get("edge", []),
            }
            for fold in folds
        ],
    }


def _fold_row(fold: Fold) -> dict[str, Any]:
    """One fold for study.json: its runs, sizes, and per arm balanced accuracy and both gaps, means over seeds."""
    result = fold.result
    arms = {
        arm: {
            "balanced_accuracy": entry["test"]["balanced_accuracy"]["mean"],
            **{
                f"{kind}_gap_{at}": entry["gaps_detail"][kind][at]["mean"]
                for kind in ("loss", "accuracy")
                for at in MOMENTS
            },
        }
        for arm, entry in result["arms"].items()
    }
    return {
        "fold": fold.number,
        "run": fold.run.id,
        "pretrain": result["config"].get("vae_run"),
        "fingerprint": result["split"]["fingerprint"],
        "counts": result["split"]["counts"],
        "groups": result["split"]["groups"],
        "arms": arms,
    }


def _save(run: RunFiles, joined: JoinedFolds) -> None:
    """artefacts/predictions.parquet and curves, with a column that names the fold."""
    tables = [fold.predictions.assign(fold=fold.number) for fold in joined.folds]
    with writing(run.predictions) as file:
        pd.concat(tables, ignore_index=True).to_parquet(file, index=False)
    for arm in joined.trained:
        write_atomic(
            run.curves(arm),
            curves_table(joined.folds, arm).to_csv(index=False),
        )


def _closer(
    config: StudyConfig, workspace: Workspace, run: RunFiles, joined: JoinedFolds
) -> Generator[Event, None, dict]:
    found = yield from detail(
        TrainedStudy(
            config,
            workspace,
            run,
            joined.data,
            "cpu",
            joined.trained,
            None,
            None,
            None,
            joined.log_prior,
        )
    )
    return found | {
        "notes": NOTES | {name: NOTES[name] + POOLED for name in ("calibration", "operating_point")}
    }


def _fewer_labels(
    config: StudyConfig, run: RunFiles, joined: JoinedFolds
) -> Generator[Event, None, dict]:
    tested, first = joined.data.members("test"), joined.folds[0].result["label_efficiency"]
    scorer = Scorer(
        joined.data.labels[tested],
        joined.data.groups[tested],
        len(joined.data.classes),
        resamples=config.bootstrap,
        seed=config.split_seed,
    )
    scores, sizes, labels = {}, {}, {}
    for fraction, (probabilities, priors, size) in shares_of_labels(joined, config).items():
        sizes[fraction] = size
        for arm, p_snc in probabilities.items():
            scores[arm, fraction], labels[arm] = (
                score(scorer, p_snc, priors),
                joined.trained[arm].arm.label,
            )
            yield TICK
    return {
        "fractions": first["fractions"],
        "updates": first["updates"],
        "setting": {},
        "note": first["note"],
        **(
            compared(scorer, scores, sizes, labels)
            if labels
            else {"rows": [], "differences": [], "crossing": None}
        ),
    }
