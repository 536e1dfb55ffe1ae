"""A bundle's card: what a model is, where it comes from and what it may be used for.

One record for classifiers and extractors; `read_card` checks it field by field. Cards come from elsewhere, too: the
number, depth and length of their values are bounded, and their texts can be shown.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ..arms import POOLINGS
from ..config.labels import recorded_label
from ..config.shared import ImageForm
from ..data.known_datasets import cited_set
from ..errors import BundleError, ConfigError
from ..records import Range, Rule, from_json, optional, require, to_json
from ..workspace import ID_PATTERN
from .card_parts import (
    CardDecisions,
    CardOperatingPoint,
    ConformalThresholds,
    Count,
    DecisionScore,
    DecoderSize,
    Json,
    LatentStatistics,
    Memorisation,
    NearestNeighbours,
    OutlierThresholds,
    Positive,
    Priority,
    Reconstruction,
    ReferenceListing,
    Share,
    Split,
    Temperature,
    TensorSpec,
    TrainingData,
)

SCHEMA = 1
FILTERS = ("bicubic", "bilinear", "lanczos")
TOKENS = Rule(lambda name: not name or name in POOLINGS, f"nothing, {', '.join(POOLINGS)}")
FILTER = Rule(FILTERS.__contains__, ", ".join(FILTERS))
WHOLE_NETWORK = -1  # the stage of a network that is used up to its classifier
# timm arguments a card may have: plain settings, none of which names a file, a folder or an address
SAFE_ARGUMENTS = (
    "pad_type",
    "bn_eps",
    "bn_momentum",
    "act_layer",
    "norm_layer",
    "stem_type",
    "patch_size",
    "img_size",
    "dynamic_img_size",
    "strict_img_size",
    "embed_dim",
    "depth",
    "depths",
    "depth_token_only",
    "num_heads",
    "mlp_ratio",
    "init_values",
    "reg_tokens",
    "class_token",
    "no_embed_class",
    "global_pool",
)
LARGEST_ARGUMENT, DEEPEST = 8192, 256  # of numbers, and of those that count layers
LABEL = re.compile(r"(?!.*:.*:)[\w .,:()+/\u2013-]{1,120}")  # is shown in badges
ARM = re.compile(r"[a-z0-9][\w.:@+/-]{0,239}", re.ASCII)  # is shown in badges
COVERAGE = re.compile(r"0\.\d\d")
PRIORITIES = ("high", "medium", "low")  # as in data.triage, which needs pandas
MAX_DEPTH, MAX_VALUES = 24, 500_000
MAX_TEXT, MAX_NAME = 20_000, 200
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _of(kind: str, default: Any = None, *, required: bool = False, null: bool = False) -> Any:
    """A field of one kind of card alone. null: None is written as null, else the field is left out."""
    metadata = {"kind": kind, "required": required, "optional": not null}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card of a bundle. Fields of the other kind have their default.

    Attributes:
        kind: a classifier, or an extractor: a pretrained VAE without one.
        arm, regime: the arm of the study the classifier comes from, and how it was trained.
        architecture, stage, model_args: the timm backbone and its arguments; stage -1: the whole network.
        tokens: which tokens a whole network pools, one of `arms.POOLINGS`; empty: as timm pools it.
        pooling: how the features are pooled, in words.
        features, hidden: width of the pooled features and of the head.
        input_size, interpolation: pixels a side of the images it reads, and the filter that resizes them.
        mean, std: of the colours, that images are normalised with.
        metrics: of a classifier, {name: interval} on the test split; of an extractor, {name: value}.
        class_shares: by class, its share of the training images, that decisions are adjusted for.
        decisions: of the published model on the test split; cards of earlier versions do not have it.
        agreement: by other arm of the study, how right both were where their most probable classes were the same, and
            where not.
        tensors, sha256, file_bytes, parameters: of model.safetensors; saving fills them in.
    """

    schema: int
    kind: Literal["classifier", "extractor"] = "classifier"
    name: str
    arm: str = _of("classifier", "", required=True)
    label: str
    regime: str = _of("classifier", "", required=True)
    created: str | None = optional()
    run: str | None = optional()
    seed: int = _of("classifier", 0, required=True)
    architecture: str
    stage: Annotated[int, Range(WHOLE_NETWORK, 9)]
    tokens: Annotated[str, TOKENS] = optional("")
    pooling: str | None = optional()
    model_args: Json
    features: Count
    hidden: Count = _of("classifier", 0, required=True)
    classes: tuple[str, ...] = _of("classifier", (), required=True)
    class_descriptions: Mapping[str, str] = _of("classifier", {}, required=True)
    labels: Json | None = _of("classifier")
    priority: Priority | None = _of("classifier", null=True)
    decoder: DecoderSize | None = None
    input_size: Annotated[int, Range(1, 1024)]
    interpolation: Annotated[str, FILTER] = optional("bicubic")
    preprocessing: Json
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    initial_weights: Json = _of("classifier", {}, required=True)
    training_data: TrainingData
    labels_used: bool | None = _of("extractor")
    split: Split = _of("classifier", Split(), required=True)
    metrics: Json = dataclasses.field(default_factory=dict)
    class_shares: Mapping[str, Share] | None = _of("classifier")
    decisions: CardDecisions | None = _of("classifier")
    per_class: tuple[Json, ...] | None = _of("classifier", null=True)
    gaps: Json | None = _of("classifier", null=True)
    metrics_note: str | None = _of("classifier")
    commands: tuple[str, ...]
    config: Json | None = optional()
    record: Json = _of("extractor", {}, required=True)
    recipe: str | None = _of("extractor")
    versions: Json
    intended_use: str
    limits: tuple[str, ...]
    license: str
    temperature: Temperature | None = _of("classifier")
    agreement: Json | None = _of("classifier")
    conformal: ConformalThresholds | None = _of("classifier")
    outlier: OutlierThresholds | None = _of("classifier")
    operating_point: CardOperatingPoint | None = _of("classifier", null=True)
    reference: ReferenceListing | None = _of("classifier")
    reconstruction: Reconstruction | None = _of("extractor", required=True)
    latent: LatentStatistics | None = _of("extractor", required=True)
    knn: NearestNeighbours | None = _of("extractor", null=True)
    memorisation: Memorisation | None = optional()
    tensors: Mapping[str, TensorSpec] = dataclasses.field(default_factory=dict)
    sha256: str = ""
    file_bytes: int = 0
    parameters: int = 0

    @property
    def form(self) -> ImageForm:
        """How its images are decoded."""
        return ImageForm(self.input_size, self.interpolation)

    @property
    def own_form(self) -> ImageForm | None:
        """`form` where a study that takes the network as an arm has to keep it; None where its images are the study's.

        Kept of whole networks, of those that brought pretrained weights and an input of their own, and of those that
        read other images than their study did.
        """
        study_form = ImageForm(int((self.config or {}).get("input_size") or self.input_size))
        brought = self.initial_weights.get("kind") == "pretrained"
        is_own = brought or self.stage == WHOLE_NETWORK or self.form != study_form
        return self.form if is_own else None

    @property
    def network(self) -> str:
        """Its network and input in words: "resnet18 to stage 3 at 64 px", "deit_tiny at 96 px, class token"."""
        end = f" to stage {self.stage}" if self.stage != WHOLE_NETWORK else ""
        pooled = f", {self.pooling}" if self.pooling and not end else ""
        return f"{self.architecture}{end} at {self.input_size} px{pooled}"

    @property
    def decision_scores(self) -> CardDecisions:
        """How often both decisions are right on the test split, as far as the card has it.

        Cards of earlier versions have the accuracy of the most probable class and the balanced accuracy after adjusting
        for class frequency, and neither of the other two.
        """
        return self.decisions or CardDecisions(
            most_probable=DecisionScore(accuracy=self.metrics.get("accuracy")),
            adjusted=DecisionScore(balanced_accuracy=self.metrics.get("balanced_accuracy")),
        )

    @property
    def holds_private_images(self) -> bool:
        """Whether the bundle has features of single training images that their licence does not open to everybody."""
        return bool(self.reference and self.reference.images and not self.reference.public)


