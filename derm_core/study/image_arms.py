"""Questions that ask about other images than the study's own: the arms that can answer them."""

from __future__ import annotations

from dataclasses import replace

from ..arms import reads_images_alone
from ..formatting import listed
from .trained_arm import TrainedStudy


def on_images(study: TrainedStudy) -> tuple[TrainedStudy, str]:
    """The study with the arms whose features follow from an image alone, and a sentence on the others, or "".

    A changed or foreign picture says nothing of age, sex and site, and no network computes features that
    were given.
    """
    others = [one.arm.label for name, one in study.trained.items() if not reads_images_alone(name)]
    if not others:
        return study, ""
    trained, shared = (
        {name: one for name, one in arms.items() if reads_images_alone(name)}
        for arms in (study.trained, study.shared)
    )
    frozen = study.frozen and replace(
        study.frozen,
        features={
            name: matrix
            for name, matrix in study.frozen.features.items()
            if reads_images_alone(name)
        },
    )
    left = f"Not asked of {listed(others)}, whose features do not follow from an image alone."
    return replace(study, trained=trained, shared=shared, frozen=frozen), left
