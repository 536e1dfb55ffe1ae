"""Shortcut learning: does an arm rely on ink that is tied to one class in training, and the other way round in test?

Strokes of a skin marker are painted on images. In training an image of the target class carries one
with probability 1/2 + ρ/2, any other with 1/2 − ρ/2: at strength 0 the ink says nothing, at 1
everything. In the reversed test the two are exchanged. Each strength trains its own heads, at the
arm's own setting; the study's own heads and numbers stay as they are.

Ink, because surgical markings are known to have raised a network's melanoma scores (Winkler et al.
2019, JAMA Dermatology 155:1135); melanoma, because they are tied to it in practice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..config.shared import ImageForm
from ..data.store import Store
from ..data.synth.photo import draw_ink
from ..events import TICK, Event, log, progress
from ..files import private_file
from ..seeds import stream_seed
from ..stats.intervals import Difference
from ..stats.metrics import decide
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate
from .answers import Shortcut, ShortcutRow
from .clinical import melanoma_class
from .frozen import arm_features, make_heads
from .image_arms import on_images
from .roles import chosen_pairs
from .trained_arm import FrozenHeads, TrainedStudy
from .verdict import points

ARTEFACT = "one stroke of a violet or blue skin marker"
NOT_ASKED = (
    "Not measured for fine-tuned models: every strength would mean training all of them anew."
)
PAINTED_AT_ONCE = 128
BASE = 0.5  # share of images with ink where it is tied to nothing


def shortcut(study: TrainedStudy) -> Generator[Event, None, Shortcut]:
    """Reliance of every frozen arm on the artefact, and balanced accuracy without it and with its tie both ways.

    Reliance is the mean change of p(target) when the same image gets the ink: from −1 to 1, 0 where
    the ink says nothing, 1 where it alone decides.
    """
    study, left_out = on_images(study)
    data, frozen, strengths = study.data, study.frozen, study.config.shortcut
    train = data.labels_of("train")
    target = target_class(data.classes, train)
    share = float((train == target).mean())
    answer = Shortcut(
        class_name=data.classes[target],
        share=share,
        artefact=ARTEFACT,
        base=BASE,
        strengths=tuple(strengths),
    )
    if frozen is None or not frozen.features:
        return dataclasses.replace(answer, text=NOT_ASKED)
    yield log(f"Shortcut: ink on images, associated with {answer.class_name}.")
    inked = yield from _inked_features(study, frozen)
    estimates: dict[tuple[str, float], dict[str, Estimate]] = {}
    arms, what, started = list(frozen.features), "Heads on inked images", time.monotonic()
    trainings = [(rho, arm) for rho in strengths for arm in arms]
    for done, (rho, arm) in enumerate(trainings, start=1):
        estimates[arm, rho] = yield from _measure(study, frozen, arm, inked[arm], target, rho)
        yield progress(done, len(trainings), "trainings", what=what, started=started)
    rows = [_row(arm, rho, estimates[arm, rho]) for rho, arm in trainings]
    differences = [
        Difference.of(a, b, change.interval(), strength=rho)
        for a, b in chosen_pairs(arms)
        for rho in strengths
        for change in [estimates[a, rho]["reliance"] - estimates[b, rho]["reliance"]]
    ]
    answer = dataclasses.replace(
        answer,
        rows=tuple(rows),
        differences=tuple(with_holm(differences)),
        reference=tuple(ink_alone(share, rho) for rho in strengths),
        note=f"{_note(study, arms)} {left_out}".rstrip(),
    )
    labels = {arm: study.trained[arm].arm.label for arm in arms}
    return dataclasses.replace(answer, text=_text(answer, labels))


def _row(arm: str, strength: float, estimates: Mapping[str, Estimate]) -> ShortcutRow:
    intervals = {
        name: value.interval("" if name == "reliance" else "balanced_accuracy")
        for name, value in estimates.items()
    }
    return ShortcutRow(arm=arm, strength=strength, **intervals)


def assign(
    labels: np.ndarray, target: int, strength: float, uniform: np.ndarray, reverse: bool = False
) -> np.ndarray:
    """Which images get the artefact: bool, as `uniform` (..., n) in [0, 1) falls below their probability.

    BASE + strength · (1 − BASE) for the target class, BASE − strength · BASE for the others;
    `reverse` exchanges them.
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
    melanoma = melanoma_class(classes)
    if melanoma is not None:
        return list(classes).index(melanoma)
    return int(np.argsort(-np.bincount(labels, minlength=len(classes)), kind="stable")[1])


