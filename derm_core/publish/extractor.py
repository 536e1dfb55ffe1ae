"""From a finished pretraining to an extractor in the library: the VAE itself, with what its card must say."""

from __future__ import annotations

import copy
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundles.card_fields import SCHEMA
from ..bundles.extractor import ExtractorBundle, load_extractor, save_extractor
from ..config import PretrainConfig, from_dict, to_dict
from ..data.manifest import DatasetInfo, load_dataset
from ..errors import BundleError, NotFound, RunError
from ..events import jsonable
from ..files import read_json
from ..seeds import stream_seed
from ..workspace import RunFiles, Workspace, check_id
from . import provenance
from .classifier import former_hash, put_whole
from .memorisation import memorisation

if TYPE_CHECKING:
    from ..nets.vae import VAE
    from ..training.pretrain import Material

MOST_TRAINING = 20_000  # images that the neighbours and the memorisation check look at
SAMPLES = 64  # of the decoder, for the memorisation check
NEIGHBOURS = 10
TOLERANCE = 0.02  # change of features by rounding to float16, in their standard deviations
RECORD = (
    "dataset",
    "dataset_fingerprint",
    "split_seed",
    "split_fingerprint",
    "images",
    "transductive",
    "pretrained_on",
)


def publish_extractor(
    workspace: Workspace, run_id: str, name: str, *, shelf: str | Path | None = None
) -> Path:
    """Put the VAE of the finished pretraining `run_id` in a library as extractor `name`; returns its folder.

    Everything on the card is measured after the rounding to float16, on training and validation images; no test image
    is looked at. Raises NotFound, RunError (not a finished pretraining), BundleError (name taken, dataset changed).
    """
    check_id(name, "model name")
    target = Path(shelf or workspace.models) / name
    former_hash(workspace, name, target, replace=False)
    run = workspace.run(run_id)
    config, vae, meta = _finished(run)
    material = _material(workspace, config, meta, run_id)
    rounded = _rounded(vae)
    info = load_dataset(workspace, config.dataset).info
    found = ExtractorBundle(
        name,
        target,
        {"mean": meta["mean"], "std": meta["std"], "features": vae.backbone.width},
        rounded,
    )
    card = _card(config, meta, info, run_id, name, vae) | _measured(
        found, vae, material, config.seed, name
    )
    if card["memorisation"]["copies"]:
        card["limits"].append(
            f"{card['memorisation']['copies']} of {SAMPLES} images drawn from it are near-copies of "
            "training images: whoever has it may see them."
        )

    def make(folder: Path) -> None:
        save_extractor(folder, rounded, jsonable(card))
        load_extractor(folder)

    put_whole(target, make)
    return target


def _finished(run: RunFiles) -> tuple[PretrainConfig, VAE, dict]:
    """Config, weights and sidecar of a pretraining that came to its end."""
    from ..nets.vae import load_vae

    if not run.config.exists():
        raise NotFound(
            f"There is no run {run.id} in this workspace; `runs list --kind pretrain` shows those there are."
        )
    config = from_dict(read_json(run.config))
    if not isinstance(config, PretrainConfig):
        raise RunError(
            f"{run.id} is a {config.kind}; an extractor is published from a pretraining, a model from a study "
            "with --arm."
        )
    if config.fold:
        raise RunError(
            f"{run.id} belongs to a comparison in folds, which measures a recipe; publish a pretraining of one "
            "split."
        )
    if not (run.vae).exists():
        raise RunError(f"The pretraining {run.id} is not finished; wait for it, or resume it.")
    return config, *load_vae(run.artefacts)


def _material(workspace: Workspace, config: PretrainConfig, meta: dict, run_id: str) -> Material:
    """The pretraining's images, split as they were. Raises BundleError where the dataset is another one now."""
    from ..training.pretrain import load_material

    events = load_material(config, workspace)
    while True:
        try:
            next(events)
        except StopIteration as stop:
            material = stop.value
            break
    same = ("dataset_fingerprint", "split_fingerprint")
    if any(material.record[key] != meta.get(key) for key in same):
        raise BundleError(
            f"The dataset {config.dataset} is not the one {run_id} saw: its content or split is another. "
            "Put the old images back, or repeat the pretraining."
        )
    return material