def card_json(card: Card) -> dict[str, Any]:
    """A card as it is written: without the fields of the other kind."""
    value: dict[str, Any] = to_json(card)
    for field in dataclasses.fields(card):
        if field.metadata.get("kind", card.kind) != card.kind:
            value.pop(field.name, None)
    if card.kind == "classifier":
        del value["kind"]
    return value


def read_card(value: Any) -> Card:
    """A card from its JSON value; fields it does not know are left out.

    Raises:
        BundleError: naming the field, what it is and what is allowed.
    """
    try:
        check_values(value)
        card = from_json(Card, value, unknown="ignore", error=ValueError)
        check_card(card, value)
        card = _named_by_recipe(card)
    except (ValueError, ConfigError) as error:
        raise BundleError(
            f"The bundle's card is not valid: {error} Get the bundle again."
        ) from error
    return card


def _named_by_recipe(card: Card) -> Card:
    """The card with the name of its VAE's recipe: earlier versions called the VAEs of all recipes alike."""
    pretraining = card.config if card.kind == "extractor" else card.initial_weights.get("config")
    is_vae = card.kind == "extractor" or card.arm == "vae"
    label = recorded_label(pretraining) if is_vae and isinstance(pretraining, dict) else None
    return dataclasses.replace(card, label=label) if label else card