def paint_ink(
    images: np.ndarray, rows: np.ndarray, names: Sequence[str], path: Path
) -> Generator[Event, None, np.ndarray]:
    """A copy of uint8 `images` (N, S, S, 3) in a file at `path`, with ink on `rows`; other rows are black.

    names: one an image, on which alone the ink depends.
    """
    inked = np.lib.format.open_memmap(
        private_file(path), mode="w+", dtype=np.uint8, shape=images.shape
    )
    started = time.monotonic()
    for done, row in enumerate(rows, start=1):
        rng = np.random.default_rng(stream_seed(0, "ink", names[row]))
        inked[row] = draw_ink(np.asarray(images[row], np.float32) / 255, rng).clip(0, 1) * 255 + 0.5
        if done % PAINTED_AT_ONCE == 0 or done == len(rows):
            yield progress(done, len(rows), "images", what="Drawing ink", started=started)
            yield TICK
    return inked


def _inked_features(
    study: TrainedStudy, frozen: FrozenHeads
) -> Generator[Event, None, dict[str, np.ndarray]]:
    """Features of every image with ink, in the form of `frozen.features`; they stay in the workspace's cache."""
    data, features, paths = study.data, {}, []
    names = data.dataset.frame["image_id"].tolist()
    try:
        inked: dict[ImageForm | None, Store] = {}
        for form, store in ({None: data.store} | dict(data.other_stores)).items():
            paths.append(study.run.checkpoints / f"inked-{form or store.size}.npy")
            images = yield from paint_ink(store.images, data.rows, names, paths[-1])
            fingerprint = hashlib.sha256(f"{store.fingerprint} ink 1".encode()).hexdigest()
            inked[form] = Store(store.size, images, fingerprint)
        others = {form: store for form, store in inked.items() if form}
        data = dataclasses.replace(data, store=inked[None], other_stores=others)
        for arm in frozen.features:
            features[arm] = yield from arm_features(
                study.trained[arm].arm, study.workspace, data, study.device, study.devices
            )
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    return features


def _measure(
    study: TrainedStudy, frozen: FrozenHeads, arm: str, inked: np.ndarray, target: int, rho: float
) -> Generator[Event, None, dict[str, Estimate]]:
    """One arm's heads trained at one strength, each seed with its own draw of the inked images, and their test."""
    data, clean, scorer = study.data, frozen.features[arm], study.scorer
    streams = [stream_seed(seed, "who carries ink") for seed in study.config.seeds]
    uniform = np.stack([np.random.default_rng(one).random(len(data.rows)) for one in streams])
    mixed = _mix(clean, inked, assign(data.labels, target, rho, uniform))
    heads = make_heads(study.config, data, {arm: mixed}, **frozen.options(frozen.best[arm]))
    for _ in heads.fit():
        yield TICK
    test = data.members("test")
    labels, drawn = data.labels[test], uniform[:, test]
    with_ink, without = inked[..., test, :], clean[..., test, :]
    features = {
        "clean": without,
        "aligned": _mix(without, with_ink, assign(labels, target, rho, drawn)),
        "reversed": _mix(without, with_ink, assign(labels, target, rho, drawn, reverse=True)),
        "inked": with_ink,
    }
    p = {name: heads.probabilities(arm, 0, x) for name, x in features.items()}
    change = (p.pop("inked") - p["clean"])[..., target].astype(np.float64)
    return {
        **{name: scorer.balanced_accuracy(decide(of, study.log_prior)) for name, of in p.items()},
        "reliance": scorer.mean(change),
    }


def _mix(without: np.ndarray, with_ink: np.ndarray, is_inked: np.ndarray) -> np.ndarray:
    """Features (S, n, D): of the inked image where is_inked (S, n), else of the clean one."""
    return np.where(is_inked[..., None], with_ink, without)


def _note(study: TrainedStudy, arms: Sequence[str]) -> str:
    left = [one.arm.label for arm, one in study.trained.items() if arm not in arms]
    note = (
        "Heads are trained anew at every strength, at the arm's own setting, each seed with its own draw of who "
        "carries ink; the test images are the study's."
    )
    return note + (f" Not measured, being trained end to end: {', '.join(left)}." if left else "")


def _text(answer: Shortcut, labels: Mapping[str, str]) -> str:
    strongest, differences = max(answer.strengths), answer.differences
    row = next((row for row in differences if row.strength == strongest), None)
    pair = [row.a, row.b] if row else [one.arm for one in answer.rows]
    at = {one.arm: one for one in answer.rows if one.strength == strongest and one.arm in pair}
    results = "; ".join(
        f"{labels[arm]} {points(one.reliance.mean)} points, balanced accuracy "
        f"{100 * (one.clean.mean or 0):.1f} % without ink and {100 * (one.reversed.mean or 0):.1f} % with the "
        "association reversed"
        for arm, one in at.items()
    )
    text = (
        f"Trained where {answer.artefact} is associated with {answer.class_name} (strength {strongest:g}), arms give "
        f"the same test image another probability of {answer.class_name} once the ink is on it: {results}."
    )
    if row and row.mean is not None:
        verb = "differ" if row.claimed else "are not shown to differ"
        text += (
            f" {labels[row.a]} and {labels[row.b]} {verb} in that reliance "
            f"({points(row.mean)} points, 95 % interval {points(row.low)} to {points(row.high)})."
        )
    return text