def _rounded(vae: VAE) -> VAE:
    """The VAE as it will be read back: matrices and kernels rounded to float16."""
    import torch

    found = copy.deepcopy(vae)
    with torch.no_grad():
        for tensor in found.state_dict().values():
            if tensor.ndim > 1 and tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    return found.eval()


def _measured(
    found: ExtractorBundle, vae: VAE, material: Material, seed: int, name: str
) -> dict[str, Any]:
    """reconstruction, latent, knn and memorisation of the rounded VAE."""
    from ..bundles.predictor import compute_slot

    rng = np.random.default_rng(stream_seed(seed, "extractor"))
    train = np.sort(rng.permutation(material.train)[:MOST_TRAINING])
    images = {
        part: np.asarray(material.images[rows])
        for part, rows in (("train", train), ("val", material.val))
    }
    with compute_slot():
        features = {part: found.features(pixels) for part, pixels in images.items()}
        _check_rounding(found, vae, images["val"], features["val"], name)
        latent, samples = (
            _latent(found, images["val"]),
            _samples(found.vae, features["train"], seed),
        )
    return {
        **latent,
        "knn": _knn(features, material.labels[train], material.labels[material.val]),
        "memorisation": memorisation(samples, images["train"], images["val"]),
    }


def _check_rounding(
    found: ExtractorBundle, vae: VAE, images: np.ndarray, rounded: np.ndarray, name: str
) -> None:
    """Raises BundleError where float16 changes features by more than a fiftieth of their spread."""
    exact = ExtractorBundle(name, found.folder, found.card, vae).features(images[:256])
    change = np.abs(exact - rounded[:256]).mean() / max(float(exact.std(0).mean()), 1e-6)
    if not change <= TOLERANCE:
        raise BundleError(
            f"Rounded to float16 this VAE gives other features (by {change:.3f} of their standard "
            "deviation); nothing was published."
        )


def _latent(found: ExtractorBundle, images: np.ndarray) -> dict[str, Any]:
    """What the posterior and the decoder do on validation images: {"reconstruction", "latent"}."""
    import torch

    from ..nets.backbone import normalise
    from ..nets.vae import active_units

    parts, step = [], 256
    with torch.inference_mode():
        for start in range(0, len(images), step):
            x_bchw = normalise(
                torch.from_numpy(images[start : start + step].copy()),
                found.card["mean"],
                found.card["std"],
            )
            parts.append([part.double() for part in found.vae.encode(x_bchw)])
    mu_nz, logvar_nz = (torch.cat(part) for part in zip(*parts))
    kl_z = (0.5 * (mu_nz.square() + logvar_nz.exp() - 1 - logvar_nz)).mean(0)
    squared = [
        np.square(
            (found.decode(mu_nz[i : i + step].numpy()) - images[i : i + step].astype(np.float32))
            / 255
        ).mean((1, 2, 3))
        for i in range(0, len(images), step)
    ]
    return {
        "reconstruction": {
            "pixel_mse": float(np.concatenate(squared).mean()),
            "kl": float(kl_z.sum()),
            "active_units": active_units(mu_nz),
            "images": len(images),
            "note": "validation images; squared error of the decoded posterior mean, colours 0 to 1; "
            "KL in nats an image; a unit is active where its mean varies by more than 0.01",
        },
        "latent": {
            "kl": kl_z.tolist(),
            "mean": mu_nz.mean(0).tolist(),
            "std": mu_nz.std(0).tolist(),
            "images": len(images),
        },
    }


