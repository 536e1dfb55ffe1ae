"""The job of a map. UMAP's process starts first: it imports umap-learn while this one imports PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import EmbedConfig
from ..events import Event
from ..workspace import RunFiles, Workspace
from .umap_layout import ready_for_umap


def draw_map(config: EmbedConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """The events of `embed.embed`, which says what it writes and raises."""
    with ready_for_umap():
        from derm_core.insight.embed import embed

        yield from embed(config, workspace, run)
