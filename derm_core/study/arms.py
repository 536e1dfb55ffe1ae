"""The arms of a comparison: names, order, and the extractors behind them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..arms import arm_kind, arm_label, in_order
from ..bundles.library import list_cards
from ..config import BackboneConfig
from ..errors import ConfigError, RunError, WeightsUnavailable
from ..records import to_json
from ..seeds import stream_seed
from ..workspace import Workspace

RANDOM_MEAN = RANDOM_STD = (0.5, 0.5, 0.5)
NO_BACKBONE = (
    "both",
    "colour",
)  # two backbones, or none: nothing that could be fine-tuned or published as one


@dataclass
class Arm:
    """One extractor under comparison, as built.

    variants: one list of extractors (their features side by side), or one such list per seed for
    the arms `random` and `scratch`, whose initialisation is part of what a seed draws.
    """

    name: str
    variants: list[list[Any]]
    label: str = field(init=False)
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        self.label, self.kind = arm_label(self.name), arm_kind(self.name)

    @property
    def extractor(self) -> dict:
        """What study.json keeps: enough to rebuild the extractor, and its identity to check it."""
        return {
            "per_seed": len(self.variants) > 1,
            "variants": [
                [
                    {
                        "name": part.name,
                        "architecture": part.backbone.architecture,
                        "stage": part.backbone.stage,
                        "mean": list(part.mean),
                        "std": list(part.std),
                        "identity": part.identity,
                        "info": part.info,
                    }
                    for part in parts
                ]
                for parts in self.variants
            ],
        }


def build_extractors(arm: str, config, workspace: Workspace) -> list:
    """The extractors of an arm: one, or one per seed for "random" and for "scratch", which starts alike.

    config: StudyConfig or EmbedConfig.

    Raises WeightsUnavailable (imagenet), RunError or NotFound (vae, run:ID), BundleError (bundle:NAME)
    and ConfigError where the backbone is not the one asked for.
    """
    if config.pooling == "multi" and arm not in ("colour", "scratch"):
        return [
            _two_stages(extractor)
            for extractor in build_extractors(
                arm, dataclasses.replace(config, pooling="pooled"), workspace
            )
        ]
    kind, _, name = arm.partition(":")
    if kind == "vae":
        if getattr(config, "vae", None):
            return [_shelf_extractor(arm, config.vae, config, workspace)]
        if not config.vae_run:
            raise ConfigError(
                "vae_run is None; allowed: the id of a finished pretraining, for the arm vae."
            )
        return [_vae_extractor(arm, config.vae_run, config, workspace)]
    if kind == "run":
        return [_vae_extractor(arm, name, config, workspace)]
    if kind == "bundle":
        return [_bundle_extractor(arm, name, config, workspace)]
    if kind == "imagenet":
        return [_imagenet_extractor(config)]
    if kind in ("random", "scratch"):
        return [_random_extractor(arm, config, seed) for seed in _seeds(config)]
    if kind == "colour":
        return [_colour_extractor()]
    if kind == "both":
        return [_both_extractor(config, workspace)]
    raise ConfigError(
        f"arm is {arm!r}; allowed: vae, imagenet, both, random, scratch, colour, bundle:NAME or run:ID."
    )


def _seeds(config) -> tuple[int, ...]:
    return tuple(config.seeds) if hasattr(config, "seeds") else (config.seed,)


def _two_stages(extractor):
    from ..nets.backbone import make_extractor
    from ..nets.multi_stage import MultiStage

    return make_extractor(
        extractor.name,
        MultiStage(extractor.backbone),
        extractor.mean,
        extractor.std,
        {**extractor.info, "pooling": "multi"},
    )


def _colour_extractor():
    from ..nets.backbone import make_extractor
    from ..nets.colour import ColourHistogram

    return make_extractor(
        "colour",
        ColourHistogram(),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        {"weights": "none: colours are counted"},
    )


def _both_extractor(config, workspace: Workspace):
    """The features of the arms vae and imagenet as those of one extractor. (A study has both arms' features already.)"""
    from ..nets.backbone import make_extractor
    from ..nets.side_by_side import SideBySide

    parts = [build_extractors(arm, config, workspace)[0] for arm in ("vae", "imagenet")]
    return make_extractor(
        "both",
        SideBySide(parts),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        {**parts[0].info, "weights": " and ".join(part.info["weights"] for part in parts)},
    )


def _random_extractor(arm: str, config, seed: int):
    from ..nets.backbone import build_backbone, make_extractor

    backbone = build_backbone(config.backbone, stream_seed(seed, "random", "init"))
    return make_extractor(
        arm, backbone, RANDOM_MEAN, RANDOM_STD, {"weights": "random initialisation", "seed": seed}
    )


def _imagenet_extractor(config):
    from ..nets.backbone import load_imagenet, make_extractor

    backbone, info = load_imagenet(config.backbone)
    return make_extractor(
        "imagenet", backbone, info["mean"], info["std"], {"weights": "ImageNet", **info}
    )


def _vae_extractor(arm: str, run_id: str, config, workspace: Workspace):
    """The encoder of a pretraining up to the pooled features, or up to mu where the config says so."""
    from ..nets.backbone import make_extractor
    from ..nets.vae import VAE_MEAN, VAE_STD, load_encoder

    backbone, card = load_encoder(workspace.run(run_id).artefacts, config.pooling)
    _require_backbone(arm, backbone, config, f"Run {run_id}", "vae_run", f"run:{run_id}")
    return make_extractor(
        arm,
        backbone,
        VAE_MEAN,
        VAE_STD,
        {
            "weights": f"VAE of run {run_id}",
            "run": run_id,
            "pooling": config.pooling,
            "sha256": card["sha256"],
            "transductive": bool(card.get("transductive")),
        },
    )


def _require_backbone(arm: str, backbone, config, who: str, field: str, named: str) -> None:
    """Raises RunError where the arm vae would have another network than the study's."""
    theirs = BackboneConfig(architecture=backbone.architecture, stage=backbone.stage)
    if arm == "vae" and theirs != config.backbone:
        raise RunError(
            f"{who} pretrained {theirs.architecture} to stage {theirs.stage}, but this study compares "
            f"{config.backbone.architecture} to stage {config.backbone.stage}: choose a matching {field}, "
            f"or the arm {named}."
        )


def _shelf_extractor(arm: str, name: str, config, workspace: Workspace):
    """The encoder of an extractor bundle, up to the pooled features or to mu, like that of a run."""
    from ..bundles.bundle import load_extractor
    from ..nets.backbone import make_extractor
    from ..nets.vae import encoder_of

    bundle = load_extractor(name, workspace)
    backbone, card = encoder_of(bundle.vae, config.pooling), bundle.card
    _require_backbone(arm, backbone, config, f"The extractor {name}", "vae", f"bundle:{name}")
    return make_extractor(
        arm,
        backbone,
        card.mean,
        card.std,
        {
            "weights": f"extractor {name}",
            "extractor": name,
            "pooling": config.pooling,
            "sha256": card.sha256,
            "transductive": bool(card.record.get("transductive")),
        },
    )


def _bundle_extractor(arm: str, name: str, config, workspace: Workspace):
    from ..bundles.bundle import ExtractorBundle, load_bundle
    from ..nets.backbone import make_extractor

    bundle = load_bundle(name, workspace)
    if isinstance(bundle, ExtractorBundle):
        return _shelf_extractor(arm, name, config, workspace)
    card = bundle.card
    pretrained = card.initial_weights.get("config") or {}
    return make_extractor(
        arm,
        bundle.classifier.backbone,
        card.mean,
        card.std,
        {
            "weights": f"bundle {name}",
            "bundle": name,
            "sha256": card.sha256,
            "training_data": to_json(card.training_data),
            "split": to_json(card.split),
            "transductive": pretrained.get("images") == "all",
        },
    )


def resolve_arms(config, workspace: Workspace) -> tuple[list[Arm], list[str]]:
    """Build the arms of a study; those whose weights cannot be had are left out, and the notes say so.

    Where ImageNet weights are missing, the preset `demo` takes a library bundle's backbone of the same
    architecture under its own name. `both` needs its two parts. Raises WeightsUnavailable where no
    arm is left, and what `build_extractors` raises for the others.
    """
    built: dict[str, list] = {}
    notes: list[str] = []
    wanted = in_order(config.arms)
    parts = set(wanted) | ({"vae", "imagenet"} if "both" in wanted else set())
    for arm in in_order(parts - {"both"}):
        try:
            built[arm] = build_extractors(arm, config, workspace)
        except WeightsUnavailable as error:
            stand_in = (
                _stand_in(config, workspace)
                if config.preset == "demo" and arm == "imagenet"
                else None
            )
            notes.append(_missing_note(error, stand_in, "both" in wanted))
            if stand_in and stand_in not in wanted:
                wanted = in_order([*wanted, stand_in])
                built[stand_in] = build_extractors(stand_in, config, workspace)
    arms = [Arm(arm, [[extractor] for extractor in built[arm]]) for arm in wanted if arm in built]
    if "both" in wanted and {"vae", "imagenet"} <= set(built):
        arms.append(Arm("both", [[built["vae"][0], built["imagenet"][0]]]))
    if not arms:
        raise WeightsUnavailable(
            f"{notes[0]} No arm is left to compare: add one that needs no download, such as vae or "
            "random."
        )
    return sorted(arms, key=lambda arm: in_order(wanted).index(arm.name)), notes


def _missing_note(error: Exception, stand_in: str | None, both: bool) -> str:
    if stand_in:
        gone = " VAE + ImageNet is left out." if both else ""
        return (
            f"ImageNet weights are not available: the backbone of the model {arm_label(stand_in)} takes their place "
            f"under its own name.{gone} {error}"
        )
    left_out = "The arms ImageNet and VAE + ImageNet are" if both else "The arm ImageNet is"
    return f"{left_out} left out, because the ImageNet weights are not available. {error}"


def _stand_in(config, workspace: Workspace) -> str | None:
    """A bundle of the library with the study's backbone, one of ImageNet origin first; None where there is none."""
    wanted = (config.backbone.architecture, config.backbone.stage)
    cards = [card for card in list_cards(workspace) if (card.architecture, card.stage) == wanted]
    cards.sort(key=lambda card: card.arm != "imagenet")
    return f"bundle:{cards[0].name}" if cards else None
