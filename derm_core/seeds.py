"""Named random streams: every draw comes from a run's seed and the name of what is drawn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one stream of a run's draws.

    Streams are independent of one another and of the order in which they are used. With a step or
    epoch number among its names, a resumed run derives its draws again; nothing is stored.

    Args:
        seed: of the run.
        names: of the stream.

    >>> stream_seed(0, "split") == stream_seed(0, "split"), stream_seed(0, "split") == stream_seed(1, "split")
    (True, False)
    """
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Share:
    """Images `begin` to before `end` of a batch of `total`: what one of several processes computes.

    Draws are made for the whole batch and cut to the share, so that they do not depend on who
    computes.
    """

    begin: int
    end: int
    total: int

    def __len__(self) -> int:
        return self.end - self.begin

    @property
    def of_batch(self) -> slice:
        return slice(self.begin, self.end)

    @property
    def weight(self) -> float:
        """The share's part of the batch, 0 to 1."""
        return len(self) / self.total
