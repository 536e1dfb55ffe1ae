"""Nearest neighbours in large feature spaces by an approximate index, in a process of its own.

The index is faiss's IVFFlat (Douze et al. 2024, arXiv 2401.08281): k-means cuts the space into cells, and a
row is compared with all rows of the cells nearest to it. With four cells for each unit of the root of the number
of rows its time grows with the power 1.5, that of all distances with the square.

faiss and PyTorch each bring an OpenMP of their own, which a process of its own keeps apart.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..errors import RunError
from ..machine import cpu_cores
from ..processes import begin_pool_worker
from ..seeds import stream_seed

Neighbours = tuple[np.ndarray, np.ndarray]  # positions and distances (n, count), nearest first
CELLS = 4  # times the root of the number of rows
CELLS_SEARCHED = 48  # nearest to a row: with fewer it misses more
ROWS_SEARCHED = 20  # at least, for each neighbour that is wanted
ROUNDS, ROWS_A_CELL = 10, 64  # of k-means, and of how many rows


def approximate_neighbours(
    spaces: Sequence[np.ndarray], count: int, seed: int
) -> Iterator[Neighbours]:
    """Of each space (n, D) the positions (n, count) of the nearest others, nearest first, and their distances.

    Equal spaces and seeds give equal neighbours where the number of cores is the same.

    Raises:
        RunError: the process ended early.
    """
    context = multiprocessing.get_context("spawn")
    connection, theirs = context.Pipe()
    child = context.Process(target=_answer, args=(theirs, os.getpid()), daemon=True)
    child.start()
    theirs.close()  # the child's alone: its end is the end of what comes
    try:
        for space_nd in spaces:
            connection.send((space_nd, count, seed))
            yield connection.recv()
    except (EOFError, ConnectionError):
        raise RunError(
            "The process that looks up nearest neighbours ended early, perhaps for want of memory; start the "
            "map again, with fewer images (max_images) if it happens again."
        ) from None
    finally:
        child.kill()
        child.join()
        connection.close()


def _answer(connection: Connection, parent: int) -> None:
    """In the child: the neighbours in each space that comes."""
    begin_pool_worker(parent)
    with suppress(EOFError):
        while True:
            connection.send(search(*connection.recv()))


def search(space_nd: np.ndarray, count: int, seed: int) -> Neighbours:
    """`approximate_neighbours` in one space, in this process."""
    import faiss

    faiss.omp_set_num_threads(cpu_cores())
    space_nd = np.ascontiguousarray(space_nd, np.float32)
    rows, columns = space_nd.shape
    cells = max(1, min(round(CELLS * rows**0.5), rows // ROWS_A_CELL))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(columns), columns, cells)
    index.cp.seed = stream_seed(seed, "neighbours") % 2**31
    index.cp.niter, index.cp.max_points_per_centroid = ROUNDS, ROWS_A_CELL
    index.train(space_nd)
    index.add(space_nd)
    index.nprobe = min(cells, max(CELLS_SEARCHED, -(-ROWS_SEARCHED * count * cells // rows)))
    squares, positions = index.search(space_nd, count + 1)  # the row itself is among them
    distances = np.sqrt(np.maximum(squares, 0))
    return _completed(space_nd, *_others(np.arange(rows), positions, distances, count))


def _others(
    rows: np.ndarray, positions: np.ndarray, distances: np.ndarray, count: int
) -> Neighbours:
    """The first `count` neighbours of each row but the row itself; -1 stands where there are fewer."""
    positions = np.where(positions == rows[:, None], -1, positions)
    order = np.argsort(positions < 0, axis=1, kind="stable")[:, :count]
    return (
        np.take_along_axis(positions, order, 1).astype(np.int64),
        np.take_along_axis(distances, order, 1).astype(np.float32),
    )


def _completed(space_nd: np.ndarray, positions: np.ndarray, distances: np.ndarray) -> Neighbours:
    """The neighbours, where the index found fewer than are wanted those of an exact search."""
    rows = np.flatnonzero((positions < 0).any(1))
    if len(rows):
        count = positions.shape[1]
        exact = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(space_nd)
        far, near = exact.kneighbors(space_nd[rows])
        positions[rows], distances[rows] = _others(rows, near, far, count)
    return positions, distances
