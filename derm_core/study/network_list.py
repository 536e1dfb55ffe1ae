"""The networks that can be arms of a study: first what is on this machine, then timm's pretrained models.

Needs no torch and no timm: cards, records, headers of files, and timm's table (`nets.timm_models`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from safetensors import safe_open

from ..arms import arm_parts, own_architecture
from ..bundles.card import Card
from ..data.manifest import Dataset
from ..errors import DermError
from ..files import read_json
from ..nets.pretrained_sources import CONFIG, NOT_STATED, read_sidecar
from ..nets.timm_models import TimmModel, timm_architectures, timm_models
from ..nets.weights import cached_file, hub_cache, is_offline
from ..workspace import Workspace, weights_folder
from .feature_memory import BYTES, extraction_bytes
from .pretraining_data import Seen, Stage, in_words, names_in, seen_in_stages
from .training_history import stages_of_card, stages_of_record

Weights = Literal["library", "run", "folder", "cache", "hub", "none"]
HERE = ("library", "run", "folder", "cache")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, kw_only=True)
class ListedNetwork:
    """A network that can be an arm.

    Args:
        arm: as on the command line.
        weights: where they are: in the library, a run, the weights folder, the Hugging Face cache; on the
            hub, from which they would be downloaded; or nowhere, since this machine is to stay offline.
        architecture: timm's name; None where it is not stated.
        parameters: without a classifier, as far as that is known.
        pixels: side of its images.
        license: as stated; NOT_STATED where it is not.
        pretrained_on: what its weights have been trained on, as a phrase.
        stages: of weights of ours, the trainings behind them.
        memory_bytes: about how much the extraction of features takes; None where that is not known.
    """

    arm: str
    weights: Weights
    architecture: str | None = None
    parameters: int | None = None
    pixels: int | None = None
    license: str = NOT_STATED
    pretrained_on: str = NOT_STATED
    stages: tuple[Stage, ...] = ()
    memory_bytes: float | None = None

    @property
    def is_here(self) -> bool:
        """Whether its weights are on this machine."""
        return self.weights in HERE

    @property
    def download_bytes(self) -> float | None:
        """About how much a download would be."""
        return None if self.parameters is None else float(BYTES * self.parameters)

    def seen(self, dataset: Dataset | None, split: str) -> Seen:
        """Whether its pretraining has seen images that a study may test.

        Args:
            dataset: of the study; None: synthetic images that are not made yet.
            split: fingerprint of the study's split.
        """
        if dataset is None:
            return "no"
        stated = Stage(self.pretrained_on, names=names_in(self.arm))
        return seen_in_stages(self.stages or (stated,), dataset, split)


def listed_networks(
    workspace: Workspace, cards: Sequence[Card], runs: Sequence[str]
) -> list[ListedNetwork]:
    """Everything that can be an arm with its own weights, what is on this machine first.

    Args:
        workspace: of the runs.
        cards: of the models of the library.
        runs: ids of finished pretrainings, newest first.
    """
    known = timm_models()
    of_folder = list(_of_folder())
    cached = list(_of_cache())
    here = {one.arm: one for one in (*of_folder, *cached)}
    of_cards = [_of_card(card, workspace) for card in cards]
    first = [*of_cards, *_of_runs(workspace, runs), *here.values()]
    elsewhere: Weights = "none" if is_offline() else "hub"
    rest = [_of_timm(model, elsewhere) for model in known.values()]
    return [*first, *(one for one in rest if one.arm not in here)]


def search(networks: Iterable[ListedNetwork], text: str) -> list[ListedNetwork]:
    """The networks in whose name, licence or pretraining every word of a text occurs."""
    words = text.lower().split()
    return [
        one
        for one in networks
        if all(word in f"{one.arm} {one.license} {one.pretrained_on}".lower() for word in words)
    ]


def arm_bytes(arm: str) -> float | None:
    """About how much memory the features of an arm take on the CPU, at the input size that it names.

    None where that is not known: for all but timm's models and files of timm's architectures. Of
    several networks side by side, each is computed by itself: the largest counts.
    """
    known = [memory for part in arm_parts(arm) if (memory := _network_bytes(part)) is not None]
    return max(known, default=None)


def _network_bytes(arm: str) -> float | None:
    own = own_architecture(arm)
    if own is None:
        return None
    name = own.name.removeprefix("timm/")
    usual = timm_models().get(name) or timm_architectures().get(name.partition(".")[0])
    if usual is None:
        return None
    size = own.size or usual.pixels
    forward_bytes = usual.forward_bytes * (size / usual.pixels) ** 2
    return extraction_bytes(usual.parameters, forward_bytes, size)


def _of_timm(model: TimmModel, weights: Weights) -> ListedNetwork:
    return ListedNetwork(
        arm=f"timm:{model.name}",
        weights=weights,
        architecture=model.architecture,
        parameters=model.parameters,
        pixels=model.pixels,
        license=model.license or NOT_STATED,
        pretrained_on=model.pretrained_on,
        memory_bytes=extraction_bytes(model.parameters, model.forward_bytes, model.pixels),
    )


def _of_card(card: Card, workspace: Workspace) -> ListedNetwork:
    """A model of the library; the parameters of its backbone."""
    shapes = {name: spec.shape for name, spec in card.tensors.items()}
    return _described(
        f"bundle:{card.name}",
        "library",
        card.architecture,
        _parameters(shapes, "backbone."),
        card.input_size,
        license=card.license,
        stages=stages_of_card(card, workspace),
    )


def _of_runs(workspace: Workspace, runs: Sequence[str]) -> Iterator[ListedNetwork]:
    """The VAEs of finished pretrainings; one whose record is gone is left out."""
    for run_id in runs:
        files = workspace.run(run_id)
        try:
            record = read_json(files.vae)
            shapes = _shapes(files.vae.with_suffix(".safetensors"))
        except (OSError, ValueError):
            continue
        yield _described(
            f"run:{run_id}",
            "run",
            record.get("architecture"),
            _parameters(shapes, "backbone."),
            record.get("size"),
            stages=stages_of_record(record),
        )


def _of_folder() -> Iterator[ListedNetwork]:
    """Files of the weights folder: timm's by name, others where the JSON beside them names the architecture."""
    for path in sorted(weights_folder().glob("*.safetensors")):
        try:
            card = read_sidecar(path)
            if model := timm_models().get(path.stem):
                yield _with_card(_of_timm(model, "folder"), card)
            elif architecture := str(card.get("architecture") or "").partition(".")[0]:
                size = card.get("input_size")
                one = _described(
                    f"file:{path.name}+{architecture}",
                    "folder",
                    architecture,
                    _parameters(_shapes(path)),
                    int(size[-1]) if size else None,
                )
                yield _with_card(one, card)
        except (DermError, OSError, ValueError, TypeError, LookupError):
            continue  # a study that names it says what is wrong with it


