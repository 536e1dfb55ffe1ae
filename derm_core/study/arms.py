"""The arms of a study as built: which extractors stand behind each, and what each is called."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..arms import (
    ARM_STYLES,
    METADATA,
    arm_embeddings,
    arm_kind,
    arm_label,
    arm_parts,
    arm_recipe,
    arm_size,
    in_order,
    own_architecture,
)
from ..bundles.bundle import Bundle, ExtractorBundle, load_bundle, load_extractor
from ..bundles.card import WHOLE_NETWORK, pretrained_label
from ..bundles.model_library import list_cards
from ..config import BackboneConfig, EmbedConfig, StudyConfig
from ..config.labels import recorded_label, study_labels
from ..config.shared import ImageForm
from ..errors import ConfigError, RunError, WeightsUnavailable
from ..nets.backbone import Backbone, Extractor, build_backbone, load_imagenet, make_extractor
from ..nets.colour import ColourHistogram
from ..nets.multi_stage import MultiStage
from ..nets.pretrained import load_pretrained
from ..nets.side_by_side import SideBySide
from ..nets.vae import VAE_MEAN, VAE_STD, encoder_of, load_encoder
from ..records import to_json
from ..seeds import stream_seed
from ..workspace import Workspace
from .given import embeddings_extractor, metadata_extractor

RANDOM_MEAN = RANDOM_STD = (0.5, 0.5, 0.5)
# Mean and standard deviation of a network that does its own normalisation.
AS_THEY_ARE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
FeatureConfig = StudyConfig | EmbedConfig


@dataclass
class Arm:
    """One arm under comparison.

    Args:
        name: as in a config.
        variants: one list of extractors (their features side by side), or one such list per seed
            where `random` or `scratch` is among them, whose initialisation is part of what a seed
            draws.
        label: what it is called; by default `arm_label`.
        chosen: of the arm of a role, the arms that were chosen for it, one a fold.
        seen: whether the pretraining has seen the dataset's images: "yes", "no", "unknown", or empty
            where that was not asked.
    """

    name: str
    variants: list[list[Extractor]]
    label: str = ""
    chosen: tuple[str, ...] = ()
    seen: str = ""
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        self.label, self.kind = self.label or arm_label(self.name), arm_kind(self.name)

    @property
    def parts(self) -> list[Extractor]:
        """Every extractor of every variant."""
        return [part for parts in self.variants for part in parts]

    @property
    def extractor(self) -> dict[str, Any]:
        """The extractors as study.json describes them: what builds them again, and their identity to check them."""
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
                        **({"input_size": part.input_size} if part.input_size else {}),
                        **(
                            {"interpolation": part.interpolation}
                            if part.form and part.interpolation != "bicubic"
                            else {}
                        ),
                    }
                    for part in parts
                ]
                for parts in self.variants
            ],
        }


def build_extractors(arm: str, config: FeatureConfig, workspace: Workspace) -> list[Extractor]:
    """The extractors of an arm that is not joined: one, or one per seed for "random" and "scratch", which start alike.

    Raises:
        WeightsUnavailable: imagenet, timm:NAME, hf-hub:OWNER/NAME, file:FILE+ARCHITECTURE.
        RunError, NotFound: vae, run:ID.
        BundleError: bundle:NAME.
        ConfigError: where the backbone is not the one the config names.
        NotFound, DataError: embeddings:NAME, and metadata, where the dataset has none.
    """
    if arm == METADATA:
        assert isinstance(config, StudyConfig)  # maps are of pictures
        return [metadata_extractor(config, workspace)]
    if arm_embeddings(arm):
        return [embeddings_extractor(arm, config, workspace)]
    if own := own_architecture(arm):
        return [_as_read(load_pretrained(arm, own), config)]
    if config.pooling == "multi" and arm not in ("colour", "scratch"):
        pooled = dataclasses.replace(config, pooling="pooled")
        return [_two_stages(extractor) for extractor in build_extractors(arm, pooled, workspace)]
    kind, name = arm_kind(arm), arm.partition(":")[2]
    if kind == "vae" and config.vae:
        extractor = load_extractor(config.vae, workspace)
        return [_extractor_of_bundle(arm, config.vae, extractor, config)]
    if kind in ("vae", "run", "recipe"):
        return [_extractor_of_run(arm, _run_of(arm, config), config, workspace)]
    if kind == "bundle":
        bundle = load_bundle(name, workspace)
        if isinstance(bundle, ExtractorBundle):
            return [_extractor_of_bundle(arm, name, bundle, config)]
        return [_extractor_of_classifier(arm, name, bundle, config)]
    if kind == "imagenet":
        backbone, info = load_imagenet(config.backbone)
        about = {"weights": "ImageNet", **info}
        imagenet = make_extractor("imagenet", backbone, info["mean"], info["std"], about)
        return [dataclasses.replace(imagenet, input_size=arm_size(arm))]
    if kind in ("random", "scratch"):
        seeds = config.seeds if isinstance(config, StudyConfig) else (config.seed,)
        return [_random_extractor(arm, config, seed) for seed in seeds]
    if kind == "colour":
        about = {"weights": "none: colours are counted"}
        return [make_extractor("colour", ColourHistogram(), *AS_THEY_ARE, about)]
    if kind == "both":
        return [_both_extractor(config, workspace)]
    raise ConfigError(
        f"arm is {arm!r}; allowed: vae, imagenet, both, random, scratch, colour, metadata, timm:NAME, "
        "hf-hub:OWNER/NAME, file:FILE.safetensors+ARCHITECTURE, embeddings:NAME, bundle:NAME or run:ID."
    )


def _as_read(extractor: Extractor, config: FeatureConfig) -> Extractor:
    """The extractor, which names no form of its images where that is the study's."""
    own = extractor.form == ImageForm(config.input_size)
    return dataclasses.replace(extractor, input_size=None) if own else extractor