def pretrained_label(card: Card) -> str:
    """What an extractor is called as an arm of its own: "VAE pretrained on HAM10000 earlier"."""
    data = card.training_data
    name = cited_set(data.attribution) or data.dataset or ""
    return f"VAE pretrained on {name} earlier" if LABEL.fullmatch(name) else card.name


def check_card(card: Card, value: Json) -> None:
    """Check what fields alone do not say: patterns, and parts that belong together. Raises ValueError."""
    for field in dataclasses.fields(Card):
        if field.metadata.get("required") and field.metadata["kind"] == card.kind:
            _need(value.get(field.name) is not None, field.name, None, "a value")
    newer = f"{SCHEMA}; a newer bundle needs a newer version of this program"
    _need(card.schema == SCHEMA, "schema", card.schema, newer)
    letters = "lower-case letters, digits and hyphens"
    _need(ID_PATTERN.fullmatch(card.name), "name", card.name, f"1 to 40 {letters}")
    _need(
        LABEL.fullmatch(card.label), "label", card.label, "1 to 120 letters, digits and . , ( ) + -"
    )
    for name, argument in card.model_args.items():
        plain = name in SAFE_ARGUMENTS and _is_plain(name, argument)
        _need(plain, "model_args", name, "plain values of " + ", ".join(SAFE_ARGUMENTS))
    if card.kind == "extractor":
        _check_extractor(card)
    else:
        _check_classifier(card)


def _is_plain(name: str, argument: Any) -> bool:
    """Whether an argument of timm is a text or a number of a possible size, or some of these."""
    if isinstance(argument, list | tuple):
        items = all(isinstance(item, int | float) and _is_plain(name, item) for item in argument)
        return len(argument) <= 16 and items
    most = DEEPEST if name.startswith("depth") else LARGEST_ARGUMENT
    small = not isinstance(argument, int | float) or abs(argument) <= most
    return small and isinstance(argument, str | int | float | None)


