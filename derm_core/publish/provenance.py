"""What a card says of a model's origin: data, initial weights, terms, commands, and what it is not for."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from ..arms import own_architecture
from ..bundles.card_parts import TrainingData
from ..bundles.model_library import find_bundle, verify_bundle
from ..config import PretrainConfig, StudyConfig, from_dict
from ..data.decode import PREPROCESSING_VERSION
from ..data.manifest import DatasetInfo, read_info
from ..errors import BundleError, DataError, DermError, NotFound
from ..files import read_json
from ..records import from_json, to_json
from ..study.presets import preset
from ..workspace import Workspace
from .study_arm import StudyArm

PROGRAM = "python -m derm_core"

INTENDED_USE = (
    "Research on how the origin of a backbone's weights changes what a skin-lesion classifier learns. "
    "Not a medical device; not for diagnosis, triage or any decision about a person."
)


def preprocessing(interpolation: str = "bicubic") -> dict[str, Any]:
    """How a model's images are prepared, for its card."""
    return {
        "version": PREPROCESSING_VERSION,
        "steps": "sRGB, EXIF orientation applied; short side to input_size "
        f"(antialiased {interpolation}), centre crop, then (x / 255 - mean) / std",
    }


def training_data(info: DatasetInfo, name: str) -> TrainingData:
    """The dataset on a card, from its name and dataset.json."""
    synthetic = info.layout == "synthetic"
    return TrainingData(
        dataset=name,
        images=info.images,
        groups=info.groups,
        layout=info.layout,
        license=info.license or "not stated by the dataset; ask its owner",
        attribution=info.citation or ("" if synthetic else "not stated by the dataset"),
    )


def is_public(data: TrainingData) -> bool:
    """Whether anybody may see ids and features of single images of this data: open by its licence, or generated here.

    A dataset that states no licence is private.
    """
    terms = (data.license or "").strip().lower()
    return data.layout == "synthetic" or terms.startswith(
        ("cc ", "cc-", "cc0", "public domain", "creative commons")
    )


def weights_license(data: TrainingData, pretrained_on: Mapping[str, Any] | None = None) -> str:
    """The terms of weights trained on `data`, after a pretraining on other data: those of all data they have seen."""
    first = from_json(TrainingData, pretrained_on or {}, unknown="ignore", error=BundleError)
    seen = [item for item in (data, first) if item != TrainingData()]
    terms = [item.license or "not stated" for item in seen if item.layout != "synthetic"]
    if not terms:
        return "Apache-2.0 (trained on synthetic images made by this program)"
    return f"{' and '.join(dict.fromkeys(terms))} (the terms of the training data); research only"


def initial_weights(workspace: Workspace, extractor: Mapping[str, Any]) -> dict[str, Any]:
    """Where a backbone's first weights came from, by what its study recorded of the extractor."""
    info = extractor.get("info") or {}
    if extractor["name"] == "imagenet":
        shown = ("pretrained_on", "license", "sha256", "source", "file", "note")
        return {"kind": "imagenet", **{key: info.get(key) for key in shown}}
    if own_architecture(extractor["name"]):
        shown = ("pretrained_on", "license", "sha256", "source", "file", "pooling")
        pretraining = TrainingData(
            dataset=info.get("pretrained_on"), license=info.get("license") or "not stated"
        )
        return {
            "kind": "pretrained",
            "description": f"{info.get('label')}, pretrained on {info.get('pretrained_on')}",
            **{key: info.get(key) for key in shown},
            "data": to_json(pretraining),
        }
    if info.get("run"):
        return {"kind": "vae", **_pretraining(workspace, info["run"]), "sha256": info.get("sha256")}
    if name := info.get("extractor"):
        card = verify_bundle(find_bundle(workspace, name))
        assert card.config is not None
        return {
            "kind": "vae",
            "extractor": name,
            "data": to_json(card.training_data),
            "license": card.license,
            "config": card.config,
            "sha256": info.get("sha256"),
            "description": f"the extractor {name}, a VAE trained from scratch, labels unused, on "
            f"{_seen(card.config)} of {card.training_data.dataset}",
        }
    if info.get("bundle"):
        data = info.get("training_data") or {}
        return {
            "kind": "bundle",
            "bundle": info["bundle"],
            "description": f"backbone of the bundle {info['bundle']}",
            "sha256": info.get("sha256"),
            "data": data,
            "license": data.get("license", "see that bundle's card"),
        }
    return {
        "kind": "random",
        "seed": info.get("seed"),
        "description": "random initialisation, no pretraining",
        "license": "none needed",
    }