def _two_stages(extractor: Extractor) -> Extractor:
    if extractor.backbone.stage == WHOLE_NETWORK:
        return extractor  # pooled in its own way, as an arm with a network of its own
    assert isinstance(extractor.backbone, Backbone)  # the others have no stages
    network, about = MultiStage(extractor.backbone), {**extractor.info, "pooling": "multi"}
    multi = make_extractor(extractor.name, network, extractor.mean, extractor.std, about)
    size, interpolation = extractor.input_size, extractor.interpolation
    return dataclasses.replace(multi, input_size=size, interpolation=interpolation)


def _both_extractor(config: FeatureConfig, workspace: Workspace) -> Extractor:
    """The features of the arms vae and imagenet as those of one extractor; a study has both already."""
    parts = [build_extractors(arm, config, workspace)[0] for arm in ("vae", "imagenet")]
    about = {**parts[0].info, "weights": " and ".join(part.info["weights"] for part in parts)}
    return make_extractor("both", SideBySide(parts), *AS_THEY_ARE, about)


def _random_extractor(arm: str, config: FeatureConfig, seed: int) -> Extractor:
    backbone = build_backbone(config.backbone, stream_seed(seed, "random", "init"))
    about = {"weights": "random initialisation", "seed": seed}
    return make_extractor(arm, backbone, RANDOM_MEAN, RANDOM_STD, about)


def _run_of(arm: str, config: FeatureConfig) -> str:
    """The pretraining behind an arm vae, recipe:NAME or run:ID."""
    if recipe := arm_recipe(arm):
        assert isinstance(config, StudyConfig)
        run_id = dict(zip(config.recipes, config.recipe_runs, strict=False)).get(recipe)
    else:
        run_id = arm.partition(":")[2] or config.vae_run
    if not run_id:
        field = "recipe_runs" if recipe else "vae_run"
        raise ConfigError(
            f"{field} is {getattr(config, field)}; allowed: the id of a finished pretraining, for the arm {arm}."
        )
    return run_id


def _extractor_of_run(
    arm: str, run_id: str, config: FeatureConfig, workspace: Workspace
) -> Extractor:
    """The encoder of a pretraining up to the pooled features, or up to mu where the config says so."""
    network, card = load_encoder(workspace.run(run_id).artefacts, config.pooling)
    about = {
        "weights": f"VAE of run {run_id}",
        "run": run_id,
        "label": recorded_label(card.get("config")),
        "pooling": config.pooling,
        "sha256": card["sha256"],
        "transductive": bool(card.get("transductive")),
    }
    extractor = make_extractor(arm, network, VAE_MEAN, VAE_STD, about)
    _require_backbone(extractor, config, f"Run {run_id}", "vae_run", f"run:{run_id}")
    return extractor


def _extractor_of_bundle(
    arm: str, name: str, bundle: ExtractorBundle, config: FeatureConfig
) -> Extractor:
    """The encoder of an extractor bundle, up to the pooled features or to mu, like that of a run."""
    card = bundle.card
    stands_alone = arm_kind(arm) == "bundle"
    about = {
        "weights": f"extractor {name}",
        "extractor": name,
        "label": pretrained_label(card) if stands_alone else recorded_label(card.config),
        "pooling": config.pooling,
        "sha256": card.sha256,
        "transductive": bool(card.record.get("transductive")),
    }
    network = encoder_of(bundle.vae, config.pooling)
    extractor = make_extractor(arm, network, card.mean, card.std, about)
    _require_backbone(extractor, config, f"The extractor {name}", "vae", f"bundle:{name}")
    return extractor


def _require_backbone(
    extractor: Extractor, config: FeatureConfig, who: str, field: str, named: str
) -> None:
    """Raises RunError where the arm vae would have another network than the study's."""
    backbone = extractor.backbone
    theirs = BackboneConfig(architecture=backbone.architecture, stage=backbone.stage)
    if arm_kind(extractor.name) in ("vae", "recipe") and theirs != config.backbone:
        raise RunError(
            f"{who} pretrained {theirs.architecture} to stage {theirs.stage}, but this study compares "
            f"{config.backbone.architecture} to stage {config.backbone.stage}: choose a matching {field}, "
            f"or the arm {named}."
        )


