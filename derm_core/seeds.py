"""Named random streams: every draw comes from one seed per run and the name of what is drawn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names` of a run's `seed`.

    Streams are independent of one another and of the order in which they are asked for, and a
    stream may carry a step or epoch number: a resumed run re-derives its draws, nothing is stored.

    >>> stream_seed(0, "split") == stream_seed(0, "split"), stream_seed(0, "split") == stream_seed(1, "split")
    (True, False)
    """
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Share:
    """Images `begin` to before `end` of a batch of `total`: what one of several processes computes.

    Draws are made for the whole batch and cut to the share, so that they do not depend on who computes.
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
