"""Which arm latches onto what is not clinical? Ink, tied to one class in training and the other way round in test.

Strokes of a skin marker are painted on images. In training an image of the target class carries one
with probability 1/2 + ρ/2, any other with 1/2 − ρ/2: at strength 0 the ink says nothing, at 1
everything. In the reversed test the two are exchanged. Each strength trains its own heads, at the
study's one setting; the study's own heads and numbers stay as they are.

    reliance(with_nc, without_nc, target)   mean change of p(target) when the same image gets the ink: 0 where
                                            the ink says nothing, 1 where it alone decides

Ink, because surgical markings are known to have raised a network's melanoma scores (Winkler et al.
2019, JAMA Dermatology 155:1135); melanoma, because they are tied to it in practice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arms import arm_label
from ..data.store import Store
from ..data.synth.photo import draw_ink
from ..events import TICK, Event, log, progress
from ..files import private_file
from ..heads.grid import Heads
from ..records import to_json
from ..seeds import stream_seed
from ..stats.intervals import Difference
from ..stats.metrics import decide
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate, Scorer, arm_pairs
from .frozen import arm_features
from .questions import TrainedStudy
from .verdict import choose_pair, points

ARTEFACT = "one stroke of a violet or blue skin marker"
TARGETS = ("mel", "melanoma", "high")
PAINTED_AT_ONCE = 128
BASE = 0.5  # share of images with ink where it is tied to nothing


@dataclass(frozen=True, kw_only=True)
class StrengthDifference(Difference):
    """The difference of two arms' reliance on the artefact at one strength of its tie."""

    strength: float


def shortcut(study: TrainedStudy) -> Generator[Event, None, dict]:
    """{class, share, artefact, base, strengths, reference, rows, differences, text, note}; the frozen arms of a frozen study.

    share: of the class among the training images. rows: clean (balanced accuracy without any ink), aligned (ink as
    in training), reversed, reliance.
    reference: the reliance of who knows the class shares and sees nothing but the ink.
    """
    labels, classes = study.data.labels, study.data.classes
    target = target_class(classes, labels[study.data.members("train")])
    share = float((labels[study.data.members("train")] == target).mean())
    head = {
        "class": classes[target],
        "share": share,
        "artefact": ARTEFACT,
        "base": BASE,
        "strengths": list(study.config.shortcut),
    }
    if study.heads is None or not study.features:
        return {
            **head,
            "rows": [],
            "differences": [],
            "reference": [],
            "text": "Not asked of fine-tuned models: every strength would mean training all of them anew.",
        }
    yield log(f"Shortcut: ink on images, tied to {classes[target]}.")
    inked = yield from _inked_features(study)
    test = study.data.members("test")
    scorer = Scorer(
        labels[test],
        study.data.groups[test],
        len(classes),
        resamples=study.config.bootstrap,
        seed=study.config.split_seed,
    )
    found: dict[tuple[str, float], dict[str, Estimate]] = {}
    trainings, started = (
        [(rho, arm) for rho in head["strengths"] for arm in study.features],
        time.monotonic(),
    )
    for done, (rho, arm) in enumerate(trainings):
        found[arm, rho] = yield from _measure(study, scorer, arm, inked[arm], target, rho)
        yield progress(
            done + 1, len(trainings), "trainings", what="Heads on inked images", started=started
        )
    rows = [
        {
            "arm": arm,
            "strength": rho,
            **{
                name: to_json(value.interval("" if name == "reliance" else "balanced_accuracy"))
                for name, value in found[arm, rho].items()
            },
        }
        for rho, arm in trainings
    ]
    arms = list(study.features)
    differences = to_json(
        with_holm(
            [
                StrengthDifference.of(
                    a,
                    b,
                    (found[a, rho]["reliance"] - found[b, rho]["reliance"]).interval(),
                    strength=rho,
                )
                for a, b in arm_pairs(arms, choose_pair(arms))
                for rho in head["strengths"]
            ]
        )
    )
    return {
        **head,
        "rows": rows,
        "differences": differences,
        "reference": [ink_alone(share, rho) for rho in head["strengths"]],
        "text": _text(head, rows, differences),
        "note": _note(study),
    }


def reliance(with_nc: np.ndarray, without_nc: np.ndarray, target: int) -> np.ndarray:
    """Mean over images of p(target | with) − p(target | without), the same images twice: (..., n, C) -> (...).

    From −1 to 1. In expectation 0 for calibrated models whose training showed the artefact
    independently of the class.
    """
    return (with_nc[..., target] - without_nc[..., target]).mean(-1)


def assign(
    labels: np.ndarray, target: int, strength: float, uniform: np.ndarray, reverse: bool = False
) -> np.ndarray:
    """Which images carry the artefact: bool, as `uniform` (..., n) in [0, 1) falls below their probability.

    BASE + strength · (1 − BASE) for the target class, BASE − strength · BASE for the others; `reverse` exchanges them.
    """
    likely, unlikely = BASE + strength * (1 - BASE), BASE - strength * BASE
    return uniform < np.where((np.asarray(labels) == target) != reverse, likely, unlikely)


def ink_alone(share: float, strength: float) -> float:
    """p(target | ink) − p(target | no ink) by Bayes' rule, `share` being the class's share of training."""
    likely, unlikely = BASE + strength * (1 - BASE), BASE - strength * BASE
    with_ink = share * likely / (share * likely + (1 - share) * unlikely)
    without = share * (1 - likely) / (share * (1 - likely) + (1 - share) * (1 - unlikely))
    return with_ink - without


