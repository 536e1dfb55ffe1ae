"""What a card says of a model's origin: data, initial weights, terms, commands, and what it is not for."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from importlib import metadata

from ..bundles.bundle import CARD, find_bundle
from ..config import PretrainConfig, StudyConfig, from_dict
from ..data.decode import PREPROCESSING_VERSION
from ..data.manifest import DatasetInfo, read_info
from ..errors import DataError, DermError, NotFound
from ..files import read_json
from ..workspace import Workspace

INTENDED_USE = (
    "Research on how the origin of a backbone's weights changes what a skin-lesion classifier learns. "
    "Not a medical device; not for diagnosis, triage or any decision about a person."
)
PREPROCESSING = {
    "version": PREPROCESSING_VERSION,
    "steps": "sRGB, EXIF orientation applied; short side to input_size "
    "(antialiased bicubic), centre crop, then (x / 255 - mean) / std",
}


def training_data(info: DatasetInfo, name: str) -> dict:
    """{dataset, images, groups, layout, license, attribution} of a dataset, from its dataset.json."""
    return {
        "dataset": name,
        "images": info.images,
        "groups": info.groups,
        "layout": info.layout,
        "license": info.license or "not stated by the dataset; ask its owner",
        "attribution": info.citation
        or ("" if info.layout == "synthetic" else "not stated by the dataset"),
    }


def is_public(data: dict) -> bool:
    """Whether anybody may see ids and features of single images of this data: open by its licence, or made here.

    A dataset that states no licence is private.
    """
    terms = str(data.get("license") or "").strip().lower()
    return data.get("layout") == "synthetic" or terms.startswith(
        ("cc ", "cc-", "cc0", "public domain", "creative commons")
    )


def weights_license(data: dict, initial: dict) -> str:
    """The terms of weights trained on `data` from `initial` weights: those of all data they have seen."""
    seen = [
        item for item in (data, initial.get("data")) if item and item.get("layout") != "synthetic"
    ]
    if not seen:
        return "Apache-2.0 (trained on synthetic images made by this program)"
    terms = " and ".join(dict.fromkeys(str(item.get("license") or "not stated") for item in seen))
    return f"{terms} (the terms of the training data); research only"


def initial_weights(workspace: Workspace, extractor: dict) -> dict:
    """Where a backbone's first weights came from, by what its study recorded of the extractor."""
    info = extractor.get("info") or {}
    if extractor["name"] == "imagenet":
        return {
            "kind": "imagenet",
            **{
                key: info.get(key)
                for key in ("pretrained_on", "license", "sha256", "source", "file", "note")
            },
        }
    if info.get("run"):
        return {"kind": "vae", **_pretraining(workspace, info["run"]), "sha256": info.get("sha256")}
    if name := info.get("extractor"):
        card = read_json(find_bundle(workspace, name) / CARD)
        return {
            "kind": "vae",
            "extractor": name,
            "data": card["training_data"],
            "license": card["license"],
            "config": card["config"],
            "sha256": info.get("sha256"),
            "description": f"the extractor {name}, a VAE trained from scratch, labels unused, on "
            f"{_seen(card['config'])} of {card['training_data'].get('dataset')}",
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


def _pretraining(workspace: Workspace, run_id: str) -> dict:
    config = read_json(workspace.run(run_id).config)
    try:
        data = training_data(read_info(workspace.dataset(config["dataset"])), config["dataset"])
    except (NotFound, DataError):
        data = {"dataset": config["dataset"], "license": "not known: the dataset was deleted"}
    recipe = config["recipe"]
    return {
        "run": run_id,
        "data": data,
        "license": data["license"],
        "config": config,
        "description": f"VAE trained from scratch, labels unused, on {_seen(config)} of {config['dataset']} "
        f"(recipe {recipe['name']}, {recipe['epochs']} epochs)",
    }


def _seen(config: dict) -> str:
    if config.get("images") == "all":
        return "all images (transductive: the VAE saw the pixels, not the labels, of test images)"
    return "the training split"


def limits(data: dict, input_size: int) -> list[str]:
    """What a reader of the predictions must know."""
    return [
        "Research use only. Not for diagnosis.",
        f"Knows the classes of {data['dataset']} only and gives one of them to any image, whatever it shows.",
        f"Trained at {input_size} px on images like those of {data['dataset']}; other cameras, skin types and sites may "
        "be served worse, and this was not measured.",
        "Metrics are of one split of one dataset; the intervals say how far they may be off there, not elsewhere.",
    ]


def commands(
    workspace: Workspace,
    config: StudyConfig,
    info: DatasetInfo,
    study: dict,
    arm: str,
    name: str,
    seed: int,
    rates: Sequence[str] = (),
) -> list[str]:
    """The command lines that repeat this model, from the dataset to the library."""
    program = "python -m derm_core"
    data = (
        f"{program} data synth"
        if info.layout == "synthetic"
        else (f"{program} data import PATH --name {config.dataset}")
    )
    pretrain = config.pretrain
    if pretrain is None and config.vae_run:
        pretrain = from_dict(read_json(workspace.run(config.vae_run).config), PretrainConfig)
    compare = [program, "compare", *_options(config, pretrain)]
    publish = (
        f"{program} models publish {study['run_id']} --arm {arm} --name {name}"
        + (f" --seed {seed}" if seed else "")
        + (f" --rates {','.join(rates)}" if rates else "")
    )
    task = study.get("labels") or {}
    given = [f"{c}={level}" for c, level in (task.get("map") or {}).items()]
    priorities = (
        []
        if not given or task["ours"]
        else [shlex.join([*program.split(), "data", "priority", config.dataset, *given])]
    )
    return [data, *priorities, " ".join(compare), publish]


def _options(config: StudyConfig, pretrain: PretrainConfig | None) -> list[str]:
    """Options of `compare` that differ from the preset's; the card's config holds every value."""
    from ..study.presets import preset

    known = config.preset if config.preset != "custom" else "laptop"
    try:
        base = preset(known, dataset=config.dataset)
    except DermError:
        return ["--dataset", config.dataset]
    values = {
        "arms": lambda c: ",".join(c.arms),
        "regime": lambda c: c.regime,
        "labels": lambda c: c.labels,
        "seeds": lambda c: len(c.seeds),
        "architecture": lambda c: c.backbone.architecture,
        "stage": lambda c: c.backbone.stage,
        "input-size": lambda c: c.input_size,
        "split-seed": lambda c: c.split_seed,
        "max-images": lambda c: c.max_images,
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
    if pretrain and base.pretrain:
        theirs, own = pretrain.recipe, base.pretrain.recipe
        options += ["--recipe", theirs.name] if theirs.name != own.name else []
        options += ["--pretrain-epochs", str(theirs.epochs)] if theirs.epochs != own.epochs else []
        options += ["--transductive"] if pretrain.images == "all" else []
    return options


def versions() -> dict:
    """Versions of what computes a prediction."""
    names = ("torch", "torchvision", "timm", "numpy", "pillow", "safetensors")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