def _of_cache() -> Iterator[ListedNetwork]:
    """Repositories in the local Hugging Face cache: timm's, and others whose configuration names an architecture."""
    for folder in sorted(hub_cache().glob("models--*--*")):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        owner, _, name = repository.partition("/")
        path = cached_file(repository)
        if path is None:
            continue
        if owner == "timm" and name in timm_models():
            yield _of_timm(timm_models()[name], "cache")
            continue
        try:
            config = json.loads(Path(cached_file(repository, CONFIG) or "").read_text("utf-8"))
            pretrained = config.get("pretrained_cfg") or {}
            size = pretrained.get("input_size")
            one = _described(
                f"hf-hub:{repository}",
                "cache",
                str(config["architecture"]).partition(".")[0],
                _parameters(_shapes(path)),
                int(size[-1]) if size else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        yield _with_card(one, pretrained)


def _described(
    arm: str,
    weights: Weights,
    architecture: str | None,
    parameters: int,
    pixels: int | None,
    *,
    license: str = NOT_STATED,
    stages: tuple[Stage, ...] = (),
) -> ListedNetwork:
    """A network with an estimate of its memory from timm's model of that architecture, scaled by the area."""
    usual = timm_architectures().get(architecture or "")
    size = pixels or (usual.pixels if usual else None)
    memory = None
    if usual and size:
        area = (size / usual.pixels) ** 2
        memory = extraction_bytes(parameters, usual.forward_bytes * area, size)
    return ListedNetwork(
        arm=arm,
        weights=weights,
        architecture=architecture,
        parameters=parameters,
        pixels=size,
        license=license,
        pretrained_on=in_words(stages) if stages else NOT_STATED,
        stages=stages,
        memory_bytes=memory,
    )


def _with_card(network: ListedNetwork, card: dict[str, Any]) -> ListedNetwork:
    """The network with the licence and the pretraining that the JSON beside its file states."""
    return replace(
        network,
        license=str(card.get("license") or network.license),
        pretrained_on=str(card.get("pretrained_on") or network.pretrained_on),
    )


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a file, from its header. Raises OSError, ValueError."""
    try:
        with safe_open(path, framework="numpy") as file:
            names: list[str] = file.keys()
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except OSError:
        raise
    except Exception as error:  # SafetensorError, which is no ValueError
        raise ValueError(f"{path.name} has no header: {error}") from error


def _parameters(shapes: dict[str, tuple[int, ...]], prefix: str = "") -> int:
    """Numbers in the tensors below a prefix, statistics of batch norm left out."""
    return sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if name.startswith(prefix) and not name.endswith(STATISTICS)
    )