def _knn(
    features: dict[str, np.ndarray], train_labels: np.ndarray, val_labels: np.ndarray
) -> dict[str, Any] | None:
    """What the ten nearest training images vote for validation images, by standardised features; None without labels."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import KNeighborsClassifier

    from ..heads.grid import standardisation

    known, asked = train_labels >= 0, val_labels >= 0
    if len(np.unique(train_labels[known])) < 2 or not asked.any():
        return None
    mean, std = standardisation(features["train"][known])
    model = KNeighborsClassifier(min(NEIGHBOURS, int(known.sum())), algorithm="brute")
    model.fit((features["train"][known] - mean) / std, train_labels[known])
    voted = model.predict((features["val"][asked] - mean) / std)
    return {
        "accuracy": float(np.mean(voted == val_labels[asked])),
        "balanced_accuracy": float(balanced_accuracy_score(val_labels[asked], voted)),
        "neighbours": NEIGHBOURS,
        "images": int(asked.sum()),
        "split": "val",
    }


def _samples(vae: VAE, features_nd: np.ndarray, seed: int) -> np.ndarray:
    """SAMPLES images drawn like those of `features_nd`, (SAMPLES, S, S, 3) from 0 to 1."""
    import torch

    from ..nets.vae import decode_colours, latents_like

    generator = torch.Generator().manual_seed(stream_seed(seed, "memorisation"))
    with torch.inference_mode():
        drawn = decode_colours(
            vae.decoder,
            latents_like(*vae.posterior(torch.from_numpy(features_nd)), SAMPLES, generator),
        )
    return drawn.permute(0, 2, 3, 1).numpy()


def _card(
    config: PretrainConfig, meta: dict, info: DatasetInfo, run_id: str, name: str, vae: VAE
) -> dict[str, Any]:
    data, recipe = provenance.training_data(info, config.dataset), config.recipe
    return {
        "schema": SCHEMA,
        "name": name,
        "label": f"VAE of recipe {recipe.name}",
        "run": run_id,
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "architecture": meta["architecture"],
        "stage": meta["stage"],
        "model_args": dict(meta["model_args"]),
        "features": vae.backbone.width,
        "decoder": {"latent_dim": vae.latent_dim, "size": vae.size, "width": vae.decoder_width},
        "input_size": config.input_size,
        "preprocessing": provenance.PREPROCESSING,
        "mean": list(meta["mean"]),
        "std": list(meta["std"]),
        "training_data": data,
        "labels_used": False,
        "config": to_dict(config),
        "record": {key: meta[key] for key in RECORD if key in meta},
        "metrics": meta.get("metrics", {}),
        "recipe": _described(recipe.name),
        "commands": _commands(config, info, run_id, name),
        "versions": provenance.versions(),
        "intended_use": provenance.INTENDED_USE,
        "limits": _limits(data, config),
        "license": provenance.weights_license(data, {"kind": "random"}),
    }


def _described(recipe: str) -> str:
    from ..training.recipes import RECIPES, describe

    return (
        describe(recipe)
        if recipe in RECIPES
        else "A variant of a named recipe; the config says every value."
    )


def _commands(config: PretrainConfig, info: DatasetInfo, run_id: str, name: str) -> list[str]:
    """The command lines that repeat this extractor where its recipe is a named one; the config holds every value."""
    from ..training.recipes import RECIPES

    program = "python -m derm_core"
    data = (
        f"{program} data synth --name {config.dataset}"
        if info.layout == "synthetic"
        else (f"{program} data import PATH --name {config.dataset}")
    )
    recipe = config.recipe.name if config.recipe.name in RECIPES else "RECIPE"
    pretrain = [
        program,
        "pretrain",
        "--dataset",
        shlex.quote(config.dataset),
        "--recipe",
        recipe,
        "--epochs",
        str(config.recipe.epochs),
        "--batch-size",
        str(config.recipe.batch_size),
        "--architecture",
        config.backbone.architecture,
        "--stage",
        str(config.backbone.stage),
        "--input-size",
        str(config.input_size),
        "--split-seed",
        str(config.split_seed),
        "--seed",
        str(config.seed),
    ]
    pretrain += ["--max-images", str(config.max_images)] if config.max_images else []
    pretrain += ["--transductive"] if config.images == "all" else []
    return [data, " ".join(pretrain), f"{program} models publish {run_id} --name {name}"]


def _limits(data: dict, config: PretrainConfig) -> list[str]:
    seen = (
        "the pixels, not the labels, of all images of the dataset, those of its test split among them"
        if config.images == "all"
        else "the images of the dataset's training split alone, without labels"
    )
    return [
        "Research use only. Not for diagnosis.",
        "Gives features, not classes: whatever is trained on them needs a validation of its own.",
        f"Has seen {seen}, at {config.input_size} px; other cameras, skin types and sites may be served worse, and this "
        "was not measured.",
        f"Its figures are of the validation split of {data['dataset']} and of one pretraining; another dataset's are "
        "others.",
    ]
