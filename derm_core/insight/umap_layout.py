"""UMAP of a feature space from neighbours that are already known, with progress by epoch."""

from __future__ import annotations

import warnings

import numpy as np

from ..background import Report
from ..config import EmbedConfig
from ..seeds import stream_seed
from .data_issues import FeatureSpace


def umap_layout(
    space: FeatureSpace, start_n2: np.ndarray, config: EmbedConfig, report: Report
) -> np.ndarray:
    """(n, 2) UMAP (McInnes 2018), started from PCA (Kobak and Linderman 2021) or another map.

    Args:
        space: the features and their neighbours.
        start_n2: where the layout begins.
        config: neighbours, min_dist and seed.
        report: called with (epochs done, of how many).
    """
    import umap

    count = min(config.neighbours, len(start_n2) - 1)
    itself = np.arange(len(start_n2))[:, None]
    known = (
        np.hstack([itself, space.positions])[:, :count],
        np.hstack([np.zeros_like(itself), space.distances])[:, :count],
        None,
    )
    reducer = umap.UMAP(
        n_neighbors=count,
        min_dist=config.min_dist,
        init=start_n2 / start_n2.std(),
        precomputed_knn=known,
        force_approximation_algorithm=True,
        n_jobs=1,
        random_state=stream_seed(config.seed, "umap") % 2**32,
        tqdm_kwds={
            "disable": False,
            "file": EpochFile(report),
            "bar_format": "{n_fmt} {total_fmt}",
        },
    )
    with warnings.catch_warnings():
        # New images are not placed on the map by UMAP, so it needs no search index.
        warnings.filterwarnings("ignore", message=".*knn_search_index.*")
        return np.asarray(reducer.fit_transform(space.features), np.float32)


class EpochFile:
    r"""The file that umap-learn's progress bar (tqdm) writes to: "\r12 500" becomes report(12, 500)."""

    def __init__(self, report: Report):
        self.report = report

    def write(self, text: str) -> None:
        """Report the two numbers in a line of the bar."""
        numbers = text.split()
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            self.report(int(numbers[0]), int(numbers[1]))

    def flush(self) -> None:
        """Files have this; nothing is buffered here."""