def _pretraining(workspace: Workspace, run_id: str) -> dict[str, Any]:
    config = read_json(workspace.run(run_id).config)
    dataset = config["dataset"]
    try:
        data = training_data(read_info(workspace.dataset(dataset)), dataset)
    except (NotFound, DataError):
        data = TrainingData(dataset=dataset, license="not known: the dataset was deleted")
    recipe = config["recipe"]
    return {
        "run": run_id,
        "data": to_json(data),
        "license": data.license,
        "config": config,
        "description": f"VAE trained from scratch, labels unused, on {_seen(config)} of {dataset} "
        f"(recipe {recipe['name']}, {recipe['epochs']} epochs)",
    }


def _seen(config: Mapping[str, Any]) -> str:
    if config.get("images") == "all":
        return "all images (transductive: the VAE saw the pixels, not the labels, of test images)"
    return "the training split"


def limits(data: TrainingData, input_size: int) -> list[str]:
    """What a reader of the predictions must know."""
    return [
        "Research use only. Not for diagnosis.",
        f"Knows the classes of {data.dataset} only and gives one of them to any image, whatever it shows.",
        f"Trained at {input_size} px on images like those of {data.dataset}; other cameras, skin types and sites may "
        "be served worse, and this was not measured.",
        "Metrics are of one split of one dataset; the intervals say how far they may be off there, not elsewhere.",
    ]


def commands(
    workspace: Workspace, source: StudyArm, info: DatasetInfo, name: str, rates: Sequence[str] = ()
) -> list[str]:
    """The command lines that repeat a study's model, from the dataset to the library.

    Args:
        workspace: the study's.
        source: its arm and seed.
        info: the dataset's dataset.json.
        name: of the bundle.
        rates: datasets whose rate of outliers is on its card.
    """
    config = source.config
    pretrain = config.pretrain
    if pretrain is None and config.vae_run:
        pretrain = from_dict(read_json(workspace.run(config.vae_run).config), PretrainConfig)
    compare = " ".join([PROGRAM, "compare", *_options(config, pretrain)])
    publish = (
        f"{PROGRAM} models publish {source.study.run_id} --arm {source.arm} --name {name}"
        + (f" --seed {source.seed}" if source.seed else "")
        + (f" --rates {','.join(rates)}" if rates else "")
    )
    task = source.labels
    levels = [f"{c}={level}" for c, level in (task.get("map") or {}).items()]
    priorities = shlex.join([*PROGRAM.split(), "data", "priority", config.dataset, *levels])
    own_map = [priorities] if levels and not task["ours"] else []
    return [import_command(info, config.dataset), *own_map, compare, publish]


def import_command(info: DatasetInfo, name: str) -> str:
    """The command line that imports or generates a dataset, by its dataset.json."""
    if info.layout == "synthetic":
        return f"{PROGRAM} data synth --name {name}"
    return f"{PROGRAM} data import PATH --name {name}"


def _options(config: StudyConfig, pretrain: PretrainConfig | None) -> list[str]:
    """Options of `compare` that differ from the preset's; the card's config holds every value."""
    known = config.preset if config.preset != "custom" else "laptop"
    try:
        base = preset(known, dataset=config.dataset)
    except DermError:
        return ["--dataset", config.dataset]
    values: dict[str, Callable[[StudyConfig], object]] = {
        "arms": lambda c: ",".join(c.arms),
        "regime": lambda c: c.regime,
        "lora-rank": lambda c: c.finetune.lora_rank,
        "labels": lambda c: c.labels,
        "seeds": lambda c: len(c.seeds),
        "architecture": lambda c: c.backbone.architecture,
        "stage": lambda c: c.backbone.stage,
        "input-size": lambda c: c.input_size,
        "split-seed": lambda c: c.split_seed,
        "splits": lambda c: c.splits,
        "max-images": lambda c: c.max_images,
        "draw": lambda c: c.draw,
    }
    options = [
        "--preset",
        known,
        "--dataset",
        config.dataset,
        *(["--vae", config.vae] if config.vae else []),
    ]
    for option, value in values.items():
        if value(config) != value(base):
            options += [f"--{option}", str(value(config))]
    if config.marks:
        options += ["--marks", *(["--new-labels"] if config.marks.new_labels else [])]
    if pretrain and base.pretrain:
        theirs, own = pretrain.recipe, base.pretrain.recipe
        options += ["--recipe", theirs.name] if theirs.name != own.name else []
        options += ["--pretrain-epochs", str(theirs.epochs)] if theirs.epochs != own.epochs else []
        options += ["--transductive"] if pretrain.images == "all" else []
    return options


def versions() -> dict[str, str]:
    """Versions of what computes a prediction."""
    names = ("torch", "torchvision", "timm", "numpy", "pillow", "safetensors")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