def _extractor_of_classifier(
    arm: str, name: str, bundle: Bundle, config: FeatureConfig
) -> Extractor:
    """The network of a bundle, which reads images of its own form where it has one."""
    card = bundle.card
    pretrained = card.initial_weights.get("config") or {}
    about = {
        "weights": f"bundle {name}",
        "bundle": name,
        "sha256": card.sha256,
        "training_data": to_json(card.training_data),
        "split": to_json(card.split),
        "transductive": pretrained.get("images") == "all",
    }
    if card.stage == WHOLE_NETWORK:
        about |= {"tokens": card.tokens}
    network, form = bundle.classifier.backbone, card.own_form
    extractor = make_extractor(arm, network, card.mean, card.std, about)
    if form:
        extractor.input_size, extractor.interpolation = form.size, form.interpolation
    return _as_read(extractor, config)


def resolve_arms(config: StudyConfig, workspace: Workspace) -> tuple[list[Arm], list[str]]:
    """Build the arms of a study; those whose weights cannot be had are left out, and the notes say so.

    Where ImageNet weights are missing, the preset `demo` takes a library bundle's backbone of the
    same architecture under its own name. A joined arm needs both its parts.

    Raises:
        WeightsUnavailable: where no arm is left; and what `build_extractors` raises for the others.
    """
    built: dict[str, list[Extractor]] = {}
    missing: WeightsUnavailable | None = None
    notes: list[str] = []
    wanted = in_order(config.arms)
    for part in in_order(config.parts):
        try:
            built[part] = build_extractors(part, config, workspace)
        except WeightsUnavailable as error:
            if own_architecture(part):
                gone = [arm_label(arm) for arm in wanted if part in arm_parts(arm)]
                notes.append(f"{_left_out(gone)}. {error}")
            else:
                missing = error
    left_out = [arm for arm in wanted if not built.keys() >= set(arm_parts(arm))]
    stand_in = None
    if config.preset == "demo" and "imagenet" in left_out:
        stand_in = _stand_in(config, workspace)
    if stand_in and stand_in not in wanted:
        wanted = in_order([*wanted, stand_in])
        built[stand_in] = build_extractors(stand_in, config, workspace)
    vae = built["vae"][0].info.get("label") if "vae" in built else None
    labels = study_labels(wanted, config.input_size, vae, _extractor_labels(built))
    if missing:
        gone = [labels[arm] for arm in left_out if not any(map(own_architecture, arm_parts(arm)))]
        notes.insert(0, _missing_note(missing, stand_in, gone))
    arms = [
        Arm(arm, _side_by_side([built[part] for part in arm_parts(arm)]), labels[arm])
        for arm in wanted
        if arm not in left_out
    ]
    if not arms:
        raise WeightsUnavailable(
            f"{notes[0]} No arm is left to compare: add one that needs no download, such as vae or "
            "random."
        )
    return arms, notes + [note for arm in arms if (note := _other_form(arm, config.input_size))]


def _other_form(arm: Arm, size: int) -> str | None:
    """A note where the network of a bundle reads images of another size than the study's."""
    form = arm.parts[0].form
    if arm.kind != "bundle" or not form or form.size == size:
        return None
    return (
        f"{arm.label} reads images of {form.size} px ({form.interpolation}), as it was published, not of the study's "
        f"{size} px."
    )


def _extractor_labels(built: dict[str, list[Extractor]]) -> dict[str, str]:
    """{arm: its name} of the arms bundle:NAME that are extractors, of those with their own network, and of metadata."""
    infos = {arm: extractors[0].info for arm, extractors in built.items()}
    return {
        arm: info["label"]
        for arm, info in infos.items()
        if (arm_kind(arm) == "bundle" and "extractor" in info)
        or own_architecture(arm)
        or arm == METADATA
    }


def _side_by_side(parts: list[list[Extractor]]) -> list[list[Extractor]]:
    """The variants of an arm from those of its parts; a part of one variant stands in each."""
    count = max(len(variants) for variants in parts)
    return [[variants[i % len(variants)] for variants in parts] for i in range(count)]


def _missing_note(error: Exception, stand_in: str | None, left_out: list[str]) -> str:
    if stand_in:
        others = [label for label in left_out if label != ARM_STYLES["imagenet"].name]
        gone = "".join(f" {label} is left out." for label in others)
        return (
            f"ImageNet weights are not available: the backbone of the model {arm_label(stand_in)} takes their place "
            f"under its own name.{gone} {error}"
        )
    return f"{_left_out(left_out)}, because the ImageNet weights are not available. {error}"


def _left_out(labels: list[str]) -> str:
    arms = f"The arms {', '.join(labels)} are" if len(labels) > 1 else f"The arm {labels[0]} is"
    return f"{arms} left out"


def _stand_in(config: StudyConfig, workspace: Workspace) -> str | None:
    """A bundle of the library with the study's backbone, one of ImageNet origin first; None where there is none."""
    wanted = (config.backbone.architecture, config.backbone.stage)
    cards = [card for card in list_cards(workspace) if (card.architecture, card.stage) == wanted]
    cards.sort(key=lambda card: card.arm != "imagenet")
    return f"bundle:{cards[0].name}" if cards else None
