"""The library of bundles: found by name, listed, and verified against their cards. Needs no torch.

A bundle is a folder with card.json, model.safetensors and, where the card lists it, reference.safetensors. The
repository's models folder comes before the workspace's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import EmbedConfig
from ..errors import BundleError, NotFound
from ..files import read_json
from ..workspace import Workspace, check_id, models_folder
from .card import Card, card_json, read_card
from .reference_file import check_reference
from .tensors import MODEL, REFERENCE, check_tensors

CARD = "card.json"
LIMITS = {CARD: 8 * 2**20, MODEL: 1024 * 2**20, REFERENCE: 64 * 2**20}  # bytes


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle's card and the bytes of its tensor files, which agree. reference: None where the card lists none."""

    card: Card
    model: bytes
    reference: bytes | None


@dataclass(frozen=True)
class ListedBundle:
    """A bundle in the library.

    Attributes:
        shelf: "repository", "workspace", or "server" for the models of a shared server.
        card: None where it was refused.
        error: why it was refused.
    """

    name: str
    folder: Path
    shelf: str
    card: Card | None
    error: str | None

    def json(self) -> dict[str, Any]:
        """The card's fields with name, ok, error, folder and shelf."""
        return {
            **(card_json(self.card) if self.card else {}),
            "name": self.name,
            "ok": self.card is not None,
            "error": self.error,
            "folder": str(self.folder),
            "shelf": self.shelf,
        }


def verify_bundle(folder: Path) -> Card:
    """The card of a bundle whose files are as it says.

    Raises:
        BundleError: naming what differs.
    """
    return read_bundle(folder).card


def read_bundle(folder: Path) -> VerifiedBundle:
    """Read a bundle's files and check size, names, types, shapes and hash against its card; no tensor is made.

    Raises:
        BundleError: naming what differs.
    """
    folder = Path(folder)
    try:
        card = read_card(read_json(_limited(folder, CARD)))
        model = _limited(folder, MODEL).read_bytes()
        reference = _limited(folder, REFERENCE).read_bytes() if card.reference else None
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise BundleError(
            f"Bundle {folder.name} has no {missing}; get the bundle again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"Bundle {folder.name} cannot be read ({error}); get the bundle again."
        ) from error
    if card.name != folder.name:
        raise BundleError(
            f"The card in folder {folder.name} is that of {card.name}; the folder must have that name."
        )
    check_tensors(model, card, folder.name)
    if reference is not None:
        check_reference(reference, card)
    return VerifiedBundle(card, model, reference)


def _limited(folder: Path, name: str) -> Path:
    size = (folder / name).stat().st_size
    if size > LIMITS[name]:
        raise BundleError(
            f"{folder.name}/{name} has {size} bytes; at most {LIMITS[name]} are allowed."
        )
    return folder / name


def list_bundles(
    workspace: Workspace,
    kind: str | None = "classifier",
    list_one: Callable[[Path, str, str | None], list[ListedBundle]] | None = None,
) -> list[ListedBundle]:
    """Every bundle of a kind (classifier, extractor; None: both), verified, the repository's first.

    A name is listed once.

    Args:
        workspace: whose shelves are listed.
        kind: of the bundles.
        list_one: lists one shelf; `list_shelf` where none is given.
    """
    listed: dict[str, ListedBundle] = {}
    for shelf in workspace.shelves():
        where = {models_folder(): "repository", workspace.models: "workspace"}.get(shelf, "server")
        for bundle in (list_one or list_shelf)(shelf, where, kind):
            listed.setdefault(bundle.name, bundle)
    return list(listed.values())


def list_shelf(shelf: Path, where: str, kind: str | None) -> list[ListedBundle]:
    """Every bundle of a kind in one folder, verified. where: as `ListedBundle.shelf`."""
    listed = []
    for folder in (path.parent for path in sorted(shelf.glob(f"*/{CARD}"))):
        if folder.name.startswith(".") or kind not in (None, _kind(folder)):
            continue
        try:
            card, problem = verify_bundle(folder), None
        except BundleError as error:
            card, problem = None, str(error)
        listed.append(ListedBundle(folder.name, folder, where, card, problem))
    return listed


def list_cards(workspace: Workspace, kind: str | None = "classifier") -> list[Card]:
    """Cards of the intact bundles of a kind (None: both), the repository's first."""
    return [bundle.card for bundle in list_bundles(workspace, kind) if bundle.card]


def _kind(folder: Path) -> str:
    """What a bundle says it is, before it is verified; one whose card cannot be read counts as a classifier."""
    try:
        return str(read_json(_limited(folder, CARD)).get("kind", "classifier"))
    except (BundleError, OSError, ValueError, AttributeError, RecursionError):
        return "classifier"


def find_bundle(workspace: Workspace, name: str) -> Path:
    """The folder of bundle `name`.

    Raises:
        NotFound: naming those there are.
    """
    check_id(name, "model name")
    shelves = workspace.shelves()
    for shelf in shelves:
        if (shelf / name / CARD).is_file():
            return shelf / name
    names = sorted({path.parent.name for shelf in shelves for path in shelf.glob(f"*/{CARD}")})
    others = (
        f"there are: {', '.join(names)}." if names else "publish one from a finished study first."
    )
    raise NotFound(f"There is no model {name!r} in the library; {others}")


def require_extractor(card: Card) -> None:
    """Raises BundleError for the card of a classifier."""
    if card.kind != "extractor":
        raise BundleError(
            f"{card.name} is a classifier, not an extractor: it has no encoder and decoder to start from. "
            f"`models list` says which is which; its backbone serves as the arm bundle:{card.name}."
        )


def require_posterior(config: EmbedConfig, workspace: Workspace) -> None:
    """Raises BundleError where a map is to show the posterior means of a classifier, which has none."""
    _, _, name = config.arm.partition("bundle:")
    if not name or config.space != "mu":
        return
    if verify_bundle(find_bundle(workspace, name)).kind != "extractor":
        raise BundleError(
            f"{name} is a classifier, whose features have no posterior means: map its pooled features, "
            "or μ of an extractor or a pretraining."
        )
