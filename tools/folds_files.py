"""The committed study in folds: its result, the probabilities of every image, and the log of its runs.

python -m tools.folds_files --workspace PATH --run ID     write benchmarks/results/folds.json and folds/
python -m tools.folds_files --check                       compute its balanced accuracies from the probabilities again

folds/predictions.npz (a zip of NumPy arrays, LZMA) has the dataset's order; S seeds, N images, C classes, K folds:

    image_id (N,), label (N,), group (N,), fold (N,)    and the classes (C,)
    log_prior (K, C)                                    log class shares of each fold's training labels
    tuned/ARM, shared/ARM, tuned_0.1/ARM, shared_0.1/ARM    (S, N) the class decided, adjusted for class frequency
    probability/ARM                                     (S, N, C) uint8 of the tuned heads, -ln p in steps of STEP

Decisions are exact: balanced accuracies and their differences come out as in folds.json. Probabilities are
rounded, so that the files stay small.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from derm_core.config import StudyConfig, from_dict
from derm_core.files import read_json
from derm_core.stats.metrics import balanced_accuracy, decide
from derm_core.study.crossval import JoinedFolds, join_folds, label_shares
from derm_core.study.study_result import StudyResult, read_study
from derm_core.workspace import Workspace
from tools.results import FOLDS

FOLDER = FOLDS.parent / "folds"
STEP = 0.04  # nats
WITHIN = 1e-9  # of balanced accuracy
Arrays = dict[str, np.ndarray]


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """-ln p in whole steps, at most 255, uint8 of the same shape."""
    levels = np.round(-np.log(np.maximum(probabilities, 1e-30)) / STEP)
    return np.minimum(levels, 255).astype(np.uint8)


def restored(levels: np.ndarray) -> np.ndarray:
    """Probabilities (..., C) of rounded ones, each row summing to 1."""
    p = np.exp(-STEP * levels.astype(np.float64))
    return p / p.sum(-1, keepdims=True)


def arrays_of(config: StudyConfig, joined: JoinedFolds) -> Arrays:
    """What predictions.npz holds."""
    data = joined.data
    members = data.members("test")
    numbers = np.unique(joined.fold)
    first = [int(np.flatnonzero(joined.fold == number)[0]) for number in numbers]
    arrays = {
        "image_id": data.image_ids[members].astype(np.str_),
        "label": data.labels_of("test").astype(np.int16),
        "group": np.unique(data.groups_of("test"), return_inverse=True)[1].astype(np.int32),
        "fold": joined.fold.astype(np.int8),
        "classes": np.array(data.classes),
        "log_prior": joined.log_prior[first],
    }
    for name, arms in (("tuned", joined.trained), ("shared", joined.shared)):
        for arm, trained in arms.items():
            decided = decide(trained.probabilities["test"], joined.log_prior)
            arrays[f"{name}/{arm}"] = decided.astype(np.uint8)
    for arm, trained in joined.trained.items():
        arrays[f"probability/{arm}"] = rounded(trained.probabilities["test"])
    for fraction, share in label_shares(joined, config).items():
        for name, scores in (("tuned", share.probabilities), ("shared", share.shared)):
            for arm, p_snc in scores.items():
                if fraction < 1:
                    decided = decide(p_snc, share.log_priors)
                    arrays[f"{name}_{fraction:g}/{arm}"] = decided.astype(np.uint8)
    return arrays


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as `numpy.load` reads them, compressed with LZMA."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            buffer = BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA)


def figures(arrays: Arrays) -> Iterator[tuple[str, str, float]]:
    """(setting, arm, balanced accuracy, mean over seeds) of every array of decisions."""
    for name, decided in arrays.items():
        setting, _, arm = name.partition("/")
        if arm and setting != "probability":
            of_seed = balanced_accuracy(arrays["label"], decided, len(arrays["classes"]))
            yield setting, arm, float(np.mean(of_seed))


def expected(result: StudyResult, setting: str, arm: str) -> float | None:
    """The balanced accuracy that the result gives; None where it has none."""
    kind, _, fraction = setting.partition("_")
    if fraction:
        labels = result.label_efficiency
        table = labels and (
            labels.rows if kind == "tuned" else labels.shared and labels.shared.rows
        )
        for row in table or ():
            if (row.arm, f"{row.fraction:g}") == (arm, fraction):
                return row.balanced_accuracy.mean
        return None
    arms: Any = result.arms if kind == "tuned" else result.shared and result.shared.arms
    return arms[arm].test["balanced_accuracy"].mean if arms and arm in arms else None


def check() -> int:
    """Print every figure beside that of the result; 1 where one differs."""
    result = read_study(FOLDS)
    with np.load(FOLDER / "predictions.npz", allow_pickle=False) as file:
        arrays = dict(file)
    worst = 0.0
    for setting, arm, value in figures(arrays):
        wanted = expected(result, setting, arm)
        if wanted is not None:
            worst = max(worst, abs(value - wanted))
            print(f"{setting:12} {arm:24} {100 * value:.2f} %  folds.json {100 * wanted:.2f} %")
    print(f"The largest difference is {worst:.2g}.")
    return int(worst > WITHIN)


def write(workspace: Workspace, run_id: str) -> None:
    """Write the three files from a finished study in folds."""
    run = workspace.run(run_id)
    config = from_dict(read_json(run.config))
    assert isinstance(config, StudyConfig)
    FOLDER.mkdir(exist_ok=True)
    body = read_json(run.study)
    FOLDS.write_text(json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n", "utf-8")
    write_arrays(FOLDER / "predictions.npz", arrays_of(config, join_folds(config, workspace)))
    studies = [workspace.run(one) for one in config.fold_runs]
    needed = [
        workspace.run(one)
        for study in studies
        for one in dict.fromkeys(_pretrainings(read_json(study.config)))
    ]
    text = "".join(
        f"== {one.id}\n{one.log.read_text(encoding='utf-8')}\n" for one in (*needed, *studies, run)
    )
    (FOLDER / "log.txt").write_text(text, encoding="utf-8")


def _pretrainings(config: dict[str, Any]) -> list[str]:
    return [one for one in (config.get("vae_run"), *config.get("recipe_runs", ())) if one]


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--run")
    options = parser.parse_args()
    if options.check:
        return check()
    if not options.workspace or not options.run:
        parser.error("give --check, or --workspace and --run")
    write(Workspace(options.workspace), options.run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
