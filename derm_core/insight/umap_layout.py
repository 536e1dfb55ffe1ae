"""UMAP of a feature space from neighbours that are already known, with progress by epoch.

umap-learn's loops hold Python's lock from one epoch to the next. In a process of their own they leave
the run's process free for the forward passes of the models whose predictions follow.
"""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection

import numpy as np

from ..background import Report
from ..config import EmbedConfig
from ..errors import RunError
from ..processes import end_with
from ..seeds import stream_seed
from ..stats.feature_space import FeatureSpace


class UmapProcess:
    """A process that computes one UMAP; it ends with this one, or with `close`.

    Started before its features are there, it imports umap-learn meanwhile.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        given = theirs, os.getpid()
        self._child = context.Process(target=_fit, args=given, daemon=True)
        self._child.start()
        theirs.close()  # the child's alone: its end is the end of what comes

    def layout(
        self, space: FeatureSpace, start_n2: np.ndarray, config: EmbedConfig, report: Report
    ) -> np.ndarray:
        """`fit_umap` in the process.

        Raises:
            RunError: it ended early.
        """
        try:
            self._connection.send((space, start_n2, config))
            while not isinstance(message := self._connection.recv(), np.ndarray):
                report(*message)
            return message
        except (EOFError, ConnectionError):
            raise RunError(
                "The process that computes UMAP ended early, perhaps for want of memory; start the map "
                "again, with fewer images (max_images) if it happens again."
            ) from None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._child.kill()
        self._child.join()
        self._connection.close()


_waiting: list[UmapProcess] = []  # at most one, which `umap_layout` takes


@contextmanager
def ready_for_umap() -> Iterator[None]:
    """Within, the process of the first `umap_layout` has started already."""
    process = UmapProcess()
    _waiting.append(process)
    try:
        yield
    finally:
        if process in _waiting:
            _waiting.remove(process)
            process.close()


def umap_layout(
    space: FeatureSpace, start_n2: np.ndarray, config: EmbedConfig, report: Report
) -> np.ndarray:
    """`fit_umap` in a process of its own, which ends with this one.

    Raises:
        RunError: it ended early.
    """
    with closing(_waiting.pop() if _waiting else UmapProcess()) as process:
        return process.layout(space, start_n2, config, report)


def _fit(connection: Connection, parent: int) -> None:
    """In the child: sends (epochs done, of how many), at last the layout."""
    end_with(parent)
    import umap  # noqa: F401  # seconds, in which features may still be computed

    with suppress(EOFError):  # nothing is wanted any more
        space, start_n2, config = connection.recv()
        connection.send(fit_umap(space, start_n2, config, lambda *done: connection.send(done)))


def fit_umap(
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