def target_class(classes: Sequence[str], labels: np.ndarray) -> int:
    """Melanoma, or the priority that holds it; without one, the most frequent class but one of `labels`."""
    for name in TARGETS:
        if name in (lower := [c.lower() for c in classes]):
            return lower.index(name)
    return int(np.argsort(-np.bincount(labels, minlength=len(classes)), kind="stable")[1])


def paint_ink(
    images: np.ndarray, rows: np.ndarray, names: Sequence[str], path: Path
) -> Generator[Event, None, np.ndarray]:
    """A copy of uint8 `images` (N, S, S, 3) in a file at `path`, with ink on `rows`: `inked = yield from paint_ink(...)`.

    names: one a image; what is painted depends on it alone. Other rows are left black.
    """
    inked = np.lib.format.open_memmap(
        private_file(path), mode="w+", dtype=np.uint8, shape=images.shape
    )
    started = time.monotonic()
    for done, row in enumerate(rows, start=1):
        rng = np.random.default_rng(stream_seed(0, "ink", names[row]))
        inked[row] = draw_ink(np.asarray(images[row], np.float32) / 255, rng).clip(0, 1) * 255 + 0.5
        if done % PAINTED_AT_ONCE == 0 or done == len(rows):
            yield progress(done, len(rows), "images", what="Painting ink", started=started)
            yield TICK
    return inked


def _inked_features(study: TrainedStudy) -> Generator[Event, None, dict[str, np.ndarray]]:
    """Features of every image with ink, as `study.features` without; kept in the workspace's cache."""
    data, path = study.data, study.run.checkpoints / "inked.npy"
    fingerprint = hashlib.sha256(f"{data.store.fingerprint} ink 1".encode()).hexdigest()
    features = {}
    try:
        inked = yield from paint_ink(
            data.store.images, data.rows, data.dataset.frame["image_id"].tolist(), path
        )
        data = dataclasses.replace(data, store=Store(data.store.size, inked, fingerprint))
        for arm in study.features:
            features[arm] = yield from arm_features(
                study.trained[arm].arm, study.workspace, data, study.device
            )
    finally:
        path.unlink(missing_ok=True)
    return features


def _measure(
    study: TrainedStudy, scorer: Scorer, arm: str, inked: np.ndarray, target: int, rho: float
) -> Generator[Event, None, dict[str, Estimate]]:
    """One arm's heads trained at one strength, each seed with its own draw of who carries ink, and their test."""
    data, config, clean = study.data, study.config, study.features[arm]
    uniform = np.stack(
        [
            np.random.default_rng(stream_seed(seed, "who carries ink")).random(len(data.rows))
            for seed in config.seeds
        ]
    )
    rate, decay = study.heads.grid[study.setting]
    heads = Heads(
        {arm: _mix(clean, inked, assign(data.labels, target, rho, uniform))},
        data.labels,
        data.members("train"),
        data.members("val"),
        classes=len(data.classes),
        seeds=config.seeds,
        learning_rates=(rate,),
        weight_decays=(decay,),
        hidden=config.hidden,
        epochs=config.epochs,
        batch_size=config.batch_size,
        loss=config.loss,
    )
    for _ in heads.fit():
        yield TICK
    test = data.members("test")
    labels, drawn = data.labels[test], uniform[:, test]
    with_ink, without = inked[..., test, :], clean[..., test, :]
    probabilities = {
        "clean": without,
        "aligned": _mix(without, with_ink, assign(labels, target, rho, drawn)),
        "reversed": _mix(without, with_ink, assign(labels, target, rho, drawn, reverse=True)),
        "inked": with_ink,
    }
    p = {name: heads.probabilities(arm, 0, features) for name, features in probabilities.items()}
    decided = {name: decide(p[name], study.log_prior) for name in ("clean", "aligned", "reversed")}
    return {
        **{name: scorer.balanced_accuracy(one) for name, one in decided.items()},
        "reliance": scorer.mean((p["inked"] - p["clean"])[..., target].astype(np.float64)),
    }


def _mix(without: np.ndarray, with_ink: np.ndarray, carries: np.ndarray) -> np.ndarray:
    """Features (S, n, D): of the inked image where carries (S, n), else of the clean one."""
    return np.where(carries[..., None], with_ink, without)


def _note(study: TrainedStudy) -> str:
    left = [arm_label(arm) for arm in study.trained if arm not in study.features]
    said = (
        "Heads are trained anew at every strength, at the study's one setting, each seed with its own draw of who "
        "carries ink; the test images are the study's."
    )
    return said + (f" Not asked, being trained end to end: {', '.join(left)}." if left else "")


def _text(head: dict, rows: list[dict], differences: list[dict]) -> str:
    strongest = max(head["strengths"])
    pair = [differences[0][side] for side in "ab"] if differences else [row["arm"] for row in rows]
    at = {row["arm"]: row for row in rows if row["strength"] == strongest and row["arm"] in pair}
    said = "; ".join(
        f"{arm_label(arm)} {points(row['reliance']['mean'])} points, balanced accuracy "
        f"{100 * row['clean']['mean']:.1f} % without ink and {100 * row['reversed']['mean']:.1f} % with the tie "
        "reversed"
        for arm, row in at.items()
    )
    text = (
        f"Trained where {head['artefact']} is tied to {head['class']} (strength {strongest:g}), the same test image is given "
        f"another probability of {head['class']} once the ink is on it: {said}."
    )
    row = next((row for row in differences if row["strength"] == strongest), None)
    if row and row["mean"] is not None:
        shown = "differ" if row["low"] > 0 or row["high"] < 0 else "are not shown to differ"
        text += (
            f" {arm_label(row['a'])} and {arm_label(row['b'])} {shown} in that reliance "
            f"({points(row['mean'])} points, 95 % interval {points(row['low'])} to {points(row['high'])})."
        )
    return text