def _check_extractor(card: Card) -> None:
    _need(card.reference is None, "reference", "an object", "none: an extractor has no such file")
    for part in ("decoder", "config", "memorisation"):
        _need(getattr(card, part) is not None, part, None, "an object")
    assert card.decoder and card.latent
    _need(card.stage != WHOLE_NETWORK, "stage", card.stage, "0 or more of an extractor")
    for name in ("kl", "mean", "std"):
        values = getattr(card.latent, name)
        whole = len(values) == card.decoder.latent_dim
        _need(whole, f"latent.{name}", len(values), "a number for each latent dimension")


def _check_classifier(card: Card) -> None:
    names, numbers = set(card.classes), ("mean", "std", "low", "high")
    distinct = 2 <= len(card.classes) <= 1000 and len(names) == len(card.classes) and all(names)
    _need(distinct, "classes", card.classes, "2 to 1000 different names")
    _need(
        ARM.fullmatch(card.arm),
        "arm",
        card.arm,
        "lower-case letters, digits, hyphens, colons, @ and +",
    )
    scores = card.decisions
    measured = {f"metrics.{name}": metric for name, metric in card.metrics.items()}
    for decision in (scores.most_probable, scores.adjusted) if scores else ():
        measured |= {f"decisions: {key}": value for key, value in vars(decision).items() if value}
    for name, metric in measured.items():
        holds = isinstance(metric, dict) and all(_number(metric.get(key)) for key in numbers)
        _need(holds, name, metric, "an object of finite numbers")
    if card.class_shares is not None:
        holds = set(card.class_shares) == names and abs(sum(card.class_shares.values()) - 1) < 1e-6
        _need(holds, "class_shares", dict(card.class_shares), "a share of each class, together 1")
    if card.conformal:
        limits = card.conformal.coverages
        holds = bool(limits) and all(COVERAGE.fullmatch(key) for key in limits)
        _need(holds, "conformal.coverages", list(limits), "thresholds by coverage, such as 0.90")
    if card.outlier:
        _need(card.reference, "reference", None, "an object where outlier thresholds are")
    if card.operating_point:
        name = card.operating_point.class_name
        _need(name in names, "operating_point.class", name, "a class of the model")
    if card.priority:
        mapping = card.priority.map
        holds = set(mapping) == names and set(mapping.values()) <= set(PRIORITIES)
        _need(holds, "priority.map", mapping, "high, medium or low for each class")


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _need(holds: Any, where: str, value: Any, allowed: str) -> None:
    require(bool(holds), where, value, allowed, ValueError)


def check_values(value: Any) -> None:
    """Check that a JSON value is not nested, long or spelled as no card is. Raises ValueError, naming the field."""
    waiting, count = [("card", value, 0)], 0
    while waiting:
        where, item, depth = waiting.pop()
        count += 1
        _bounded(depth <= MAX_DEPTH, where, f"nested deeper than {MAX_DEPTH}")
        _bounded(count <= MAX_VALUES, where, f"part of more than {MAX_VALUES:,} values")
        if isinstance(item, dict):
            for key, part in item.items():
                _check_text(where, key, MAX_NAME)
                waiting.append((f"{where}.{key}" if depth < 3 else where, part, depth + 1))
        elif isinstance(item, list | tuple):
            waiting += [(where, part, depth + 1) for part in item]
        elif isinstance(item, str):
            _check_text(where, item, MAX_NAME if where == "card.classes" else MAX_TEXT)
        elif isinstance(item, float):
            _bounded(abs(item) < float("inf"), where, "not a finite number")
        elif isinstance(item, int):
            _bounded(abs(item) <= 2**63, where, "too large a number")


def _check_text(where: str, text: Any, limit: int) -> None:
    short = isinstance(text, str) and len(text) <= limit
    _bounded(short, where, f"a text of more than {limit:,} characters")
    shown = not FORBIDDEN.search(text)
    _bounded(
        shown, where, "a text with control characters, or marks that turn the writing direction"
    )


def _bounded(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{where.removeprefix('card.')[:80]} is {what}.")
